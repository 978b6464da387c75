"""RateLimiter: so many per second, among all who share a store."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from persidict_dask._flights import in_thread
from persidict_dask._waiting import Away
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._moments import Moments, moment_in
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import deadline_of
from persidict_dask.coordination._records import Fields, Record


class RateLimiter(Handle):
    """Lets at most `rate` per second pass, and `burst` at once after a pause.

    Fair: each caller reserves the next moment, and waits for it; nobody overtakes. A caller that
    dies while it waits wastes its turn. No wall clock is trusted: processes of one host share a
    clock that nobody sets; one of another host counts from when it sees a reservation first, which
    can make it wait longer, never less.

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
        self._moments = Moments()

    def acquire(self, n: int = 1, timeout: float | None = None) -> None:
        """Wait for the turn of `n`; a read and a write, more in a race, and no other requests.

        Raises `TimeoutError`, at once and with nothing reserved, when it would come too late.
        """
        pause = self._reserve(n, timeout)
        if pause > 0:
            with Away() as away:
                away.begin()
                time.sleep(pause)

    async def acquire_async(self, n: int = 1, timeout: float | None = None) -> None:
        """Do the same in a coroutine."""
        await asyncio.sleep(max(0.0, await in_thread(self._reserve, n, timeout)))

    def _reserve(self, n: int, timeout: float | None) -> float:
        """Reserve the next moment; return the seconds until then."""
        whole("n", n)
        deadline_of(timeout)  # says what is wrong with it
        pause = 0.0

        def reserved(fields: Fields) -> Fields:
            nonlocal pause
            at = now()
            free = max(self._free_at(fields, at), at - self._every * (self._burst - 1))
            # n pass together, when the last of them may
            pause = free + self._every * (n - 1) - at
            if timeout is not None and pause > max(timeout, 0):
                raise TimeoutError(f"{self!r}: the next turn comes in {pause:.3g} s")
            return {"next": moment_in(free + self._every * n - at)}

        self._record.change(reserved)
        return pause

    def _free_at(self, fields: Fields, at: float) -> float:
        """Return the moment when the next may pass, by the clock of this host."""
        if not fields:
            return at - self._every * self._burst
        return self._moments.here(fields["serial"], fields["next"])
