"""Whether a server obeys conditions: asked once per endpoint and bucket, and nothing is left."""

from __future__ import annotations

import threading
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.exceptions import ClientError

from persidict._s3_bucket import Bucket
from persidict._s3_errors import code_of, is_absence, is_unmet
from persidict.exceptions import BackendError

_NO_VERSION: Final = '"00000000000000000000000000000000"'
_known: dict[tuple[str, str, str], bool] = {}
_asking = threading.Lock()


def obeys(bucket: Bucket, operation: str, prefix: str) -> bool:
    """True if the server refuses the operation over a version that is not there.

    The object that is named is not there either, so that a server which obeys has nothing to do.
    AWS is known to obey.
    """
    question = (bucket.endpoint, bucket.name, operation)
    with _asking:
        if question not in _known:
            _known[question] = is_aws(bucket.endpoint) or _refuses(bucket, operation, prefix)
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


def is_aws(endpoint: str) -> bool:
    """True for Amazon's own servers."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _refuses(bucket: Bucket, operation: str, prefix: str) -> bool:
    probe = f"{prefix}__persidict_probe__{uuid4().hex}"
    try:
        bucket.ask(operation, Key=probe, IfMatch=_NO_VERSION)
    except ClientError as error:
        if is_unmet(error) or is_absence(error):
            return True
        if code_of(error) != "NotImplemented":
            raise
        return False
    if operation == "put_object":
        bucket.ask("delete_object", Key=probe)
    return False
