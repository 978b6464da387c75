"""Fingerprints: made by a walk over code, and kept while all that was seen is as it was."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from persidict_dask._code.flow import flow_token
from persidict_dask._code.walk import CodeWalker
from persidict_dask._code.watch import Watches
from persidict_dask._digest.frame import frame, hex_digest
from persidict_dask._digest.graph import root_token
from persidict_dask._origin import PYTHON_ORIGIN
from persidict_dask._provenance import short_form

_KEPT: Final = 1024
_SHORT: Final = 16


@dataclass(frozen=True)
class Fingerprint:
    """Identity of code: equal after cosmetic edits, different after every other.

    `components` name what went in (`function pkg.mod.clean`, `global pkg.mod.LIMIT`,
    `library numpy`), each with a short digest or a version, so that a difference can be told.
    `values` are the short forms of the globals among them that are data.
    """

    hexdigest: str
    components: dict[str, str]
    values: dict[str, str] = field(default_factory=dict, compare=False)


_cache: dict[tuple[int, tuple[str, ...]], tuple[Any, Watches, Fingerprint]] = {}


def fingerprint(function: Any, by_value: Iterable[str | types.ModuleType] = ()) -> Fingerprint:
    """Identity of the code of a function, class or callable object.

    Made once in a process, and again after anything it was made of has changed. `by_value` names
    modules and packages whose code counts besides the project's.
    """
    names = _names(by_value) if by_value else ()
    key = (id(function), names)
    known = _cache.get(key)
    if known is not None and known[0]() is function and known[1].hold():
        return known[2]
    watches = Watches()
    made = _fingerprint(function, names, watches)
    _remember(key, function, watches, made)
    return made


def _names(by_value: Iterable[str | types.ModuleType]) -> tuple[str, ...]:
    modules = (by_value,) if isinstance(by_value, (str, types.ModuleType)) else by_value
    return tuple(sorted(one if isinstance(one, str) else one.__name__ for one in modules))


def _fingerprint(function: Any, by_value: tuple[str, ...], watches: Watches) -> Fingerprint:
    walker = CodeWalker(by_value, watches)
    python = PYTHON_ORIGIN.version
    token = root_token(walker, function)
    watches.close()
    components = {name: _short(walker, obj) for name, (_, obj) in sorted(walker.named.items())}
    libraries = {f"library {name}": version for name, version in sorted(walker.versions.items())}
    libraries.pop("library python", None)
    return Fingerprint(
        hex_digest(frame(b"python", python.encode()) + token),
        {**components, **libraries, "python": python},
        {n: short_form(obj) for n, (_, obj) in walker.named.items() if n.startswith("global ")},
    )


def _short(walker: CodeWalker, obj: Any) -> str:
    token = flow_token(obj) if isinstance(obj, types.CodeType) else root_token(walker, obj)
    return hex_digest(token)[:_SHORT]


def _remember(
    key: tuple[int, tuple[str, ...]], function: Any, watches: Watches, made: Fingerprint
) -> None:
    """Keep a fingerprint while its function lives; a closure and its data are not kept alive."""
    try:
        found = weakref.ref(function, functools.partial(_forget, _cache, key))
    except TypeError:
        return
    while len(_cache) >= _KEPT:
        _cache.pop(next(iter(_cache)), None)
    _cache[key] = (found, watches, made)


def _forget(cache: dict[Any, Any], key: Any, _: Any) -> None:
    """Given the cache, because at exit this module has no names any more."""
    cache.pop(key, None)
