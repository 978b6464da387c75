"""What the scheduler has been told, summed over all processes, and what it has seen itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

Counts = dict[str, dict[str, Any]]

_KEPT = 1000
"""Processes that are gone but may be heard of again; of those before them the sum is kept."""


class Totals:
    """Sums that come out the same however often, and in which order, a process is heard.

    Processes tell whole counts, and the highest of each is kept: a message that comes twice, by two
    workers of one process, or late changes nothing.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counts] = {}
        self._gone: dict[str, None] = {}
        self._before: Counts = {}
        self._workers: dict[str, set[str]] = {}
        self._gauges: dict[str, list[list[Any]]] = {}
        self._breakers_left: dict[str, list[Any]] = {}
        self._handles: dict[tuple[str, str], str] = {}
        self._quarantined: dict[tuple[str, ...], tuple[str, bool, float]] = {}
        self._leaving: set[str] = set()
        self._seen = {"lost": 0, "retired": 0, "suspicious": 0, "killed": 0}

    def hear(self, message: Mapping[str, Any], *, is_here: bool) -> None:
        """Take in what a worker tells of its process; it may have left in the meantime."""
        process = message["process"]
        _raise(self._counts.setdefault(process, {}), message["functions"])
        for key, *state in message["quarantined"]:
            self._quarantined[tuple(key)] = newest(self._quarantined.get(tuple(key)), state)
        self._handles |= {(kind, name): text for kind, name, text in message.get("handles", ())}
        if is_here:
            self._workers.setdefault(process, set()).add(message["worker"])
            self._gauges[process] = message["gauges"]
            self._gone.pop(process, None)
        elif process not in self._workers:
            self._note_gone(process)

    def expect(self, workers: Collection[str]) -> None:
        """Note that workers are about to leave because somebody wants it."""
        self._leaving.update(workers)

    def leave(self, worker: str, *, expected: bool, tasks: int, killed: int) -> None:
        """Note that a worker has left, with how many tasks, and how many of them have failed."""
        self._seen["retired" if expected or worker in self._leaving else "lost"] += 1
        self._seen["suspicious"] += 0 if expected else tasks
        self._seen["killed"] += killed
        self._leaving.discard(worker)
        for process in [p for p, workers in self._workers.items() if worker in workers]:
            self._workers[process].discard(worker)
            if not self._workers[process]:
                self._note_gone(process)

    def _note_gone(self, process: str) -> None:
        self._workers.pop(process, None)
        self._remember(self._gauges.pop(process, ()))
        self._gone.pop(process, None)  # the last one that was heard of goes last
        self._gone[process] = None
        while len(self._gone) > _KEPT:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            _add(self._before, self._counts.pop(oldest))

    def _remember(self, gauges: Iterable[list[Any]]) -> None:
        """Keep how breakers stand: that is not over when those who have seen it are gone."""
        for gauge in gauges:
            kind, name, figures = gauge
            before = self._breakers_left.get(name, gauge)[2]
            if kind == "breaker" and figures.get("at", 0) >= before.get("at", 0):
                self._breakers_left[name] = gauge

    def handles(self) -> list[str]:
        """Return the handles of all breakers and budgets that were told of."""
        return list(self._handles.values())

    def _standing(self, without: str) -> list[list[Any]]:
        """Return the gauges of all processes but one, and how the other breakers stood last."""
        told = [g for p, gauges in self._gauges.items() if p != without for g in gauges]
        seen = {
            name
            for gauges in self._gauges.values()
            for kind, name, _ in gauges
            if kind == "breaker"
        }
        return told + [gauge for name, gauge in self._breakers_left.items() if name not in seen]

    def report(self, without: str = "") -> dict[str, Any]:
        """Return the sums over all processes but one, which knows best about itself."""
        functions: Counts = {}
        for counts in [self._before, *(c for p, c in self._counts.items() if p != without)]:
            _add(functions, counts)
        return {
            "functions": functions,
            "gauges": self._standing(without),
            "quarantined": [[[*key], *state] for key, state in self._quarantined.items()],
            "workers": dict(self._seen),
        }


def newest(known: tuple[str, bool, float] | None, told: Any) -> tuple[str, bool, float]:
    """Return the later of two states of a quarantined call: how it is called, if it is held."""
    call, is_held, at = told
    return known if known is not None and known[2] > at else (call, is_held, at)


def _raise(known: Counts, told: Counts) -> None:
    for name, counts in told.items():
        mine = known.setdefault(name, {})
        for field, value in counts.items():
            mine[field] = max(value, mine.get(field, 0))


def _add(sums: Counts, more: Counts) -> None:
    for name, counts in more.items():
        mine = sums.setdefault(name, {})
        for field, value in counts.items():
            mine[field] = mine.get(field, 0) + value
