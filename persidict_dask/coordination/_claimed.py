"""Claim: an item of a queue in the hands of a worker."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Self

from persidict_dask._errors import LeaseLost
from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._polling import bells
from persidict_dask.coordination._records import ABSENT, Fields, Seen
from persidict_dask.coordination._renewal import renewed

_TRIES = 2
"""Attempts to remove what nobody needs any more."""


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
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._stop = renewed(self, ttl)

    @cached_property
    def item(self) -> Any:
        """What was put; a request if it is large."""
        try:
            return self._parts.unpack(self.key, self._seen.fields["item"])
        except KeyError:
            raise LeaseLost(f"{self!r}: somebody else has done the item meanwhile") from None

    @property
    def is_lost(self) -> bool:
        """True if the queue has given the item to somebody else, as far as was heard."""
        return self._is_open and self._seen.fields.get("holder") != self._me

    def done(self, result: Any = None) -> bool:
        """Record the item as done; `False` if somebody else, who got it later, was first.

        A write, and a removal (two requests). Done stays done, also if the process dies in
        between. After an error it may be repeated.
        """
        packed = self._parts.pack(self.key, result)
        with self._ending():
            done = {"result": packed, "label": self._seen.fields.get("label")}
            is_first = self._parts.done(self.key).swap(ABSENT, done) is not None
            for _ in range(_TRIES):
                with suppress(Exception):  # it is done: whoever claims it next tidies up
                    self._tidy(is_first)
                    break
            if not is_first:
                self._parts.drop(self.key, packed)
        return is_first

    def _tidy(self, is_first: bool) -> None:
        """Remove what lies about of an item that is done."""
        was_live = self._parts.place.records.discard(self._parts.live(self.key).key)
        if is_first:
            self._parts.drop(self.key, self._seen.fields["item"])
        if is_first and not was_live:  # it was given up meanwhile
            self._parts.place.records.discard(self._parts.dead(self.key).key)

    def fail(self, error: BaseException | str) -> bool:
        """Give the item back, or give it up after `max_deliveries`; `False` if it was lost."""
        text = error if isinstance(error, str) else _text(error)
        with self._ending():
            if self.deliveries >= self._max_deliveries:
                return self._bury(text)
            return self._given_back(lambda fields: {"errors": [*fields.get("errors", []), text]})

    def give_back(self) -> bool:
        """Give the item back untouched, as if it had not been claimed; `False` if it was lost."""
        with self._ending():
            return self._given_back(lambda fields: {"deliveries": fields["deliveries"] - 1})

    def renew(self) -> bool:
        """Tell others that this is alive; `False` if the item was lost."""

        def beaten(fields: Fields) -> Fields:
            told = fields["told"]
            return fields | {"told": told | {"beat": told["beat"] + 1}}

        if os.getpid() != self._pid:  # the lock may be held for ever by a thread of the parent
            return False
        with self._lock:
            return self._is_open and self._swapped(beaten)

    def _given_back(self, more: Callable[[Fields], Fields]) -> bool:
        def freed(fields: Fields) -> Fields:
            return fields | more(fields) | {"holder": None}

        return self._swapped(freed)

    def _bury(self, text: str) -> bool:
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

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """End the claim, once what is done inside has succeeded."""
        if os.getpid() != self._pid:
            raise RuntimeError(f"{self!r} belongs to the process that has claimed it")
        with self._lock:
            if not self._is_open:
                raise RuntimeError(f"{self!r} has ended already")
            yield
            self._is_open = False
        self._stop()
        bells.ring(self._parts.identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_open:
            if error is None:
                self.done()
            elif isinstance(error, Exception):
                self.fail(error)
            else:  # an interrupt says nothing of the item
                self.give_back()

    def __repr__(self) -> str:
        return f"Claim({self.key!r}, deliveries={self.deliveries})"


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-4000:]
