"""Names of objects: how long they can be, and prefixes of which some servers make others."""

from __future__ import annotations

import re
from contextlib import suppress
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from persidict._s3_bucket import Bucket, is_aws
from persidict._s3_credentials import is_refused
from persidict._s3_errors import status_of
from persidict.io_retry import repeated

_LONGEST = 1024  # bytes
_PART = r"(?!\.{1,2}/)[A-Za-z0-9()_\-~.=!*'+:@, ]+/"
_IS_PLAIN = re.compile(f"({_PART})*").fullmatch


def checked_key(key: str) -> str:
    """Return the name of an object; raise `ValueError` if S3 does not take it."""
    size = len(key.encode())
    if size > _LONGEST:
        raise ValueError(
            f"S3 takes at most {_LONGEST} bytes for root_prefix, key and format together, and "
            f"these have {size}: {key[:60]!r}..."
        )
    return key


def check_prefix(bucket: Bucket, prefix: str) -> None:
    """Raise `ValueError` if the server stores objects with this prefix under other names.

    Asks only about what some servers take for a path and tidy up, such as "a//b", and only those
    that do not list anything there.
    """
    if _IS_PLAIN(prefix) or is_aws(bucket.endpoint):
        return
    try:
        reason = None if repeated(_keeps, bucket, prefix) else "what is written there is not listed"
    except ClientError as error:
        if status_of(error) != 400:
            if is_refused(error):
                return  # nothing can be written here, or nothing be listed
            raise
        reason = str(error)
    if reason is not None:
        raise ValueError(
            f"root_prefix cannot be {prefix!r}: the {bucket.place} does not take names as they are "
            f"({reason}). Use names with single slashes between them"
        )


def _keeps(bucket: Bucket, prefix: str) -> bool:
    if _lists(bucket, prefix):
        return True
    probe = f"{prefix}__persidict_probe__{uuid4().hex}"
    try:
        bucket.ask("put_object", Key=probe)
        return _lists(bucket, prefix)
    finally:
        with suppress(ClientError, BotoCoreError):
            bucket.ask("delete_object", Key=probe)


def _lists(bucket: Bucket, prefix: str) -> bool:
    found = bucket.ask("list_objects_v2", Prefix=prefix, MaxKeys=1).get("Contents", [])
    return any(one["Key"].startswith(prefix) for one in found)
