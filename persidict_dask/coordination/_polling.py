"""Waiting for a change of a record: seldom looks, long pauses, and no pause too long."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from persidict_dask._flights import in_thread
from persidict_dask._seconds import Seconds, seconds
from persidict_dask._waiting import Away
from persidict_dask.coordination._clock import now

_SLICE = 0.05
"""Seconds after which a waiter sees what happens in its own process and on its own host."""

_ANNOUNCE = 0.5
"""Seconds after which a waiter lets others know that it waits."""

_NEAR = (0.002, 0.25)
_FAR = (0.5, 1.25)
"""Seconds of the first and of the longest pause between looks: 16 waiters, 16 requests a second."""


class _Bells:
    """One for each record, rung when this process has changed it, for its own waiters."""

    def __init__(self) -> None:
        self._waiting: dict[Any, int] = {}
        self._calls: dict[Any, int] = {}
        self._rung = threading.Condition()

    def ring(self, where: Any, most: int | None = None) -> None:
        """Let those look who wait now, or so many of them."""
        with self._rung:
            waiting = self._waiting.get(where, 0)
            calls = waiting if most is None else self._calls.get(where, 0) + most
            if waiting:
                self._calls[where] = min(calls, waiting)
                self._rung.notify_all()

    def answer(self, where: Any) -> bool:
        """Tell whether one who waits is called; each call is answered by one."""
        with self._rung:
            return self._answer(where)

    def wait(self, where: Any, timeout: float) -> bool:
        """Wait to be called."""
        with self._rung:
            return self._rung.wait_for(lambda: self._answer(where), timeout)

    @contextmanager
    def waiting(self, where: Any) -> Iterator[None]:
        """Count as one who waits."""
        self._count(where, 1)
        try:
            yield
        finally:
            self._count(where, -1)

    def _answer(self, where: Any) -> bool:
        calls = self._calls.get(where, 0)
        if calls:
            self._calls[where] = calls - 1
        return calls > 0

    def _count(self, where: Any, change: int) -> None:
        with self._rung:
            waiting = self._waiting[where] = self._waiting.get(where, 0) + change
            self._calls[where] = min(self._calls.get(where, 0), waiting)
            if not waiting:
                del self._waiting[where], self._calls[where]


bells = _Bells()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=bells.__init__)  # type: ignore[misc]


class Attempt(NamedTuple):
    """How to look, and what to do when waiting begins and ends.

    `where` is the record that is waited for. `look` returns `None` for "not yet". `hurry` is asked
    often, costs no request, and is true when a look is worth while now. `begin` is called when
    waiting takes longer, `end` after every wait. `undo` gives back what came after the waiter had
    been cancelled.
    """

    where: Any
    look: Callable[[], Any]
    hurry: Callable[[], bool] = lambda: False
    begin: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None
    undo: Callable[[Any], None] = lambda _: None


def deadline_of(timeout: Seconds | None) -> float | None:
    """Return the moment until which to wait, or say what is wrong with the timeout."""
    if timeout is None:
        return None
    length = seconds("a timeout", timeout)
    if length < 0:
        raise ValueError(
            f"a timeout is a number of seconds from 0 on, not {timeout!r}: "
            "0 does not wait, None waits as long as it takes"
        )
    return now() + length


def poll(attempt: Attempt, timeout: Seconds | None, *, is_near: bool) -> Any:
    """Look until there is something; `None` when time is up.

    In a task, others run meanwhile, and it may take until one of them ends before this goes on.
    """
    deadline = deadline_of(timeout)
    with bells.waiting(attempt.where), Away() as away:
        try:
            found = attempt.look()
            for pause, is_long in _pauses(is_near):
                if found is not None or _left(deadline) <= 0:
                    return found
                away.begin()
                if is_long:
                    attempt.begin()
                _sleep(min(pause, _left(deadline)), attempt)
                found = attempt.look()
        finally:
            attempt.end()


async def poll_async(attempt: Attempt, timeout: Seconds | None, *, is_near: bool) -> Any:
    """Do the same without a thread that waits."""
    deadline, found = deadline_of(timeout), None
    with bells.waiting(attempt.where):
        try:
            found = await _look(attempt)
            for pause, is_long in _pauses(is_near):
                if found is not None or _left(deadline) <= 0:
                    return found
                if is_long:
                    await in_thread(attempt.begin)
                await _sleep_async(min(pause, _left(deadline)), attempt)
                found = await _look(attempt)
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
        looking.add_done_callback(lambda ended: _give_back(attempt, ended))
        raise


def _give_back(attempt: Attempt, ended: asyncio.Future[Any]) -> None:
    """Give back what nobody waits for any more, in a thread, for this runs on the event loop."""
    if not ended.cancelled() and not ended.exception() and ended.result() is not None:
        threading.Thread(target=attempt.undo, args=(ended.result(),), daemon=True).start()


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


def _sleep(seconds: float, attempt: Attempt) -> None:
    until = now() + seconds
    while (left := until - now()) > 0 and not attempt.hurry():
        if bells.wait(attempt.where, min(left, _SLICE)):
            return


async def _sleep_async(seconds: float, attempt: Attempt) -> None:
    until = now() + seconds
    while (left := until - now()) > 0 and not attempt.hurry() and not bells.answer(attempt.where):
        await asyncio.sleep(min(left, _SLICE))


_random = random.Random()
