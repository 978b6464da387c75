"""What the persisted functions of this process have done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from html import escape
from time import perf_counter


@dataclass
class FunctionStats:
    """Counts of one persisted function in one process; times are seconds."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    seconds_loading: float = 0.0
    seconds_computing: float = 0.0

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


_by_name: dict[str, FunctionStats] = {}
_lock = threading.Lock()


def process_stats() -> dict[str, FunctionStats]:
    """Return a copy of the counts of all persisted functions of this process, by name."""
    with _lock:
        return {name: replace(stats) for name, stats in _by_name.items()}


def stats_of(name: str) -> FunctionStats:
    """Return a copy of the counts of one function."""
    return process_stats().get(name, FunctionStats())


def count(name: str, **increments: float) -> None:
    """Add to the counts of a function."""
    with _lock:
        stats = _by_name.setdefault(name, FunctionStats())
        for field, increment in increments.items():
            setattr(stats, field, getattr(stats, field) + increment)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Yield a list that receives the seconds spent inside."""
    elapsed: list[float] = []
    begin = perf_counter()
    try:
        yield elapsed
    finally:
        elapsed.append(perf_counter() - begin)
