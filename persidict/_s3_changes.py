"""Guarded changes of objects whose outcome is known in the end, whatever happens to the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from botocore.exceptions import ClientError

from persidict._retry import pause
from persidict._s3_attempts import Met, met_in, noted
from persidict._s3_bucket import Bucket, is_strong, stat_of
from persidict._s3_errors import UNREACHABLE, code_of, is_absence, is_undecided, is_unmet
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
    return {"IfMatch": expected} if isinstance(expected, str) and is_strong(expected) else None


class Change:
    """One guarded write or removal of an object.

    A server can do what it was asked and the answer still be lost; the same request, sent again,
    then meets its own work and is refused. So a write leaves its name in the object's metadata,
    and whatever comes after such an answer is settled by a look at the object.

    Args:
        bucket: the bucket.
        key: of the object.
        guard: what the object must be.
        items_stay: objects are never removed or replaced here.
        removes: the object shall go, so nothing can bear the name of this change.
    """

    def __init__(
        self, bucket: Bucket, key: str, guard: Guard, *, items_stay: bool, removes: bool = False
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._guard = guard
        self._items_stay = items_stay
        self._removes = removes
        self._name = uuid4().hex
        self._met: set[Met] = set()
        self._requests = 0

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
            with noted() as met:
                try:
                    return act()
                except Exception as error:  # whatever it is, it may come after a success
                    failure = error
            self._met |= met_in(met, failure)
            self._requests += len(met) or 1
            # what was refused before may have been done all the same, and bears our name then
            if _is_final(failure, resent=self._is_open) and (self._removes or self._requests == 1):
                return None
            is_last = attempt == _ATTEMPTS - 1
            if not _is_undecided(failure) or (is_last and self._is_open):
                found = self._look_after(failure)
                if found is not None and found.write == self._name:
                    return found.stat
                if self._is_unmet(found, failure):
                    return None
                if not _is_refusal(failure):
                    failure.add_note("the object is as it was before, or as if it were")
                    raise failure
            pause(min(attempt, _LONGEST_PAUSE))
        raise failure

    @property
    def _is_open(self) -> bool:
        """True if a request has met something else than a no, so that a look has to tell."""
        return bool(self._met - {Met.REFUSED})

    def _look_after(self, failure: Exception) -> Found | None:
        try:
            return repeated(look, self._bucket, self._key)
        except Exception as error:
            if self._met == {Met.UNSENT} and isinstance(failure, UNREACHABLE):
                # the way there was tried by the look, as often as it is worth
                not_again(failure, "whether the change was carried out could not be found out")
                raise failure from None
            raise self._unknown(f"the server cannot be asked ({error})") from failure

    def _is_unmet(self, found: Found | None, failure: Exception) -> bool:
        """True if others were first; raises if they may have come after this change."""
        if self._was_beaten(found):
            return True
        is_as_before = self._guard.holds(etag_of(found.stat if found else None))
        may_be_ours = not is_as_before and Met.UNKNOWN in self._met
        if may_be_ours or self._may_be_gone(found, failure):
            raise self._unknown("others have changed the object") from failure
        return not is_as_before

    def _was_beaten(self, found: Found | None) -> bool:
        """True if another has changed what we wanted to change: then we have not."""
        if found is None:
            return False
        expected = self._guard.expected
        if expected is ITEM_NOT_AVAILABLE:
            return self._items_stay
        return found.over == expected

    def _may_be_gone(self, found: Found | None, failure: Exception) -> bool:
        """True if nothing is there, which may be the end of what this change has done."""
        if found is not None or not self._is_open:
            return False
        # what was there when an insertion was refused may have been ours
        return self._removes or (self._guard == IF_ABSENT and _is_refusal(failure))

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
    if resent or _is_undecided(error) or _is_of_upload(error):
        return False
    if not _is_refusal(error):
        raise error
    return True


def _is_refusal(error: Exception) -> bool:
    """True if the server says that the object, or the upload, is not what it should be."""
    return isinstance(error, ClientError) and (
        is_unmet(error) or is_absence(error) or _is_of_upload(error)
    )


def _is_of_upload(error: Exception) -> bool:
    return isinstance(error, ClientError) and code_of(error) == "NoSuchUpload"


def _is_undecided(failure: Exception) -> bool:
    return isinstance(failure, ClientError) and is_undecided(failure)


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
    return Found(stat_of(answer, key), metadata.get(WRITE), metadata.get(OVER))
