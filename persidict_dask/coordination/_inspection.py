"""An operator's view: who holds what since when, and how many wait."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from persidict import PersiDict
from persidict.owners import is_gone
from persidict_dask.coordination._places import Place, Somewhere
from persidict_dask.coordination._waiters import WAITING

_DAY = 86400.0
_TOLD_ELSEWHERE = ("letters", "exits")
"""Kinds of records that `DeadLetters` reads."""
_COLUMNS = ("kind", "name", "state", "holders", "waiting")


class Holder(NamedTuple):
    """A process that holds a place, has claimed an item or waits at a barrier."""

    host: str
    pid: int
    since: float
    """Seconds since 1970, by the clock of its host."""
    is_gone: bool
    """True if it is a process of this host that does not exist any more."""
    token: int | None = None


class Primitive(NamedTuple):
    """One name of one kind."""

    kind: str
    name: str
    state: str
    """What it is now, in a few words."""
    holders: tuple[Holder, ...]
    waiting: int
    """How many wait, as far as they said so: after half a second."""


class Inspection(tuple[Primitive, ...]):
    """All primitives of a store at a moment, as a tuple that prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [_COLUMNS, *(_row(each) for each in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in _row(each)) + "</tr>"
            for each in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def inspect(store: Somewhere) -> Inspection:
    """Return what is coordinated through a store: a listing, and one request for each record.

    The moments at which the records are read differ a little.
    """
    found: dict[tuple[str, str], _Found] = {}
    for kind, name, rest, fields in _records(Place(store).records):
        found.setdefault((kind, name), _Found()).add(kind, rest, fields)
    return Inspection(
        Primitive(kind, name, each.state(kind), tuple(each.holders), each.waiting)
        for (kind, name), each in sorted(found.items())
    )


def _records(records: PersiDict[str]) -> Iterator[tuple[str, str, tuple[str, ...], Any]]:
    for key, text in list(records.items()):
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
        fields = fields if isinstance(fields, dict) else {}  # damaged: shown all the same
        first, *rest = key.strings
        if first == WAITING and _is_stale(rest[-1], fields):
            with suppress(Exception):  # those that may only read leave it to others
                records.discard(key)
        elif first == WAITING and len(rest) == 3:
            yield rest[0], rest[1], (WAITING, rest[2]), fields
        elif rest and first not in _TOLD_ELSEWHERE:
            yield first, rest[0], tuple(rest[1:]), fields


def _is_stale(waiter: str, told: dict[str, Any]) -> bool:
    """True for what killed processes have left; those of other hosts get a day."""
    return is_gone(waiter) or time.time() - told.get("since", 0) > _DAY


class _Found:
    """What the records of one name say together."""

    def __init__(self) -> None:
        self.holders: list[Holder] = []
        self.waiting = 0
        self._fields: dict[str, Any] = {}
        self._sum = 0
        self._calls = self._quarantined = 0
        self._items = {"waiting": 0, "claimed": 0, "done": 0, "dead": 0}

    def add(self, kind: str, rest: tuple[str, ...], fields: dict[str, Any]) -> None:
        """Take in one record."""
        if rest[:1] == (WAITING,):
            self.waiting += 1
        elif kind == "queue":
            self._add_item(rest[0] if rest else "", fields)
        elif kind == "counter":
            self._sum += fields.get("value", 0)
        elif kind == "attempts":
            self._add_call(fields)
        else:
            self._fields = fields
            self.holders = [_holder(n, told) for n, told in fields.get("holders", {}).items()]

    def _add_call(self, fields: dict[str, Any]) -> None:
        self._calls += 1
        self._quarantined += bool(fields.get("is_quarantined"))
        self.holders += [_holder(n, told) for n, told in fields.get("lanes", {}).items()]

    def _add_item(self, part: str, fields: dict[str, Any]) -> None:
        holder = fields.get("holder") if part == "live" else None
        if holder is not None:
            self.holders.append(_holder(holder, fields["told"]))
        state = part if part != "live" else "waiting" if holder is None else "claimed"
        if state in self._items:
            self._items[state] += 1

    def state(self, kind: str) -> str:
        """Say it in a few words."""
        fields = self._fields
        if kind == "queue":
            return ", ".join(f"{count} {state}" for state, count in self._items.items())
        if kind == "counter":
            return str(self._sum)
        if kind == "lease":
            return f"{'held' if self.holders else 'free'}, token {fields.get('token', 0)}"
        if kind == "semaphore":
            return f"{len(self.holders)} of {fields.get('limit')} held"
        if kind == "barrier":
            there = f"{len(self.holders)} of {fields.get('parties')}"
            return f"{there} arrived, round {fields.get('round', 0)}"
        if kind == "value":
            return str(fields.get("json", "(pickled)"))[:40]
        if kind == "attempts":
            return f"{self._calls} calls, {self._quarantined} in quarantine"
        if kind == "breaker":
            return "closed" if not fields.get("open") else "probing" if self.holders else "open"
        return f"serial {fields.get('serial')}"


def _holder(name: str, told: dict[str, Any]) -> Holder:
    return Holder(told["host"], told["pid"], told["since"], is_gone(name), told.get("token"))


def _row(each: Primitive) -> tuple[str, ...]:
    return each.kind, each.name, each.state, _holders_text(each.holders), str(each.waiting)


def _holders_text(holders: tuple[Holder, ...]) -> str:
    shown = [
        f"{h.host}:{h.pid} for {max(0.0, time.time() - h.since):.0f} s" + " (gone)" * h.is_gone
        for h in holders[:3]
    ]
    return ", ".join(shown) + (f" and {len(holders) - 3} more" if len(holders) > 3 else "")
