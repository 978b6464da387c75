"""Semaphore: a limited number of places for all who share a store."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar, Self

from persidict_dask._errors import DeadlockError, LeaseLost
from persidict_dask._flights import in_thread
from persidict_dask._seconds import Seconds, seconds
from persidict_dask.coordination._deadlocks import circles, myself
from persidict_dask.coordination._holders import Holding, Queuer
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import Attempt, poll, poll_async
from persidict_dask.coordination._records import Record
from persidict_dask.coordination._waiters import Waiter


class Places(Handle):
    """What leases and semaphores have in common: a record of holders, and what this handle holds.

    Threads may share a handle; each releases what it has acquired, or else the last of another.
    """

    def __init__(
        self, store: Somewhere, name: str, places: int, ttl: Seconds, **settings: Any
    ) -> None:
        self._ttl = positive("ttl", seconds("ttl", ttl))
        super().__init__(store, name, ttl=self._ttl, **settings)
        self._limit = places
        self._record = Record(self._place, self._key)
        self._last_token: int | None = None
        self._holdings: list[tuple[Any, Holding]] = []
        self._lock = threading.RLock()

    def acquire(self, timeout: Seconds | None = None) -> bool:
        """Wait for a place, and tell whether there was one in time (seconds; `None`: no limit).

        A free one costs two requests. Inside a task the worker runs others meanwhile. Raises
        `DeadlockError` if waiting would never end, as far as this process can see.
        """
        who = myself()
        attempt = self._attempt(who, timeout)
        return self._got(who, poll(attempt, timeout, is_near=self._place.is_near))

    async def acquire_async(self, timeout: Seconds | None = None) -> bool:
        """Do the same in a coroutine, without a thread that waits."""
        who = myself()
        attempt = await in_thread(self._attempt, who, timeout)  # which may open the store
        return self._got(who, await poll_async(attempt, timeout, is_near=self._place.is_near))

    def release(self) -> None:
        """Give the place back; `LeaseLost` if it was lost before. One request, two in a race."""
        holding = self._held_by_me(myself())
        is_released = holding.release()
        self._forget(holding)
        if not is_released:
            raise LeaseLost(f"{self!r} was lost while it was held")

    async def release_async(self) -> None:
        """Do the same in a coroutine."""
        holding = self._held_by_me(myself())
        # once it is begun it is carried out
        is_released = await asyncio.shield(in_thread(holding.release))
        self._forget(holding)
        if not is_released:
            raise LeaseLost(f"{self!r} was lost while it was held")

    def renew(self) -> None:
        """Renew now what is renewed in the background anyway; `LeaseLost` if it was lost."""
        if not self._held_by_me(myself()).renew():
            raise LeaseLost(f"{self!r} was lost while it was held")

    @property
    def held(self) -> bool:
        """True if a place is held, and nobody can have taken it yet; costs no request."""
        with self._lock:
            return any(holding.is_valid for _, holding in self._holdings)

    def _attempt(self, who: Any, timeout: Seconds | None) -> Attempt:
        if timeout is None:
            self._refuse_twice(who)
        queuer = Queuer(self._record, self._limit, self._ttl, who, is_endless=timeout is None)
        waiter = Waiter(self._place, self._key)

        def end() -> None:
            circles.go_on(who)
            waiter.end()

        where = self._record.identity
        return Attempt(where, queuer.look, queuer.hurry, waiter.begin, end, _give_back)

    def _refuse_twice(self, who: Any) -> None:
        with self._lock:
            if self._limit == 1 and any(w is who and h.is_valid for w, h in self._holdings):
                raise DeadlockError(f"{self!r} is held already by the one who asks for it")

    def _got(self, who: Any, holding: Holding | None) -> bool:
        if holding is None:
            return False
        with self._lock:
            self._holdings.append((who, holding))
            self._last_token = holding.token
        return True

    def _forget(self, holding: Holding) -> None:
        with self._lock:
            self._holdings = [(w, held) for w, held in self._holdings if held is not holding]

    def _held_by_me(self, who: Any) -> Holding:
        with self._lock:
            last = self._holdings[-1][1] if self._holdings else None
        holding = self._mine(who) or last
        if holding is None:
            raise RuntimeError(f"{self!r} is not held")
        return holding

    def _mine(self, who: Any) -> Holding | None:
        with self._lock:
            return next((held for w, held in reversed(self._holdings) if w is who), None)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.release()
        except LeaseLost:
            if kind is None:  # what went wrong inside is more to the point
                raise

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.release_async()
        except LeaseLost:
            if kind is None:
                raise


class Semaphore(Places):
    """At most `limit` holders at a time, among all threads, processes and hosts of a store.

    Who gets a free place next is not said: waiters come at random.

    Args:
        limit: how many may hold a place; all who share the name say the same.
        ttl: seconds of silence after which a holder on another host is believed dead.
    """

    kind: ClassVar[str] = "semaphore"

    def __init__(self, store: Somewhere, name: str, *, limit: int, ttl: Seconds = 30) -> None:
        whole("limit", limit)
        super().__init__(store, name, limit, ttl, limit=limit)


def _give_back(holding: Holding) -> None:
    holding.release()
