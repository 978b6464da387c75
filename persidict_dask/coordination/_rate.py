"""RateLimiter: so many per second, among all who share a store."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from persidict_dask._flights import in_thread
from persidict_dask._seconds import Seconds, seconds
from persidict_dask._waiting import Away
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._moments import moment_at, moment_here
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import deadline_of
from persidict_dask.coordination._records import Fields, Record

_SHORT = 0.5
"""Seconds of a pause for which a task keeps its place on the worker."""
_LATE = 0.05
"""Seconds after which a turn is over for who did not wake up in time, and another is needed."""


class RateLimiter(Handle):
    """Lets at most `rate` per second pass, and `burst` at once after a pause.

    Fair: each caller reserves the next moment, and waits for it; nobody overtakes. A caller that
    dies while it waits wastes its turn. No wall clock is trusted: processes of one host share a
    clock that nobody sets; for those of other hosts a turn comes later by as long as it took to
    see a reservation, never sooner.

    Args:
        rate: per second.
        burst: how many may pass at once after a time without any.
    """

    kind: ClassVar[str] = "rate"

    def __init__(self, store: Somewhere, name: str, *, rate: float, burst: int = 1) -> None:
        super().__init__(store, name, rate=positive("rate", rate), burst=whole("burst", burst))
        self._every = 1 / rate
        self._burst = burst
        self._record = Record(self._place, self._key)

    def acquire(self, n: int = 1, timeout: Seconds | None = None) -> None:
        """Wait for the turn of `n`; a read and a write, more in a race, and no other requests.

        Raises `TimeoutError`, at once and with nothing reserved, when it would come too late.
        """
        turn = _Turn(self, n, timeout)
        while (pause := turn.pause()) > 0:
            if pause < _SHORT:
                time.sleep(pause)
            else:
                with Away() as away:
                    away.begin()
                    time.sleep(pause)

    async def acquire_async(self, n: int = 1, timeout: Seconds | None = None) -> None:
        """Do the same in a coroutine."""
        turn = _Turn(self, n, timeout)
        while (pause := await in_thread(turn.pause)) > 0:
            await asyncio.sleep(pause)

    def reserve(self, n: int, timeout: Seconds | None) -> float:
        """Reserve the next moment, and return it."""
        whole("n", n)
        left = None if timeout is None else max(seconds("a timeout", timeout), 0)
        due = 0.0

        def reserved(fields: Fields) -> Fields:
            nonlocal due
            at = now()
            free = max(self._free_at(fields, at), at - self._every * (self._burst - 1))
            # n pass together, when the last of them may
            due = free + self._every * (n - 1)
            if left is not None and due - at > left:
                raise TimeoutError(f"{self!r}: the next turn comes in {due - at:.3g} s")
            return {"next": moment_at(free + self._every * n, at)}

        self._record.change(reserved)
        return due

    def _free_at(self, fields: Fields, at: float) -> float:
        """Return the moment when the next may pass, by the clock of this host."""
        if not fields:
            return at - self._every * self._burst
        return moment_here(fields["next"])


class _Turn:
    """The turn of one caller: whoever comes too late for it, because others were busy, asks again.

    Or else all who were late would pass together.
    """

    def __init__(self, limiter: RateLimiter, n: int, timeout: Seconds | None) -> None:
        self._limiter = limiter
        self._n = n
        self._deadline = deadline_of(timeout)
        self._due: float | None = None

    def pause(self) -> float:
        """Return the seconds until the turn; 0 when it has come."""
        if self._due is not None and self._due <= now() <= self._due + _LATE:
            return 0.0
        if self._due is None or now() > self._due:
            left = None if self._deadline is None else max(0.0, self._deadline - now())
            self._due = self._limiter.reserve(self._n, left)
        return max(0.0, self._due - now())
