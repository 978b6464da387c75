"""The exceptions of this package; each is also the built-in that a caller would catch anyway."""

from __future__ import annotations

from typing import Any, Self

from persidict import shown


class AbsentKeyError(KeyError):
    """There is no item of this key, which is `args[0]`; the text is the key as it is written."""

    def __str__(self) -> str:
        return shown.key(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class MutationPolicyError(TypeError):
    """An append-only or write-once dictionary was asked to change or remove an item."""

    def __init__(self, policy: str) -> None:
        super().__init__(policy)
        self.policy = policy


def refusal(policy: str, dictionary: Any, key: Any = None) -> MutationPolicyError:
    """Return the error for a change that a dictionary does not allow; a note says of what."""
    error = MutationPolicyError(policy)
    what = "items" if key is None else f"the item {shown.key(key)}"
    error.add_note(f"{what} of {dictionary!r} cannot be changed or removed")
    return error


class ConcurrencyConflictError(RuntimeError):
    """Others kept changing an item, and the allowed number of attempts is used up."""

    def __init__(self, key: Any, attempts: int) -> None:
        super().__init__(key, attempts)
        self.key = key
        self.attempts = attempts

    def __str__(self) -> str:
        return (
            f"{shown.key(self.key)} was changed by others during each of {self.attempts} attempts"
        )


class BackendError(RuntimeError):
    """A store cannot be opened, or what it holds cannot be used."""

    def __init__(self, message: str, *, backend: str, operation: str, key: Any = None) -> None:
        super().__init__(message)
        self.backend = backend
        self.operation = operation
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        # exceptions rebuild from `args` alone and would lose the keyword arguments
        return _rebuild, (type(self), self.args, self.__dict__)


class DamagedItemError(BackendError):
    """A stored item cannot be decoded; it is there, and its bytes are not what was written."""

    data: bytes | None = None
    """The bytes that were found, where the error was raised; not in pickles of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__ | {"data": None})


class LockTimeoutError(BackendError, TimeoutError):
    """Others held the lock of an item for longer than `lock_timeout`; nothing was changed."""

    def __new__(cls, *args: Any, **_: Any) -> Self:
        return TimeoutError.__new__(cls, *args)


class OutcomeUnknownError(BackendError):
    """An answer was lost, and no look at the item can tell whether the change was made."""


TransformConflictError = ConcurrencyConflictError
"""An older name."""


def _rebuild(cls: type[BackendError], args: tuple[str], state: dict[str, Any]) -> BackendError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
