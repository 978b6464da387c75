"""Removing many objects: by the thousand, or one by one where the server does not know that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from botocore.exceptions import ClientError

from persidict._s3_bucket import Bucket
from persidict._s3_credentials import is_refused
from persidict._s3_errors import is_absence, status_of

_log = logging.getLogger("persidict")
_THREADS = 16
_NOT_KNOWN = (400, 405, 411, 501)
"""What servers say that know no `DeleteObjects`, or want it with other headers."""


def remove_each(bucket: Bucket, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Remove objects, whether they are there or not; return what is said of those that failed."""
    if bucket.removes_many:
        objects = [{"Key": key} for key in keys]
        try:
            answer = bucket.ask("delete_objects", Delete={"Objects": objects, "Quiet": True})
        except ClientError as error:
            if status_of(error) not in _NOT_KNOWN or is_refused(error):
                raise
            bucket.removes_many = False
            _log.warning("%s: items are removed one by one (%s)", bucket.place, error)
        else:
            return answer.get("Errors", [])  # type: ignore[no-any-return]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="persidict-remove") as pool:
        for removal in [pool.submit(copy_context().run, _remove, bucket, key) for key in keys]:
            removal.result()
    return []


def _remove(bucket: Bucket, key: str) -> None:
    try:
        bucket.ask("delete_object", Key=key)
    except ClientError as error:
        if not is_absence(error):
            raise
