"""Cheap looks that tell whether anything a fingerprint was made of has been edited since."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import repeat
from operator import is_
from types import MappingProxyType, MethodType
from typing import Any, Final

from persidict_dask._code.looks import content, kind_of, name_in, variable_of
from persidict_dask._code.state import (
    MISSING,
    Fixed,
    Look,
    Tracked,
    attribute,
    lock,
    running,
    same,
    tracked,
    version,
)
from persidict_dask._code.uses import READ, use_by_operators

_PLAIN: Final = (dict, list, set)
_NONE: Final[frozenset[str]] = frozenset()


@dataclass
class _Watched:
    known: Tracked
    seen: Look
    edits: int


class Watches:
    """What a fingerprint was made of: names, things by the identity of their parts, and contents.

    Args:
        as_is: keys of things of which these parts are seen as they are, because nothing here
            changes them.
    """

    def __init__(self, as_is: Mapping[Any, Fixed] = MappingProxyType({})) -> None:
        self._as_is = as_is
        self._things: dict[Any, _Watched] = {}
        self._names: dict[int, tuple[dict[str, Any], list[str]]] = {}
        self._written: Mapping[Any, frozenset[str]] = {}
        self._looks: tuple[tuple[Callable[[], Look], Look], ...] = ()
        self._version = -1

    def name(self, namespace: dict[str, Any], name: str, label: str) -> Any:
        """Watch what a name in a namespace stands for; return what it stood for before runs."""
        key = ("name", id(namespace), name)
        known = self._watch(key, namespace, lambda: name_in(namespace, name), label)
        known.is_global = True
        names = self._names.setdefault(id(namespace), (namespace, []))[1]
        if name not in names:
            names.append(name)
        return known.last[0] if key in self._as_is else known.only_part()

    def thing(self, obj: Any, label: str, *, is_global: bool) -> Any:
        """Watch the parts of an object by their identity; return it as it was before runs.

        `None` for an object whose content has to be read as a whole.
        """
        kind = kind_of(obj)
        if kind is None:
            return None
        known = self._watch(id(obj), obj, kind, label)
        known.is_global = known.is_global or is_global
        fixed = self._as_is.get(id(obj), _NONE)
        return obj if fixed is None else known.shown(fixed)

    def content(self, obj: Any, token: Callable[[], bytes], label: str, *, is_global: bool) -> Any:
        """Watch the content of an object that can only be read again; return its token before."""
        known = self._watch(id(obj), obj, lambda: content(token), label)
        known.is_global = known.is_global or is_global
        return known.last[0] if id(obj) in self._as_is else known.only_part()

    def _watch(self, key: Any, thing: Any, kind: Any, label: str) -> Tracked:
        if key in self._things:
            return self._things[key].known
        known = tracked(key, thing, kind, label)
        self._things[key] = _Watched(known, known.last, known.edits)
        return known

    def close(self, written: Mapping[Any, frozenset[str]]) -> dict[Any, Fixed]:
        """Take note of what the code may change, and of which parts it leaves as they are.

        Returns what was shown as before, but is only read: that has to be seen as it is.
        """
        self._written = written
        self._look_again()
        found = {}
        for key, watched in self._things.items():
            fixed, seen = written.get(key), self._as_is.get(key, _NONE)
            is_seen = seen is None or (fixed is not None and fixed <= seen)
            if not is_seen and watched.known.is_changed(fixed):
                found[key] = None if fixed is None or seen is None else fixed | seen
        return found

    def hold(self) -> bool:
        """Is everything as it was, but for what runs have changed?"""
        if self._is_unchanged():
            return True
        if not all(map(self._holds, list(self._things.items()))):
            return False
        self._look_again()
        return True

    def _is_unchanged(self) -> bool:
        for look, seen in self._looks:
            now = look()
            if len(now) != len(seen) or not all(map(is_, now, seen)):
                return False
        return version.number == self._version or self._is_known()

    def _is_known(self) -> bool:
        """Is nothing noted of things that code may change but what was noted at the last look?"""
        seen = version.number
        things = [self._things[key] for key in self._written]
        if not all(w.edits == w.known.edits and not w.known.made for w in things):
            return False
        self._version = seen
        return True

    def _look_again(self) -> None:
        names = (self._name_look(*pair) for pair in self._names.values())
        things = (
            (w.known.kind.look, w.seen)
            for key, w in self._things.items()
            if not (isinstance(key, tuple) and key[0] == "name")
        )
        self._looks = (*names, *things)

    def _name_look(
        self, namespace: dict[str, Any], names: list[str]
    ) -> tuple[Callable[[], Look], Look]:
        """One look at all names of a namespace."""
        get, keys = namespace.get, tuple(names)
        seen = (self._things["name", id(namespace), name].seen[0] for name in keys)
        return lambda: tuple(map(get, keys, repeat(MISSING))), tuple(seen)

    def _holds(self, item: tuple[Any, _Watched]) -> bool:
        key, watched = item
        known = watched.known
        now = known.kind.look()
        if same(now, watched.seen) and watched.edits == known.edits and not known.made:
            return True
        if key not in self._written:
            return same(now, watched.seen)
        with lock:
            known.settle()
            before, watched.seen = watched.seen, known.last
            return watched.edits == known.edits and known.keeps(before, self._written[key])

    def running(self, changed: list[str]) -> AbstractContextManager[None]:
        """Take what changes meanwhile for changes of a run; put the labels of it into `changed`."""
        things = ((self._things[key].known, fixed) for key, fixed in self._written.items())
        return running(things, changed)

    def variable(self, name: str) -> Any:
        """Watch a variable of the environment; return what it was before runs changed it."""
        key = ("variable", name)
        known = self._watch(key, os.environ, lambda: variable_of(name), f"os.environ[{name!r}]")
        known.is_global = True
        return known.last[0] if key in self._as_is else known.only_part()

    def keys(self) -> frozenset[Any]:
        """Keys of all things."""
        return frozenset(self._things)

    def active(self, is_project: Callable[[Any], bool]) -> Iterator[Any]:
        """What changes when it is only looked at: iterators, `defaultdict`, parts of others."""
        for watched in self._things.values():
            obj = watched.known.thing
            cls: Any = type(obj)
            if cls in _PLAIN or watched.known.kind.is_code:
                continue
            can_act = hasattr(cls, "__missing__") or hasattr(cls, "__next__") or is_project(cls)
            if can_act and (use := use_by_operators(cls)) < READ:
                yield from self.below(obj, use)

    def definitions(self) -> Iterator[Any]:
        """Keys of functions and classes."""
        return (key for key, watched in self._things.items() if watched.known.kind.is_code)

    def parts(self, obj: Any) -> Look:
        """What is inside of a thing, or of a tuple; nothing for others."""
        held = _held_by(obj)
        return held or (self.parts_of(id(obj)) if id(obj) in self._things else ())

    def below(self, obj: Any, levels: int) -> list[Any]:
        """What is so many levels inside of an object; before that what has no parts to be seen."""
        found, here = list[Any](), [obj]
        for _ in range(levels):
            found += (each for each in here if self._is_closed(each))
            here = [part for each in here for part in self.parts(each)]
        return found + here

    def _is_closed(self, obj: Any) -> bool:
        """Is an object watched as a whole, that may hold others?"""
        is_whole = id(obj) in self._things and self._things[id(obj)].known.kind.is_whole
        return is_whole and not isinstance(obj, (bytearray, array))

    def names_in(self, key: Any) -> Iterator[str]:
        """Names of the attributes of a function or class."""
        watched = self._things[key]
        return map(attribute, watched.known.kind.parts(watched.seen))

    def parts_of(self, key: Any) -> Look:
        """What is inside of the thing with a key."""
        return self._things[key].seen

    def reachable(self, values: Iterable[Any]) -> Iterator[Any]:
        """Keys of the things among values and all that is inside of them."""
        waiting, seen = list(values), set[int]()
        while waiting:
            obj = waiting.pop()
            if id(obj) in seen:
                continue
            seen.add(id(obj))
            if held := _held_by(obj):
                waiting.extend(held)
            elif id(obj) in self._things and self._things[id(obj)].known.is_of(obj):
                yield id(obj)
                waiting.extend(self._things[id(obj)].seen)


def _held_by(obj: Any) -> Look:
    """What is inside of an object in which nothing changes but what it holds."""
    if isinstance(obj, (tuple, frozenset)):
        return tuple(obj)
    return (obj.__self__, obj.__func__) if isinstance(obj, MethodType) else ()
