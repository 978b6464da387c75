"""Single flight: equal calls that run at the same time run once, the others wait for the result."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeAlias

from persidict import NonEmptySafeStrTuple
from persidict_dask import _claims
from persidict_dask._claims import Claim, Claims, Held
from persidict_dask._waiting import Away, current_task, step_aside

MISSING: Final = object()
"""There is no result."""

_LONGEST_PAUSE = 0.5  # seconds between two looks at a claim
_GLANCE = 0.1  # seconds between two looks at the process of its owner

# What a call waits for while others run it, and what it does in the end. The same steps serve
# functions and coroutines; only those who carry them out differ.


@dataclass(frozen=True)
class Do:
    """Ask the store: blocks for a short time."""

    call: Callable[[], Any]


@dataclass(frozen=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Join:
    """Wait for another call in this process."""

    landing: Future[None]


@dataclass(frozen=True)
class Compute:
    """Run the function and store its result."""

    ident: Ident


class Failed(NamedTuple):
    """What the function has raised; steps would take some errors for signals of their own."""

    error: BaseException


Ident: TypeAlias = tuple[Any, NonEmptySafeStrTuple]
"""A call in this process: its store and its key."""
Steps: TypeAlias = Generator[Do | Pause | Join | Compute, Any, Any]

_inside: ContextVar[frozenset[Ident]] = ContextVar("_inside", default=frozenset())


class _Flights:
    """The calls that run in this process now."""

    def __init__(self) -> None:
        self._landings: dict[Ident, Future[None]] = {}
        self._lock = threading.RLock()

    def join(self, ident: Ident) -> tuple[Future[None], bool]:
        """Return what ends with the call, and whether it is ours to run."""
        with self._lock:
            known = self._landings.get(ident)
            if known is not None:
                return known, False
            landing = self._landings[ident] = Future()
            return landing, True

    def leave(self, ident: Ident) -> None:
        """Wake those who have waited."""
        with self._lock:
            landing = self._landings.pop(ident)
        landing.set_result(None)


_flights = _Flights()
if hasattr(os, "register_at_fork"):
    # what the parent runs does not run in the child
    os.register_at_fork(after_in_child=_flights.__init__)  # type: ignore[misc]


def is_inside(ident: Ident) -> bool:
    """True if this very call runs further up: it can wait for nobody."""
    return ident in _inside.get()


@contextmanager
def being_inside(ident: Ident) -> Iterator[None]:
    """Let the call know of itself, where it comes up again further down, or in a finalizer."""
    token = _inside.set(_inside.get() | {ident})
    try:
        yield
    finally:
        _inside.reset(token)


def steps(
    ident: Ident,
    claims: Callable[[], Claims | None],
    load: Callable[[], Any],
    report: Callable[[BaseException], None],
) -> Steps:
    """Run a call of which there is no result yet, unless others do; return the result.

    If they fail, the first of those who have waited runs it.

    Args:
        ident: the call.
        claims: returns those by which other processes know of it; none for a store in memory.
        load: returns the result, or `MISSING`.
        report: told of what the store fails with at the claims; the call runs all the same.
    """
    while True:
        landing, is_ours = _flights.join(ident)
        if is_ours:
            try:
                return (yield from _lead(ident, claims, load, report))
            finally:
                _flights.leave(ident)
        yield Join(landing)
        found = yield Do(load)
        if found is not MISSING:
            return found


def _lead(
    ident: Ident,
    claims: Callable[[], Claims | None],
    load: Callable[[], Any],
    report: Callable[[BaseException], None],
) -> Steps:
    """Run the call for all in this process, unless another process does."""
    held: Held | None = None
    try:
        while True:
            is_alone = False
            try:
                held, is_alone = yield from _claim_if_possible(ident[1], claims)
            except _NoClaimError as failed:  # a call that can run shall not fail for that
                report(failed.error)
                is_alone = True
            # somebody may have finished between our first look and now
            found = yield Do(load)
            if found is not MISSING:
                return found
            if held is not None or is_alone:
                return (yield Compute(ident))
    except GeneratorExit:
        if held is not None:  # nobody carries out steps any more
            held.release()
            held = None
        raise
    finally:
        if held is not None:
            yield Do(held.release)


class _NoClaimError(Exception):
    """The store has failed at the claims."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _asked(call: Callable[[], Any]) -> Steps:
    try:
        return (yield Do(call))
    except Exception as error:
        raise _NoClaimError(error) from error


