"""The attempts of one call, each written to a store before it begins: they outlive processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NoReturn

from persidict import NonEmptySafeStrTuple
from persidict.owners import new_token
from persidict_dask._errors import AttemptLostError, QuarantinedCallError
from persidict_dask._stats import count, note_quarantined
from persidict_dask._waiting import Here
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._moments import moment_here
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import ABSENT, Fields, Record, Seen
from persidict_dask.coordination._renewal import renewed
from persidict_dask.retries import _lanes as lanes
from persidict_dask.retries._errors import packed, unpacked
from persidict_dask.retries._leaving import leaving
from persidict_dask.retries._letters import ATTEMPTS, write_letter
from persidict_dask.retries._standing import Outcome, Standing
from persidict_dask.retries._subject import Subject

_unfinished: set[Attempts] = set()
"""Those that have ended while the store did not answer."""

_MOST = 64
"""So many who could not begin are looked after, should the store be away for long."""

_UNKNOWN = "\x00unknown"
"""An etag that no version has."""


class Attempts:
    """Writes down the attempts of one caller, and finds what callers before it have left."""

    def __init__(self, place: Place, subject: Subject, poison_after: int, here: Here) -> None:
        self._place = place
        self._subject = subject
        self._poison_after = poison_after
        self._here = here
        self._record = Record(place, NonEmptySafeStrTuple(ATTEMPTS, subject.key))
        self._me = new_token()
        self._seen = ABSENT
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._stop: Callable[[], None] = lambda: None
        self._ending: Callable[[Fields], Fields] | None = None

    @property
    def here(self) -> Here:
        """The task that makes the call, and its worker; nothing outside of tasks."""
        return self._here

    @property
    def is_under_way(self) -> bool:
        """True while an attempt is made, false in a pause."""
        lane = self._seen.fields.get("lanes", {}).get(self._me, {})
        return bool(lane.get("state") == lanes.RUNNING)

    def enter(self) -> Generator[float, None, Standing]:
        """Find out how the call stands; the first attempt of a new one is written down.

        One write, if nobody has begun it. Yields seconds to wait while it cannot be known whether
        somebody who has begun it lives. Raises `QuarantinedCallError`.
        """
        mine = lanes.with_lane({}, self._me, lanes.new_lane(self._here))
        if self._entered(ABSENT, lanes.counted(mine)):
            return Standing()
        watch = lanes.Watch(self._record.identity, self._here)
        for pause in _pauses():
            standing = self._joined(watch)
            if standing is not None:
                return standing
            yield pause
        raise AssertionError("unreachable")

    def failed(self, outcome: Outcome, pause: float) -> None:
        """Note how an attempt has ended and when the next may begin; one write."""
        is_news = outcome.error is not None and not isinstance(outcome.error, AttemptLostError)
        told = {"error": packed(outcome.error)} if is_news and outcome.error else {}
        self._changed(lambda fields: self._mine(fields, lanes.waiting, pause) | told)

    def begin(self) -> bool:
        """Note that the next attempt begins; `False` if somebody else goes on with the call.

        One write. Raises `QuarantinedCallError`.
        """
        return self._changed(self._begun)

    def end(self, *, is_success: bool) -> None:
        """Note that there are no more attempts; a removal, if there are no other callers.

        If the store does not answer, it is told in the background.
        """
        ending, me = lanes.succeeded if is_success else _unchanged, self._me
        self._leave(lambda fields: ending(lanes.without(fields, me)))

    def release(self, *, counts: bool) -> None:
        """Leave the call to the next caller, with or without the attempt that is under way.

        If the store does not answer, it is told in the background.
        """
        self._leave(partial(lanes.set_free, owner=self._me, counts=counts))

    def interrupt(self) -> None:
        """Note that the call was broken off: to be gone on with, if its worker closes."""
        if leaving.is_closing(self._here):
            self.release(counts=not leaving.is_wanted(self._here))
        else:
            self.end(is_success=False)

    def renew(self) -> bool:
        """Tell others that this is alive, or at last that it has ended."""
        if self._ending is None:
            return self._changed(lambda fields: self._mine(fields, lanes.beaten))
        self._changed(self._ending)
        _unfinished.discard(self)
        return False

    # -- to begin -------------------------------------------------------------------------------

    def _entered(self, seen: Seen, fields: Fields) -> bool:
        """Write a record with a lane of this caller; `False` if others were first."""
        try:
            swapped = self._record.swap(seen, fields)
        except BaseException:
            self._withdraw(fields)
            raise
        if swapped is not None:
            self._seen = swapped
            self._stop = renewed(self, lanes.TTL)
            leaving.watch(self)
        return swapped is not None

    def _withdraw(self, fields: Fields) -> None:
        """See to it in the background that no lane is left, should it have been written."""
        if len(_unfinished) < _MOST:
            self._seen = Seen(fields, _UNKNOWN)
            self._ending = partial(lanes.withdrawn, owner=self._me)
            self._stop = renewed(self, lanes.TTL)
            _unfinished.add(self)

    def _joined(self, watch: lanes.Watch) -> Standing | None:
        """Take a lane; `None` if it cannot be said yet which."""
        for attempt in range(1_000_000):
            self._seen = self._record.look(self._seen)
            fields = lanes.buried(self._seen.fields, watch)
            if not self._is_poisoned(fields):
                choice = self._choice(fields, watch)
                if choice is None:
                    return None
                standing = self._taken(*choice)
                if standing is not None:
                    return standing
            self._record.let_others(attempt)
        raise AssertionError("unreachable")

    def _is_poisoned(self, fields: Fields) -> bool:
        """Put the call into quarantine if that is due; raise if it is in quarantine."""
        deaths = fields.get("deaths", 0)
        if fields.get("is_quarantined"):
            self._refuse(deaths)
        is_due = bool(deaths >= self._poison_after)
        if is_due:
            write_letter(self._place, self._subject, fields)
            if self._record.swap(self._seen, fields | {"is_quarantined": True}):
                self._count(self._seen, fields)
        return is_due

    def _refuse(self, deaths: int) -> NoReturn:
        call, key = str(self._subject), self._subject.key
        note_quarantined(call, key.strings)
        count(self._subject.name, refused=1)
        raise QuarantinedCallError(call, key, deaths)

    def _choice(self, fields: Fields, watch: lanes.Watch) -> tuple[Fields, Fields | None] | None:
        """Choose what the dead have left before a lane of one's own; `None`: it is too early."""
        if fields.get("free"):
            first, *others = fields["free"]
            return fields | {"free": others}, first
        living = fields.get("lanes", {}).items()
        leaving = [owner for owner, lane in living if watch.is_leaving(owner, lane)]
        if leaving and watch.is_overdue():
            return self._choice(lanes.set_free(fields, leaving[0], counts=True), watch)
        heard = [watch.is_heard(owner, lane) for owner, lane in living]
        return None if leaving or not all(heard) else (fields, None)

    def _taken(self, fields: Fields, lane: Fields | None) -> Standing | None:
        """Take a lane; `None` if others were first."""
        mine = lanes.new_lane(self._here) if lane is None else lanes.taken_over(lane, self._here)
        fields = lanes.with_lane(fields, self._me, mine)
        before = None if lane is None or lanes.is_of_here(lane) else self._stamp()
        is_begun = mine["state"] == lanes.RUNNING
        found = self._seen
        if not self._entered(found, lanes.counted(fields) if is_begun else fields):
            return None
        self._count(found, fields)
        return self._standing(mine, fields, before)

    def _count(self, found: Seen, fields: Fields) -> None:
        """Count the attempts that this one has found lost: nobody else has counted them."""
        lost = lanes.losses(found.fields, fields)
        if lost:
            retries = sum(loss["attempt"] > 1 for loss in lost)
            count(self._subject.name, deaths=len(lost), attempts=len(lost), retries=retries)

    def _standing(self, mine: Fields, fields: Fields, before: float | None) -> Standing:
        """Return how the call stands in a lane of ours, whose caller before it may be elsewhere."""
        if before is not None:  # by the clock of the store, which is the same for both
            since = max(0.0, self._stamp() - before)
            mine = lanes.older(mine, since)
            self._changed(lambda fields: self._mine(fields, lanes.older, since))
        standing = Standing(mine["attempts"], idle=mine["idle"], waits=list(mine["waits"]))
        standing.started -= lanes.spent(mine)
        if mine["state"] != lanes.RUNNING:
            standing.outcome = Outcome(error=self._lost(mine, fields))
            standing.is_of_others = True
        if mine["state"] == lanes.WAITING:
            standing.pause = max(0.0, moment_here(mine["next"]) - now())
        return standing

    def _lost(self, lane: Fields, fields: Fields) -> Exception:
        """Return the error that stands for attempts of another process."""
        last = unpacked(fields["error"]) if fields.get("error") else None
        if lane["state"] == lanes.WAITING and last is not None:
            return last
        lost = AttemptLostError(f"the process of attempt {lane['attempts']} is gone")
        lost.__cause__ = last
        return lost

    def _stamp(self) -> float:
        return self._place.records.timestamp(self._record.key)

    # -- to change ------------------------------------------------------------------------------

    def _begun(self, fields: Fields) -> Fields:
        if fields.get("is_quarantined"):
            self._refuse(fields["deaths"])
        return lanes.counted(self._mine(fields, lanes.begun))

    def _mine(self, fields: Fields, make: Callable[..., Fields], *args: Any) -> Fields:
        return lanes.with_lane(fields, self._me, make(fields["lanes"][self._me], *args))

    def _leave(self, ending: Callable[[Fields], Fields]) -> None:
        """Give the lane up, if need be in the background."""
        self._ending = ending
        try:
            self._changed(ending)
        except Exception:
            _unfinished.add(self)  # its renewal tries again
        else:
            self._stop()

    def _changed(self, make: Callable[[Fields], Fields]) -> bool:
        """Change the record; `False` if there is no lane of this caller any more."""
        if os.getpid() != self._pid:  # what the parent runs is not for a child to change
            return False
        with self._lock:
            for attempt in range(1_000_000):
                if self._me not in self._seen.fields.get("lanes", {}):
                    return False
                fields = make(self._seen.fields)
                seen = self._replaced(fields)
                if seen is not None:
                    self._seen = seen
                    return True
                self._record.let_others(attempt)
                self._seen = self._record.read()
        raise AssertionError("unreachable")

    def _replaced(self, fields: Fields) -> Seen | None:
        if not lanes.is_empty(fields):
            return self._record.swap(self._seen, fields)
        return ABSENT if self._record.remove(self._seen) else None


def _unchanged(fields: Fields) -> Fields:
    return fields


def _pauses() -> Iterator[float]:
    pause = 0.02
    while True:
        yield pause
        pause = min(1.5 * pause, 0.5)
