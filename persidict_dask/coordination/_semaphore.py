"""Semaphore: a limited number of places for all who share a store."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, ClassVar, Self

from persidict_dask._errors import DeadlockError, LeaseLost
from persidict_dask._flights import in_thread
from persidict_dask.coordination._deadlocks import circles, myself
from persidict_dask.coordination._holders import Grant, Holding, Queuer
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import Attempt, poll, poll_async
from persidict_dask.coordination._records import Record
from persidict_dask.coordination._waiters import Waiter


class Places(Handle):
    """What leases and semaphores have in common: a record of holders, and what this handle holds.

    Threads may share a handle; each releases what it has acquired.
    """

    def __init__(
        self, store: Somewhere, name: str, places: int, ttl: float, **settings: Any
    ) -> None:
        super().__init__(store, name, ttl=ttl, **settings)
        self._limit = places
        self._ttl = positive("ttl", ttl)
        self._record = Record(self._place, self._key)
        self._last_token: int | None = None
        self._holdings: list[tuple[Hashable, Holding]] = []
        self._lock = threading.Lock()

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for a place, and tell whether there was one in time (seconds; `None`: no limit).

        A free one costs two requests. Inside a task the worker runs others meanwhile. Raises
        `DeadlockError` if waiting would never end, as far as this process can see.
        """
        who = myself()
        attempt = self._attempt(who, timeout)
        return self._got(who, poll(attempt, timeout, is_near=self._place.is_near))

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Do the same in a coroutine, without a thread that waits."""
        who = myself()
        attempt = self._attempt(who, timeout)
        return self._got(who, await poll_async(attempt, timeout, is_near=self._place.is_near))

    def release(self) -> None:
        """Give the place back; `LeaseLost` if it was lost before. One request, two in a race."""
        if not self._popped(myself()).release():
            raise LeaseLost(f"{self!r} was lost while it was held")

    async def release_async(self) -> None:
        """Do the same in a coroutine."""
        if not await in_thread(self._popped(myself()).release):
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

    def _attempt(self, who: Hashable, timeout: float | None) -> Attempt:
        self._refuse_twice(who)
        queuer = Queuer(self._record, self._limit, self._ttl, who if timeout is None else None)
        waiter = Waiter(self._place, self._key)

        def end() -> None:
            circles.go_on(who)
            waiter.end()

        return Attempt(queuer.look, queuer.hurry, waiter.begin, end, self._undo)

    def _refuse_twice(self, who: Hashable) -> None:
        with self._lock:
            if self._limit == 1 and any(w == who and h.is_valid for w, h in self._holdings):
                raise DeadlockError(f"{self!r} is held already by the one who asks for it")

    def _got(self, who: Hashable, grant: Grant | None) -> bool:
        if grant is None:
            return False
        with self._lock:
            self._holdings.append((who, Holding(self._record, grant, self._ttl, who)))
            self._last_token = grant.token
        return True

    def _undo(self, grant: Grant) -> None:
        Holding(self._record, grant, self._ttl, None).release()

    def _popped(self, who: Hashable) -> Holding:
        """Forget the holding that is to be released: one's own, or the last of another thread."""
        holding = self._held_by_me(who)
        with self._lock:
            self._holdings = [(w, held) for w, held in self._holdings if held is not holding]
        return holding

    def _held_by_me(self, who: Hashable) -> Holding:
        with self._lock:
            last = self._holdings[-1][1] if self._holdings else None
        holding = self._mine(who) or last
        if holding is None:
            raise RuntimeError(f"{self!r} is not held")
        return holding

    def _mine(self, who: Hashable) -> Holding | None:
        with self._lock:
            return next((held for w, held in reversed(self._holdings) if w == who), None)

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

    def __init__(self, store: Somewhere, name: str, *, limit: int, ttl: float = 30) -> None:
        whole("limit", limit)
        super().__init__(store, name, limit, ttl, limit=limit)
