"""Reading many small objects by obstore, if it is installed: a tenth of the work for the client."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from persidict._blobs import Blob
from persidict._buffers import LARGE
from persidict._s3_bucket import Bucket, quoted
from persidict._words import Item, Stat
from persidict.extras import is_installed

# Whoever listens to these counts requests, changes them, or answers in place of a server.
_EVENTS = tuple(
    f"{event}.s3.GetObject"
    for event in (
        "provide-client-params",
        "before-parameter-build",
        "before-call",
        "request-created",
        "before-sign",
        "before-send",
        "response-received",
        "after-call",
    )
)


class BulkReader:
    """Reads objects of a bucket as boto3 would, as long as that is certain to be the same.

    Requests go by boto3 if somebody listens to the client's events, and for ever once obstore has
    failed at anything: the error that users see is that of boto3.

    Args:
        bucket: whose client was made without a configuration of its own, a moment ago.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._listeners = _listeners(bucket.client)
        self._store: Any = None
        self._is_usable = (
            is_installed("obstore")
            and self._listeners is not None
            and not bucket.has_read_arguments
            and (_is_plain(bucket.endpoint) or "AWS_CA_BUNDLE" not in os.environ)
        )

    def takes(self, key: str, size: int) -> bool:
        """True if this object is read faster by `read` than by boto3, and no other in its place."""
        if not self._is_usable or size >= LARGE or not _is_literal(key) or not _is_alive_here():
            return False
        return _listeners(self._bucket.client) == self._listeners

    def read(self, key: str) -> Blob | None:
        """Return bytes and version; `None` if they have to be read in the other way."""
        try:
            import obstore

            _threads_of.add(os.getpid())
            answer = obstore.get(self._opened(), key)
            return Item(bytes(answer.bytes()), _stat_of(answer.meta))
        except FileNotFoundError:
            return None
        except Exception:
            self._is_usable = False
            return None

    def _opened(self) -> Any:
        if self._store is None:
            from obstore.store import S3Store

            meta = self._bucket.client.meta
            self._store = S3Store(
                self._bucket.name,
                endpoint=meta.endpoint_url,
                region=meta.region_name or "us-east-1",
                credential_provider=self._credentials,
                retry_config={"max_retries": 3},  # then boto3 has its turn
                client_options={"allow_http": _is_plain(meta.endpoint_url)},
            )
        return self._store

    def _credentials(self) -> Any:
        found = self._bucket.client._request_signer._credentials.get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": None,
        }


_threads_of: set[int] = set()  # the process in which obstore has started its threads


def _is_alive_here() -> bool:
    """False in a forked child, which has no threads of its parent, and would wait for them."""
    return not _threads_of or os.getpid() in _threads_of


def _is_literal(key: str) -> bool:
    """True if obstore asks for this very key: it takes keys for paths, and tidies them up."""
    return all(part not in ("", ".", "..") for part in key.split("/"))


def _is_plain(url: str) -> bool:
    return url.startswith("http:")


def _stat_of(meta: Any) -> Stat:
    return Stat(quoted(meta["e_tag"]), float(int(meta["last_modified"].timestamp())))


def _listeners(client: Any) -> int | None:
    """Count who listens to requests; `None` if one could answer them, or if it cannot be told."""
    with suppress(Exception):  # names of botocore that are not for others
        handlers = client.meta.events._emitter._handlers
        if not handlers.prefix_search("before-send.s3.GetObject"):
            return sum(len(handlers.prefix_search(event)) for event in _EVENTS)
    return None
