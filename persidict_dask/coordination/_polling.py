"""Waiting for a change of a record: seldom looks, long pauses, and no pause too long."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from persidict_dask._flights import in_thread
from persidict_dask._waiting import Away
from persidict_dask.coordination._clock import now

T = TypeVar("T")

_SLICE = 0.05
"""Seconds after which a waiter sees what happens in its own process and on its own host."""

_ANNOUNCE = 0.5
"""Seconds after which a waiter lets others know that it waits."""

_NEAR = (0.002, 0.25)
_FAR = (0.5, 1.25)
"""Seconds of the first and of the longest pause between looks: 16 waiters, 16 requests a second."""


class _Bell:
    """Rung when something of this process was released, for waiters of the same process."""

    def __init__(self) -> None:
        self.rings = 0
        self._rung = threading.Condition()

    def ring(self) -> None:
        with self._rung:
            self.rings += 1
            self._rung.notify_all()

    def wait(self, rings: int, timeout: float) -> None:
        with self._rung:
            self._rung.wait_for(lambda: self.rings != rings, timeout)


bell = _Bell()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=bell.__init__)  # type: ignore[misc]


class Attempt(NamedTuple):
    """How to look, and what to do when waiting begins and ends.

    `look` returns `None` for "not yet". `hurry` is asked often, costs no request, and is true when
    a look is worth while now. `begin` is called when waiting takes longer, `end` after every wait.
    `undo` gives back what came after the waiter had been cancelled.
    """

    look: Callable[[], Any]
    hurry: Callable[[], bool] = lambda: False
    begin: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None
    undo: Callable[[Any], None] = lambda _: None


def deadline_of(timeout: float | None) -> float | None:
    """Return the moment until which to wait, or say what is wrong with the timeout."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}")
    return now() + max(timeout, 0)


def poll(attempt: Attempt, timeout: float | None, *, is_near: bool) -> Any:
    """Look until there is something; `None` when time is up. In a task, others run meanwhile."""
    deadline = deadline_of(timeout)
    rings = bell.rings
    found = attempt.look()
    if found is not None or _left(deadline) <= 0:
        return found
    with Away() as away:
        away.begin()
        try:
            for pause, is_long in _pauses(is_near):
                if is_long:
                    attempt.begin()
                _sleep(min(pause, _left(deadline)), rings, attempt.hurry)
                rings = bell.rings
                found = attempt.look()
                if found is not None or _left(deadline) <= 0:
                    return found
        finally:
            attempt.end()


async def poll_async(attempt: Attempt, timeout: float | None, *, is_near: bool) -> Any:
    """Do the same without a thread that waits."""
    deadline = deadline_of(timeout)
    rings = bell.rings
    found = await _look(attempt)
    if found is not None or _left(deadline) <= 0:
        return found
    try:
        for pause, is_long in _pauses(is_near):
            if is_long:
                await in_thread(attempt.begin)
            await _sleep_async(min(pause, _left(deadline)), rings, attempt.hurry)
            rings = bell.rings
            found = await _look(attempt)
            if found is not None or _left(deadline) <= 0:
                return found
    finally:
        await _end(attempt, found)


async def _end(attempt: Attempt, found: Any) -> None:
    """Do what comes after waiting; if that is cancelled, nobody gets what was found."""
    try:
        await asyncio.shield(in_thread(attempt.end))
    except asyncio.CancelledError:
        if found is not None:
            await asyncio.shield(in_thread(attempt.undo, found))
        raise


async def _look(attempt: Attempt) -> Any:
    """Look in a thread; what it finds after a cancellation is given back."""
    looking = asyncio.ensure_future(in_thread(attempt.look))
    try:
        return await asyncio.shield(looking)
    except asyncio.CancelledError:
        found = await asyncio.shield(_ended(looking))
        if found is not None:
            await asyncio.shield(in_thread(attempt.undo, found))
        raise


async def _ended(looking: asyncio.Future[T]) -> T | None:
    await asyncio.wait([looking])
    return None if looking.exception() else looking.result()


def _left(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - now()


def _pauses(is_near: bool) -> Iterator[tuple[float, bool]]:
    """Yield longer and longer pauses, and once that it has become a long wait.

    With jitter, so that waiters do not come together.
    """
    pause, longest = _NEAR if is_near else _FAR
    start, is_announced = now(), False
    while True:
        is_long = not is_announced and now() - start >= _ANNOUNCE
        is_announced = is_announced or is_long
        yield pause * _random.uniform(0.85, 1.15), is_long
        pause = min(pause * 2.5, longest)


def _sleep(seconds: float, rings: int, hurry: Callable[[], bool]) -> None:
    until = now() + seconds
    while (left := until - now()) > 0 and bell.rings == rings and not hurry():
        bell.wait(rings, min(left, _SLICE))


async def _sleep_async(seconds: float, rings: int, hurry: Callable[[], bool]) -> None:
    until = now() + seconds
    while (left := until - now()) > 0 and bell.rings == rings and not hurry():
        await asyncio.sleep(min(left, _SLICE))


_random = random.Random()
