"""Where two results differ, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from persidict_dask._digest import digest
from persidict_dask._errors import UnstableKeyError
from persidict_dask._provenance import short_form


def difference(stored: Any, computed: Any, path: str = "result") -> str | None:
    """Say where two values differ by content, as deep inside as can be told; `None` if nowhere.

    Values without a stable content are compared by `==`.
    """
    if _are_equal(stored, computed):
        return None
    for step, one, other in _parts(stored, computed):
        found = difference(one, other, path + step)
        if found is not None:
            return found
    return f"{path}: stored is {short_form(stored)}, computed is {short_form(computed)}"


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return digest(one) == digest(other)
    except UnstableKeyError:
        return type(one) is type(other) and bool(one == other)


def _parts(one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the parts that two values of one shape have in common."""
    if type(one) is not type(other):
        return
    if isinstance(one, Mapping) and one.keys() == other.keys():
        yield from ((f"[{key!r:.80}]", one[key], other[key]) for key in one)
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        yield from ((f"[{at}]", left, right) for at, (left, right) in pairs)
    elif dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        yield from ((f".{n}", getattr(one, n, None), getattr(other, n, None)) for n in names)
