"""A retry policy for the I/O of all stores of this process, by the worker whose task it is."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from persidict import NonEmptySafeStrTuple
from persidict.io_retry import set_io_retry
from persidict_dask import _heartbeat
from persidict_dask._defaults import Told
from persidict_dask.retries._policy import RetryPolicy
from persidict_dask.retries._subject import Subject

T = TypeVar("T")

STORES = "stores"
"""The name under which attempts and retries of stores are counted."""

# What a policy does by asking a store is left out: the store would ask the store.
_KEPT = ("attempts", "wait", "retry_on", "fatal", "deadline")
_subject = Subject(NonEmptySafeStrTuple(STORES), STORES, {})
_told: Told[RetryPolicy] = Told()
_lock = threading.RLock()


def _free_lock() -> None:
    global _lock  # noqa: PLW0603  # the only way to give the child another one
    _lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_lock)


def apply(who: object, policy: RetryPolicy | None) -> None:
    """Let the stores of this process follow a policy, or no longer that of `who`.

    Of the policy count attempts, waits, errors and deadline: for each operation on a blob alone.
    Does no I/O.
    """
    with _lock:
        kept = None
        if policy is not None:
            kept = _StorePolicy(**{name: getattr(policy, name) for name in _KEPT})
        _told.tell(who, kept)
        set_io_retry(_run if _told.everything() else None)


def _run(step: Callable[..., T], *args: Any) -> T:
    policy = _told.latest()
    return step(*args) if policy is None else policy.call_as(_subject, step, args, {})


class _StorePolicy(RetryPolicy):
    """What a policy means for stores: errors alone are tried again, and those of S3 by kind."""

    @cached_property
    def looks_at_results(self) -> bool:
        return False

    def is_retried(self, state: Any, error: BaseException | None) -> bool:
        if error is None or _must_not_wait():
            return False
        if isinstance(error, self.fatal):
            return False
        alike = _alike(error)
        if alike is None:
            return super().is_retried(state, error)
        if isinstance(alike, self.fatal):
            return False
        return super().is_retried(state, error) or super().is_retried(state, alike)


def _must_not_wait() -> bool:
    """True on an event loop, and in what is said again anyway before the policy would say it."""
    is_loop = asyncio._get_running_loop() is not None
    return is_loop or threading.current_thread().name == _heartbeat._NAME


# Answers that tell that the server is in trouble, or has too much to do; nothing about the request.
_PASSING_STATUS = (429, 500, 502, 503, 504)
_PASSING_CODES = {
    "BandwidthLimitExceeded", "ConditionalRequestConflict", "InternalError", "OperationAborted",
    "RequestLimitExceeded", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
    "ThrottlingException", "TooManyRequests", "TooManyRequestsException",
}  # fmt: skip


def _alike(error: BaseException) -> Exception | None:
    """Return the built-in error that an error of S3 amounts to; `None` if it amounts to none."""
    botocore: Any = sys.modules.get("botocore.exceptions")
    if botocore is None:
        return None
    if isinstance(error, botocore.ClientError):
        return OSError(str(error)) if _is_passing(error) else None
    if isinstance(error, (botocore.ReadTimeoutError, botocore.ConnectTimeoutError)):
        return TimeoutError(str(error))
    lost = (
        botocore.HTTPClientError,
        botocore.ConnectionError,
        botocore.IncompleteReadError,
        botocore.FlexibleChecksumError,
    )
    return ConnectionError(str(error)) if isinstance(error, lost) else None


def _is_passing(error: Any) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status in _PASSING_STATUS or error.response.get("Error", {}).get("Code", "") in (
        _PASSING_CODES
    )
