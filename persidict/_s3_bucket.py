"""A bucket, seen through a client of boto3: makes the client, sends requests."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import cache, partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from persidict._retry import pause
from persidict._s3_attempts import watch
from persidict._s3_credentials import Source, is_refused
from persidict._s3_errors import (
    CHECKSUMS,
    MISSING_BUCKET,
    REDIRECTED,
    advice,
    advise,
    code_of,
    is_undecided,
    may_mean_checksums,
    status_of,
    was_resent,
)
from persidict._words import Stat
from persidict.exceptions import BackendError
from persidict.io_retry import repeated
from persidict.jokers_and_status_flags import ETagValue
from persidict.shown import without_login

_log = logging.getLogger("persidict.s3")
_CONNECTIONS = 32  # for the threads of several users of one client
_TRUSTED_FOR = 30.0  # seconds for which an answer from the bucket proves that it exists
_ROUNDS = 30  # of making a bucket that others are making or removing, a second or two each
_LONGEST_PAUSE = 5  # retries after which pauses grow no more
_UPLOADING = ("create_multipart_upload", "put_object", "upload_part")
_READING = ("get_object", "head_bucket", "head_object", "list_objects_v2")
# What is said by us, or belongs to another way of uploading.
_OWN_ARGUMENTS = {"Body", "Bucket", "ContentLength", "ContentType", "IfMatch", "IfNoneMatch", "Key"}

_S3_AT_AWS = re.compile(
    r"(.+\.)?(s3|s3-[a-z0-9-]+|s3express-[a-z0-9-]+)(\.dualstack)?(\.[a-z]+-[a-z-]+-\d+)?(\.vpce)?"
    r"\.amazonaws\.com(\.cn)?"
).fullmatch

_making = threading.RLock()  # boto3 makes clients of its default session in one thread at a time
_clients: weakref.WeakSet[Any] = weakref.WeakSet()


def _forget_connections() -> None:
    global _making  # noqa: PLW0603 - the only way to give the child another lock
    _making = threading.RLock()  # another thread of the parent may have held it
    # a connection that two processes write to carries answers to the wrong one
    for client in list(_clients):
        client.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)


def new_client(*, session: Any, region: str | None, endpoint_url: str | None, config: Any) -> Any:
    """Return a client of boto3; buckets of an endpoint of its own are parts of paths there."""
    options: dict[str, Any] = {"max_pool_connections": _CONNECTIONS}
    if endpoint_url is not None:
        options["s3"] = {"addressing_style": "path"}
    wanted = _config_of(config) if isinstance(config, Mapping) else config
    if not isinstance(wanted, Config | None):
        raise TypeError(f"config must be a botocore.config.Config or a mapping, not {config!r}")
    try:
        with _making:
            maker = import_module("boto3") if session is None else session
            return maker.client(
                "s3",
                region_name=region,
                endpoint_url=endpoint_url,
                config=_merged(Config(**options), wanted or Config()),
            )
    except BotoCoreError as error:
        advise(error, f"endpoint {endpoint_url or 'of Amazon'}")
        raise


def is_aws(endpoint: str) -> bool:
    """True for Amazon's S3; not for what others serve from their machines there."""
    parts = urlsplit(endpoint)
    return parts.port is None and bool(_S3_AT_AWS(parts.hostname or ""))


def _config_of(options: Mapping[str, Any]) -> Config:
    """Return a configuration; "unsigned" is a word for what cannot travel to other processes."""
    if options.get("signature_version") == "unsigned":
        options = {**options, "signature_version": UNSIGNED}
    return Config(**options)


def source_of(client: Any, session: Any) -> Source | None:
    """Return where a client that `new_client` has made with a session has its credentials from."""
    return Source.of(client, session or import_module("boto3").DEFAULT_SESSION)


def _merged(ours: Config, wanted: Config) -> Config:
    """Return what is wanted, and ours where nothing is; the options for S3 one by one."""
    merged = ours.merge(wanted)
    both = {**(getattr(ours, "s3", None) or {}), **(getattr(wanted, "s3", None) or {})}
    return merged.merge(Config(s3=both)) if both else merged


