"""Blobs as objects of a bucket, with the fewest requests, and guards that the server obeys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from persidict._blobs import Blob, BlobStore, Listed
from persidict._buffers import Buffer
from persidict._read_ahead import read_ahead
from persidict._retry import medium_pause, pause
from persidict._s3_bucket import Bucket, field, incomplete, stat_of
from persidict._s3_bulk import BulkReader
from persidict._s3_changes import Change, condition_of, look
from persidict._s3_errors import advise
from persidict._s3_prefix import checked_key
from persidict._s3_proof import obeys, require_conditions, seems_exact
from persidict._s3_reads import read
from persidict._s3_removals import remove_each
from persidict._s3_writes import Upload, write, write_if
from persidict._words import Guard, Stat
from persidict.exceptions import ConcurrencyConflictError
from persidict.io_retry import repeated
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE, ETagIfExists

T = TypeVar("T")

_BATCH = 1000  # objects that one request can list or remove
_THREADS = 16
_READ_AHEAD = 64 << 20  # bytes
_ROUNDS = 100
_ATTEMPTS = 12  # to remove what the server has failed to remove
_NAMED = 10  # of those that are left
_LISTING = {"Contents", "IsTruncated", "KeyCount", "Name"}  # of which each has some
_PASSING = ("InternalError", "SlowDown", "ServiceUnavailable")


class S3Blobs(BlobStore):
    """The objects of a bucket whose names begin with a prefix.

    Reads, writes and removals are atomic. A guard goes with the request, and the server checks and
    acts in one step; on a server that ignores the guards of removals, they are a look followed by
    an act. Equal bytes have equal etags.

    Args:
        bucket: the bucket; children share it with its client.
        prefix: of all objects; nothing, or it ends in "/".
        content_type: what objects are said to be.
        items_stay: objects are never removed or replaced.
        bulk: reads many small objects, if there is a faster way.
    """

    backend = "s3"

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        *,
        content_type: str,
        items_stay: bool,
        bulk: BulkReader | None = None,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._content_type = content_type
        self._items_stay = items_stay
        self._bulk = bulk

    def _key(self, name: str) -> str:
        return checked_key(self.prefix + name)

    @property
    def guards_are_exact(self) -> bool:
        return seems_exact(self.bucket, self.prefix)

    def stat(self, name: str) -> Stat | None:
        found = repeated(look, self.bucket, self._key(name))
        return None if found is None else found.stat

    def read(self, name: str, unless: ETagIfExists = ITEM_NOT_AVAILABLE) -> Blob | None:
        return repeated(read, self.bucket, self._key(name), unless)

    def read_each(self, wanted: Iterable[tuple[T, str, int]]) -> Iterator[tuple[T, Blob | None]]:
        """Read many, several at once."""
        return read_ahead(
            lambda one: (one[0], self._read_one_of_many(one[1], one[2])),
            ((one, one[2]) for one in wanted),
            threads=_THREADS,
            most_bytes=_READ_AHEAD,
        )

    def _read_one_of_many(self, name: str, size: int) -> Blob | None:
        if self._bulk is not None and self._bulk.takes(self.prefix + name, size):
            blob = self._bulk.read(self.prefix + name)
            if blob is not None:
                return blob
        return self.read(name)

    def write(self, name: str, data: Buffer, guard: Guard | None) -> Stat | None:
        upload = Upload(self.bucket, self._key(name), data, self._content_type)
        if guard is None:
            return repeated(write, upload)
        require_conditions(self.bucket, self.prefix)
        return write_if(upload, guard, items_stay=self._items_stay)

    def remove(self, name: str, guard: Guard | None) -> bool:
        key = self._key(name)
        if guard is not None:
            return self._remove_if(key, guard)
        for attempt in range(_ROUNDS):
            found = repeated(look, self.bucket, key)
            if found is None:
                return False
            # nobody else is told that he has removed this version
            if self._remove_if(key, Guard(found.stat.etag), seen=found.stat):
                return True
            medium_pause(attempt)
        raise ConcurrencyConflictError(key, _ROUNDS)

    def can_expect(self, etag: ETagIfExists) -> bool:
        return condition_of(Guard(etag)) is not None

    def _remove_if(self, key: str, guard: Guard, seen: Stat | None = None) -> bool:
        condition = condition_of(guard)
        if guard.expected is ITEM_NOT_AVAILABLE or (condition is None and seen is None):
            return False
        if condition is None or not self._removals_are_exact():
            if not (seen or self._is_met(key, guard)):
                return False
            condition = {}
        remove = partial(self.bucket.ask, "delete_object", Key=key, **condition)
        change = Change(self.bucket, key, guard, items_stay=False, removes=True)
        return change.outcome(remove) is not None

    def _is_met(self, key: str, guard: Guard) -> bool:
        found = repeated(look, self.bucket, key)
        return found is not None and guard.holds(found.stat.etag)

    def _removals_are_exact(self) -> bool:
        return obeys(self.bucket, "delete_object", self.prefix)

    def remove_all(self, names: Iterable[str]) -> None:
        keys = (self.prefix + name for name in names)
        while batch := list(islice(keys, _BATCH)):
            self._remove_batch(batch)

    def _remove_batch(self, keys: list[str]) -> None:
        attempt = 0
        while errors := repeated(self._errors_of_removal, keys):
            failed = {error.get("Key") for error in errors}
            # an error that names none of them may be about each
            left = [key for key in keys if key in failed] if failed <= {*keys} else keys
            attempt = attempt + 1 if len(left) == len(keys) else 0
            keys = left
            lasting = [error for error in errors if error.get("Code") not in _PASSING]
            if lasting or attempt == _ATTEMPTS:
                raise self._refusal((lasting or errors)[0], left)
            pause(min(attempt, 4))

    def _errors_of_removal(self, keys: list[str]) -> list[dict[str, Any]]:
        """Remove what can be removed now; return the errors about the others."""
        errors = remove_each(self.bucket, keys)
        return [error for error in errors if error.get("Code") != "NoSuchKey"]

    def _refusal(self, error: dict[str, Any], left: list[str]) -> ClientError:
        failure = ClientError({"Error": error}, "DeleteObjects")
        advise(failure, self.bucket.place)
        more = ", ..." if len(left) > _NAMED else ""
        failure.add_note(f"{len(left)} of a batch are left: {', '.join(left[:_NAMED])}{more}")
        return failure

    def scan(self, suffix: str, *, stats: bool) -> Iterator[Listed]:
        """Yield names in the order of their bytes; one request for each thousand objects."""
        for page in self._pages():
            found = [one for one in page if self._checked(one).endswith(suffix)]
            for folder, objects in groupby(found, lambda one: self._folder_of(one["Key"])):
                yield self._listed(folder, suffix, list(objects), stats=stats)

    def _pages(self) -> Iterator[list[dict[str, Any]]]:
        seen: set[tuple[str, str | None]] = set()
        more: dict[str, str] = {}
        while True:
            ask = partial(self.bucket.ask, "list_objects_v2", Prefix=self.prefix, **more)
            answer = repeated(ask)
            if not answer.keys() & _LISTING:  # it would pass for one of nothing
                raise incomplete("listing", "contents", self.prefix)
            page = answer.get("Contents", [])
            yield page
            token = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated", token):
                return
            marks = {("token", token), *(("first", one.get("Key")) for one in page[:1])}
            if not token or marks & seen:  # what follows cannot be asked for
                raise incomplete("truncated listing", "continuation token of its own", self.prefix)
            seen |= marks
            more = {"ContinuationToken": token}

    def _checked(self, one: dict[str, Any]) -> str:
        key: str = field(one, "Key", self.prefix)
        if not key.startswith(self.prefix):
            raise incomplete("listing", f"such key, but {key!r}", self.prefix)
        return key

    def _folder_of(self, key: str) -> str:
        return key[len(self.prefix) : key.rfind("/") + 1]

    def _listed(
        self, folder: str, suffix: str, objects: list[dict[str, Any]], *, stats: bool
    ) -> Listed:
        start, end = len(self.prefix) + len(folder), -len(suffix) or None
        return Listed(
            folder,
            [one["Key"][start:end] for one in objects],
            [stat_of(one, one["Key"]) for one in objects] if stats else None,
            [one.get("Size", 0) for one in objects],
        )

    def child(self, prefix: str) -> S3Blobs:
        below = f"{self.prefix}{prefix}/" if prefix else self.prefix
        return S3Blobs(
            self.bucket,
            below,
            content_type=self._content_type,
            items_stay=self._items_stay,
            bulk=self._bulk,
        )

    def absence(self, name: str) -> ClientError:
        missing = {"Code": "NoSuchKey", "Message": f"there is no {self.where(name)}"}
        answer: Any = {"Error": missing, "ResponseMetadata": {"HTTPStatusCode": 404}}
        return ClientError(answer, "GetObject")

    def where(self, name: str) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}{name}"
