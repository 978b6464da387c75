"""LocalDict: a dictionary in the memory of this process."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple, Self, TypeVar
from weakref import WeakSet

from persidict._item_dict import ItemDict
from persidict._words import Guard, Item, Stat, etag_of
from persidict.exceptions import LockTimeoutError
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ETagValue,
    ValueType,
)
from persidict.persi_dict import PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple, key_from_safe, prefix_strings

T = TypeVar("T")

_DEFAULT_PRUNE_INTERVAL = 64


class _Node:
    """One level of the tree: the nodes below it, and the items here by format and last part."""

    __slots__ = ("below", "items")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.items: dict[str, dict[str, Item[Any]]] = {}


class _Tree:
    """What all handles on the same data share."""

    def __init__(self) -> None:
        self.root = _Node()
        self.lock = threading.RLock()
        self.is_changing = False
        self.etags = itertools.count(1)
        _trees.add(self)

    def changed(self, change: Callable[[], T]) -> T:
        """Return what `change` returns, the only change at a time, also in this thread."""
        with self.lock:
            if self.is_changing:
                raise _interrupted()
            try:
                self.is_changing = True
                return change()
            finally:
                self.is_changing = False


class _Gone(list[Any]):
    """Keeps what a change takes out until after it, since a finalizer may change the data again."""


def _interrupted() -> LockTimeoutError:
    return LockTimeoutError(
        "a signal or a finalizer has interrupted a change of this data by the same thread: there "
        "it can be read, and not be changed",
        backend="memory",
        operation="lock",
    )


_trees: WeakSet[_Tree] = WeakSet()


def _free_locks() -> None:
    """In a child process no other thread will ever release them."""
    for tree in _trees:
        tree.lock, tree.is_changing = threading.RLock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


class LocalBackend(NamedTuple):
    """A place in a tree, named by its path from the root, so that it can never be cut off."""

    tree: _Tree
    prefix: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LocalBackend):
            return NotImplemented
        return self.tree is other.tree and self.prefix == other.prefix

    def __hash__(self) -> int:
        return hash((id(self.tree), self.prefix))

    def __deepcopy__(self, memo: dict[int, Any]) -> LocalBackend:
        return self  # a copy of the parameters means the same data

    def __repr__(self) -> str:
        return f"<LocalBackend {'/'.join((f'{id(self.tree):#x}', *self.prefix))}>"


class LocalDict(ItemDict[ValueType]):
    """A dictionary in memory with the behaviour of `FileDirDict`, for one process and its threads.

    Every operation on a single item is atomic. Values are deep-copied on the way in and out, so
    changing an object after storing or reading it never changes the store.

    Args:
        backend: the data of another `LocalDict`, from its `get_params()["backend"]`, to share
            them; `None` for new data.
        serialization_format: a namespace within the backend; nothing is serialized.
        append_only: items can be added, never changed or removed.
        base_class_for_values: what values must be instances of, or `None`.
        prune_interval: accepted and reported; empty tree nodes are pruned at once.
    """

    def __init__(
        self,
        *,
        backend: LocalBackend | None = None,
        serialization_format: str = "pkl",
        append_only: bool = False,
        base_class_for_values: type[ValueType] | None = None,
        prune_interval: Any = _DEFAULT_PRUNE_INTERVAL,
    ) -> None:
        super().__init__(
            append_only=append_only,
            base_class_for_values=base_class_for_values,
            serialization_format=serialization_format,
        )
        if backend is not None and not isinstance(backend, LocalBackend):
            raise TypeError(f"backend must come from a LocalDict, not {type(backend).__name__}")
        self._backend = LocalBackend(_Tree(), ()) if backend is None else backend
        self.prune_interval = _checked_interval(prune_interval)

    _stat_is_cheap = True

    @property
    def is_exact(self) -> bool:
        """True: nothing comes between check and act."""
        return True

    def get_params(self) -> dict[str, Any]:
        """Return the constructor arguments that give an equivalent dict over the same data."""
        params = super().get_params()
        params |= {"backend": self._backend, "prune_interval": self.prune_interval}
        return dict(sorted(params.items()))

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return a live view of the items under the prefix, with the prefix cut off their keys."""
        tree, prefix = self._backend
        sub = type(self).__new__(type(self))
        sub.__dict__.update(self.__dict__)
        sub._backend = LocalBackend(tree, prefix + prefix_strings(prefix_key))
        return sub

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        found = self._find(key)
        return None if found is None else found.stat

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        found = self._find(key)
        if found is None:
            return None
        if found.stat.etag == unless:
            return Item(VALUE_NOT_RETRIEVED, found.stat)
        # outside of the lock: what is stored is replaced and never changed
        return Item(deepcopy(found.value), found.stat)

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        if guard is not None and not guard.holds(etag_of(self._stat(key))):
            return None
        kept, gone = deepcopy(value), _Gone()
        return self._backend.tree.changed(lambda: self._put(key, kept, guard, gone))

    def _put(
        self, key: NonEmptySafeStrTuple, kept: ValueType, guard: Guard | None, gone: _Gone
    ) -> Stat | None:
        if guard is not None and not guard.holds(etag_of(self._stat(key))):
            return None
        stat = Stat(ETagValue(str(next(self._backend.tree.etags))), time.time())
        *path, last = self._backend.prefix + key.strings
        items = self._make_node(path).items.setdefault(self.serialization_format, {})
        gone.append(items.get(last))
        items[last] = Item(kept, stat)
        return stat

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        gone = _Gone()
        return self._backend.tree.changed(lambda: self._take_out(key, guard, gone))

    def _take_out(self, key: NonEmptySafeStrTuple, guard: Guard | None, gone: _Gone) -> bool:
        found = self._find(key)
        if found is None or (guard is not None and not guard.holds(found.stat.etag)):
            return False
        *path, last = self._backend.prefix + key.strings
        nodes = self._nodes(path)
        gone.append(nodes[-1].items[self.serialization_format].pop(last))
        _prune(nodes, path, self.serialization_format)
        return True

    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        """Yield the keys; each level is listed under the lock when the iteration gets there."""
        levels: list[tuple[str, ...]] = [()]
        while levels:
            path = levels.pop()
            with self._backend.tree.lock:
                nodes = self._nodes([*self._backend.prefix, *path])
                here = list(nodes[-1].items.get(self.serialization_format, {}).items())
                levels.extend((*path, name) for name in nodes[-1].below)
            for name, item in here:
                yield key_from_safe((*path, name)), item.stat

    def _find(self, key: NonEmptySafeStrTuple) -> Item[Any] | None:
        with self._backend.tree.lock:
            *path, last = self._backend.prefix + key.strings
            return self._nodes(path)[-1].items.get(self.serialization_format, {}).get(last)

    def _nodes(self, path: list[str]) -> list[_Node]:
        """Return the nodes from the root to the end of the path; the last is empty if missing."""
        nodes = [self._backend.tree.root]
        for name in path:
            node = nodes[-1].below.get(name)
            if node is None:
                return [*nodes, _Node()]
            nodes.append(node)
        return nodes

    def _make_node(self, path: list[str]) -> _Node:
        node = self._backend.tree.root
        for name in path:
            node = node.below.setdefault(name, _Node())
        return node


def _prune(nodes: list[_Node], path: list[str], serialization_format: str) -> None:
    """Drop what has become empty, from the leaf to the root."""
    if not nodes[-1].items[serialization_format]:
        del nodes[-1].items[serialization_format]
    for parent, name, node in zip(nodes[-2::-1], path[::-1], nodes[:0:-1], strict=True):
        if node.items or node.below:
            return
        del parent.below[name]


def _checked_interval(prune_interval: Any) -> int | None:
    if prune_interval is None:
        return None
    try:
        interval = int(prune_interval)
    except (TypeError, ValueError, OverflowError):
        return _DEFAULT_PRUNE_INTERVAL
    return interval if interval > 0 else None
