"""What the persisted functions of this process have done."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any


@dataclass
class FunctionStats:
    """Counts of one persisted function in one process; times are seconds.

    `waits` are those of the hits whose result others were computing; `bytes` is the size in memory
    of what was loaded and stored. `seconds_saved` is an estimate: what the hits would have cost,
    less what loading them has cost; 0 while nobody knows what a run takes.
    """

    hits: int = 0
    misses: int = 0
    waits: int = 0
    errors: int = 0
    seconds_loading: float = 0.0
    seconds_computing: float = 0.0
    seconds_saved: float = 0.0
    bytes: int = 0

    def __add__(self, other: FunctionStats) -> FunctionStats:
        return FunctionStats(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(f.name)}</th><td>{getattr(self, f.name):g}</td></tr>"
            for f in fields(self)
        )
        return f"<table>{rows}</table>"


class _Process:
    """The counts of this process."""

    def __init__(self) -> None:
        self.by_name: dict[str, FunctionStats] = {}
        self.lock = threading.Lock()


_process = _Process()
if hasattr(os, "register_at_fork"):
    # a child counts from zero, and another thread may have held the lock
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]


def process_stats() -> dict[str, FunctionStats]:
    """Return a copy of the counts of all persisted functions of this process, by name."""
    with _process.lock:
        return {name: _with_savings(stats) for name, stats in _process.by_name.items()}


def _with_savings(stats: FunctionStats) -> FunctionStats:
    typical = stats.seconds_computing / stats.misses if stats.misses else 0.0
    saved = stats.hits * typical - stats.seconds_loading if typical else 0.0
    return replace(stats, seconds_saved=saved)


def stats_of(name: str) -> FunctionStats:
    """Return a copy of the counts of one function."""
    return process_stats().get(name, FunctionStats())


def sizeof(value: Any) -> int:
    """Return the size of a value in memory as Dask estimates it; 0 if it cannot tell."""
    from dask.sizeof import sizeof as estimated

    try:
        return int(estimated(value))
    except Exception:  # a figure must not cost the result
        return 0


def count(name: str, **increments: float) -> None:
    """Add to the counts of a function."""
    with _process.lock:
        stats = _process.by_name.setdefault(name, FunctionStats())
        for field, increment in increments.items():
            setattr(stats, field, getattr(stats, field) + increment)
