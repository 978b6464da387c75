"""Notices when threads and coroutines of this process wait for each other in a circle."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from persidict_dask._errors import DeadlockError


class _Thread:
    """Stands for a thread for as long as that lives; numbers of threads are given again."""


class _Local(threading.local):
    def __init__(self) -> None:
        self.thread = _Thread()


_local = _Local()


def myself() -> Any:
    """Return who runs: a task of asyncio, or a thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return _local.thread if task is None else task


class Circles:
    """Knows who of this process holds what, and who waits without end for which holders.

    What somebody holds who has ended may be released by anybody.
    """

    def __init__(self) -> None:
        self._held_by: dict[str, weakref.ref[Any]] = {}
        self._waits_for: weakref.WeakKeyDictionary[Any, frozenset[str]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.RLock()  # a finalizer may come at any moment

    def hold(self, holding: str, who: Any) -> None:
        """Note who got it."""
        with self._lock:
            self._held_by[holding] = weakref.ref(who)

    def let_go(self, holding: str) -> None:
        """Note that nobody has it any more."""
        with self._lock:
            self._held_by.pop(holding, None)

    def wait(self, who: Any, holdings: Iterable[str]) -> None:
        """Note who waits until one of the holdings is free; `DeadlockError` if none ever can be."""
        with self._lock:
            self._waits_for[who] = frozenset(holdings)
            if self._is_stuck(who, ()):
                del self._waits_for[who]  # the others can go on, once it has let go
                raise DeadlockError(
                    "this waits for what it holds itself, or for others of this process that wait "
                    "for what it holds: acquire in the same order everywhere, or with a timeout"
                )

    def go_on(self, who: Any) -> None:
        """Note that it does not wait any more."""
        with self._lock:
            self._waits_for.pop(who, None)

    def _is_stuck(self, who: Any, above: tuple[Any, ...]) -> bool:
        if any(who is each for each in above):
            return True
        holdings = self._waits_for.get(who, frozenset())
        return bool(holdings) and all(
            (holder := self._holder(holding)) is not None and self._is_stuck(holder, (*above, who))
            for holding in holdings
        )

    def _holder(self, holding: str) -> Any:
        kept = self._held_by.get(holding)
        holder = None if kept is None else kept()
        return None if isinstance(holder, asyncio.Task) and holder.done() else holder


circles = Circles()
if hasattr(os, "register_at_fork"):
    # a child holds nothing
    os.register_at_fork(after_in_child=circles.__init__)  # type: ignore[misc]
