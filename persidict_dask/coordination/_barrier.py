"""Barrier: a number of parties wait for each other, again and again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from persidict.owners import new_token
from persidict_dask._flights import in_thread
from persidict_dask._seconds import Seconds, seconds
from persidict_dask.coordination._holders import alive, told_of_me
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import Attempt, bells, poll, poll_async
from persidict_dask.coordination._records import ABSENT, Fields, Record
from persidict_dask.coordination._renewal import renewed

_ROUNDS = 32
"""Rounds for which a record names who has passed: for those who are slow to look."""


class Barrier(Handle):
    """Lets all go on once `parties` have arrived; then it is closed for the next round.

    Who dies, or gives up, while it waits does not count any more.

    Args:
        parties: how many must arrive; all who share the name say the same.
        ttl: seconds of silence after which one who waits on another host is believed dead.
    """

    kind: ClassVar[str] = "barrier"

    def __init__(self, store: Somewhere, name: str, *, parties: int, ttl: Seconds = 30) -> None:
        lasts = positive("ttl", seconds("ttl", ttl))
        super().__init__(store, name, parties=whole("parties", parties), ttl=lasts)
        self._parties = parties
        self._ttl = lasts
        self._record = Record(self._place, self._key)

    def wait(self, timeout: Seconds | None = None) -> int:
        """Wait for the others; return one's place in the order of arrival, from 0.

        Raises `TimeoutError` after so many seconds, and does not count any more then.
        """
        arrival = _Arrival(self._record, self._parties, self._ttl)
        try:
            place = poll(arrival.attempt(), timeout, is_near=self._place.is_near)
        except BaseException:
            with suppress(Exception):
                arrival.withdraw()
            raise
        return self._passed(arrival, place, timeout)

    async def wait_async(self, timeout: Seconds | None = None) -> int:
        """Do the same in a coroutine."""
        arrival = _Arrival(self._record, self._parties, self._ttl)
        try:
            attempt = await in_thread(arrival.attempt)  # which may open the store
            place = await poll_async(attempt, timeout, is_near=self._place.is_near)
        except GeneratorExit:  # there is no loop any more: it will be believed dead
            raise
        except BaseException:
            with suppress(Exception):
                await asyncio.shield(in_thread(arrival.withdraw))
            raise
        if place is None:
            place = await in_thread(arrival.withdraw)
        return self._passed(arrival, place, timeout)

    def _passed(self, arrival: _Arrival, place: int | None, timeout: Seconds | None) -> int:
        if place is None:
            place = arrival.withdraw()
        if place is None:
            raise TimeoutError(
                f"{self!r}: fewer than {self._parties} within {seconds('a timeout', timeout)} s"
            )
        return place


class _Arrival:
    """One who has come, or is about to."""

    def __init__(self, record: Record, parties: int, ttl: float) -> None:
        self._record = record
        self._parties = parties
        self._me = new_token()
        self._told = told_of_me(ttl)
        self._seen = ABSENT
        self._round: int | None = None
        self._place = 0
        self._stop: Callable[[], None] = lambda: None

    def attempt(self) -> Attempt:
        """Return how to wait; it renews what it has told, for as long as it waits."""
        self._stop = renewed(self, self._told["ttl"])
        return Attempt(self._record.identity, self._look, end=self._stop)

    def _look(self) -> int | None:
        self._seen = self._record.look(self._seen)
        if self._is_through(self._seen.fields):
            return self._end()
        if self._me not in self._seen.fields.get("holders", {}) or self._others_are_fewer():
            self._seen = self._record.change(self._arrived)
        return self._end() if self._is_through(self._seen.fields) else None

    def _others_are_fewer(self) -> bool:
        there = self._seen.fields["holders"]
        return len(alive(self._record, there)) < len(there)

    def _end(self) -> int:
        """Wake the others of this process, and go."""
        bells.ring(self._record.identity)
        return self._place

    def _is_through(self, fields: Fields) -> bool:
        passed = fields.get("passed", {}).get(str(self._round), [])
        if self._me in passed:
            self._place = passed.index(self._me)
        return self._me in passed

    def _arrived(self, fields: Fields) -> Fields | None:
        there = alive(self._record, fields.get("holders", {}))
        self._check(fields, there)
        self._refuse_to_guess(fields)
        self._round = fields.get("round", 0)
        others = [name for name in there if name != self._me]
        new = fields | {"parties": self._parties, "round": self._round}
        if len(others) + 1 >= self._parties:
            passed = fields.get("passed", {}) | {str(self._round): [*others, self._me]}
            last = dict([*passed.items()][-_ROUNDS:])
            return new | {"round": self._round + 1, "holders": {}, "passed": last}
        return new | {"holders": there | {self._me: self._told}}

    def _refuse_to_guess(self, fields: Fields) -> None:
        if self._round is not None and fields.get("round", 0) > self._round + _ROUNDS:
            raise threading.BrokenBarrierError(
                f"this was stopped for more than {_ROUNDS} rounds of the others, "
                "and nobody knows any more whether it was counted in its own"
            )

    def _check(self, fields: Fields, there: Fields) -> None:
        parties = fields.get("parties", self._parties)
        if there and parties != self._parties:
            raise ValueError(
                f"{self._record.key.strings} waits for {parties} parties, not {self._parties}"
            )

    def renew(self) -> bool:
        """Tell others that this still waits."""
        self._told = self._told | {"beat": self._told["beat"] + 1}

        def renewed(fields: Fields) -> Fields | None:
            there = fields.get("holders", {})
            if self._me not in there:
                return None
            return fields | {"holders": there | {self._me: self._told}}

        self._record.change(renewed)
        return True

    def withdraw(self) -> int | None:
        """Count no more; the place of arrival if all have come meanwhile."""
        self._stop()

        def without_me(fields: Fields) -> Fields | None:
            there = fields.get("holders", {})
            if self._me not in there:
                return None
            return fields | {"holders": {n: told for n, told in there.items() if n != self._me}}

        fields = self._record.change(without_me).fields
        return self._place if self._is_through(fields) else None