def _claim_if_possible(
    key: NonEmptySafeStrTuple, claims: Callable[[], Claims | None]
) -> Generator[Any, Any, tuple[Held | None, bool]]:
    """Return our claim if we have got one, and whether there are no claims to get."""
    found = yield from _asked(claims)
    if found is None:
        return None, True
    return (yield from _claimed(found, key, current_task())), False


def _claimed(claims: Claims, key: NonEmptySafeStrTuple, task: str) -> Steps:
    """Return our claim, or nothing as soon as the one of another is gone."""
    seen: Claim | Held | None = yield from _asked(partial(claims.take, key, task))
    pauses, heard = _pauses(), time.monotonic()
    while isinstance(seen, Claim):
        if seen.is_abandoned(task) or time.monotonic() - heard > _claims.TTL:
            held = yield from _asked(partial(claims.take_over, key, seen, task))
            if held is not None:
                return held
        else:
            yield from _wait(next(pauses), seen)
        now = yield from _asked(partial(claims.look, key, seen))
        if now != seen:
            heard = time.monotonic()
        seen = now
    return seen


def _wait(seconds: float, claim: Claim) -> Steps:
    """Wait for the next look at the store, or until the owner of the claim is seen to be gone."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not claim.is_abandoned(""):
        yield Pause(min(left, _GLANCE))


def _pauses() -> Iterator[float]:
    pause = 0.005
    while True:
        yield pause
        pause = min(1.5 * pause, _LONGEST_PAUSE)


def fly(flight: Steps, compute: Callable[[], Any]) -> Any:
    """Carry out the steps in this thread, which leaves its place on a worker while it waits."""
    resume: Callable[[], Any] = partial(next, flight)
    answer: Any = None
    try:
        with Away() as away:
            while True:
                try:
                    step = resume()
                except StopIteration as done:
                    answer = done.value
                    break
                try:
                    answer = _carry_out(step, compute, away)
                except BaseException as error:
                    resume = partial(flight.throw, error)
                else:
                    resume = partial(flight.send, answer)
        return _got(answer)
    finally:
        del answer, resume  # an error would keep this frame alive, and this frame the error


def _got(result: Any) -> Any:
    try:
        if isinstance(result, Failed):
            raise result.error
        return result
    finally:
        del result


def _carry_out(step: Any, compute: Callable[[], Any], away: Away) -> Any:
    if isinstance(step, Do):
        return step.call()
    if isinstance(step, Compute):
        away.end(waits=False)  # the task that has got the place may wait for this very call
        try:
            return compute()
        except BaseException as error:
            return Failed(error)
    away.begin()
    return time.sleep(step.seconds) if isinstance(step, Pause) else step.landing.result()


async def fly_async(flight: Steps, compute: Callable[[], Awaitable[Any]]) -> Any:
    """Carry out the steps without blocking the event loop.

    A cancellation comes through where the call waits or runs, and never between a claim and its
    bookkeeping.
    """
    resume: Callable[[], Any] = partial(next, flight)
    answer: Any = None
    cancelled: BaseException | None = None
    try:
        while True:
            try:
                step = resume()
            except StopIteration as done:
                answer = done.value
                break
            try:
                if isinstance(step, Do):
                    answer, cut = await finished(step.call)
                    cancelled = cancelled or cut
                else:
                    answer = await _carried_out(step, compute, cancelled)
            except BaseException as error:
                cancelled = None if error is cancelled else cancelled
                resume = partial(flight.throw, error)
            else:
                resume = partial(flight.send, answer)
        return _got(answer if cancelled is None else Failed(cancelled))
    finally:
        del answer, cancelled, resume


async def _carried_out(
    step: Any, compute: Callable[[], Awaitable[Any]], cancelled: BaseException | None
) -> Any:
    if cancelled is not None:
        raise cancelled
    if isinstance(step, Pause | Join):
        step_aside()
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Join):
        return await asyncio.shield(asyncio.wrap_future(step.landing))
    try:
        with being_inside(step.ident):
            return await compute()
    except GeneratorExit:  # the coroutine is thrown away
        raise
    except BaseException as error:
        return Failed(error)


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Ask the store without blocking the event loop.

    In threads of its own: those of the loop may all wait for coroutines that wait for the store.
    They know the worker whose task it is.
    """
    loop, context = asyncio.get_running_loop(), copy_context()
    return await loop.run_in_executor(_threads(os.getpid()), partial(context.run, call, *args))


@cache
def _threads(_: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(32, thread_name_prefix="persidict-store")


async def finished(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Return what a call in a thread returns, and the cancellation that came meanwhile."""
    running = asyncio.ensure_future(in_thread(call))
    cancelled: BaseException | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            break
    try:
        return running.result(), cancelled
    finally:
        del running, cancelled
