"""RetryPolicy: what is tried again, how often and when, as a value that travels."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from functools import cached_property, partial, wraps
from time import monotonic
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from persidict import PersiDict
from persidict_dask._digest import digest
from persidict_dask._flights import in_thread
from persidict_dask._inference import is_inferring
from persidict_dask._names import name_of
from persidict_dask._seconds import positive_seconds
from persidict_dask._stats import count
from persidict_dask._waiting import Here
from persidict_dask.coordination import _places as places
from persidict_dask.retries._attempts import Attempts
from persidict_dask.retries._breaker import CircuitBreaker
from persidict_dask.retries._budget import RetryBudget
from persidict_dask.retries._driving import attempt_async, driven, driven_async
from persidict_dask.retries._leaving import leaving
from persidict_dask.retries._rounds import Call, Steps, admitted, is_try_again, rounds
from persidict_dask.retries._shown import shown
from persidict_dask.retries._standing import Forgetful, Outcome, Standing
from persidict_dask.retries._subject import Subject

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, repr=False)
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
        deadline: seconds, or a `timedelta`, after the start of the first attempt; no other one
            starts later.
        budget: all who share it make so many retries together.
        breaker: what has failed too often anywhere is not called; raises `CircuitOpenError`.
        state: a dictionary or its URL, to which each attempt is written before it starts: an
            attempt counts though its process is killed, and the count goes on after a restart.
            One write and one removal for each call, and two writes for each retry.
        poison_after: with `state`, so many processes that die in attempts of the same call put it
            into quarantine: it raises `QuarantinedCallError`, until `DeadLetters` releases it.
    """

    attempts: Any = 3
    wait: Any = None
    retry_on: Any = (OSError, ConnectionError, TimeoutError)
    fatal: Any = ()
    deadline: Any = None
    budget: RetryBudget | None = None
    breaker: CircuitBreaker | None = None
    state: Any = None
    poison_after: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not (
            isinstance(self.attempts, int) or _is_asked_now(self.attempts)
        ):
            raise TypeError(f"attempts is an int or a stop of tenacity, not {self.attempts!r}")
        if isinstance(self.attempts, int) and self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if self.wait is not None and not _is_asked_now(self.wait):
            raise TypeError(f"wait is a wait of tenacity, such as wait_fixed(1), not {self.wait!r}")
        if _is_coroutine_function(self.retry_on):
            raise TypeError(f"retry_on must tell at once, and {self.retry_on!r} is to be awaited")
        if not _is_asked_now(self.retry_on):
            _check_classes("retry_on", self.retry_on)
        _check_classes("fatal", self.fatal)
        if self.deadline is not None:
            object.__setattr__(self, "deadline", positive_seconds("deadline", self.deadline))
        _check_class("budget", self.budget, RetryBudget)
        _check_class("breaker", self.breaker, CircuitBreaker)
        places.whole("poison_after", self.poison_after)
        if self.state is not None:
            _ = self._place  # says what is wrong with it, and makes a path absolute here and now

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function."""
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"a policy decorates functions, not {function!r}")
        if _is_coroutine_function(function):

            @wraps(function)
            async def retried_async(*args: Any, **kwargs: Any) -> Any:
                return await self._call_async(Call.of(name_of(function), function, args, kwargs))

            return retried_async  # type: ignore[return-value]

        _check_runs_now(function)

        @wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._call(Call.of(name_of(function), function, args, kwargs))  # type: ignore[no-any-return]

        return retried

    def call(self, f: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, and again as the policy says."""
        _check_runs_now(f)
        return self._call(Call.of(name_of(f), f, args, kwargs))  # type: ignore[no-any-return]

    async def call_async(
        self, f: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do the same with a coroutine function."""
        return await self._call_async(Call.of(name_of(f), f, args, kwargs))  # type: ignore[no-any-return]

    def call_as(self, subject: Subject, f: Callable[..., R], args: Any, kwargs: Any) -> R:
        """Call the function as the attempts of a subject that is known otherwise."""
        call = Call.of(subject.name, f, args, kwargs)
        return self._call(call, subject)  # type: ignore[no-any-return]

    async def call_as_async(
        self, subject: Subject, f: Callable[..., Coroutine[Any, Any, R]], args: Any, kwargs: Any
    ) -> R:
        """Do the same with a coroutine function."""
        call = Call.of(subject.name, f, args, kwargs)
        return await self._call_async(call, subject)  # type: ignore[no-any-return]

    def _call(self, call: Call, subject: Subject | None = None) -> Any:
        if self.state is not None:
            if is_inferring():
                return call.function(*call.args, **call.kwargs)
            return driven(self._durable(call, subject, _attended()), call)
        probe = self._begin(call.name) if self._is_guarded else None
        started = monotonic()
        count(call.name, attempts=1)
        try:
            value = call.function(*call.args, **call.kwargs)
        except Exception as error:
            if is_inferring():  # with arguments that are made up; Dask does without
                self._abandon(probe)
                raise
            first = Outcome(error=error)
        except BaseException:
            self._abandon(probe)
            raise
        else:
            if not self.looks_at_results:
                if self.breaker is not None:
                    self.breaker.succeeded(probe)
                return value
            first = Outcome(value)
        steps = self._from(first, started, probe, call)
        del first  # the error would keep this frame alive, and this frame the error
        return driven(steps, call)

    async def _call_async(self, call: Call, subject: Subject | None = None) -> Any:
        if self.state is not None:
            steps = self._durable(call, subject, _attended())
            return await driven_async(steps, call, asks=True)
        probe = await self._begin_async(call.name) if self._is_guarded else None
        started = monotonic()
        count(call.name, attempts=1)
        try:
            first = await attempt_async(call)
        except BaseException:
            self._abandon(probe)
            raise
        if first.error is None and not self.looks_at_results and self._is_calm(probe):
            return first.value
        steps = self._from(first, started, probe, call)
        del first
        return await driven_async(steps, call, asks=self._is_guarded)

    def _from(self, first: Outcome, started: float, probe: Any, call: Call) -> Steps:
        """Go on from the first attempt."""
        return rounds(
            self, call, Forgetful(), Standing(outcome=first, started=started, probe=probe)
        )

    def _durable(self, call: Call, subject: Subject | None, here: Here) -> Steps:
        """Make attempts that are written down, from where callers before this one have ended."""
        subject = subject or Subject.of(call.function, call.args, call.kwargs)
        attempts = Attempts(self._place, subject, self.poison_after, here)
        probe = self._begin(call.name)
        try:
            standing = yield from attempts.enter()
        except BaseException:
            self._abandon(probe)
            raise
        if standing.outcome is None:
            standing.probe = probe
        else:
            self._abandon(probe)
        return (yield from rounds(self, call, attempts, standing))

    # -- those who share ------------------------------------------------------------------------

    @cached_property
    def _is_guarded(self) -> bool:
        return self.budget is not None or self.breaker is not None

    def _begin(self, name: str) -> Any:
        """Count a call that begins, and return what it needs; raises `CircuitOpenError`."""
        probe = admitted(self, name)
        if self.budget is not None:
            self.budget.earn()
        return probe

    async def _begin_async(self, name: str) -> Any:
        if self.breaker is not None and self.breaker.needs_store():
            return await in_thread(self._begin, name)
        return self._begin(name)

    def _abandon(self, probe: Any) -> None:
        if probe is not None and self.breaker is not None:
            self.breaker.abandoned(probe)

    def _is_calm(self, probe: Any) -> bool:
        """True if a success is no news to others."""
        return self.breaker is None or (probe is None and self.breaker.is_calm)

    @cached_property
    def _place(self) -> places.Place:
        """Where attempts are written down; one for all policies of this process that share it."""
        place = places.Place(self.state)
        if isinstance(self.state, PersiDict):
            return place
        return _places.setdefault(place.ref, place)

    # -- as tenacity knows it -------------------------------------------------------------------

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
    def looks_at_results(self) -> bool:
        """True if values may be tried again, as some `retry_...` of tenacity want it."""
        return not _is_classes(self.retry_on)

    def is_retried_by(self, state: Any) -> bool:
        """Tell whether what a `RetryCallState` of tenacity has come to is tried again."""
        error = state.outcome.exception() if state.outcome.failed else None
        return self.is_retried(state, error)

    def is_retried(self, state: Any, error: BaseException | None) -> bool:
        """Tell whether an outcome is tried again; `tenacity.TryAgain` asks for it."""
        if is_try_again(error):
            return True
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
        # without what was worked out from it; a store travels by reference
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.state is not None:
            state["state"] = self._place.ref
        return state

    def __persist_token__(self) -> Any:
        return self.__getstate__()

    def __dask_tokenize__(self) -> str:
        return digest(self)

    def __repr__(self) -> str:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {each.name: each.default for each in fields(self) if each.name != "attempts"}
        told = [f"{n}={shown(v)}" for n, v in given.items() if n not in plain or v != plain[n]]
        return f"RetryPolicy({', '.join(told)})"


_places: dict[Any, places.Place] = {}


def _attended() -> Here:
    """Tell where this runs; if its worker closes, that will be heard of."""
    leaving.attend()
    return Here.now()


def _is_classes(given: Any) -> bool:
    return isinstance(given, (type, tuple))


def _is_asked_now(given: Any) -> bool:
    """True for what answers when it is called, as stops and waits do; not for their classes."""
    is_asked = callable(given) and not isinstance(given, type) and not _is_retrying(given)
    return is_asked and not _is_coroutine_function(given)


def _is_retrying(given: Any) -> bool:
    """True for a policy of tenacity, which calls functions and answers nothing."""
    tenacity: Any = sys.modules.get("tenacity")
    return tenacity is not None and isinstance(given, tenacity.BaseRetrying)


def _is_coroutine_function(given: Any) -> bool:
    """True for objects too that are called with `await`."""
    return any(map(inspect.iscoroutinefunction, (given, _call_of(given))))


def _call_of(given: Any) -> Any:
    return getattr(type(given), "__call__", None)  # noqa: B004  # to look at it


_RUNS_LATER = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_COROUTINE


def _check_runs_now(function: Any) -> None:
    """Refuse what fails only after the call has returned, where no policy sees it."""
    called = function
    while isinstance(called, partial):
        called = called.func
    code = getattr(called, "__code__", None) or getattr(_call_of(called), "__code__", None)
    if isinstance(code, CodeType) and code.co_flags & _RUNS_LATER:
        is_awaited = code.co_flags & inspect.CO_COROUTINE
        what = "is to be awaited: use call_async" if is_awaited else "is a generator function"
        raise TypeError(f"nothing fails while {name_of(function)} is called: it {what}")


def _check_classes(what: str, given: Any) -> None:
    classes = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        raise TypeError(f"{what} takes classes of exceptions, not {given!r}")


def _check_class(what: str, given: Any, wanted: type) -> None:
    if given is not None and not isinstance(given, wanted):
        raise TypeError(f"{what} is a {wanted.__name__}, not {given!r}")
