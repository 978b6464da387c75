"""Warnings that point to the line of the user, however deep inside they are raised."""

from __future__ import annotations

import sys
import warnings
from types import FrameType


def warn_caller(message: str) -> None:
    """Warn where the first caller from outside of this package is."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_ours(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith("persidict_dask.") or name == "contextlib"  # which runs our generators
