"""Warnings that point to the line of the user, however deep inside they are raised."""

from __future__ import annotations

import pickle
import sys
import warnings
from contextlib import suppress
from types import FrameType
from typing import Any


def warn_caller(message: str) -> None:
    """Warn where the first caller from outside of this package is."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_ours(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def warn_everywhere(message: str) -> None:
    """Warn here and, on a worker of Dask, where its clients are."""
    workers: Any = sys.modules.get("distributed.worker")
    if workers is not None:
        with suppress(ValueError):  # no worker in this process
            event = {"message": pickle.dumps(message), "category": pickle.dumps(RuntimeWarning)}
            workers.get_worker().log_event("warn", event)
    warn_caller(message)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("persidict_dask.")
