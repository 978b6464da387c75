"""Trouble with the store of results: it is said once, and calls go on without the store."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, Literal

from persidict.exceptions import BackendError, ConcurrencyConflictError
from persidict_dask._stats import count
from persidict_dask._warn import warn_caller

OnStoreError = Literal["warn", "raise"]
Part = Literal["read", "write", "replace", "claim", "note"]

_SHARE: Final = 10  # a failure that took a second is not met again for so many seconds
_LONGEST_REST: Final = 300.0
_NOT_THE_STORES: Final = "_persidict_not_the_stores"

_said: set[tuple[str, str]] = set()
_saying = threading.RLock()


class Trouble:
    """What one function has met at its store, and until when it leaves the store alone.

    A store that fails at once is asked each time. One that takes long to fail, because its server
    cannot be reached, takes no more than a small part of the time.
    """

    def __init__(self, name: str, label: str, on_store_error: OnStoreError) -> None:
        self._name = name
        self._label = label
        self.is_raised = on_store_error == "raise"
        self._rests: dict[Part, float] = {}

    def borne(self, part: Part) -> Borne:
        """Swallow trouble with the store in a block and report it, unless it shall be raised."""
        return Borne(self, part)

    def report(self, error: BaseException, part: Part, seconds: float = 0.0) -> None:
        """Count trouble, warn if it is the first of its kind, and leave that part alone for now.

        A result that could not be replaced is always told: the old one is still there.
        """
        self._rests[part] = time.monotonic() + min(_SHARE * seconds, _LONGEST_REST)
        count(self._name, store_errors=1)
        if _is_news((self._name, _kind(error))) or part == "replace":
            warn_caller(
                f"{self._label}: its store fails, so equal calls run again, or at the same time: "
                f"{type(error).__name__}: {error}"
            )

    def is_resting(self, part: Part) -> bool:
        """True if that part of the store, or all of it, has just taken long to fail."""
        if not self._rests:
            return False
        until = max(self._rests.get("read", 0.0), self._rests.get(part, 0.0))
        return time.monotonic() < until


class Borne:
    """A block in which a store may fail."""

    def __init__(self, trouble: Trouble, part: Part) -> None:
        self._trouble = trouble
        self._part: Part = part

    def __enter__(self) -> None:
        self._begin = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or self._trouble.is_raised or not is_trouble(error):
            return False
        self._trouble.report(error, self._part, time.monotonic() - self._begin)
        return True


def is_trouble(error: BaseException) -> bool:
    """True if a store fails; other errors tell of values, settings or policies."""
    if hasattr(error, _NOT_THE_STORES):
        return False
    return isinstance(error, (OSError, BackendError, ConcurrencyConflictError, *_errors_of_s3()))


def not_the_stores(error: Exception) -> None:
    """Mark an error that a function of the user has raised while the store was asked."""
    setattr(error, _NOT_THE_STORES, True)


def _errors_of_s3() -> Iterator[type[Exception]]:
    for module, names in (
        ("botocore.exceptions", ("ClientError", "BotoCoreError")),
        ("boto3.exceptions", ("Boto3Error",)),
    ):
        loaded: Any = sys.modules.get(module)
        yield from (getattr(loaded, name) for name in names if hasattr(loaded, name))


def _kind(error: BaseException) -> str:
    """Return what is the same for errors that have one cause."""
    response = getattr(error, "response", None)
    answer = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return f"{type(error).__name__} {answer or getattr(error, 'errno', None)}"


def _is_news(kind: tuple[str, str]) -> bool:
    with _saying:
        is_new = kind not in _said
        _said.add(kind)
        return is_new
