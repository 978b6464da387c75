"""Lease: one holder at a time, and a token that tells an old holder from a new one."""

from __future__ import annotations

from typing import ClassVar

from persidict_dask._seconds import Seconds
from persidict_dask.coordination._deadlocks import myself
from persidict_dask.coordination._places import Somewhere
from persidict_dask.coordination._semaphore import Places


class Lease(Places):
    """At most one holder at a time, among all threads, processes and hosts of a store.

    Renewed in the background while it is held. A holder that is stopped, or cut off from the
    store, for longer than `ttl` may believe for a moment that it still holds: writes that must not
    come from such a one are made with `fenced_set(..., token=lease.token)`.

    Args:
        ttl: seconds of silence after which a holder on another host is believed dead; one whose
            process on this host is gone is noticed at once.
    """

    kind: ClassVar[str] = "lease"

    def __init__(self, store: Somewhere, name: str, *, ttl: Seconds = 30) -> None:
        super().__init__(store, name, 1, ttl)

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every holder before; costs no request.

        Of what this thread holds through this handle, else of the last that the handle has had.
        `RuntimeError` before any.
        """
        mine = self._mine(myself())
        token = mine.token if mine is not None else self._last_token
        if token is None:
            raise RuntimeError(f"{self!r} has no token before it was acquired")
        return token