class Bucket:
    """One bucket, one client, and the arguments that every request to them needs.

    Args:
        client: of boto3; threads may share it, and so do all views of the bucket.
        name: of the bucket.
        put_args: further arguments for uploads, such as those for encryption; what other requests
            know as well (a key of the customer, the expected owner) goes with them too.
        source: of the client's credentials, if they may be looked for again.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        put_args: Mapping[str, Any],
        source: Source | None = None,
    ) -> None:
        self.client = client
        self.name = name
        self.removes_many = True
        self._source = source
        more = dict(put_args)
        self.metadata: dict[str, str] = dict(more.pop("Metadata", {}))
        self._more = _arguments(client, more)
        self._seen = -_TRUSTED_FOR
        _clients.add(client)
        watch(client)

    @property
    def has_read_arguments(self) -> bool:
        """True if reads need more than bucket and key."""
        return bool(self._more.get("get_object"))

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return str(self.client.meta.endpoint_url)

    @property
    def location(self) -> str:
        """The URL, which for Amazon's buckets is the same from everywhere."""
        meta = self.client.meta
        aws = is_aws(self.endpoint)
        server = f"s3://{meta.partition}" if aws else without_login(self.endpoint)
        return f"{server}/{self.name}/"

    @property
    def place(self) -> str:
        """Name bucket and server, for messages."""
        return f"bucket {self.name!r} at {without_login(self.endpoint)}"

    def ask(self, operation: str, **args: Any) -> Any:
        """Send a request; an error that users can do something about says what."""
        more = self._more.get(operation)
        args = {**more, **args} if more else args
        try:
            return self._ask_anew(operation, args) if self._source else self._send(operation, args)
        except (ClientError, BotoCoreError) as error:
            advise(error, self.place)
            if operation in _UPLOADING and self._has_checksums and may_mean_checksums(error):
                error.add_note(f"{self.place}: {CHECKSUMS}")
            raise
        # of which the first would pass for an item that is not there
        except (LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
            goes_round = isinstance(error, RecursionError)  # it follows redirections for ever
            why = REDIRECTED if goes_round else f"{type(error).__name__}: {error}"
            raise BackendError(
                f"{operation} at {self.place}: boto3 cannot go on ({why})",
                backend="s3",
                operation=operation,
                key=args.get("Key"),
            ) from error

    @property
    def _has_checksums(self) -> bool:
        """True if boto3 puts checksums on uploads that no server demands."""
        return bool(self.client.meta.config.request_checksum_calculation != "when_required")

    def _send(self, operation: str, args: dict[str, Any]) -> Any:
        answer = getattr(self.client, operation)(Bucket=self.name, **args)
        self._seen = time.monotonic()
        return answer

    def _ask_anew(self, operation: str, args: dict[str, Any]) -> Any:
        """Send a request, and once more if it was refused for credentials that were renewed."""
        assert self._source is not None
        used = self._source.current
        try:
            return self._send(operation, args)
        except (ClientError, BotoCoreError) as error:
            # the look comes first: the next request shall have the new ones in any case
            if not (
                is_refused(error)
                and self._source.has_other_than(used)
                and self._was_not_done(operation, error)
            ):
                raise
        if hasattr(args.get("Body"), "seek"):
            args["Body"].seek(0)  # it was read to its end
        return self._send(operation, args)

    def _was_not_done(self, operation: str, error: Exception) -> bool:
        """True if the request can be sent again without a second effect."""
        if operation in _READING:
            return True
        # not while credentials were renewed between two attempts, of which the first may be done
        name = self.client.meta.method_to_api_mapping[operation]
        return (
            isinstance(error, ClientError)
            and error.operation_name == name
            and not was_resent(error)
        )

    def make_sure(self) -> None:
        """Make the bucket if it is missing; without the right to ask it is believed to exist.

        Raises `BackendError` if there is no way to the server.
        """
        try:
            repeated(self.ask, "head_bucket")
        except ClientError as error:
            if status_of(error) == 404 or code_of(error) in ("404", "NoSuchBucket"):
                self._make(error)
            elif status_of(error) != 403:
                raise
        except ParamValidationError as error:
            if "bucket name" not in str(error):
                raise ValueError(f"the {self.place} cannot be asked: {error}") from error
            raise ValueError(
                f"bucket_name cannot be {self.name!r}: it is the name or the ARN of a bucket, "
                "root_prefix is the place in it; persidict_dask.open_store() takes a URL"
            ) from error
        except BotoCoreError as error:
            raise BackendError(
                f"the {self.place} cannot be opened: {without_login(str(error))} ({advice(error)})",
                backend="s3",
                operation="init",
            ) from error

    def _make(self, missing: ClientError) -> None:
        if self.name.startswith("arn:"):
            missing.add_note(f"the {self.place} is an access point, which is made elsewhere")
            raise missing
        region = self.client.meta.region_name
        place = (
            {"CreateBucketConfiguration": {"LocationConstraint": region}}
            if region not in (None, "us-east-1", "aws-global")
            else {}
        )
        for retry_index in range(_ROUNDS):
            try:
                repeated(partial(self.ask, "create_bucket", **place))
            except ClientError as error:
                if code_of(error) in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    return
                if not is_undecided(error) or retry_index == _ROUNDS - 1:
                    error.add_note(f"the {self.place} cannot be made; {MISSING_BUCKET}")
                    raise
                pause(min(retry_index, _LONGEST_PAUSE))  # others are making it at this moment
            else:
                return

    def still_exists(self) -> None:
        """Raise the server's error if the bucket is gone, which the answer to a HEAD cannot tell.

        Asks only if nothing has come from the bucket for half a minute. Who may not ask gets no
        answer: the bucket is believed to exist, as at first.
        """
        if time.monotonic() - self._seen > _TRUSTED_FOR:
            try:
                self.ask("head_bucket")
            except ClientError as error:
                if status_of(error) == 404:
                    error.add_note(f"{self.place}: {MISSING_BUCKET}")
                if status_of(error) not in (401, 403):
                    raise
                self._seen = time.monotonic()


def _arguments(client: Any, put_args: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each kind of request those of the arguments that it knows."""
    if not put_args:
        return {}
    known: dict[str, set[str]] = {
        method: set(client.meta.service_model.operation_model(name).input_shape.members)
        for method, name in client.meta.method_to_api_mapping.items()
        if method in _OPERATIONS
    }
    wrong = sorted(put_args.keys() - (known["put_object"] - _OWN_ARGUMENTS))
    if wrong:
        raise ValueError(
            f"put_args cannot have {wrong}: it takes arguments of put_object other than "
            f"{sorted(_OWN_ARGUMENTS)}"
        )
    return {
        method: {name: value for name, value in put_args.items() if name in names}
        for method, names in known.items()
    }


_OPERATIONS = {
    "abort_multipart_upload", "complete_multipart_upload", "create_multipart_upload",
    "delete_object", "delete_objects", "get_object", "head_bucket", "head_object",
    "list_objects_v2", "put_object", "upload_part",
}  # fmt: skip


def stat_of(answer: Mapping[str, Any], key: str) -> Stat:
    """Return etag and time (in whole seconds, on all ways the same) of an answer."""
    modified = answer.get("LastModified")
    etag = quoted(field(answer, "ETag", key))
    if not is_strong(etag):
        _tell_of_weak_etags()
    return Stat(
        etag,
        float(int(modified.timestamp())) if modified else _date_of(answer, "date"),
    )


is_strong = re.compile(r'"[!#-~]+"').fullmatch
"""True for an etag that names one version, so that it can be a condition."""


@cache
def _tell_of_weak_etags() -> None:
    _log.warning(
        "a server gives weak or empty etags, which name no version: such items are not cached, and "
        "no change of them can be made to depend on a condition"
    )


def field(answer: Mapping[str, Any], name: str, key: str | None) -> Any:
    """Return what an answer about this object must have; `BackendError` if it has not."""
    if name not in answer:
        raise incomplete("answer", name, key)
    return answer[name]


def incomplete(what: str, missing: object, key: str | None) -> BackendError:
    """Return the error for an answer without something that nothing can be done without."""
    return BackendError(
        f"the {what} of the server{f' about {key!r}' if key else ''} has no {missing}",
        backend="s3",
        operation="read",
        key=key,
    )


def unchanged_stat(error: ClientError, etag: str) -> Stat:
    """Return etag and time of an object that still is the version of this etag."""
    return Stat(ETagValue(etag), _date_of(error.response, "last-modified"))


def quoted(etag: str) -> ETagValue:
    """Return an etag with its quotes, which some servers leave out in listings."""
    is_bare = not etag.endswith('"') and not etag.startswith("W/")
    return ETagValue(f'"{etag}"' if is_bare else etag)


def _date_of(answer: Mapping[str, Any], header: str) -> float:
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(header)
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):  # it is missing, or something else
        return float(int(time.time()))
