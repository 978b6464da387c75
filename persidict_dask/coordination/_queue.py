"""WorkQueue: items that many take, each of which is done once, whoever dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from persidict import NonEmptySafeStrTuple, OutcomeUnknownError
from persidict.owners import new_token
from persidict_dask._flights import in_thread
from persidict_dask._provenance import short_form
from persidict_dask._seconds import Seconds, seconds
from persidict_dask.coordination._candidates import Busy, Candidates
from persidict_dask.coordination._claimed import Claim
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._payloads import pack
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import Attempt, poll, poll_async
from persidict_dask.coordination._records import ABSENT, Record, Seen
from persidict_dask.coordination._views import DeadItems, DoneItems
from persidict_dask.coordination._waiters import Waiter

_DRAINED = object()
_NEARBY = 8
"""Those who claim choose among so many of the oldest, so that they seldom meet."""


class WorkQueue(Handle):
    """Items that workers claim, do, and tick off; what a dead worker had claimed comes back.

    Each item is done at least once, and recorded as done exactly once. Roughly in the order in
    which they came (that of their keys).

    Args:
        ttl: seconds of silence after which a claimant on another host is believed dead.
        max_deliveries: how often an item is claimed before it is put aside as dead.
    """

    kind: ClassVar[str] = "queue"

    def __init__(
        self, store: Somewhere, name: str, *, ttl: Seconds = 30, max_deliveries: int = 3
    ) -> None:
        whole("max_deliveries", max_deliveries)
        lasts = positive("ttl", seconds("ttl", ttl))
        super().__init__(store, name, ttl=lasts, max_deliveries=max_deliveries)
        self._ttl = lasts
        self._max_deliveries = max_deliveries
        self._parts = Parts(self._place, self._key)
        self._candidates = Candidates([], _NEARBY)
        self._busy = Busy(self._parts)

    def put(self, item: Any, key: str | None = None) -> str:
        """Put an item into the queue, and return its key; one request.

        With a key of one's own, an item that is there, done or dead under that key is left alone
        (up to five requests): what puts items may be repeated.
        """
        if key is not None and not isinstance(key, str):
            raise TypeError(f"a key is a string, not {type(key).__name__}")
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}" if key is None else key
        if key is not None and self._parts.is_over(key):
            return key
        packed = self._packed(name, item)
        fields = {"item": packed, "label": short_form(item), "deliveries": 0}
        put = self._parts.live(name).swap(ABSENT, fields)
        if put is None:
            self._parts.drop(name, packed)
        elif key is not None and self._parts.is_over(name) and self._parts.live(name).remove(put):
            self._parts.drop(name, packed)  # it was not removed if somebody has claimed it
        return name

    def claim(self, timeout: Seconds | None = 0) -> Claim | None:
        """Claim an item; `None` if there is none to claim within `timeout` seconds.

        Two requests, and a listing when the items that were listed last have been taken. Inside a
        task that waits, the worker runs others meanwhile.
        """
        attempt = self._attempt(self._look)
        found: Claim | None = poll(attempt, timeout, is_near=self._place.is_near)
        return found

    async def claim_async(self, timeout: Seconds | None = 0) -> Claim | None:
        """Do the same in a coroutine."""
        attempt = await in_thread(self._attempt, self._look)  # which may open the store
        found: Claim | None = await poll_async(attempt, timeout, is_near=self._place.is_near)
        return found

    def drain(self) -> Iterator[Claim]:
        """Claim items until all are done or dead, also those that others have claimed now.

        The loop must tick each one off (`claim.done()`, or `with claim:`).
        """
        attempt = self._attempt(self._look_until_drained)
        while True:
            found = poll(attempt, None, is_near=self._place.is_near)
            if found is _DRAINED:
                return
            yield found

    @property
    def done(self) -> DoneItems:
        """What is done: a mapping from keys to results."""
        return DoneItems(self._parts)

    @property
    def dead(self) -> DeadItems:
        """What was given up: a mapping from keys to `DeadItem`, with `release(key)`."""
        return DeadItems(self._parts)

    def __len__(self) -> int:
        """Count the items that are neither done nor dead; a listing."""
        return len(self._parts.keys("live"))

    def __bool__(self) -> bool:
        return True

    def _packed(self, name: str, item: Any) -> dict[str, Any]:
        return pack(self._place, NonEmptySafeStrTuple(self._key, name), item)

    def _attempt(self, look: Callable[[], Any]) -> Attempt:
        waiter = Waiter(self._place, self._key)

        def undo(found: Any) -> None:
            if found is not _DRAINED:
                found.give_back()

        where = self._parts.identity
        return Attempt(where, look, self._busy.hurry, waiter.begin, waiter.end, undo)

    def _look_until_drained(self) -> Any:
        found = self._look()
        return _DRAINED if found is None and not self._parts.keys("live") else found

    def _look(self) -> Claim | None:
        """Try those that were listed last, then those that are there now."""
        return self._first_of(self._candidates.take) or self._first_of(self._listed().take)

    def _listed(self) -> Candidates:
        names = sorted(self._parts.keys("live"))
        self._candidates = Candidates(self._busy.worth_a_look(names), _NEARBY)
        return self._candidates

    def _first_of(self, take: Callable[[], str | None]) -> Claim | None:
        while (name := take()) is not None:
            claim = self._taken(name)
            if claim is not None:
                return claim
        return None

    def _taken(self, name: str) -> Claim | None:
        """Take an item, if nobody has it, or one who is believed dead."""
        record = self._parts.live(name)
        seen = record.look(self._busy.known(name))
        if not seen.exists or self._busy.is_held(name, seen):
            return None
        if seen.fields["deliveries"] and self._is_over(name, record, seen):
            return None
        me = new_token()
        mine = {"holder": me, "told": told_of_me(self._ttl)}
        more = {"deliveries": seen.fields["deliveries"] + 1}
        try:
            swapped = record.swap(seen, seen.fields | mine | more)
        except OutcomeUnknownError:
            if record.read().exists:
                raise
            return None  # whoever has claimed it, it is done or dead
        if swapped is None:
            return None
        return Claim(self._parts, name, me, swapped, self._ttl, self._max_deliveries)

    def _is_over(self, name: str, record: Record, seen: Seen) -> bool:
        """True, and put away, if it was done before its claimant died, or has killed too many."""
        if self._parts.is_done(name):
            if record.remove(seen):
                self._parts.drop(name, seen.fields["item"])
            return True
        if seen.fields["deliveries"] >= self._max_deliveries:
            holder = seen.fields.get("told", {})
            where = f"{holder.get('host')}, process {holder.get('pid')}"
            self._parts.bury(name, seen, f"its claimant is gone ({where})")
            return True
        return False
