"""WorkQueue: items that many take, each of which is done once, whoever dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from persidict import NonEmptySafeStrTuple
from persidict.owners import new_token
from persidict_dask.coordination._claimed import Claim
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._payloads import pack
from persidict_dask.coordination._places import Handle, Somewhere, positive, whole
from persidict_dask.coordination._polling import Attempt, poll, poll_async
from persidict_dask.coordination._records import ABSENT, Fields, Record, Seen
from persidict_dask.coordination._silence import silence
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
        self, store: Somewhere, name: str, *, ttl: float = 30, max_deliveries: int = 3
    ) -> None:
        whole("max_deliveries", max_deliveries)
        super().__init__(store, name, ttl=positive("ttl", ttl), max_deliveries=max_deliveries)
        self._ttl = ttl
        self._max_deliveries = max_deliveries
        self._parts = Parts(self._place, self._key)
        self._candidates: list[str] = []

    def put(self, item: Any, key: str | None = None) -> str:
        """Put an item into the queue, and return its key; one request.

        With a key of one's own, an item that is there, done or dead under that key is left alone
        (three requests): what puts items may be repeated.
        """
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}" if key is None else key
        packed = self._packed(name, item)
        fields = {"item": packed, "label": repr(item)[:80], "deliveries": 0}
        put = self._parts.live(name).swap(ABSENT, fields)
        if put is None:
            self._parts.drop(name, packed)
        elif key is not None and (self._parts.is_done(name) or self._parts.is_dead(name)):
            self._parts.live(name).remove(put)
            self._parts.drop(name, packed)
        return name

    def claim(self, timeout: float | None = 0) -> Claim | None:
        """Claim an item; `None` if there is none to claim within `timeout` seconds.

        Two requests, and a listing when the items that were listed last have been taken. Inside a
        task that waits, the worker runs others meanwhile.
        """
        attempt = self._attempt(self._look)
        return self._claimed(poll(attempt, timeout, is_near=self._place.is_near))

    async def claim_async(self, timeout: float | None = 0) -> Claim | None:
        """Do the same in a coroutine."""
        attempt = self._attempt(self._look)
        return self._claimed(await poll_async(attempt, timeout, is_near=self._place.is_near))

    def drain(self) -> Iterator[Claim]:
        """Claim items until all are done or dead, also those that others have claimed now.

        The loop must tick each one off (`claim.done()`, or `with claim:`).
        """
        attempt = self._attempt(self._look_until_drained)
        while True:
            found = poll(attempt, None, is_near=self._place.is_near)
            if found is _DRAINED:
                return
            yield self._claimed(found)  # type: ignore[misc]  # there is one

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
                self._claimed(found).give_back()  # type: ignore[union-attr]

        return Attempt(look, begin=waiter.begin, end=waiter.end, undo=undo)

    def _look_until_drained(self) -> Any:
        found = self._look()
        return _DRAINED if found is None and not self._parts.keys("live") else found

    def _look(self) -> tuple[str, str, Seen] | None:
        """Try those that were listed last, then those that are there now."""
        for _ in range(2):
            while self._candidates:
                at = secrets.randbelow(min(_NEARBY, len(self._candidates)))
                try:
                    name = self._candidates.pop(at)
                except IndexError:  # another thread has the same handle
                    continue
                taken = self._taken(name)
                if taken is not None:
                    return taken
            self._candidates = sorted(self._parts.keys("live"))
        return None

    def _taken(self, name: str) -> tuple[str, str, Seen] | None:
        """Take an item, if nobody has it, or one who is believed dead."""
        record = self._parts.live(name)
        seen = record.read()
        if not seen.exists or self._is_held(record, seen.fields):
            return None
        if seen.fields["deliveries"] and self._is_over(name, record, seen):
            return None
        me = new_token()
        mine = {"holder": me, "told": told_of_me(self._ttl)}
        more = {"deliveries": seen.fields["deliveries"] + 1}
        swapped = record.swap(seen, seen.fields | mine | more)
        return None if swapped is None else (name, me, swapped)

    def _is_held(self, record: Record, fields: Fields) -> bool:
        holder = fields.get("holder")
        return holder is not None and not silence.is_over(record.identity, holder, fields["told"])

    def _is_over(self, name: str, record: Record, seen: Seen) -> bool:
        """True, and put away, if it was done before its claimant died, or has killed too many."""
        if self._parts.is_done(name):
            record.remove(seen)
            return True
        if seen.fields["deliveries"] >= self._max_deliveries:
            holder = seen.fields.get("told", {})
            where = f"{holder.get('host')}, process {holder.get('pid')}"
            self._parts.bury(name, seen, f"its claimant is gone ({where})")
            return True
        return False

    def _claimed(self, taken: tuple[str, str, Seen] | None) -> Claim | None:
        if taken is None:
            return None
        name, me, seen = taken
        return Claim(self._parts, name, me, seen, self._ttl, self._max_deliveries)
