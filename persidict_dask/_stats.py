"""What the persisted functions of this process have done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any


@dataclass
class FunctionStats:
    """Counts of one persisted function, in one process or on a cluster; times are seconds.

    `waits` are those of the hits whose result others were computing; `bytes` is the size in memory
    of what was loaded and stored. `seconds_saved` is an estimate: what the hits would have cost,
    less what loading them has cost, and never less than 0. What a run takes is known from the
    misses, or else from a few `notes` beside the results, which tell `seconds_noted`.

    `store_errors` are failures of the store that calls went on without.

    Of calls with a retry policy: `attempts` are all runs that began, `retries` those after the
    first, `seconds_waiting` the pauses before them; `refused` is what a budget, an open circuit or
    a quarantine did not let run, and `deaths` are attempts whose process was gone.
    """

    hits: int = 0
    misses: int = 0
    waits: int = 0
    errors: int = 0
    seconds_loading: float = 0.0
    seconds_computing: float = 0.0
    seconds_saved: float = 0.0
    bytes: int = 0
    attempts: int = 0
    retries: int = 0
    seconds_waiting: float = 0.0
    refused: int = 0
    deaths: int = 0
    store_errors: int = 0
    notes: int = 0
    seconds_noted: float = 0.0

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


KINDS = ("breaker", "budget")
_NOTHING = {f.name: f.default for f in fields(FunctionStats)}


class _Process:
    """The counts of this process; every change has a number, so that news can be told apart."""

    def __init__(self) -> None:
        self.id = os.urandom(8).hex()
        self.counts: dict[str, dict[str, Any]] = {}
        self.quarantined: dict[tuple[str, ...], tuple[str, bool, float]] = {}
        self.version = 0
        self.changed: dict[object, int] = {}
        self.lock = threading.RLock()


_process = _Process()
# apart from the counts, for what they measure comes along when a process forks
_gauges: dict[tuple[str, str], Callable[[], Mapping[str, Any]]] = {}
_handles: dict[tuple[str, str], Any] = {}
if hasattr(os, "register_at_fork"):
    # a child counts from zero, and another thread may have held the lock
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]


def process_stats() -> dict[str, FunctionStats]:
    """Return a copy of the counts of all persisted functions of this process, by name."""
    with _process.lock:
        return {name: with_savings(FunctionStats(**c)) for name, c in _process.counts.items()}


def with_savings(stats: FunctionStats) -> FunctionStats:
    """Return the counts with the estimate of what the hits have saved."""
    runs = stats.misses + stats.notes
    typical = (stats.seconds_computing + stats.seconds_noted) / runs if runs else 0.0
    return replace(stats, seconds_saved=max(0.0, stats.hits * typical - stats.seconds_loading))


def has_only_loaded(name: str) -> bool:
    """True if this process has results of a function, and has run it never."""
    counts = _process.counts.get(name, _NOTHING)
    return bool(counts["hits"] and not counts["misses"])


def sizeof(value: Any) -> int:
    """Return the size of a value in memory as Dask estimates it; 0 if it cannot tell."""
    from dask.sizeof import sizeof as estimated

    try:
        return int(estimated(value))
    except Exception:  # a figure must not cost the result
        return 0


def count(name: str, **increments: float) -> None:
    """Add to the counts of a function; they never go down."""
    process = _process
    with process.lock:
        try:
            counts = process.counts[name]
        except KeyError:
            counts = process.counts[name] = _NOTHING.copy()
        for field, increment in increments.items():
            counts[field] += increment
        process.changed[name] = process.version = process.version + 1


def note_quarantined(call: str, key: str | tuple[str, ...]) -> None:
    """Remember that a call is in quarantine; `call` is how people know it."""
    _note(call, _parts(key), is_held=True)


def note_released(key: str | tuple[str, ...]) -> None:
    """Remember that a call has left its quarantine."""
    _note("", _parts(key), is_held=False)


def _parts(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(map(str, key))


def _note(call: str, key: tuple[str, ...], *, is_held: bool) -> None:
    with _process.lock:
        known = _process.quarantined.get(key)
        if known is None or known[1] != is_held:
            _process.quarantined[key] = call, is_held, time.time()
            _process.version = _process.changed[key] = _process.version + 1


def register_gauge(
    kind: str, name: str, function: Callable[[], Mapping[str, Any]], handle: Any = None
) -> None:
    """Ask a function again and again how a breaker or a budget of this process stands.

    It must be quick and do no I/O: it is called on the event loop of workers. A breaker returns its
    `state`, "closed", "probing" or "open", and `at`, a number that grows with each change of the
    state wherever it is seen: the newest state of all processes is shown. A budget returns numbers,
    which are added up over the processes. Registering a name again replaces it. By its `handle`
    other processes get one like it, for their own gauge.
    """
    if kind not in KINDS:
        raise ValueError(f"a gauge is one of {KINDS}, not {kind!r}")
    _gauges[kind, name] = function
    if handle is not None:
        _handles[kind, name] = handle


def handles() -> dict[tuple[str, str], Any]:
    """Return the handles by which other processes can have the gauges of this one."""
    return dict(_handles)


def gauges() -> list[list[Any]]:
    """Return kind, name and figures of each gauge; without those that fail."""
    told = []
    for (kind, name), function in list(_gauges.items()):
        with suppress(Exception):  # a figure must not cost the others
            figures = {
                what: v for what, v in function().items() if isinstance(v, str | int | float)
            }
            told.append([kind, name, figures])
    return told


def process_id() -> str:
    """Return a name of this process that no other has, no forked child either."""
    return _process.id


def version() -> int:
    """Return a number that grows with each change of what `news` tells."""
    return _process.version


def news(since: int = 0) -> dict[str, Any]:
    """Return the counts of this process that have changed after a version, as they are now.

    They are whole counts and no differences: whoever hears them twice, or in another order, keeps
    the highest and is right.
    """
    with _process.lock:
        fresh = {what for what, version in _process.changed.items() if version > since}
        counts = {name: _process.counts[name] for name in fresh if isinstance(name, str)}
        quarantined = [
            [[*key], *_process.quarantined[key]] for key in fresh if isinstance(key, tuple)
        ]
        return {
            "process": _process.id,
            "version": _process.version,
            "functions": {name: _without_zeros(c) for name, c in counts.items()},
            "quarantined": quarantined,
        }


def _without_zeros(counts: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in counts.items() if value}
