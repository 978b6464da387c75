"""State: mutable things that code reads, as they were before the runs of functions changed them.

What a run changes is no part of a key: keys go on to see what was there before. What changes while
nothing runs is an edit, and every key sees it.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from operator import is_
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple, TypeAlias

MISSING: Final = object()
"""A name, an item or a cell that is not there."""

Look: TypeAlias = tuple[Any, ...]
Parts: TypeAlias = dict[Any, Any]
Fixed: TypeAlias = frozenset[str] | None
"""Names of the parts of a thing that code reads and does not assign; `None`: all."""

lock = threading.RLock()
"""Held while what is known of things changes; never while they are looked at."""
if hasattr(os, "register_at_fork"):
    # the child gets it free, whatever other threads were about to do
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )


class _Version:
    """Grows with everything that is noted of any thing, besides what looks at it tell."""

    number = 0


version: Final = _Version()


class Kind(NamedTuple):
    """How a thing of some kind is seen.

    `look` returns its parts, cheaply, and `parts` makes a mapping of what it returns.
    `copy` makes a thing like it of other parts; with `is_data`, it is such a copy that is hashed,
    because another thread may change the thing meanwhile. `is_code` tells that some parts are
    code, and `is_whole` that the only part is a token of all there is.
    """

    look: Callable[[], Look]
    copy: Callable[[Parts], Any]
    parts: Callable[[Look], Parts]
    is_data: bool = False
    is_code: bool = False
    is_whole: bool = False


class Tracked:
    """A mutable thing: its parts when it was last seen, and before runs changed them."""

    def __init__(self, key: Hashable, thing: Any, kind: Kind, label: str) -> None:
        is_function = isinstance(thing, FunctionType)
        # kept, so that its id is not given to another one; but what is known of a function ends
        # with it
        self._thing = weakref.ref(thing) if is_function else lambda: thing
        self.key = key
        self.kind = kind
        self.label = label
        self.is_global = False
        self.last = kind.look()
        self.edits = 0
        self.changes = 0  # by runs
        self.runs: list[Fixed] = []  # those under way, by what they leave as it is
        self._is_settling = False
        self.reported = 0  # of the changes, those that a run has reported
        self.made: dict[Any, list[tuple[Callable[[], Look], Look]]] = {}
        self._before: Parts | None = None  # as `last`, until a run has changed something

    @property
    def thing(self) -> Any:
        """What this is known of; `None` for a function that is gone."""
        return self._thing()

    def is_of(self, thing: Any) -> bool:
        """Is that what this is known of?"""
        return self._thing() is thing

    def is_changed(self, fixed: Fixed = None) -> bool:
        """Has a run changed any of these parts of the thing?"""
        if self._before is None:
            return False
        return _is_any(_changes(self._before, self._parts(self.last)), fixed)

    def keeps(self, before: Look, fixed: Fixed) -> bool:
        """Are these parts the same as in an earlier look?"""
        return not _is_any(_changes(self._parts(before), self._parts(self.last)), fixed)

    def shown(self, fixed: frozenset[str] = frozenset()) -> Any:
        """The thing as it was before runs changed it, edits included, with these parts as now."""
        with lock:
            before = None if self._before is None else dict(self._before)
            if before is not None and fixed:
                before = _with(before, self._parts(self.last), fixed)
        if before is not None:
            return self.kind.copy(before)
        return self.kind.copy(self._parts(self.last)) if self.kind.is_data else self._thing()

    def only_part(self) -> Any:
        """The same of a thing that has one part."""
        return self.last[0] if self._before is None else self._before.get(0, MISSING)

    def settle(self) -> None:
        """Take note of changes: of a run, if one is under way that may make them, or of an edit.

        Looks under the lock: what a run has noted since an earlier look is no edit. A look at what
        is inside may lead here again.
        """
        if self._is_settling:
            return
        self._is_settling = True
        try:
            self._settle()
        finally:
            self._is_settling = False

    def _settle(self) -> None:
        now = self.kind.look()
        if not same(now, self.last):
            if self.runs:
                self.accept(now)
            else:
                self._edit(now, _changes(self._parts(self.last), self._parts(now)))
        for name in [name for name, seen in self.made.items() if not _hold(seen)]:
            if self.runs:
                self.changes += 1
                self._see(name, self._parts(now))
            else:
                del self.made[name]
                self._edit(now, {name: edited(self._parts(now).get(name, MISSING))})

    def accept(self, now: Look) -> None:
        """Take the changes since the last look for those of a run."""
        before, after = self._parts(self.last), self._parts(now)
        changes = _changes(before, after)
        edits = {name: value for name, value in changes.items() if self._is_edit(name, value)}
        if made := changes.keys() - edits.keys():
            self._before = before if self._before is None else self._before
            self.changes += 1
        self.last = now
        for name in made:
            self._see(name, after)
        if edits:
            self._edit(now, edits)

    def _is_edit(self, name: Any, value: Any) -> bool:
        """Is a change that is met during a run none that the run can have made?"""
        if self.kind.is_code and _is_code(value):
            return True
        return all(_is_any((name,), fixed) for fixed in self.runs)

    def _edit(self, now: Look, changes: Parts) -> None:
        if self._before is not None:
            there = self._parts(now).keys()  # what runs have removed is not put back by an edit
            self._before = {k: v for k, v in self._before.items() if k in there}
            if self.kind.parts is numbered:  # places say nothing of what stands there
                self._before, changes = None, {}
            for name, value in changes.items():
                if value is MISSING:
                    self._before.pop(name, None)  # type: ignore[union-attr]
                else:
                    self._before[name] = value  # type: ignore[index]
        self.last = now
        self.edits += 1
        version.number += 1

    def _see(self, name: Any, parts: Parts) -> None:
        """Look at what a run has put into the thing: edits inside of it are seen, too."""
        inside = looks_inside(parts[name]) if name in parts else []
        version.number += 1
        self.made.pop(name, None)
        if inside:
            self.made[name] = [(look, look()) for look in inside]

    def _parts(self, look: Look) -> Parts:
        return self.kind.parts(look)


def named(look: Look) -> Parts:
    """Parts of a look of names and values in turn."""
    return dict(zip(look[::2], look[1::2], strict=True))


def numbered(look: Look) -> Parts:
    """Parts of a look of values by their places."""
    return dict(enumerate(look))


def single(look: Look) -> Parts:
    """The only part."""
    return {0: look[0]}


def members(look: Look) -> Parts:
    """Parts of a set."""
    return dict.fromkeys(look)


def same(one: Look, other: Look) -> bool:
    """Are two looks of the same things?"""
    if len(one) != len(other):
        return False
    return all(map(is_, one, other)) or (len(one) == 1 and _is_same(one[0], other[0]))


def _is_same(one: Any, other: Any) -> bool:
    """Texts and tokens are made anew by each look."""
    return one is other or (type(one) in (bytes, str) and type(one) is type(other) and one == other)


def _hold(seen: list[tuple[Callable[[], Look], Look]]) -> bool:
    return all(same(look(), known) for look, known in seen)


def _changes(before: Parts, after: Parts) -> Parts:
    changed = {k: v for k, v in after.items() if not _is_same(before.get(k, MISSING), v)}
    return changed | dict.fromkeys(before.keys() - after.keys(), MISSING)


def _is_any(names: Iterable[Any], fixed: Fixed) -> bool:
    """Is any of the parts with these names fixed?"""
    return any(fixed is None or attribute(name) in fixed for name in names)


def _with(parts: Parts, others: Parts, names: frozenset[str]) -> Parts:
    """Parts of which those with these names are taken from others."""
    kept = {name: value for name, value in parts.items() if attribute(name) not in names}
    return kept | {name: value for name, value in others.items() if attribute(name) in names}


def attribute(name: Any) -> Any:
    """What code calls a part: `("cell", "count")` of a function is `count`."""
    return name[1] if isinstance(name, tuple) else name


def _is_code(value: Any) -> bool:
    return isinstance(value, (FunctionType, CodeType, type))


_tracked: weakref.WeakValueDictionary[Hashable, Tracked] = weakref.WeakValueDictionary()
_kept: dict[Hashable, Tracked] = {}
_is_stable: list[Callable[[Any], bool]] = []
_inside: list[Callable[[Any], list[Callable[[], Look]]]] = []


def look_inside_by(
    function: Callable[[Any], list[Callable[[], Look]]], is_stable: Callable[[Any], bool]
) -> None:
    """Let `function(value)` return looks at all that is mutable inside of a value."""
    _inside[:], _is_stable[:] = [function], [is_stable]


def edited(value: Any) -> Any:
    """What stands for a value that a run has made and the user has edited since.

    Itself, or something that is like nothing else if it has no stable content.
    """
    return value if _is_stable[0](value) else f"edited {uuid.uuid4().hex}"


def looks_inside(value: Any) -> list[Callable[[], Look]]:
    """Looks at all that is mutable inside of a value, which need not have a stable content."""
    return _inside[0](value)


def tracked(key: Hashable, thing: Any, kind: Callable[[], Kind], label: str) -> Tracked:
    """What is known of a thing by now; one for all functions of the process that read it."""
    known = _tracked.get(key)
    if known is None or not known.is_of(thing):
        made = Tracked(key, thing, kind(), label)
        with lock:
            known = _tracked.get(key)
            if known is None or not known.is_of(thing):
                _tracked[key] = made
                return made
    with lock:
        known.settle()
    return known


def as_before(thing: Any) -> Any:
    """A thing as it was before runs changed it, if its parts are known."""
    known = _tracked.get(id(thing))
    is_known = known is not None and known.is_of(thing) and not known.kind.is_whole
    return known.shown() if known is not None and is_known else thing


@contextmanager
def running(things: Iterable[tuple[Tracked, Fixed]], changed: list[str]) -> Iterator[None]:
    """Take what changes meanwhile for changes of the run.

    The labels of what no nested run has reported are put into `changed`.
    """
    things = list(things)
    with lock:
        before = [each.changes for each, _ in things]
        for each, fixed in things:
            each.runs.append(fixed)
    try:
        yield
    finally:
        with lock:
            for (each, fixed), count in zip(things, before, strict=True):
                with suppress(Exception):  # the function has run: its value matters more
                    each.settle()
                if each.changes != count:
                    _note(each, count, changed)
                each.runs.remove(fixed)


def _note(known: Tracked, count: int, changed: list[str]) -> None:
    """Report that a run has changed a thing, unless a nested run has."""
    if known.reported <= count:
        changed.append(known.label)
    known.reported = known.changes
    if known.is_global:  # it outlives the functions that know of it now
        _kept[known.key] = known
