"""Those who make the attempts: a thread, or a coroutine."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from persidict_dask._flights import finished
from persidict_dask._waiting import Away, step_aside
from persidict_dask.retries._rounds import Call, Steps
from persidict_dask.retries._standing import Outcome

_LONGEST = 365 * 86400.0
"""Seconds; clocks cannot wait for ever, and somebody may have asked for that."""

_MOST = 500
"""Threads that wait without a place: while a service is down a worker starts task after task."""
_aside = threading.Semaphore(_MOST)


def _free_places() -> None:
    global _aside  # noqa: PLW0603  # the only way to give the child others
    _aside = threading.Semaphore(_MOST)  # the threads of the parent do not wait here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_places)


def driven(steps: Steps, call: Call) -> Any:
    """Make the attempts in this thread, which leaves its place on a worker while it waits."""
    resume: Callable[[], float | None] = partial(next, steps)
    answer: Outcome | None = None
    try:
        while True:
            try:
                pause = resume()
            except StopIteration as end:
                answer = end.value
                break
            try:
                answer = _attempt(call) if pause is None else _sleep(pause)
            except BaseException as error:
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)
        return _got(answer)
    finally:
        del answer, resume  # an error would keep this frame alive, and this frame the error


async def driven_async(steps: Steps, call: Call, *, asks: bool) -> Any:
    """Make the attempts in this coroutine; what `asks` a store is done in threads."""
    resume: Callable[[], float | None] = partial(next, steps)
    answer: Outcome | None = None
    cut: BaseException | None = None
    try:
        while True:
            pause, answer, cut = await _resumed(resume, asks=asks)
            if answer is not None:
                break
            if cut is not None:
                resume = partial(steps.throw, cut)
                continue
            try:
                answer = await (attempt_async(call) if pause is None else _sleep_async(pause))
            except GeneratorExit:  # the coroutine is thrown away
                steps.close()
                raise
            except BaseException as error:
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)
        if cut is not None:
            raise cut
        return _got(answer)
    finally:
        del answer, cut, resume


def _got(outcome: Outcome | None) -> Any:
    try:
        assert outcome is not None
        return outcome.get()
    finally:
        del outcome


async def _resumed(
    resume: Callable[[], float | None], *, asks: bool
) -> tuple[float | None, Outcome | None, BaseException | None]:
    """Return what the steps want next, or how they have ended, and a cancellation meanwhile."""
    step = partial(_step, resume)
    try:
        (pause, outcome), cut = (await finished(step)) if asks else (step(), None)
        return pause, outcome, cut
    finally:
        del step, resume


def _step(resume: Callable[[], float | None]) -> tuple[float | None, Outcome | None]:
    """Keep the end of the steps apart from errors: it cannot be raised through a future."""
    try:
        return resume(), None
    except StopIteration as end:
        return None, end.value
    finally:
        del resume


def _attempt(call: Call) -> Outcome:
    try:
        return Outcome(call.function(*call.args, **call.kwargs))
    except Exception as error:
        return Outcome(error=error)


async def attempt_async(call: Call) -> Outcome:
    """Make an attempt, and return what it comes to."""
    try:
        return Outcome(await call.function(*call.args, **call.kwargs))
    except Exception as error:
        return Outcome(error=error)


def _sleep(seconds: float) -> Outcome | None:
    seconds, aside = min(seconds, _LONGEST), _aside
    if not aside.acquire(blocking=False):
        time.sleep(seconds)
        return None
    with Away() as away:
        try:
            away.begin()
            time.sleep(seconds)
        finally:  # sooner than a place is found again: others leave theirs for it
            aside.release()
    return None


async def _sleep_async(seconds: float) -> None:
    step_aside()
    await asyncio.sleep(min(seconds, _LONGEST))
