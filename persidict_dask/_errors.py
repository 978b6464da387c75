"""Errors of the Dask integration."""

from __future__ import annotations

from typing import Any

from persidict import MutationPolicyError


class ResultMismatchError(MutationPolicyError):
    """A function gave another result than the one that is stored for an equal call.

    It is not pure, or its key sees too little. `key` is that of the call.
    """

    def __init__(self, difference: str, key: Any = None) -> None:
        super().__init__(difference)
        self.key = key


class UnstableKeyError(TypeError):
    """A value or a function has no content that is the same in every process.

    `path` leads to the object (`args[1]['callback'].lock`), `reason` says what is wrong with it,
    and `function` names the persisted function whose call has no key for that.
    """

    function = ""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path
        self._is_absolute = False

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.function, self.path, self.reason)))

    def prepend(self, segment: str) -> None:
        """Put one more step in front of the path, on the way out of a container."""
        if not self._is_absolute:
            self.path = segment + self.path
            self.args = (self.reason, self.path)

    def anchor(self, name: str) -> None:
        """Let the path start at a global name: whatever refers to that from outside is no step."""
        self.prepend(name)
        self._is_absolute = True

    def follow(self, step: UnstableKeyError) -> None:
        """Prepend the path of another error, of one who leads to this."""
        self.prepend(step.path)
        self._is_absolute = self._is_absolute or step._is_absolute

    def enter(self) -> None:
        """The path so far is inside the code of a value: steps outside are prepended again."""
        self._is_absolute = False
        self.prepend(" -> ")


class LeaseLost(RuntimeError):  # noqa: N818 - the name says what has happened
    """A lease or a place was lost while it was held: nobody may rely on having had it alone."""


class StaleTokenError(RuntimeError):
    """Somebody with a higher token has written before; nothing was written.

    `token` is the one that was given, `newest` the one of the last write.
    """

    def __init__(self, token: int, newest: int) -> None:
        super().__init__(token, newest)
        self.token = token
        self.newest = newest

    def __str__(self) -> str:
        return f"token {self.token} is stale: {self.newest} has written before"


class DeadlockError(RuntimeError):
    """Waiting would never end: what is waited for is held by who waits, or in a circle."""


class CircuitOpenError(RuntimeError):
    """A call was not made, because what it needs has failed too often lately.

    `name` is that of the breaker, `retry_after` the seconds until somebody may try again.
    """

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(name, retry_after)
        self.name = name
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"the circuit {self.name!r} is open: to be tried again in {self.retry_after:.3g} s"


class AttemptLostError(RuntimeError):
    """The process that ran an attempt is gone, and the attempt with it."""


class QuarantinedCallError(RuntimeError):
    """A call was not made, because too many processes have died under it.

    `key` is that of its dead letter; `DeadLetters(store).release(key)` lets it run again.
    """

    def __init__(self, call: str, key: Any, deaths: int) -> None:
        super().__init__(call, key, deaths)
        self.call = call
        self.key = key
        self.deaths = deaths

    def __str__(self) -> str:
        return (
            f"{self.call} is not started again, because {self.deaths} processes died under it; "
            f"DeadLetters(store).release({tuple(self.key)!r}) lets it run"
        )
