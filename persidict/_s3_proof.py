"""Whether a server obeys conditions: asked once per endpoint and bucket, and nothing is left."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from persidict._s3_bucket import Bucket, is_aws
from persidict._s3_errors import code_of, is_absence, is_unmet
from persidict.exceptions import BackendError
from persidict.io_retry import repeated

_NO_VERSION: Final = '"00000000000000000000000000000000"'
_known: dict[tuple[str, str, str], bool] = {}
_asking: dict[tuple[str, str, str], threading.Lock] = {}
if hasattr(os, "register_at_fork"):
    # another thread may have held one, and is not there to give it back
    os.register_at_fork(after_in_child=_asking.clear)


def obeys(bucket: Bucket, operation: str, prefix: str) -> bool:
    """True if the server refuses the operation over a version that is not there.

    The object that is named is not there either, so that a server which obeys has nothing to do.
    AWS is known to obey.
    """
    question = (bucket.endpoint, bucket.name, operation)
    if question not in _known:
        with _asking.setdefault(question, threading.Lock()):
            if question not in _known:
                _known[question] = is_aws(bucket.endpoint) or repeated(
                    _refuses, bucket, operation, prefix
                )
    return _known[question]


def require_conditions(bucket: Bucket, prefix: str) -> None:
    """Raise `BackendError` if the server ignores the conditions of writes."""
    if not obeys(bucket, "put_object", prefix):
        raise BackendError(
            f"the {bucket.place} ignores conditions: it wrote over a version that was not there, "
            "so an update could be lost without anybody being told. Refused for that reason: "
            "conditional operations, setdefault, transform_item, append-only and write-once "
            "dictionaries. d[key] = value and reading work. docs/s3.md lists servers that obey.",
            backend="s3",
            operation="write",
        )


def seems_exact(bucket: Bucket, prefix: str) -> bool:
    """True if the server obeys, or would not let us try: who may not change it does no harm."""
    try:
        return all(obeys(bucket, each, prefix) for each in ("put_object", "delete_object"))
    except ClientError as error:
        if code_of(error) not in ("AccessDenied", "Forbidden", "403"):
            raise
        return True


def _refuses(bucket: Bucket, operation: str, prefix: str) -> bool:
    probe = f"{prefix}__persidict_probe__{uuid4().hex}"
    refused = False
    try:
        refused = _is_refused(bucket, operation, probe)
    finally:
        if not refused:
            _remove(bucket, probe)  # it may be there although the answer was lost
    return refused


def _is_refused(bucket: Bucket, operation: str, probe: str) -> bool:
    try:
        bucket.ask(operation, Key=probe, IfMatch=_NO_VERSION)
    except ClientError as error:
        if is_unmet(error) or is_absence(error):
            return True
        if code_of(error) != "NotImplemented":
            raise
        bucket.ask(operation, Key=probe)  # raises if it is not the condition that is not known
    return False


def _remove(bucket: Bucket, probe: str) -> None:
    with suppress(ClientError, BotoCoreError):
        bucket.ask("delete_object", Key=probe)
