"""What the calls of one process have earned, and what it has spent, in a window that slides."""

from __future__ import annotations

import threading
from itertools import count
from typing import NamedTuple

from persidict_dask.coordination._clock import now

_SLICES = 10
_KEPT = 3 * _SLICES
_TINY = 1e-9


class BudgetUse(NamedTuple):
    """What this process did in the last window, and what it may do now."""

    calls: int
    retries: int
    refused: int
    available: int
    """Retries that may be made at once, without asking anybody."""


class _Slices:
    """Sums by slices of time."""

    def __init__(self) -> None:
        self._sums: dict[int, int] = {}

    def add(self, slice_: int, n: int) -> None:
        if n:
            self._sums[slice_] = self._sums.get(slice_, 0) + n
        if len(self._sums) > _KEPT:
            self._sums = {at: sum_ for at, sum_ in self._sums.items() if at > slice_ - _KEPT}

    def since(self, slice_: int) -> int:
        """Return the sum of this one and all after it."""
        return sum(sum_ for at, sum_ in self._sums.items() if at >= slice_)


class Account:
    """Counts in slices, and always to the safe side: calls of a window at most, spent at least.

    `begun` is counted up by each call, without a lock; whoever sees that `ends` is over settles.
    """

    def __init__(self, ratio: float, window: float) -> None:
        self.begun = count()
        self.ends = 0.0
        self._ratio = ratio
        self._slice = window / _SLICES
        self._lock = threading.RLock()
        self._at = 0
        self._looks = self._counted = 0
        self._calls, self._spent = _Slices(), _Slices()
        self._retries, self._refused = _Slices(), _Slices()
        self._stock: list[tuple[float, int]] = []

    def settle(self) -> None:
        """Count what has begun for the slice in which it has, and go on to the slice of now."""
        with self._lock:
            self._settle()

    def spend(self) -> bool:
        """Spend one token: of those that own calls have earned, or else one that was given."""
        with self._lock:
            at = self._settle()
            if self._left() >= 1 - _TINY:
                self._spent.add(self._at, 1)
            elif not self._from_stock(at):
                return False
            self._retries.add(self._at, 1)
            return True

    def put(self, n: int, until: float) -> None:
        """Take in tokens that others have given, which are good until some moment."""
        with self._lock:
            self._stock.append((until, n))

    def refuse(self) -> None:
        """Count a retry that was not made."""
        with self._lock:
            self._settle()
            self._refused.add(self._at, 1)

    def needs(self) -> int:
        """Return how many retries were refused in the last window."""
        with self._lock:
            self._settle()
            return self._refused.since(self._at - _SLICES)

    def lend(self, most: int, life: float) -> int:
        """Set tokens aside for others, who may spend them for so long; return how many.

        Only what was earned so lately that it counts as earned when they are spent.
        """
        later = self._slices_of(life)
        with self._lock:
            self._settle()
            n = max(0, min(most, int(self._left(_SLICES - later) + _TINY)))
            self._spent.add(self._at + later, n)
            return n

    def take_back(self, n: int, life: float) -> None:
        """Have again what was set aside, and given to nobody."""
        with self._lock:
            self._spent.add(self._at + self._slices_of(life), -n)

    def use(self) -> BudgetUse:
        """Return the sums of the last window."""
        with self._lock:
            at = self._settle()
            first = self._at - _SLICES
            stock = sum(n for until, n in self._stock if until > at)
            available = max(0, int(self._left() + _TINY)) + stock
            calls, retries = self._calls.since(first + 1), self._retries.since(first)
            return BudgetUse(calls, retries, self._refused.since(first), available)

    def _settle(self) -> float:
        at = now()
        begun = next(self.begun) - self._looks  # which each look has counted up, too
        self._looks += 1
        self._calls.add(self._at, begun - self._counted)
        self._counted = begun
        self._at = int(at / self._slice)
        self.ends = (self._at + 1) * self._slice
        return at

    def _left(self, slices: int = _SLICES) -> float:
        earned = self._ratio * self._calls.since(self._at - slices + 1)
        return earned - self._spent.since(self._at - _SLICES)

    def _from_stock(self, at: float) -> bool:
        self._stock = [(until, n) for until, n in self._stock if until > at and n]
        if not self._stock:
            return False
        until, n = self._stock[0]
        self._stock[0] = (until, n - 1)
        return True

    def _slices_of(self, seconds: float) -> int:
        return int(seconds / self._slice) + 1
