"""What each request of a call of boto3 has met, of which the call tells only the last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError

from persidict._s3_errors import NETWORK, UNREACHABLE, is_throttled, is_unknown, was_resent

_CHANGES = ("PutObject", "CompleteMultipartUpload", "DeleteObject")


class Met(Enum):
    """What became of one request to change an object."""

    UNSENT = "there was no way to the server"
    REFUSED = "the server has said no"
    DECLINED = "the server says that it was too busy, and has done nothing"
    UNKNOWN = "it may have been carried out"


_met: ContextVar[list[Met] | None] = ContextVar("met", default=None)


def watch(client: Any) -> None:
    """Let the client tell `noted` of each request, also of those that it repeats by itself."""
    for operation in _CHANGES:
        for event, note in (("before-send", _note_request), ("response-received", _note_answer)):
            name = f"{event}.s3.{operation}"
            client.meta.events.register(name, note, unique_id=f"persidict.{name}")


@contextmanager
def noted() -> Iterator[list[Met]]:
    """Note what requests of this thread meet that make or remove an object."""
    found: list[Met] = []
    token = _met.set(found)
    try:
        yield found
    finally:
        _met.reset(token)


def met_in(found: list[Met], failure: Exception) -> set[Met]:
    """Return what was met by the requests of a call that has failed."""
    if found:
        return set(found)
    # none that could change an object; or the client tells nothing
    if isinstance(failure, ClientError) and was_resent(failure):
        return {Met.UNKNOWN}
    return {_met_by(failure)} if isinstance(failure, (ClientError, *NETWORK)) else set()


def _note_request(**_: Any) -> None:
    found = _met.get()
    if found is not None:
        found.append(Met.UNKNOWN)


def _note_answer(parsed_response: Any = None, exception: Any = None, **_: Any) -> None:
    found = _met.get()
    if not found:
        return
    if exception is not None:
        found[-1] = _met_by(exception)
    elif parsed_response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 300:
        found[-1] = _met_by(ClientError(parsed_response, ""))


def _met_by(error: Exception) -> Met:
    if isinstance(error, UNREACHABLE):
        return Met.UNSENT
    if not isinstance(error, ClientError):
        return Met.UNKNOWN
    if is_throttled(error):
        return Met.DECLINED
    return Met.UNKNOWN if is_unknown(error) else Met.REFUSED
