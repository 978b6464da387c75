"""The attempts of one call after the first: what is tried again, when, and how it ends."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeAlias

from persidict_dask.retries._after import retry_after


class Rules(Protocol):
    """What a policy decides."""

    @property
    def deadline(self) -> float | None:
        """Seconds after the start after which no attempt starts."""

    def tenacity(self) -> Any:
        """The same as a `tenacity.Retrying`."""

    def is_retried(self, state: Any, error: BaseException | None) -> bool:
        """Tell whether an outcome is tried again."""

    def is_over(self, state: Any) -> bool:
        """Tell whether there are no more attempts."""

    def wait_after(self, state: Any) -> float:
        """Return the seconds that the policy waits now."""


class Outcome(NamedTuple):
    """What an attempt has come to."""

    value: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


Rounds: TypeAlias = Generator[float, Outcome, Outcome]
"""Yields seconds to wait before the next attempt, is sent what that came to, returns the last."""


def rounds(policy: Rules, f: Any, args: Any, kwargs: Any, first: Outcome, started: float) -> Rounds:
    """Decide what follows the first attempt; `started` is when that began, by `monotonic`."""
    from tenacity import RetryCallState

    state = RetryCallState(policy.tenacity(), f, args, kwargs)
    state.start_time = started
    outcome, waits = first, list[float]()
    while True:
        _tell(state, outcome)
        why = _end_of(policy, state, outcome)
        pause = 0.0 if why else max(policy.wait_after(state), retry_after(outcome.error))
        if not why and policy.deadline is not None:
            left = policy.deadline - (monotonic() - started)
            why = f"the deadline of {policy.deadline} s leaves no time" if pause > left else ""
        if why:
            _note(outcome.error, why, state.attempt_number, waits)
            return outcome
        waits.append(pause)
        state.idle_for += pause
        outcome = yield pause
        state.prepare_for_next_attempt()


def _tell(state: Any, outcome: Outcome) -> None:
    if outcome.error is None:
        state.set_result(outcome.value)
    else:
        error = outcome.error
        state.set_exception((type(error), error, error.__traceback__))


def _end_of(policy: Rules, state: Any, outcome: Outcome) -> str:
    """Return why there is no further attempt; nothing if there is one."""
    if not policy.is_retried(state, outcome.error):
        return "it is not retried"
    return "there are no more attempts" if policy.is_over(state) else ""


def _note(error: Exception | None, why: str, attempts: int, waits: list[float]) -> None:
    """Tell at the error what happened before; nothing if nothing did."""
    if error is not None and waits:
        waited = ", ".join(f"{pause:.3g}" for pause in waits)
        error.add_note(f"after {attempts} attempts, with waits of {waited} s: {why}")
