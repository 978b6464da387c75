"""Fingerprints: made by a walk over code, and kept while all that was seen is as it was."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from persidict_dask._code.flow import flow_token
from persidict_dask._code.methods import method_token
from persidict_dask._code.state import Fixed, as_before
from persidict_dask._code.uses import WRITTEN
from persidict_dask._code.walk import CodeWalker
from persidict_dask._code.watch import Watches
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.frame import frame, hex_digest
from persidict_dask._digest.graph import root_token
from persidict_dask._digest.walk import Walker
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


class Settings(NamedTuple):
    """What else decides a fingerprint: names of modules and of globals (`module.name`).

    The code of modules and packages in `by_value` counts besides the project's, and globals in
    `ignored` do not count.
    """

    by_value: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


Key: TypeAlias = tuple[int, Settings, type | None]

_cache: dict[Key, tuple[Any, Watches, Fingerprint]] = {}


def fingerprint(
    function: Any,
    by_value: Iterable[str | types.ModuleType] = (),
    ignored: tuple[str, ...] = (),
    owner: type | None = None,
) -> Fingerprint:
    """Identity of the code of a function, class or callable object.

    Made once in a process, and again after anything it was made of has been edited; what runs
    change is seen as it was before. With an `owner`, of a method of that class: what it reaches
    through its first argument counts, and not the whole class.
    """
    settings = Settings(_names(by_value) if by_value else (), ignored)
    key = (id(function), settings, owner)
    known = _cache.get(key)
    if known is not None and known[0]() is function and known[1].hold():
        return known[2]
    watches, made = _fingerprint(function, settings, owner)
    _remember(key, function, watches, made)
    return made


@contextmanager
def running(
    function: Any,
    by_value: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    owner: type | None = None,
    *,
    changed: list[str],
) -> Iterator[None]:
    """Run a function: what changes meanwhile is state. Its labels are put into `changed`."""
    known = _cache.get((id(function), Settings(by_value, ignored), owner))
    if known is None or known[0]() is not function:
        yield
        return
    with known[1].running(changed):
        yield


def _names(by_value: Iterable[str | types.ModuleType]) -> tuple[str, ...]:
    modules = (by_value,) if isinstance(by_value, (str, types.ModuleType)) else by_value
    return tuple(sorted(one if isinstance(one, str) else one.__name__ for one in modules))


def _fingerprint(
    function: Any, settings: Settings, owner: type | None
) -> tuple[Watches, Fingerprint]:
    """Walk until it is known what the walk depends on.

    That is what the settings of persisted functions on the way are, what the code only reads of
    what runs of other functions have changed, and whether it reads annotations.
    """
    as_is: dict[Any, Fixed] = {}
    counts_hints = False
    while True:
        walker = CodeWalker(*settings, Watches(as_is))
        walker.counts_hints = counts_hints
        token = _token(walker, function, owner)
        wrong = walker.close()
        more = Settings(
            tuple(sorted({*settings.by_value, *walker.more_by_value})),
            tuple(sorted({*settings.ignored, *walker.more_ignored})),
        )
        hints = counts_hints or walker.reads_hints or "__annotations__" in walker.read
        if not wrong and more == settings and hints == counts_hints:
            python = "" if isinstance(function, Data) else PYTHON_ORIGIN.version
            return walker.watches, _described(walker, token, python)  # type: ignore[return-value]
        as_is |= wrong
        settings, counts_hints = more, hints


def _token(walker: CodeWalker, function: Any, owner: type | None) -> bytes:
    walker.use(function, WRITTEN, None)  # a callable object may change itself
    if owner is None:
        return root_token(walker, function)
    return method_token(walker, function, owner)


def _described(walker: CodeWalker, token: bytes, python: str) -> Fingerprint:
    components = {name: _short(walker, obj) for name, (_, obj) in sorted(walker.named.items())}
    libraries = {f"library {name}": version for name, version in sorted(walker.versions.items())}
    libraries.pop("library python", None)
    return Fingerprint(
        hex_digest(frame(b"python", python.encode()) + token),
        {**components, **libraries} | ({"python": python} if python else {}),
        {
            name: short_form(as_before(obj))
            for name, (_, obj) in walker.named.items()
            if name.startswith("global ")
        },
    )


def _short(walker: CodeWalker, obj: Any) -> str:
    token = flow_token(obj) if isinstance(obj, types.CodeType) else root_token(walker, obj)
    return hex_digest(token)[:_SHORT]


def _remember(key: Key, function: Any, watches: Watches, made: Fingerprint) -> None:
    """Keep a fingerprint while its function lives; a closure and its data are not kept alive."""
    found: Callable[[], Any]
    try:
        found = weakref.ref(function, functools.partial(_forget, _cache, key))
    except TypeError:  # it knows no weak references
        found = functools.partial(_itself, function)
    while len(_cache) >= _KEPT:
        _cache.pop(next(iter(_cache)), None)
    _cache[key] = (found, watches, made)


def _itself(function: Any) -> Any:
    return function


def _forget(cache: dict[Any, Any], key: Any, _: Any) -> None:
    """Given the cache, because at exit this module has no names any more."""
    cache.pop(key, None)


class _StateWalker(Walker):
    """A walk over values that shows them as they were before runs changed them."""

    def handle(self, obj: Any) -> bytes:
        return super().handle(obj if isinstance(obj, type) else as_before(obj))


def digest_before(value: Any, by_value: tuple[str, ...]) -> str:
    """Digest of a value as it was before runs changed it."""
    return hex_digest(root_token(_StateWalker(by_value), value))
