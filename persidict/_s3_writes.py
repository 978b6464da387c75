"""Writing objects, in one piece or in parts; whole or not at all, under a guard or without one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

from persidict._buffers import Buffer
from persidict._s3_attempts import Met, met_in, noted
from persidict._s3_bucket import Bucket, field, stat_of
from persidict._s3_changes import Change, condition_of, decided, look
from persidict._words import Guard, Stat, etag_of
from persidict.io_retry import repeated

PART = 16 << 20
"""Bytes of a part; the same for all, because etags of equal values shall be equal."""
IN_PARTS = 4 * PART
"""Bytes from which a value is sent in parts."""
_MOST_PARTS = 10_000  # which S3 takes
# Given again at the end, if the upload was begun with an algorithm.
_PART_SUMS = (
    "ChecksumCRC32",
    "ChecksumCRC32C",
    "ChecksumCRC64NVME",
    "ChecksumSHA1",
    "ChecksumSHA256",
)
_AT_ONCE = 2  # parts, each with a copy of its own


class Upload(NamedTuple):
    """An object that is about to be written."""

    bucket: Bucket
    key: str
    data: Buffer
    content_type: str

    def send(self, condition: dict[str, str], metadata: dict[str, str]) -> Stat:
        """Write the object, whatever its size."""
        described: dict[str, Any] = {"ContentType": self.content_type}
        if metadata or self.bucket.metadata:
            described["Metadata"] = self.bucket.metadata | metadata
        if len(self.data) >= IN_PARTS:
            return stat_of(_send_in_parts(self, condition, described), self.key)
        body = _body(self.data)
        answer = self.bucket.ask("put_object", Key=self.key, Body=body, **described, **condition)
        return stat_of(answer, self.key)


def write(upload: Upload) -> Stat:
    """Write without a guard: over whatever is there.

    If the answer is lost, an object with our bytes counts as written.
    """
    return decided(partial(_written, upload))


def _written(upload: Upload) -> Stat:
    with noted() as met:
        try:
            return upload.send({}, {})
        except Exception as error:  # whatever it is, it may come after a success
            failure = error
    found = None
    if met_in(met, failure) - {Met.REFUSED}:
        with suppress(Exception):  # the first error is the one to tell
            found = look(upload.bucket, upload.key)
    if found is None or found.stat.etag != etag_of_bytes(upload.data):
        raise failure
    return found.stat


def write_if(upload: Upload, guard: Guard, *, items_stay: bool) -> Stat | None:
    """Write under a guard; `None` if it did not hold."""
    condition = condition_of(guard)
    if condition is None:
        return None
    if len(upload.data) >= IN_PARTS and not _may_hold(upload, guard):
        return None
    change = Change(upload.bucket, upload.key, guard, items_stay=items_stay)
    return change.outcome(lambda: upload.send(condition, change.metadata))


def etag_of_bytes(data: Buffer) -> str:
    """Return the etag that S3 gives to these bytes, unless it encrypts them with a key of KMS."""
    if len(data) < IN_PARTS:
        return f'"{_md5(data).hexdigest()}"'
    sums = [_md5(part).digest() for part in _parts(data)]
    return f'"{_md5(b"".join(sums)).hexdigest()}-{len(sums)}"'


def _md5(data: Any) -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def _may_hold(upload: Upload, guard: Guard) -> bool:
    """Look before a large upload: it may be in vain, and not every server checks the end of it."""
    found = repeated(look, upload.bucket, upload.key)
    return guard.holds(etag_of(None if found is None else found.stat))


def _body(data: Buffer) -> Any:
    return data if isinstance(data, bytes | bytearray) else bytes(data)


def _parts(data: Buffer) -> Iterator[bytes]:
    size = max(PART, -(-len(data) // _MOST_PARTS))
    with memoryview(data) as view:
        for start in range(0, len(data), size):
            yield bytes(view[start : start + size])


def _send_in_parts(upload: Upload, condition: dict[str, str], described: dict[str, Any]) -> Any:
    place = {"Key": upload.key}
    started = upload.bucket.ask("create_multipart_upload", **place, **described)
    place["UploadId"] = field(started, "UploadId", upload.key)
    try:
        parts = _send_parts(upload, place)
        return upload.bucket.ask(
            "complete_multipart_upload", **place, MultipartUpload={"Parts": parts}, **condition
        )
    except BaseException:
        # parts of what never became an object are paid for, too
        with suppress(Exception):  # the first error is the one to tell
            upload.bucket.ask("abort_multipart_upload", **place)
        raise


def _send_parts(upload: Upload, place: dict[str, str]) -> list[dict[str, Any]]:
    def send(number: int, part: bytes) -> dict[str, Any]:
        answer = upload.bucket.ask("upload_part", **place, PartNumber=number, Body=BytesIO(part))
        sums = {name: answer[name] for name in _PART_SUMS if name in answer}
        return {"PartNumber": number, "ETag": field(answer, "ETag", upload.key), **sums}

    return list(_a_few_at_once(send, enumerate(_parts(upload.data), start=1)))


def _a_few_at_once(
    act: Callable[[int, bytes], dict[str, Any]], arguments: Iterator[tuple[int, bytes]]
) -> Iterator[dict[str, Any]]:
    """Yield results in order, and take an argument only when a thread is free for it."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        running = []
        for number, part in arguments:
            running.append(threads.submit(copy_context().run, act, number, part))
            if len(running) == _AT_ONCE:
                yield running.pop(0).result()
        for each in running:
            yield each.result()
