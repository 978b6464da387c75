"""Claims: records beside the results that say who is computing which call."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    NonEmptySafeStrTuple,
    PersiDict,
)
from persidict.exceptions import DamagedItemError, OutcomeUnknownError
from persidict.owners import is_gone, new_token
from persidict_dask._heartbeat import heart

TTL = 30.0
"""Seconds of silence after which a runner on another host is believed dead."""


class Claim(NamedTuple):
    """What a record says, and the etag that it has."""

    owner: str
    task: str
    etag: Any

    def is_abandoned(self, task: str) -> bool:
        """True if its owner certainly runs no more: it is gone, or its task has begun again."""
        return is_gone(self.owner) or bool(task and task == self.task)


class Claims:
    """The claims of the calls of a function; each is for one that runs now, or was killed.

    Args:
        records: an exact dictionary of texts.
    """

    def __init__(self, records: PersiDict[str]) -> None:
        self._records = records

    def take(self, key: NonEmptySafeStrTuple, task: str) -> Claim | Held:
        """Claim a call, or return the claim that somebody else has; one request either way."""
        owner = new_token()
        while True:
            seen = self._insert(key, _record(owner, task, 0))
            if seen is not None:
                return Held(self, key, seen) if seen.owner == owner else seen

    def look(self, key: NonEmptySafeStrTuple, known: Claim) -> Claim | None:
        """Return the claim as it is now; `None` if there is none. Costs a conditional read."""
        try:
            result = self._records.get_item_if(
                key,
                condition=ETAG_HAS_CHANGED,
                expected_etag=known.etag,
                retrieve_value=IF_ETAG_CHANGED,
            )
        except DamagedItemError:
            self._records.discard(key)
            return None
        if result.actual_etag is ITEM_NOT_AVAILABLE:
            return None
        if result.new_value is VALUE_NOT_RETRIEVED:
            return known
        return _claim(result.new_value, result.actual_etag)

    def take_over(self, key: NonEmptySafeStrTuple, seen: Claim, task: str) -> Held | None:
        """Take over the claim of somebody who is gone; `None` if it is not as it was seen."""
        taken = self._replace(key, seen.etag, new_token(), task, 0)
        return None if taken is None else Held(self, key, taken)

    def renew(self, key: NonEmptySafeStrTuple, claim: Claim, beat: int) -> Claim | None:
        """Show that the runner is alive; `None` if the claim was lost."""
        return self._replace(key, claim.etag, claim.owner, claim.task, beat)

    def release(self, key: NonEmptySafeStrTuple, claim: Claim) -> None:
        """Remove a claim, unless somebody has taken it over."""
        self._records.discard_item_if(key, condition=ETAG_IS_THE_SAME, expected_etag=claim.etag)

    def remove_abandoned(self, keys: list[NonEmptySafeStrTuple]) -> None:
        """Remove what killed processes have left of these."""
        for key in keys:
            record = self._records.get(key)
            if record is not None and is_gone(_claim(record, None).owner):
                self._records.discard(key)

    def under(self, name: str) -> list[NonEmptySafeStrTuple]:
        """Return the keys of all claims of a function."""
        below = self._records.get_subdict(name)
        return [NonEmptySafeStrTuple(name, key) for key in below]

    def _insert(self, key: NonEmptySafeStrTuple, record: str) -> Claim | None:
        """Insert unless there is one; return what is there, `None` if it vanished meanwhile."""
        try:
            result = self._records.setdefault_if(
                key,
                default_value=record,
                condition=ANY_ETAG,
                expected_etag=ITEM_NOT_AVAILABLE,
                retrieve_value=ALWAYS_RETRIEVE,
            )
        except DamagedItemError:
            self._records.discard(key)
            return None
        except OutcomeUnknownError:
            return self.look(key, _NONE)
        if result.resulting_etag is ITEM_NOT_AVAILABLE:
            return None
        return _claim(result.new_value, result.resulting_etag)

    def _replace(
        self, key: NonEmptySafeStrTuple, etag: Any, owner: str, task: str, beat: int
    ) -> Claim | None:
        try:
            result = self._records.set_item_if(
                key,
                value=_record(owner, task, beat),
                condition=ETAG_IS_THE_SAME,
                expected_etag=etag,
                retrieve_value=NEVER_RETRIEVE,
            )
        except OutcomeUnknownError:
            seen = self.look(key, _NONE)
            return seen if seen is not None and seen.owner == owner else None
        if not result.condition_was_satisfied:
            return None
        return Claim(owner, task, result.resulting_etag)


class Held:
    """A claim of this process, renewed in the background until it is released."""

    def __init__(self, claims: Claims, key: NonEmptySafeStrTuple, claim: Claim) -> None:
        self._claims = claims
        self._key = key
        self._claim: Claim | None = claim
        self._beat = 0
        self._lock = threading.RLock()
        self._stop: Callable[[], None] = heart.add(self._renew, TTL / 3)

    def release(self) -> None:
        """Let others claim the call; an error of the store is none of the call."""
        self._stop()
        with self._lock:
            claim, self._claim = self._claim, None
        if claim is not None:
            with suppress(Exception):  # it will be taken for abandoned
                self._claims.release(self._key, claim)

    def _renew(self) -> bool:
        with self._lock:
            if self._claim is None:
                return False
            self._beat += 1
            with suppress(Exception):  # the next one may get through
                self._claim = self._claims.renew(self._key, self._claim, self._beat)
            return self._claim is not None


_NONE = Claim("", "", ITEM_NOT_AVAILABLE)


def _record(owner: str, task: str, beat: int) -> str:
    """Say who runs the call; no two records are equal, so that no two etags are."""
    told = {"owner": owner, "task": task, "beat": beat, "host": socket.gethostname()}
    return json.dumps({**told, "at": time.time()})


def _claim(record: Any, etag: Any) -> Claim:
    try:
        told = json.loads(record)
        return Claim(str(told["owner"]), str(told["task"]), etag)
    except (TypeError, ValueError, KeyError):  # nobody's
        return Claim("", "", etag)
