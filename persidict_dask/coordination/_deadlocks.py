"""Notices when threads and coroutines of this process wait for each other in a circle."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Hashable, Iterable

from persidict_dask._errors import DeadlockError


def myself() -> Hashable:
    """Return who runs: a task of asyncio, or a thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return ("thread", threading.get_ident()) if task is None else ("task", id(task))


class Circles:
    """Knows who of this process holds what, and who waits without end for which holders."""

    def __init__(self) -> None:
        self._held_by: dict[str, Hashable] = {}
        self._waits_for: dict[Hashable, frozenset[str]] = {}
        self._lock = threading.RLock()  # a finalizer may come at any moment

    def hold(self, holding: str, who: Hashable) -> None:
        """Note who got it."""
        with self._lock:
            self._held_by[holding] = who

    def let_go(self, holding: str) -> None:
        """Note that nobody has it any more."""
        with self._lock:
            self._held_by.pop(holding, None)

    def wait(self, who: Hashable, holdings: Iterable[str]) -> None:
        """Note who waits until one of the holdings is free; `DeadlockError` if none ever can be."""
        with self._lock:
            self._waits_for[who] = frozenset(holdings)
            if self._is_stuck(who, frozenset()):
                del self._waits_for[who]  # the others can go on, once it has let go
                raise DeadlockError(
                    "this waits for what it holds itself, or for others of this process that wait "
                    "for what it holds: acquire in the same order everywhere, or with a timeout"
                )

    def go_on(self, who: Hashable) -> None:
        """Note that it does not wait any more."""
        with self._lock:
            self._waits_for.pop(who, None)

    def _is_stuck(self, who: Hashable, above: frozenset[Hashable]) -> bool:
        if who in above:
            return True
        holdings = self._waits_for.get(who, frozenset())
        return bool(holdings) and all(
            holding in self._held_by and self._is_stuck(self._held_by[holding], above | {who})
            for holding in holdings
        )


circles = Circles()
if hasattr(os, "register_at_fork"):
    # a child holds nothing
    os.register_at_fork(after_in_child=circles.__init__)  # type: ignore[misc]
