"""Reading objects: bytes and version from one answer, large ones into memory of their size."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from persidict._blobs import Blob
from persidict._buffers import LARGE, Buffer, new_buffer
from persidict._retry import pause
from persidict._s3_bucket import Bucket, stat_of, unchanged_stat
from persidict._s3_changes import condition_of
from persidict._s3_errors import BROKEN_BODY, is_absence, is_unchanged, is_unmet
from persidict._words import Guard, Item
from persidict.exceptions import ConcurrencyConflictError
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ETagValue,
)

_ATTEMPTS = 5
_CHUNK = 1 << 20


def read(bucket: Bucket, key: str, unless: ETagIfExists = ITEM_NOT_AVAILABLE) -> Blob | None:
    """Return bytes and version of an object: one GET; no bytes if the etag is `unless`."""
    condition = _condition(unless)
    for attempt in range(_ATTEMPTS):
        try:
            answer = bucket.ask("get_object", Key=key, **condition)
        except ClientError as error:
            if condition and is_unchanged(error):
                return Item(VALUE_NOT_RETRIEVED, unchanged_stat(error, str(unless)))
            if is_absence(error):
                return None
            raise
        stat = stat_of(answer, key)
        if condition and stat.etag == unless:  # some servers send the value all the same
            answer["Body"].close()
            return Item(VALUE_NOT_RETRIEVED, stat)
        try:
            return Item(_body(bucket, key, answer, stat.etag), stat)
        except (*BROKEN_BODY, _ReplacedError, ClientError) as error:
            # replaced while it was on its way: then the newer version is what we want
            was_replaced = isinstance(error, _ReplacedError) or (
                isinstance(error, ClientError) and is_unmet(error)
            )
            if attempt == _ATTEMPTS - 1 or not (was_replaced or isinstance(error, BROKEN_BODY)):
                raise
            pause(attempt)
    raise AssertionError("unreachable")


def _condition(unless: ETagIfExists) -> dict[str, str]:
    expected = None if unless is ITEM_NOT_AVAILABLE else condition_of(Guard(unless))
    return {"IfNoneMatch": expected["IfMatch"]} if expected else {}


def _body(bucket: Bucket, key: str, answer: Any, etag: ETagValue) -> Buffer:
    # an answer in chunks has no length; and by its etag alone a rest is known to be one
    if answer.get("ContentLength", 0) < LARGE or condition_of(Guard(etag)) is None:
        return answer["Body"].read()  # type: ignore[no-any-return]
    return _Download(bucket, key, answer, etag).buffer()


class _ReplacedError(ConcurrencyConflictError):
    """What a server offers as the rest of an object is none."""


class _Download:
    """A large object on its way into memory; a broken answer is taken up where it broke off."""

    def __init__(self, bucket: Bucket, key: str, answer: Any, etag: ETagValue) -> None:
        self._bucket = bucket
        self._place = {"Key": key, "IfMatch": etag}
        self._buffer = new_buffer(answer["ContentLength"])
        self._done = 0
        self._stream = answer["Body"]

    def buffer(self) -> Buffer:
        """Return the whole of it; raises `ClientError` (412) if it was replaced meanwhile."""
        for attempt in range(_ATTEMPTS):
            try:
                self._pour()
            except BROKEN_BODY:
                if attempt == _ATTEMPTS - 1:
                    raise
                pause(attempt)
                self._go_on()
            else:
                return self._buffer
        raise AssertionError("unreachable")

    def _pour(self) -> None:
        with memoryview(self._buffer) as view:
            while count := self._stream.readinto(view[self._done : self._done + _CHUNK]):
                self._done += count
            self._stream.read()  # compares length and checksum

    def _go_on(self) -> None:
        self._stream.close()
        if self._done == len(self._buffer):  # all of it, and not what it should be
            self._done = 0
        answer = self._bucket.ask("get_object", **self._place, Range=f"bytes={self._done}-")
        self._stream = answer["Body"]
        # some servers ignore the condition, some the range
        is_rest = answer.get("ContentRange", "").startswith(f"bytes {self._done}-")
        if not is_rest or stat_of(answer, self._place["Key"]).etag != self._place["IfMatch"]:
            self._stream.close()
            raise _ReplacedError(self._place["Key"], _ATTEMPTS)
