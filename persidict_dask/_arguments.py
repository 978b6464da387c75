"""Arguments that a run has changed: their digests before and after differ."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from persidict_dask._errors import UnstableKeyError
from persidict_dask._warn import warn_caller

Again: TypeAlias = Callable[[dict[str, Any]], dict[str, str]]

_SCALARS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, range})
_DEFINITIONS: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)

_said: set[tuple[str, str]] = set()


def changed(
    arguments: Mapping[str, Any], digests: Mapping[str, str], again: Again
) -> Iterator[str]:
    """Yield the names of arguments that are not as they were when the digests were made.

    `again` makes digests of some arguments anew.
    """
    for name, value in arguments.items():
        if not _is_fixed(value) and _digest(name, value, again) != digests.get(name):
            yield name


def warn_of_changed(function: str, names: Iterator[str]) -> None:
    """Say of each argument once that it is another one the next time."""
    for name in names:
        if (function, name) not in _said:
            _said.add((function, name))
            warn_caller(
                f"{function} has changed its argument {name!r} while it ran: the result is stored "
                "under what that was before, and as it is now it is another argument; a hit "
                "changes nothing. Let the function work on a copy"
            )


def _is_fixed(value: Any) -> bool:
    """True for what cannot change; functions and classes count as code, which is another matter."""
    kind = type(value)
    if kind in (tuple, frozenset):
        return all(map(_is_fixed, value))
    return kind in _SCALARS or isinstance(value, _DEFINITIONS)


def _digest(name: str, value: Any, again: Again) -> str | None:
    try:
        return again({name: value})[name]
    except UnstableKeyError:
        return None
