"""The attempts of one call: what is tried again, when, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import suppress
from functools import cached_property
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeAlias

from persidict_dask._errors import AttemptLostError, CircuitOpenError, QuarantinedCallError
from persidict_dask._stats import count
from persidict_dask.retries._after import retry_after
from persidict_dask.retries._once import Marks, marked, used_up
from persidict_dask.retries._standing import REMEMBERED, Log, Outcome, Standing


class Rules(Protocol):
    """What a policy decides, and those it asks."""

    @property
    def deadline(self) -> float | None:
        """Seconds after the start after which no attempt starts."""

    @property
    def budget(self) -> Any:
        """Those who share it make so many retries together."""

    @property
    def breaker(self) -> Any:
        """Whether what is called is believed to work."""

    @property
    def looks_at_results(self) -> bool:
        """True if a value may be tried again."""

    def tenacity(self) -> Any:
        """The same as a `tenacity.Retrying`."""

    def is_retried(self, state: Any, error: BaseException | None) -> bool:
        """Tell whether an outcome is tried again."""

    def is_over(self, state: Any) -> bool:
        """Tell whether there are no more attempts."""

    def wait_after(self, state: Any) -> float:
        """Return the seconds that the policy waits now."""


_NOT_RETRIED = "it is not retried"
_OVER = "there are no more attempts"


class Call(NamedTuple):
    """What is called, and the name under which that is counted."""

    name: str
    function: Any
    args: Any
    kwargs: Any
    marks: Marks = ()

    @classmethod
    def of(cls, name: str, function: Any, args: Any, kwargs: Any) -> Call:
        """Return a call of which no attempt was made yet."""
        return cls(name, function, args, kwargs, marked(function, args, kwargs))


Steps: TypeAlias = Generator[float | None, Outcome | None, Outcome]
"""Yields seconds to wait, or `None` for an attempt to be made and its outcome to be sent; returns
the last outcome."""


def rounds(rules: Rules, call: Call, log: Log, standing: Standing) -> Steps:
    """Make attempts from where the call stands to its end."""
    return _Rounds(rules, call, log, standing).steps()


class _Rounds:
    def __init__(self, rules: Rules, call: Call, log: Log, standing: Standing) -> None:
        self._rules = rules
        self._call = call
        self._log = log
        self._standing = standing
        self._probe = standing.probe
        self._waits = standing.waits
        self._is_first = standing.outcome is None

    def steps(self) -> Steps:
        try:
            return (yield from self._steps())
        except BaseException:
            self._interrupted()
            raise

    def _steps(self) -> Steps:
        outcome, pause = self._standing.outcome, self._standing.pause
        while True:
            if outcome is None:
                outcome, pause = (yield from self._attempted()), None
            if pause is None:
                why, pause = self._judged(outcome)
                if why:
                    return self._ended(outcome, why)
                self._noted(outcome, pause)
            elif why := self._late(pause):
                return self._ended(outcome, why)
            yield from self._paused(pause)
            why = self._refused()
            if why:
                return self._ended(outcome, why)
            outcome = None

    def _attempted(self) -> Generator[None, Outcome | None, Outcome]:
        outcome = yield None
        assert outcome is not None
        count(self._call.name, attempts=1, retries=int(not self._is_first))
        self._is_first = False
        return outcome

    def _judged(self, outcome: Outcome) -> tuple[str, float]:
        """Return why there is no further attempt, or nothing and the pause before it."""
        if outcome.error is None and not self._rules.looks_at_results:
            self._tell_breaker(outcome, is_retried=False)
            return _NOT_RETRIED, 0.0
        _tell(self._state, outcome)
        is_retried = self._is_retried(outcome)
        self._tell_breaker(outcome, is_retried=is_retried)
        if not is_retried:
            return _NOT_RETRIED, 0.0
        if self._rules.is_over(self._state):
            return _OVER, 0.0
        pause = max(self._rules.wait_after(self._state), retry_after(outcome.error))
        return self._used_up(outcome) or self._unaffordable(pause), pause

    def _is_retried(self, outcome: Outcome) -> bool:
        if self._is_lost(outcome):
            return True
        return not is_reschedule(outcome.error) and self._rules.is_retried(
            self._state, outcome.error
        )

    def _used_up(self, outcome: Outcome) -> str:
        """Say which argument another attempt would find empty, if one was read here."""
        if self._is_of_others(outcome):
            return ""
        return used_up(*self._call[1:])

    def _unaffordable(self, pause: float) -> str:
        """Say why there is no time or nothing left for a retry."""
        why = self._late(pause)
        if not why and self._rules.budget is not None and not self._rules.budget.take():
            count(self._call.name, refused=1)
            return "the retry budget is spent"
        return why

    def _late(self, pause: float) -> str:
        """Say that an attempt after the pause would come too late, if so."""
        deadline = self._rules.deadline
        if deadline is None or pause <= deadline - (monotonic() - self._standing.started):
            return ""
        return f"the deadline of {deadline} s leaves no time"

    def _noted(self, outcome: Outcome, pause: float) -> None:
        self._waits.append(pause)
        del self._waits[:-REMEMBERED]
        self._state.idle_for += pause
        with suppress(Exception):  # if the store is away, the next attempt will not begin
            self._log.failed(outcome, pause)

    def _paused(self, pause: float) -> Generator[float, Outcome | None, None]:
        if pause > 0:
            yield pause
        count(self._call.name, seconds_waiting=pause)

    def _refused(self) -> str:
        """Let the next attempt begin, or say why it cannot."""
        try:
            self._probe = admitted(self._rules, self._call.name)
        except CircuitOpenError as error:
            return str(error)
        why = self._not_begun()
        if why:
            self._abandon()
        else:
            self._state.prepare_for_next_attempt()
        return why

    def _not_begun(self) -> str:
        try:
            return "" if self._log.begin() else "another process goes on with it"
        except QuarantinedCallError:
            raise
        except Exception as error:
            return f"the next attempt could not be written down: {error!r}"

    def _ended(self, outcome: Outcome, why: str) -> Outcome:
        if is_reschedule(outcome.error):
            self._log.release(counts=False)
            return outcome
        self._log.end(is_success=outcome.error is None)
        if outcome.error is None:
            return outcome
        if self._is_lost(outcome) or is_try_again(outcome.error):
            outcome = _with_original(outcome)
        attempts = self._state.attempt_number
        if attempts > 1 or why not in (_NOT_RETRIED, _OVER):
            _note(outcome.error, why, attempts, self._waits)
        return outcome

    def _is_lost(self, outcome: Outcome) -> bool:
        """True if the outcome stands for an attempt whose process is gone."""
        return self._is_of_others(outcome) and isinstance(outcome.error, AttemptLostError)

    def _is_of_others(self, outcome: Outcome) -> bool:
        return self._standing.is_of_others and outcome is self._standing.outcome

    def _tell_breaker(self, outcome: Outcome, *, is_retried: bool) -> None:
        """Tell what the attempt says about the service: an error that is not retried, nothing."""
        breaker, probe, self._probe = self._rules.breaker, self._probe, None
        if breaker is None or self._is_of_others(outcome):
            return
        if is_retried:
            breaker.failed(probe)
        elif outcome.error is None:
            breaker.succeeded(probe)
        else:
            breaker.abandoned(probe)

    def _interrupted(self) -> None:
        self._abandon()
        self._log.interrupt()

    def _abandon(self) -> None:
        if self._probe is not None:
            self._rules.breaker.abandoned(self._probe)
            self._probe = None

    @cached_property
    def _state(self) -> Any:
        """The state of the call as tenacity's objects want it; made when it is needed first."""
        from tenacity import RetryCallState

        _, function, args, kwargs, _ = self._call
        state = RetryCallState(self._rules.tenacity(), function, args, kwargs)
        state.start_time = self._standing.started
        state.attempt_number = self._standing.attempts
        state.idle_for = self._standing.idle
        return state


