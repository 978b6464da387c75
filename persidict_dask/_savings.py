"""What runs take that this process has not made: notes beside a few of its hits tell."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from persidict_dask import _stats
from persidict_dask._stats import FunctionStats, count

Note = dict[str, Any]

_FEW: Final = 3


class _Process:
    """Hits of this process whose notes may be read, by function; `None` where that was done."""

    def __init__(self) -> None:
        self.hits: dict[str, dict[Any, Callable[[], Note | None] | None]] = {}
        self.lock = threading.RLock()


_process = _Process()
if hasattr(os, "register_at_fork"):
    # a child counts from zero, and another thread may have held the lock
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]


def remember(name: str, key: Any, read: Callable[[], Note | None]) -> None:
    """Remember a hit, and how to read its note; of the first few of a function only."""
    hits = _process.hits.get(name)
    if hits is None or (len(hits) < _FEW and key not in hits):
        with _process.lock:
            _process.hits.setdefault(name, {})[key] = read


def learn() -> None:
    """Read the notes of a few hits of each function that this process has not run itself.

    Each note once. Asks the stores: not to be called on an event loop.
    """
    for name, read in _unread():
        with suppress(Exception):  # a figure must not cost what it is asked for
            note = read()
            if note is not None:
                count(name, notes=1, seconds_noted=float(note["seconds"]))


def has_to_learn() -> bool:
    """True if there are notes to be read; costs no request."""
    with _process.lock:
        return any(
            read is not None and _stats.has_only_loaded(name)
            for name, hits in _process.hits.items()
            for read in hits.values()
        )


def process_stats() -> dict[str, FunctionStats]:
    """Return a copy of the counts of all persisted functions of this process, by name."""
    learn()
    return _stats.process_stats()


def stats_of(name: str) -> FunctionStats:
    """Return a copy of the counts of one function."""
    return process_stats().get(name, FunctionStats())


def _unread() -> Iterator[tuple[str, Callable[[], Note | None]]]:
    with _process.lock:
        found = [
            (name, key, read)
            for name, hits in _process.hits.items()
            if _stats.has_only_loaded(name)
            for key, read in hits.items()
            if read is not None
        ]
        for name, key, _ in found:
            _process.hits[name][key] = None
    yield from ((name, read) for name, _, read in found)
