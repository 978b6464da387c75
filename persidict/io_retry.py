"""What runs the I/O of all stores of this process, and may run it again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from persidict.exceptions import BackendError, ConcurrencyConflictError, MutationPolicyError

T = TypeVar("T")

Runner: TypeAlias = Callable[..., Any]

runner: Runner | None = None
"""What was set; stores look at it before each operation, so it is a variable and no function."""

# What is no failure of I/O but its result, or would only be met again.
_ANSWERS = (BackendError, ConcurrencyConflictError, MutationPolicyError, KeyError)
_FINAL = "_persidict_final"


def set_io_retry(call: Runner | None) -> None:
    """Let the stores of this process, of folders and of buckets, do their I/O by `call`.

    `call(step, *args)` returns `step(*args)`, and may call it again when it has raised: a step is
    an operation on a blob, or a part of one, that can be repeated without a second effect. Values
    are encoded and decoded outside of it, and no lock is held between two calls. What may have
    been done although it failed, and the errors of this package, pass by `call`: they are raised
    at once. Caches are not repeated. `None` (as at first) runs each step once; a fork keeps what
    is set.
    """
    global runner  # noqa: PLW0603  # one for the process is what it is about
    runner = call


def repeated(step: Callable[..., T], *args: Any) -> T:
    """Return what the step returns, run by what was set."""
    if runner is None:
        return step(*args)
    outcome = runner(_run, step, args)
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome  # type: ignore[no-any-return]


def not_again(error: BaseException, why: str) -> None:
    """Let an error through as it is: repeating the step would do what may be done already."""
    error.add_note(why)
    setattr(error, _FINAL, True)


class _Raised(NamedTuple):
    """An error that is the end of it, whatever the runner would think."""

    error: Exception


def _run(step: Callable[..., T], args: tuple[Any, ...]) -> T | _Raised:
    try:
        return step(*args)
    except Exception as error:
        if isinstance(error, _ANSWERS) or hasattr(error, _FINAL):
            return _Raised(error)
        raise
