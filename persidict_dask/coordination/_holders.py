"""Records of who holds one of a limited number of places, each with a token of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from persidict.owners import is_gone, new_token
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._deadlocks import circles
from persidict_dask.coordination._polling import bells
from persidict_dask.coordination._records import ABSENT, Fields, Record, Seen
from persidict_dask.coordination._renewal import renewed
from persidict_dask.coordination._silence import silence


def told_of_me(ttl: float) -> Fields:
    """Return what others can read of a holder; the time is for people only."""
    return {
        "beat": 0,
        "ttl": ttl,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.time(),
    }


def alive(record: Record, holders: Fields) -> Fields:
    """Return the holders that are not believed dead."""
    return {
        name: told
        for name, told in holders.items()
        if not silence.is_over(record.identity, name, told)
    }


class Grant(NamedTuple):
    """What a swap has given: a place among the holders."""

    holder: str
    token: int
    started: float
    seen: Seen


class Queuer:
    """One who wants a place, and looks until there is one."""

    def __init__(
        self, record: Record, limit: int, ttl: float, who: Any, *, is_endless: bool
    ) -> None:
        self._record = record
        self._limit = limit
        self._ttl = ttl
        self._who = who
        self._is_endless = is_endless
        self._seen = ABSENT
        self._blockers: list[str] = []

    def look(self) -> Holding | None:
        """Take a place if one is free: one conditional read, and a swap if it is.

        It is renewed from now on, whatever comes before whoever has asked goes on.
        """
        self._seen = self._record.look(self._seen)
        while True:
            holders = alive(self._record, self._seen.fields.get("holders", {}))
            self._check_limit(holders)
            self._blockers = [*holders]
            if len(holders) >= self._limit:
                self._wait()
                return None
            grant = self._take(holders)
            if grant is not None:
                return Holding(self._record, grant, self._ttl, self._who)
            self._seen = self._record.read()

    def hurry(self) -> bool:
        """True if one who held a place is gone."""
        return any(is_gone(holder) for holder in self._blockers)

    def _wait(self) -> None:
        if self._is_endless and self._limit == 1:
            circles.wait(self._who, self._blockers)

    def _take(self, holders: Fields) -> Grant | None:
        fields, started, me = self._seen.fields, now(), new_token()
        token = fields.get("token", 0) + 1
        mine = {"token": token} | told_of_me(self._ttl)
        new = {"limit": self._limit, "token": token, "holders": holders | {me: mine}}
        seen = self._record.swap(self._seen, new)
        return None if seen is None else Grant(me, token, started, seen)

    def _check_limit(self, holders: Fields) -> None:
        limit = self._seen.fields.get("limit", self._limit)
        if holders and limit != self._limit:
            raise ValueError(
                f"{self._record.key.strings} is held with a limit of {limit}, not {self._limit}"
            )


class Holding:
    """A place that is held, renewed in the background until it is released, lost or forgotten."""

    def __init__(self, record: Record, grant: Grant, ttl: float, who: Any) -> None:
        self._record = record
        self._grant = grant
        self._seen = grant.seen
        self._ttl = ttl
        self._until = grant.started + ttl
        self._pid = os.getpid()
        self._is_lost = False
        self._lock = threading.RLock()
        circles.hold(grant.holder, who)
        self._stop = renewed(self, ttl)

    @property
    def token(self) -> int:
        """Greater than all tokens before."""
        return self._grant.token

    @property
    def is_valid(self) -> bool:
        """True if nobody can have taken it yet; costs no request."""
        return not self._is_lost and now() < self._until and os.getpid() == self._pid

    def renew(self) -> bool:
        """Tell others that this is alive; `False` if it was lost. Two requests, at most."""
        if os.getpid() != self._pid:  # its lock may be held for ever by a thread of the parent
            return False
        with self._lock:
            started = now()
            while not self._is_lost:
                seen = self._swapped(self._beaten)
                if seen is not None:
                    self._until = started + self._ttl
                    return True
            return False

    def release(self) -> bool:
        """Give the place back; `False` if it was lost before.

        May be repeated after an error; if it is not, the place is free when its `ttl` is over.
        """
        if os.getpid() != self._pid:
            return False
        self._stop()
        with self._lock:
            is_released = False
            while not self._is_lost:
                is_released = self._swapped(self._without_me) is not None
                self._is_lost = self._is_lost or is_released
        circles.let_go(self._grant.holder)
        bells.ring(self._record.identity, 1)
        return is_released

    def _swapped(self, make: Callable[[Fields], Fields]) -> Seen | None:
        """Change the record as it was seen last; look again if it is another by now."""
        if self._grant.holder not in self._seen.fields.get("holders", {}):
            self._is_lost = True
            return None
        seen = self._record.swap(self._seen, make(self._seen.fields))
        self._seen = self._record.read() if seen is None else seen
        return seen

    def _beaten(self, fields: Fields) -> Fields:
        holders = fields["holders"]
        mine = holders[self._grant.holder]
        return fields | {
            "holders": holders | {self._grant.holder: mine | {"beat": mine["beat"] + 1}}
        }

    def _without_me(self, fields: Fields) -> Fields:
        others = {
            name: told for name, told in fields["holders"].items() if name != self._grant.holder
        }
        return fields | {"holders": others}

    def __del__(self) -> None:
        circles.let_go(self._grant.holder)