def admitted(rules: Rules, name: str) -> Any:
    """Return what the circuit breaker gives for an attempt; raises `CircuitOpenError`."""
    if rules.breaker is None:
        return None
    try:
        return rules.breaker.admit()
    except CircuitOpenError:
        count(name, refused=1)
        raise


def is_reschedule(error: Exception | None) -> bool:
    """True if a task has asked Dask to run it elsewhere: that is no failure."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(error, distributed.Reschedule)


def is_try_again(error: BaseException | None) -> bool:
    """True if the function has asked for another attempt, as tenacity lets it do."""
    tenacity = sys.modules.get("tenacity")
    return tenacity is not None and isinstance(error, tenacity.TryAgain)


def _tell(state: Any, outcome: Outcome) -> None:
    if outcome.error is None:
        state.set_result(outcome.value)
    else:
        error = outcome.error
        state.set_exception((type(error), error, error.__traceback__))


def _with_original(outcome: Outcome) -> Outcome:
    """Return the error that the function has raised before its attempt was lost.

    Or while it was handling which it asked for another attempt: as tenacity does.
    """
    error = outcome.error
    original = None if error is None else error.__cause__ or error.__context__
    if not isinstance(original, Exception):
        return outcome
    if not is_try_again(error):
        original.add_note(str(error))
    return Outcome(error=original)


def _note(error: Exception | None, why: str, attempts: int, waits: list[float]) -> None:
    """Tell at the error what happened before."""
    if error is not None:
        earlier = "…, " if attempts > len(waits) + 1 else ""
        waited = earlier + ", ".join(f"{pause:.3g}" for pause in waits)
        told = f", with waits of {waited} s" if waits else ""
        with suppress(Exception):  # errors may be frozen; the note must not take their place
            error.add_note(f"after {attempts} attempt{'s' * (attempts > 1)}{told}: {why}")
