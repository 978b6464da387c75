"""RetryBudget: the retries of all workers together stay within a part of their calls."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

from persidict_dask._heartbeat import heart
from persidict_dask._seconds import Seconds, seconds
from persidict_dask._stats import register_gauge
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._places import Somewhere, positive
from persidict_dask.coordination._records import Record
from persidict_dask.retries._budget_account import Account, BudgetUse
from persidict_dask.retries._budget_errand import Errand
from persidict_dask.retries._budget_ledger import Ledger, Lot
from persidict_dask.retries._budget_local import Shared, local_of

_PATIENCE = 0.25
"""Seconds for which a retry waits to hear whether others can spare something."""
_PATIENCE_AT_FIRST = 2.0
"""The same for the first answer in a process, for which the store has to be opened."""
_ROUNDS = 4
"""How often a process asks when others are first each time."""
_LEAST = 20
"""Tokens that one asks others for, at least: so many are worth a write."""


class RetryBudget(Shared):
    """Keeps the retries of all who share a name within `ratio` of their calls, plus a floor.

    When a service fails altogether, retries do not multiply the load on it. Each process spends
    `ratio` of its own calls of the last `window` without asking anybody. Who needs more asks the
    store, in the background and now and then: for a share of the floor, and for what others can
    spare. While the store is away, all live by what their own calls earn.

    Args:
        store: a dictionary, or the URL of one.
        name: the same for all who share the budget.
        ratio: retries for each call.
        floor_per_s: retries per second of all together that need no calls.
        window: seconds; what is earned is lost after that.
    """

    kind: ClassVar[str] = "budget"

    def __init__(
        self,
        store: Somewhere,
        name: str = "default",
        *,
        ratio: float = 0.1,
        floor_per_s: float = 1.0,
        window: Seconds = 10.0,
    ) -> None:
        _check_not_negative("ratio", ratio)
        _check_not_negative("floor_per_s", floor_per_s)
        window = positive("window", seconds("window", window))
        super().__init__(store, name, ratio=ratio, floor_per_s=floor_per_s, window=window)

    def earn(self) -> None:
        """Count a call that has begun: the first attempt, no retry. Costs no request."""
        account = self._local.account
        if now() >= account.ends:
            self._local.settle()
        next(account.begun)

    def take(self) -> bool:
        """Tell whether a retry may be made now; if so, it counts as made.

        Blocks for a quarter of a second at most; for two, once, until the store is open. Raises
        nothing, whatever the store does.
        """
        return self._local.take()

    def use(self) -> BudgetUse:
        """Return what this process did in the last window; costs no request."""
        return self._local.account.use()

    def show(self) -> None:
        """Let the figures of this process tell its use; costs no request."""
        self.use()

    @cached_property
    def _local(self) -> _Local:
        def made() -> _Local:
            local = _Local(Record(self._place, self._key), **self._settings)
            register_gauge(self.kind, self.name, lambda: local.account.use()._asdict(), self)
            return local

        found: _Local = local_of(self._ident, made)
        return found


class _Local:
    """The budget as this process knows it."""

    def __init__(self, record: Record, ratio: float, floor_per_s: float, window: float) -> None:
        self._record = record
        self._settings = ratio, floor_per_s, window
        self.begin()

    def begin(self) -> None:
        ratio, floor, window = self._settings
        self.account = Account(ratio, window)
        self._ledger = Ledger(self._record, ratio, floor, window)
        self._asking = Errand(self._ask, "persidict-budget")
        self._lock = threading.Lock()
        self._is_sharing = False
        self._pause = window / 20
        self._not_before = 0.0
        self._patience = _PATIENCE_AT_FIRST

    def settle(self) -> None:
        """Go on to the next slice, and see to it that others get what is left over here."""
        self.account.settle()
        with self._lock:
            starts = not self._is_sharing and self._settings[0] > 0
            self._is_sharing = self._is_sharing or starts
        if starts:
            heart.add(self._share, self._settings[2] / 4)

    def take(self) -> bool:
        """Spend a token, if there is one here or at others."""
        # what has come of it may be gone: another thread was first, and there may be more
        while not self.account.spend():
            if not self._has_asked():
                self.account.refuse()
                return False
        return True

    def _has_asked(self) -> bool:
        may_ask = self._ledger.gives and now() >= self._not_before
        return may_ask and self._asking.run(self._patience)

    def _ask(self) -> None:
        lots: list[Lot] = []
        longest = window = self._settings[2]
        pause = min(2 * self._pause, longest)  # should the store fail
        try:
            lots = self._lots()
            pause = window / 20
        finally:
            self._patience = _PATIENCE
            self._pause = pause
            # not all at the same time, or else only one of them gets something
            self._not_before = 0.0 if lots else now() + pause * _random.uniform(1, 1.5)
            for lot in lots:
                self.account.put(*lot)

    def _lots(self) -> list[Lot]:
        want = max(_LEAST, self.account.needs())
        for _ in range(_ROUNDS):
            lots = self._ledger.ask(want)
            if lots is not None:
                return lots
        return []

    def _share(self) -> bool:
        """Give hungry ones what is left over here; `False` when this is not used any more."""
        with self._lock:
            self._is_sharing = now() < self.account.ends + self._settings[2]
        if self._is_sharing and not self.account.needs():
            with suppress(Exception):  # what was set aside may have arrived, and stays spent
                self._give()
        return self._is_sharing

    def _give(self) -> None:
        life = self._ledger.life
        if not self.account.use().available:
            return
        n = self.account.lend(self._ledger.wanted(), life)
        if n and not self._ledger.give(n):
            self.account.take_back(n, life)


def _check_not_negative(what: str, value: Any) -> None:
    if value != 0 or isinstance(value, bool):
        positive(what, value)


_random = random.Random()
