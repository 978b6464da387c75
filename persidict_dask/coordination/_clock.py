"""The clock by which silence is measured: no wall clock, and it goes on while a machine sleeps."""

from __future__ import annotations

import time

_ID = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Return seconds since some moment, the same for all processes of one boot on Linux."""
    return time.monotonic() if _ID is None else time.clock_gettime(_ID)
