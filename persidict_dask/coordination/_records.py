"""Records that many change at the same time: read, compared, swapped."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ConditionalOperationResult,
    DamagedItemError,
    NonEmptySafeStrTuple,
)
from persidict.exceptions import OutcomeUnknownError
from persidict_dask.coordination._places import Place

Fields = dict[str, Any]

_REMEMBERED = 48
"""Changes whose authors a record names, for those who never got an answer."""

_TRIES = 5
"""Attempts at one change, as long as nobody can tell whether it was made."""


class Seen(NamedTuple):
    """A version of a record; one that is absent has no fields."""

    fields: Fields
    etag: Any

    @property
    def exists(self) -> bool:
        """True if there is such a record."""
        return self.etag is not ITEM_NOT_AVAILABLE


ABSENT = Seen({}, ITEM_NOT_AVAILABLE)


class Record:
    """One record of a place.

    Each version has a number, and names the last who changed it: no two versions are equal, and
    whoever got no answer sees later whether the change was made.
    """

    def __init__(self, place: Place, key: NonEmptySafeStrTuple) -> None:
        self._place = place
        self.key = key

    @property
    def identity(self) -> Any:
        """What is the same for all of this process who mean this record."""
        return self._place.identity, self.key

    def read(self) -> Seen:
        """Return the record as it is; one request."""
        return self.look(ABSENT)

    def look(self, known: Seen) -> Seen:
        """Return the record as it is; a conditional read, without content if it is known."""
        result = self._place.records.get_item_if(
            self.key,
            condition=ETAG_HAS_CHANGED if known.exists else ANY_ETAG,
            expected_etag=known.etag,
            retrieve_value=IF_ETAG_CHANGED,
        )
        return known if result.new_value is VALUE_NOT_RETRIEVED else self._seen(result)

    def swap(self, seen: Seen, fields: Fields) -> Seen | None:
        """Replace the version that was seen; `None` if somebody was first. One request."""
        me = secrets.token_hex(4)
        new = {
            **fields,
            "serial": seen.fields.get("serial", 0) + 1,
            "recent": [me, *seen.fields.get("recent", [])][:_REMEMBERED],
        }
        for attempt in range(_TRIES):
            try:
                result = self._exchanged(seen, new)
            except OutcomeUnknownError:
                if attempt == _TRIES - 1:
                    raise
                there = self.read()
            else:
                if result.condition_was_satisfied:
                    return Seen(new, result.resulting_etag)
                there = self._seen(result)
                if attempt == 0:
                    # refused: but a server may say that it was too busy, and have done it
                    return _made(there, new, me)
            if there.etag != seen.etag:
                return self._made_or_not(there, new, me)
            # not made, or on its way yet: the same again, by the same author
        raise AssertionError("unreachable")

    def _exchanged(self, seen: Seen, new: Fields) -> ConditionalOperationResult[Any]:
        """Write the new version, or return what is there in its place."""
        return self._place.records.set_item_if(
            self.key,
            value=json.dumps(new),  # without indents: those are written by Python, not by C
            condition=ETAG_IS_THE_SAME,
            expected_etag=seen.etag,
            retrieve_value=ALWAYS_RETRIEVE,
        )

    def _made_or_not(self, there: Seen, new: Fields, me: str) -> Seen | None:
        """Find out by a later version whether a change was made whose answer was lost."""
        made = _made(there, new, me)
        if made is not None:
            return made
        if there.exists and there.fields.get("serial", 0) - new["serial"] < _REMEMBERED - 1:
            return None
        raise OutcomeUnknownError(
            f"{self.key!r} was changed by others so often that nobody can tell whether we did",
            backend="coordination",
            operation="swap",
            key=self.key,
        )

    def change(self, make: Callable[[Fields], Fields | None]) -> Seen:
        """Replace the record by what `make` makes of it, unless that is `None`; return the last.

        `make` is called again when others were first. Lock-free: somebody always gets on.
        """
        seen = self.read()
        for attempt in range(1_000_000):
            fields = make(seen.fields)
            if fields is None:
                return seen
            swapped = self.swap(seen, fields)
            if swapped is not None:
                return swapped
            self.let_others(attempt)
            seen = self.read()
        raise AssertionError("unreachable")

    def let_others(self, attempt: int) -> None:
        """Pause a little after a conflict."""
        dear = 0.0005 if self._place.is_near else 0.02
        time.sleep(_random.uniform(0, dear * 2 ** min(attempt, 5)))

    def remove(self, seen: Seen) -> bool:
        """Remove the version that was seen; `False` if it is another by now."""
        result = self._place.records.discard_item_if(
            self.key, condition=ETAG_IS_THE_SAME, expected_etag=seen.etag
        )
        return bool(result.condition_was_satisfied)

    def _seen(self, result: ConditionalOperationResult[Any]) -> Seen:
        if result.actual_etag is ITEM_NOT_AVAILABLE:
            return ABSENT
        return Seen(self._parsed(str(result.new_value)), result.actual_etag)

    def _parsed(self, text: str) -> Fields:
        try:
            fields = json.loads(text)
            if isinstance(fields, dict):
                return fields
        except ValueError:
            pass
        raise DamagedItemError(
            f"the record {self.key.strings} is none: {text[:60]!r}",
            backend="coordination",
            operation="read",
            key=self.key,
        )


def _made(there: Seen, new: Fields, me: str) -> Seen | None:
    """Return the version that was made, if a later one names its author."""
    if me not in there.fields.get("recent", ()):
        return None
    return Seen(new, there.etag if there.fields == new else _OUTDATED)


_OUTDATED = "\x00outdated"
"""An etag that no version has: it was ours, and others have changed it since."""

_random = random.Random()
