"""How a call stands: what its attempts have come to, here and in processes before this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple, Protocol

REMEMBERED = 10
"""Deaths and pauses of which more is kept than their number."""


class Outcome(NamedTuple):
    """What an attempt has come to."""

    value: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """Return the value, or raise the error."""
        try:
            if self.error is not None:
                raise self.error
            return self.value
        finally:
            del self  # the error would keep this frame alive, and this frame the error


@dataclass
class Standing:
    """A call after so many attempts."""

    attempts: int = 1
    outcome: Outcome | None = None
    """What the last attempt has come to; `None` if it is to be made now."""
    pause: float | None = None
    """Seconds until the next attempt, if that is decided already."""
    started: float = field(default_factory=monotonic)
    """When the first attempt has begun, by `monotonic` of this process."""
    idle: float = 0.0
    """Seconds of all pauses that were decided."""
    waits: list[float] = field(default_factory=list)
    """The last of these pauses."""
    probe: Any = None
    """What a circuit breaker has given for the attempt."""
    is_of_others: bool = False
    """True if another process has made the last attempt."""


class Log(Protocol):
    """Where the attempts of a call are written down."""

    def failed(self, outcome: Outcome, pause: float) -> None:
        """Note how an attempt has ended, and the pause before the next."""

    def begin(self) -> bool:
        """Note that the next attempt begins; `False` if somebody else goes on with the call."""

    def end(self, *, is_success: bool) -> None:
        """Note that there are no more attempts."""

    def release(self, *, counts: bool) -> None:
        """Leave the call to the next caller, with or without the last attempt."""

    def interrupt(self) -> None:
        """Note that somebody has broken the call off."""


class Forgetful:
    """The log of a policy without a store: whatever is noted ends with the process."""

    def failed(self, outcome: Outcome, pause: float) -> None:
        """Note nothing."""

    def begin(self) -> bool:
        """Go on."""
        return True

    def end(self, *, is_success: bool) -> None:
        """Note nothing."""

    def release(self, *, counts: bool) -> None:
        """Note nothing."""

    def interrupt(self) -> None:
        """Note nothing."""
