"""RetryPolicy: what is tried again, how often and when, as a value that travels."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property, wraps
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from persidict_dask._waiting import Away
from persidict_dask.retries._rounds import Outcome, rounds

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """What is tried again, how often and when; picklable, and the same wherever it arrives.

    The first attempt is the bare call. The error of the last one is what the caller sees, with a
    note that tells attempts and waits. While it waits inside a task, the worker runs others.

    Args:
        attempts: how many in all, the first included; or a `stop_...` of tenacity.
        wait: a `wait_...` of tenacity; by default exponential with jitter, from 0.1 to 10 s. An
            error that asks for a longer pause (`retry_after`, or that header) gets it.
        retry_on: classes of errors, or a `retry_...` of tenacity.
        fatal: classes of errors that are not tried again, though they are among the others.
        deadline: seconds after the start of the first attempt after which no other one starts.
    """

    attempts: Any = 3
    wait: Any = None
    retry_on: Any = (OSError, ConnectionError, TimeoutError)
    fatal: Any = ()
    deadline: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not (
            isinstance(self.attempts, int) or callable(self.attempts)
        ):
            raise TypeError(f"attempts is an int or a stop of tenacity, not {self.attempts!r}")
        if isinstance(self.attempts, int) and self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if self.wait is not None and not callable(self.wait):
            raise TypeError(f"wait is a wait of tenacity, such as wait_fixed(1), not {self.wait!r}")
        if not callable(self.retry_on) or isinstance(self.retry_on, type):
            _check_classes("retry_on", self.retry_on)
        _check_classes("fatal", self.fatal)
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"deadline must be a positive number of seconds, not {self.deadline}")

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function."""
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"a policy decorates functions, not {function!r}")
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def retried_async(*args: Any, **kwargs: Any) -> Any:
                return await self.call_async(function, *args, **kwargs)

            return retried_async  # type: ignore[return-value]

        @wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call(function, *args, **kwargs)

        return retried

    def call(self, f: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, and again as the policy says."""
        started = monotonic()
        try:
            value = f(*args, **kwargs)
        except Exception as error:
            first = Outcome(error=error)
        else:
            if not self._looks_at_results:
                return value
            first = Outcome(value)
        return self._again(f, args, kwargs, first, started)  # type: ignore[no-any-return]

    async def call_async(
        self, f: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do the same with a coroutine function."""
        started = monotonic()
        outcome = await _attempt_async(f, args, kwargs)
        if outcome.error is None and not self._looks_at_results:
            return outcome.value  # type: ignore[no-any-return]
        running = rounds(self, f, args, kwargs, outcome, started)
        try:
            pause = next(running)
            while True:
                await asyncio.sleep(pause)
                pause = running.send(await _attempt_async(f, args, kwargs))
        except StopIteration as end:
            outcome = end.value
        return outcome.get()  # type: ignore[no-any-return]

    def _again(self, f: Any, args: Any, kwargs: Any, first: Outcome, started: float) -> Any:
        running = rounds(self, f, args, kwargs, first, started)
        try:
            pause = next(running)
            while True:
                _sleep(pause)
                pause = running.send(_attempt(f, args, kwargs))
        except StopIteration as end:
            outcome: Outcome = end.value
        return outcome.get()

    def tenacity(self) -> Any:
        """Return the same policy as a `tenacity.Retrying`, to be used where that is wanted."""
        import tenacity

        return tenacity.Retrying(**self._settings)

    def tenacity_async(self) -> Any:
        """Return the same policy as a `tenacity.AsyncRetrying`."""
        import tenacity

        return tenacity.AsyncRetrying(**self._settings)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        import tenacity

        stop = self.attempts
        if isinstance(stop, int):
            stop = tenacity.stop_after_attempt(stop)
        if self.deadline is not None:
            stop = tenacity.stop_any(stop, tenacity.stop_before_delay(self.deadline))
        growing = tenacity.wait_exponential(multiplier=0.1, max=10)
        wait = self.wait or growing + tenacity.wait_random(0, 0.1)
        retry = tenacity.retry_any(self.is_retried_by)
        return {"stop": stop, "wait": wait, "retry": retry, "reraise": True}

    @cached_property
    def _looks_at_results(self) -> bool:
        return not _is_classes(self.retry_on)

    def is_retried_by(self, state: Any) -> bool:
        """Tell whether what a `RetryCallState` of tenacity has come to is tried again."""
        error = state.outcome.exception() if state.outcome.failed else None
        return self.is_retried(state, error)

    def is_retried(self, state: Any, error: BaseException | None) -> bool:
        """Tell whether an outcome is tried again."""
        if error is not None and isinstance(error, self.fatal):
            return False
        if _is_classes(self.retry_on):
            return isinstance(error, self.retry_on)
        return bool(self.retry_on(state))

    def is_over(self, state: Any) -> bool:
        """Tell whether there are no more attempts."""
        if isinstance(self.attempts, int):
            return bool(state.attempt_number >= self.attempts)
        return bool(self.attempts(state))

    def wait_after(self, state: Any) -> float:
        """Return the seconds that the policy waits now."""
        return float(self._settings["wait"](state))

    def __getstate__(self) -> dict[str, Any]:
        # without what was worked out from it
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def _attempt(f: Any, args: Any, kwargs: Any) -> Outcome:
    try:
        return Outcome(f(*args, **kwargs))
    except Exception as error:
        return Outcome(error=error)


async def _attempt_async(f: Any, args: Any, kwargs: Any) -> Outcome:
    try:
        return Outcome(await f(*args, **kwargs))
    except Exception as error:
        return Outcome(error=error)


def _sleep(seconds: float) -> None:
    with Away() as away:
        away.begin()
        time.sleep(seconds)


def _is_classes(given: Any) -> bool:
    return isinstance(given, (type, tuple))


def _check_classes(what: str, given: Any) -> None:
    classes = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        raise TypeError(f"{what} takes classes of exceptions, not {given!r}")
