"""Lengths of time as callers give them: numbers of seconds, or timedeltas."""

from __future__ import annotations

import math
from datetime import timedelta
from numbers import Real
from typing import Any, TypeAlias

Seconds: TypeAlias = "float | timedelta"


def seconds(what: str, given: Any) -> float:
    """Return a length of time in seconds, or say what is wrong with it.

    A `timedelta` of whole seconds is the same as their number, also as a part of keys.
    """
    if isinstance(given, timedelta):
        total = given.total_seconds()
        return int(total) if total.is_integer() else total
    # numpy takes its own timedeltas, of any unit, for integers
    is_of_numpy = getattr(getattr(given, "dtype", None), "kind", "") == "m"
    is_number = isinstance(given, Real) and not isinstance(given, bool)
    if is_of_numpy or not is_number:
        raise TypeError(f"{what} is a number of seconds or a timedelta, not {given!r}")
    if math.isnan(given):
        raise ValueError(f"{what} is a number of seconds or a timedelta, not {given!r}")
    return given if isinstance(given, int | float) else float(given)


def positive_seconds(what: str, given: Any) -> float:
    """Return a length of time that is not 0."""
    found = seconds(what, given)
    if not found > 0:
        raise ValueError(f"{what} must be positive, not {given!r}")
    return found
