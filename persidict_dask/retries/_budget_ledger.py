"""The record of a budget: what the floor has given lately, and what workers give each other."""

from __future__ import annotations

import threading
from math import ceil
from typing import Any, TypeAlias

from persidict.owners import is_local
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._moments import moment_at, moment_here
from persidict_dask.coordination._records import ABSENT, Fields, Record, Seen

Lot: TypeAlias = tuple[int, float]
"""Tokens, and until when they are good by the clock of this process."""

LIFE = 0.5
"""The part of a window for which tokens that were given are good; what is not used is lost."""


class Ledger:
    """Gives tokens by a single swap each time: they are never there twice, whoever dies when.

    The floor gives no more than `floor * window` in any window: what it gives counts for as long
    as it may be spent, and a window more. Workers with more than they need put some into a pool
    when another has said that it is hungry.
    """

    def __init__(self, record: Record, ratio: float, floor: float, window: float) -> None:
        self.life = LIFE * window
        self._record = record
        self._window = window
        self._has_pool = ratio > 0
        self._most = max(1.0, floor * window) if floor else 0.0
        self._counts = self.life + max(window, self._most / floor if floor else 0.0)
        self._seen = ABSENT
        self._looked: float | None = None
        self._pool: tuple[Any, float] = (None, 0.0)
        self._lock = threading.Lock()

    @property
    def gives(self) -> bool:
        """True if there can ever be anything to have."""
        return self._has_pool or self._most > 0

    def ask(self, want: int) -> list[Lot] | None:
        """Take what there is, or let others know that a process is hungry. Two requests at most.

        `None` if another process was first: there may be something left.
        """
        at, seen, pool_until = self._look()
        fields, lots = seen.fields, list[Lot]()
        pooled = min(want, int(fields["pool"]["n"])) if now() < pool_until else 0
        if pooled > 0:
            lots.append((pooled, pool_until))
            fields = fields | {"pool": fields["pool"] | {"n": fields["pool"]["n"] - pooled}}
        if granted := self._granted(fields):
            lots.append((granted, at + self.life))
            told = {"n": granted, "counts": moment_at(at + self._counts, at)}
            fields = fields | {"given": [*_still(fields.get("given", []), "counts"), told]}
        if not lots and self._has_pool and not _still([fields.get("hungry")], "ends"):
            fields = fields | {"hungry": {"want": want, "ends": moment_at(at + self._window, at)}}
        if fields is seen.fields:
            return []
        return None if self._swap(seen, fields) is None else lots

    def wanted(self) -> int:
        """Return how many tokens others want; a conditional read."""
        _, seen, _ = self._look()
        hungry = _still([seen.fields.get("hungry")], "ends")
        return int(hungry[0]["want"]) if hungry else 0

    def give(self, n: int) -> bool:
        """Put so many into the pool; `False` if they are certainly not there."""
        seen, at = self._seen, now()
        hungry = _still([seen.fields.get("hungry")], "ends")
        if not hungry:
            return False
        pool = _still([seen.fields.get("pool")], "ends")
        # together with what is there already, until that ends
        there: Fields = pool[0] if pool else {"n": 0, "ends": moment_at(at + self.life, at)}
        fields = seen.fields | {
            "pool": there | {"n": there["n"] + n},
            "hungry": hungry[0] | {"want": hungry[0]["want"] - n},
        }
        return self._swap(seen, fields) is not None

    def _granted(self, fields: Fields) -> int:
        """Return what the floor gives: half of what is left, if that is worth a write."""
        left = self._most - sum(each["n"] for each in _still(fields.get("given", []), "counts"))
        return ceil(int(left) / 2) if left >= max(1.0, self._most / 4) else 0

    def _look(self) -> tuple[float, Seen, float]:
        """Return when it was, the record, and until when the pool is good."""
        started = now()
        seen = self._record.look(self._seen)
        with self._lock:
            until = self._pool_until(seen.fields.get("pool"))
            self._seen, self._looked = seen, started
        return started, seen, until

    def _pool_until(self, pool: Any) -> float:
        """Return it for this process: sooner than it is in truth, rather than later.

        By the clock of another host nobody can tell how old a pool is, but it is younger than the
        last look at which it was not there.
        """
        if pool is None:
            return 0.0
        if is_local(pool["ends"]["clock"]):
            return moment_here(pool["ends"])
        if self._pool[0] != pool["ends"]:
            until = 0.0 if self._looked is None else self._looked + self.life
            self._pool = (pool["ends"], until)
        return self._pool[1]

    def _swap(self, seen: Seen, fields: Fields) -> Seen | None:
        swapped = self._record.swap(seen, fields)
        if swapped is not None:
            self._seen = swapped
        return swapped


def _still(told: list[Any], until: str) -> list[Any]:
    """Return those whose moment has not come yet."""
    return [each for each in told if each is not None and moment_here(each[until]) > now()]
