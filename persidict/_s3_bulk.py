"""Reading many small objects by obstore, if it is installed: a tenth of the work for the client."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.utils import get_environ_proxies

from persidict._blobs import Blob
from persidict._buffers import LARGE
from persidict._s3_bucket import Bucket, quoted
from persidict._s3_writes import etag_of_bytes
from persidict._words import Item, Stat
from persidict.extras import is_installed

_log = logging.getLogger("persidict")
_SLOWLY = "many items are read by boto3, with ten times the work"
_REST = 60.0  # seconds after a failure
_MOST_DOUBTS = 16  # objects in a row whose etags are no checksums
# What listens to these counts requests, changes them, or answers in place of a server.
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
# What obstore reads in the environment, and is given another value for by us.
_OVERRULED = {
    "AWS_ACCESS_KEY_ID", "AWS_ALLOW_HTTP", "AWS_BUCKET", "AWS_BUCKET_NAME",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_DEFAULT_REGION", "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SKIP_SIGNATURE",
    "AWS_TOKEN", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_WEB_IDENTITY_TOKEN_FILE",
}  # fmt: skip


class _Place(NamedTuple):
    """Where boto3 finds the bucket, and for which region it signs."""

    url: str
    region: str


class BulkReader:
    """Reads objects of a bucket as boto3 would, as long as that is certain to be the same.

    The server, the path and the region are those of the last request about the bucket that boto3
    has sent, whatever it has found them by. Bytes count if the etag is their checksum. All else is
    left to boto3: so the errors that users see are those of boto3.

    Args:
        bucket: whose client was made without a configuration of its own, a moment ago.
        reason: why boto3 shall read everything, if it shall.
    """

    def __init__(self, bucket: Bucket, reason: str | None = None) -> None:
        self._bucket = bucket
        self._place: _Place | None = None
        self._opened: tuple[_Place, Any] | None = None
        self._reason = reason or _reason_against(bucket)
        self._was_told = False
        self._listeners = _listeners(bucket.client)
        self._version: Any = None
        self._has_listeners = False
        self._doubts = 0
        self._rests_until = 0.0
        self._rests_with: Any = None
        self._one_tells = threading.Lock()  # a child after a fork has no use for it
        if self._reason is None:
            bucket.client.meta.events.register("before-send.s3.HeadBucket", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        self._place = _place_of(request)
        if self._place is None:
            self._reason = "boto3 signs requests in another way"

    def takes(self, key: str, size: int) -> bool:
        """True if this object is read faster by `read` than by boto3, and no other in its place."""
        if self._reason is not None:
            self._tell()
            return False
        if size >= LARGE or not _is_literal(key) or not _is_alive_here():
            return False
        return self._is_unheard() and not self._rests()

    def _is_unheard(self) -> bool:
        """True if nothing listens to the client's events that did not at first."""
        version = _version_of_handlers(self._bucket.client)
        if version is None or version is not self._version:
            self._has_listeners = _listeners(self._bucket.client) != self._listeners
            self._version = version
        return not self._has_listeners

    def read(self, key: str) -> Blob | None:
        """Return bytes and version; `None` if they have to be read in the other way."""
        used = None
        try:
            import obstore

            used = self._frozen()
            store = self._store()
            if store is None:
                return None
            _threads_of.add(os.getpid())
            answer = obstore.get(store, key)
            data, stat = bytes(answer.bytes()), _stat_of(answer.meta)
        except FileNotFoundError:
            return None
        except Exception as error:
            self._rest(used, error)
            return None
        return Item(data, stat) if self._is_sound(data, stat) else None

    def _is_sound(self, data: bytes, stat: Stat) -> bool:
        """True if what has arrived is what the etag is a checksum of."""
        if stat.etag == etag_of_bytes(data):
            self._doubts = 0
            return True
        self._doubts += 1
        if self._doubts >= _MOST_DOUBTS and self._reason is None:
            self._reason = "etags are no checksums of items there, by which to check answers"
        return False

    def _rest(self, used: Any, error: Exception) -> None:
        """Leave it to boto3 for a minute, or until there are other credentials."""
        with self._one_tells:
            is_news = not self._rests()
            self._rests_with = used
            self._rests_until = time.monotonic() + _REST
        if is_news:
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            _log.warning("obstore cannot read from the %s: %s", self._bucket.place, what)
            _log.warning("%s for a minute, or until credentials are renewed", _SLOWLY)

    def _rests(self) -> bool:
        if time.monotonic() >= self._rests_until:
            return False
        with suppress(Exception):
            return bool(self._frozen() == self._rests_with)
        return True

    def _tell(self) -> None:
        if not self._was_told:
            self._was_told = True
            _log.info("%s: %s (%s)", self._bucket.place, _SLOWLY, self._reason)

    def _store(self) -> Any:
        place = self._place
        assert place is not None
        if self._opened is None or self._opened[0] != place:
            if names := _unknown_to_boto3():  # it reads the environment now
                self._reason = f"obstore would obey {', '.join(names)}, and boto3 does not"
                return None
            self._opened = place, _open(self._bucket.name, place, self._credentials)
        return self._opened[1]

    def _credentials(self) -> Any:
        found = self._frozen()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            # asked for again before each request: boto3 may renew them
            "expires_at": datetime.now(UTC),
        }

    def _frozen(self) -> Any:
        return self._bucket.client._request_signer._credentials.get_frozen_credentials()


