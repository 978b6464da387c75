"""What a lock in a folder can fail with, said in a way that helps."""

from __future__ import annotations

from typing import TypeVar

from persidict.exceptions import BackendError, LockTimeoutError, OutcomeUnknownError

E = TypeVar("E", bound=BackendError)


def timed_out(path: str, holder: str, timeout: float) -> LockTimeoutError:
    """Others held the lock for too long."""
    return _error(
        LockTimeoutError,
        f"{path} was held by others for {timeout:g} s, last by {holder!r} (host-pid-start-number). "
        "A process that is stopped keeps its locks: let it go on or end it",
    )


def interrupted(path: str) -> LockTimeoutError:
    """The thread itself is about to make the lock."""
    return _error(
        LockTimeoutError,
        f"{path} is about to be made by this thread, which a signal or a finalizer has interrupted "
        "there; without symbolic links an operation on the same item is not possible then",
    )


def lost(path: str) -> OutcomeUnknownError:
    """The lock was another's when it was to be given back."""
    return _error(
        OutcomeUnknownError,
        f"the lock {path} was lost to another host, which had seen no sign of this process for too "
        "long: the item was changed, and maybe changed once more since",
    )


def impossible(path: str, error: OSError) -> BackendError:
    """No kind of lock can be made."""
    return _error(
        BackendError,
        f"no lock can be made at {path}: {error}. With exact=False the dictionary compares and "
        "then acts, and another writer can come between",
    )


def no_lock(path: str) -> BackendError:
    """Something else has the name of the lock."""
    return _error(
        BackendError,
        f"{path} is where a lock belongs, and neither a link nor a file: move it away",
    )


def _error(kind: type[E], text: str) -> E:
    return kind(text, backend="filesystem", operation="lock")
