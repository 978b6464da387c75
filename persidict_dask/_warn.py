"""Warnings that point to the line of the user, however deep inside they are raised."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from persidict_dask._where import running_worker


def warn_caller(message: str) -> None:
    """Warn where the first caller from outside of this package is."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and is_ours(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def warn_client(message: str) -> None:
    """Warn here and, from a task, where the clients of the cluster are."""
    if running_worker() is None:
        warn_caller(message)
        return
    from distributed import warn

    warn(message, RuntimeWarning)


def leave_out_ours(error: BaseException) -> None:
    """Let the traceback of an error begin in the code of the user, for a `raise` that follows.

    Nothing else of the error changes; what was raised in this package alone keeps its traceback.
    """
    trace = error.__traceback__
    while trace is not None and is_ours(trace.tb_frame):
        trace = trace.tb_next
    if trace is not None:
        error.__traceback__ = trace


def is_ours(frame: FrameType) -> bool:
    """True for code of this package."""
    name = str(frame.f_globals.get("__name__"))
    return name.startswith("persidict_dask.") or name == "contextlib"  # which runs our generators