def _open(bucket: str, place: _Place, credentials: Any) -> Any:
    """Return a store that takes nothing from elsewhere."""
    from obstore.store import S3Store

    is_plain = place.url.startswith("http:")
    settings: Any = {
        "aws_endpoint": place.url,
        "aws_endpoint_url_s3": place.url,  # comes before the other one
        "aws_region": place.region,
        "aws_virtual_hosted_style_request": True,  # the bucket is a part of the URL
        "aws_skip_signature": False,
    }
    return S3Store(
        bucket,
        config=settings,
        credential_provider=credentials,
        retry_config={"max_retries": 3},  # then boto3 has its turn
        client_options={
            "allow_http": is_plain,
            # none of the proxies that the environment names
            "proxy_url": "http://127.0.0.1:9",
            "proxy_excludes": urlsplit(place.url).hostname or "",
        },
    )


def _place_of(request: Any) -> _Place | None:
    """Return where a request about the bucket goes to; `None` if obstore would sign otherwise."""
    authorization = request.headers.get("Authorization", b"")
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    scope = _SCOPE(text)
    return _Place(request.url.rstrip("/"), scope[1]) if scope else None


_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/([a-z0-9-]+)/s3/aws4_request,").match


def _reason_against(bucket: Bucket) -> str | None:
    """Return why boto3 must read everything; `None` if obstore would do the same."""
    meta = bucket.client.meta
    scheme = urlsplit(bucket.endpoint).scheme
    if not is_installed("obstore"):
        return "obstore is not installed"
    if bucket.has_read_arguments:
        return "put_args has arguments for reading"
    if not _is_untouched(bucket.client):
        return "something listens to the client's events"
    if scheme != "http" and not _trusts_as_usual(bucket.client):
        return "certificates of its own"
    if meta.config.proxies or scheme in get_environ_proxies(bucket.endpoint):
        return "there is a proxy"
    return None


def _trusts_as_usual(client: Any) -> bool:
    """True if certificates are those that any client knows, and none is shown to the server."""
    with suppress(Exception):  # names of botocore that are not for others
        session = client._endpoint.http_session
        return session._verify in (True, None) and session._cert_file is None
    return False


def _unknown_to_boto3() -> list[str]:
    """Return the variables that would change what obstore does, and nothing but that."""
    return sorted(
        name
        for name, value in os.environ.items()
        if name.startswith("AWS_") and name not in _OVERRULED and _means_something(name, value)
    )


def _means_something(name: str, value: str) -> bool:
    from obstore.exceptions import UnknownConfigurationKeyError
    from obstore.store import S3Store

    setting: Any = {name.lower(): value}
    try:
        S3Store("any", config=setting)
    except UnknownConfigurationKeyError:
        return False
    except Exception:
        return True  # it is known, and wrong
    return True


_threads_of: set[int] = set()  # the process in which obstore has started its threads


def _is_alive_here() -> bool:
    """False in a forked child, which has no threads of its parent, and would wait for them."""
    return not _threads_of or os.getpid() in _threads_of


def _is_literal(key: str) -> bool:
    """True if obstore asks for this very key: it takes keys for paths, and tidies them up."""
    return all(part not in ("", ".", "..") for part in key.split("/"))


def _stat_of(meta: Any) -> Stat:
    return Stat(quoted(meta["e_tag"]), float(int(meta["last_modified"].timestamp())))


def _handlers(client: Any) -> list[Any]:
    """Return what botocore calls for a request that reads an object."""
    handlers = client.meta.events._emitter._handlers
    return [each for event in _EVENTS for each in handlers.prefix_search(event)]


def _version_of_handlers(client: Any) -> Any:
    """Return what is another object after each change of the handlers."""
    with suppress(Exception):
        return client.meta.events._emitter._lookup_cache
    return None


def _is_untouched(client: Any) -> bool:
    """True if only botocore itself listens to requests."""
    with suppress(Exception):  # names of botocore that are not for others
        modules = {str(getattr(each, "__module__", "")) for each in _handlers(client)}
        return all(name.partition(".")[0] in ("botocore", "boto3") for name in modules)
    return False


def _listeners(client: Any) -> int:
    """Count the listeners to requests; -1 if they cannot be counted."""
    with suppress(Exception):
        return len(_handlers(client))
    return -1
