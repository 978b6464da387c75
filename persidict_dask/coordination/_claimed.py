"""Claim: an item of a queue in the hands of a worker."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._polling import bell
from persidict_dask.coordination._records import ABSENT, Fields, Seen
from persidict_dask.coordination._renewal import renewed


class Claim:
    """An item that nobody else gets, for as long as this process lives and is heard of.

    In a `with` statement the item is done at the end, and has failed if there was an exception,
    which is raised. A claim that is forgotten comes back after the `ttl` of the queue.
    """

    def __init__(
        self, parts: Parts, key: str, me: str, seen: Seen, ttl: float, max_deliveries: int
    ) -> None:
        self.key = key
        """The key of the item."""
        self.deliveries: int = seen.fields["deliveries"]
        """How often it was claimed, this time included."""
        self._parts = parts
        self._me = me
        self._seen = seen
        self._max_deliveries = max_deliveries
        self._is_open = True
        self._lock = threading.Lock()
        self._stop = renewed(self, ttl)

    @cached_property
    def item(self) -> Any:
        """What was put; a request if it is large."""
        return self._parts.unpack(self.key, self._seen.fields["item"])

    @property
    def is_lost(self) -> bool:
        """True if the queue has given the item to somebody else, as far as was heard."""
        return self._is_open and self._seen.fields.get("holder") != self._me

    def done(self, result: Any = None) -> bool:
        """Record the item as done; `False` if somebody else, who got it later, was first.

        A write and a removal. Done stays done, also if the process dies in between.
        """
        self._close()
        packed = self._parts.pack(self.key, result)
        done = {"result": packed, "label": self._seen.fields.get("label")}
        is_first = self._parts.done(self.key).swap(ABSENT, done) is not None
        self._parts.place.records.discard(self._parts.live(self.key).key)
        if is_first:
            self._parts.drop(self.key, self._seen.fields["item"])
            self._parts.place.records.discard(self._parts.dead(self.key).key)
        else:
            self._parts.drop(self.key, packed)
        bell.ring()
        return is_first

    def fail(self, error: BaseException | str) -> bool:
        """Give the item back, or give it up after `max_deliveries`; `False` if it was lost."""
        self._close()
        text = error if isinstance(error, str) else _text(error)
        if self.deliveries >= self._max_deliveries:
            return self._bury(text)
        return self._given_back(lambda fields: {"errors": [*fields.get("errors", []), text]})

    def give_back(self) -> bool:
        """Give the item back untouched, as if it had not been claimed; `False` if it was lost."""
        self._close()
        return self._given_back(lambda fields: {"deliveries": fields["deliveries"] - 1})

    def renew(self) -> bool:
        """Tell others that this is alive; `False` if the item was lost."""

        def beaten(fields: Fields) -> Fields:
            told = fields["told"]
            return fields | {"told": told | {"beat": told["beat"] + 1}}

        with self._lock:
            return self._is_open and self._swapped(beaten)

    def _given_back(self, more: Callable[[Fields], Fields]) -> bool:
        def freed(fields: Fields) -> Fields:
            return fields | more(fields) | {"holder": None}

        with self._lock:
            return self._swapped(freed)

    def _bury(self, text: str) -> bool:
        with self._lock:
            self._seen = self._parts.live(self.key).look(self._seen)
            if self._seen.fields.get("holder") != self._me:
                return False
            self._parts.bury(self.key, self._seen, text)
            return True

    def _swapped(self, make: Callable[[Fields], Fields]) -> bool:
        """Change the live record for as long as it is ours."""
        record = self._parts.live(self.key)
        while self._seen.fields.get("holder") == self._me:
            seen = record.swap(self._seen, make(self._seen.fields))
            if seen is not None:
                self._seen = seen
                return True
            self._seen = record.read()
        return False

    def _close(self) -> None:
        self._stop()
        with self._lock:
            if not self._is_open:
                raise RuntimeError(f"the claim of {self.key!r} has ended already")
            self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_open:
            if error is None:
                self.done()
            else:
                self.fail(error)

    def __repr__(self) -> str:
        return f"Claim({self.key!r}, deliveries={self.deliveries})"


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-4000:]
