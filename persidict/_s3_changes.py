"""Guarded changes of objects whose outcome is known in the end, whatever happens to the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from persidict._retry import pause
from persidict._s3_bucket import Bucket, stat_of
from persidict._s3_errors import (
    NETWORK,
    UNREACHABLE,
    code_of,
    is_absence,
    is_undecided,
    is_unknown,
    is_unmet,
    was_resent,
)
from persidict._words import IF_ABSENT, Guard, Stat, etag_of
from persidict.exceptions import OutcomeUnknownError
from persidict.io_retry import not_again, repeated
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE

T = TypeVar("T")

_ATTEMPTS = 12
_LONGEST_PAUSE = 4  # retries after which pauses grow no more
WRITE = "persidict-write"
"""Metadata: the name of the guarded write that made the object."""
OVER = "persidict-over"
"""Metadata: the etag that this write has replaced."""
_ETAG = re.compile(r'"[!#-~]+"').fullmatch


class Found(NamedTuple):
    """What a look at an object tells about who wrote it."""

    stat: Stat
    write: str | None
    over: str | None


def condition_of(guard: Guard) -> dict[str, str] | None:
    """Return the arguments of a request under this guard; `None` if no object can satisfy it."""
    if guard.expected is ITEM_NOT_AVAILABLE:
        return {"IfNoneMatch": "*"}
    # servers read lists, stars and missing quotes into what is no etag of theirs
    expected = guard.expected
    return {"IfMatch": expected} if isinstance(expected, str) and _ETAG(expected) else None


class Change:
    """One guarded write or removal of an object.

    A server can do what it was asked and the answer still be lost; the same request, sent again,
    then meets its own work and is refused. So a write leaves its name in the object's metadata,
    and a refusal that may be such a one is settled by a look at the object.

    Args:
        bucket: the bucket.
        key: of the object.
        guard: what the object must be.
        items_stay: nobody removes or replaces objects here.
    """

    def __init__(self, bucket: Bucket, key: str, guard: Guard, *, items_stay: bool) -> None:
        self._bucket = bucket
        self._key = key
        self._guard = guard
        self._items_stay = items_stay
        self._name = uuid4().hex
        self._resent = False

    @property
    def metadata(self) -> dict[str, str]:
        """What a write leaves in the object."""
        expected = self._guard.expected
        over = {} if expected is ITEM_NOT_AVAILABLE else {OVER: str(expected)}
        return {WRITE: self._name, **over}

    def outcome(self, act: Callable[[], T]) -> T | Stat | None:
        """Return what `act` returns, or the stat of what it has written; `None` if unmet.

        Raises `OutcomeUnknownError` if others have changed the object since, and whether `act` was
        carried out before cannot be told.
        """
        # the whole of it, under the same name: what came of an earlier try is seen by that
        return repeated(self._outcome, act)

    def _outcome(self, act: Callable[[], T]) -> T | Stat | None:
        for attempt in range(_ATTEMPTS):
            try:
                return act()
            except (ClientError, *NETWORK) as error:
                if _is_final(error, resent=self._resent):
                    return None
                failure = error
            self._resent = self._resent or _may_be_done(failure)
            is_last = attempt == _ATTEMPTS - 1
            if not _is_undecided(failure) or (is_last and self._resent):
                found = self._look_after(failure)
                if found is not None and found.write == self._name:
                    return found.stat
                if self._was_beaten(found):
                    return None
                self._check_undone(found, failure)
            pause(min(attempt, _LONGEST_PAUSE))
        raise failure

    def _look_after(self, failure: Exception) -> Found | None:
        try:
            return repeated(look, self._bucket, self._key)
        except (ClientError, BotoCoreError) as error:
            if isinstance(failure, UNREACHABLE):
                # the way there was tried by the look, as often as it is worth
                not_again(failure, "whether the change was carried out could not be found out")
                raise failure from None
            raise self._unknown(f"the server cannot be asked ({error})") from failure

    def _was_beaten(self, found: Found | None) -> bool:
        """True if another has changed what we wanted to change: then we have not."""
        if found is None:
            return False
        expected = self._guard.expected
        if expected is ITEM_NOT_AVAILABLE:
            return self._items_stay
        return found.over == expected

    def _check_undone(self, found: Found | None, failure: Exception) -> None:
        """Raise unless the object is as if nothing had been done and the server asks to repeat."""
        is_refusal = isinstance(failure, ClientError) and _is_refusal(failure)
        # what was there when an insertion was refused, and is gone, may have been ours
        is_gone = found is None and is_refusal and self._guard == IF_ABSENT
        if is_gone or not self._guard.holds(etag_of(found.stat if found else None)):
            raise self._unknown("others have changed the object") from failure
        if not is_refusal:
            failure.add_note("the object is as it was before, or as if it were")
            raise failure

    def _unknown(self, reason: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"the server failed, or its answer about {self._key!r} was lost, and {reason}: "
            "whether this change was carried out before that cannot be told",
            backend="s3",
            operation="write",
            key=self._key,
        )


def _is_final(error: Exception, *, resent: bool) -> bool:
    """True if the server says no to what it sees for the first time; raises what is no answer."""
    if not isinstance(error, ClientError):
        return False
    if is_undecided(error) or is_unknown(error) or code_of(error) == "NoSuchUpload":
        return False
    if resent or was_resent(error):
        return False  # whatever it is, it may come after a success
    if not _is_refusal(error):
        raise error
    return True


def _is_refusal(error: ClientError) -> bool:
    """True if the server says that the object, or the upload, is not what it should be."""
    return is_unmet(error) or is_absence(error) or code_of(error) == "NoSuchUpload"


def _is_undecided(failure: Exception) -> bool:
    return isinstance(failure, ClientError) and is_undecided(failure)


def _may_be_done(failure: Exception) -> bool:
    """True unless the only request ever sent was one that the server would not decide."""
    return not (_is_undecided(failure) and not was_resent(failure))


def look(bucket: Bucket, key: str) -> Found | None:
    """Look at an object: one HEAD."""
    try:
        answer: Any = bucket.ask("head_object", Key=key)
    except ClientError as error:
        if not is_absence(error):
            raise
        bucket.still_exists()
        return None
    metadata = {name.lower(): text for name, text in answer.get("Metadata", {}).items()}
    return Found(stat_of(answer), metadata.get(WRITE), metadata.get(OVER))
