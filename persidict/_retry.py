"""Retries of file operations whose failure can be transient, and the pauses between attempts."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from persidict.exceptions import BackendError

P = ParamSpec("P")
T = TypeVar("T")

# On Windows an open handle of an indexer or a virus scanner makes files unavailable for seconds;
# elsewhere a permission is mostly refused for good, and a user should not wait long to hear it.
ATTEMPTS = 12 if os.name == "nt" else 4
_REPLACEMENTS = 10  # rounds of as many attempts at a file that others keep replacing

_TRANSIENT = frozenset(
    {errno.EACCES, errno.EPERM, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETXTBSY}
)

# A generator of its own: pauses must not disturb a sequence that a user has seeded.
_random = random.Random()


def pause(retry_index: int) -> None:
    """Sleep before retry number `retry_index` (from 0); longer and longer, with jitter."""
    time.sleep(_random.uniform(0.01, 0.2) * 1.75**retry_index)


def short_pause(retry_index: int) -> None:
    """Sleep as little as `pause` ever does: others need less than a millisecond for a turn."""
    time.sleep(_random.uniform(0.01, 0.02) * 1.75 ** min(retry_index, 5))


def medium_pause(retry_index: int) -> None:
    """Sleep for the time of a few requests to a server; longer and longer up to a second."""
    time.sleep(_random.uniform(0.01, 0.06) * 1.75 ** min(retry_index, 5))


def is_transient(error: OSError) -> bool:
    """True if the same call may succeed a moment later."""
    return isinstance(error, PermissionError) or error.errno in _TRANSIENT


def retried(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `call` returns; repeat it while it fails with a transient `OSError`."""
    failures = 0
    while True:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            failures += 1
            if failures == ATTEMPTS or not is_transient(error):
                raise
        pause(failures - 1)


def reopened(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `call` returns, which opens a file by its name; repeat it while that is stale.

    A network file system says "stale" for "replaced meanwhile": the name leads to another file.
    """
    for _ in range(_REPLACEMENTS):
        try:
            return retried(call, *args, **kwargs)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            stale = error
    raise BackendError(
        f"a file is stale whenever it is opened: {stale}", backend="filesystem", operation="open"
    ) from stale
