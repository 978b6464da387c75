"""How long a server has asked to be left alone: `Retry-After`, in whatever form it comes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any


def retry_after(error: BaseException | None) -> float:
    """Return the seconds that an exception, or the HTTP response in it, asks for; else 0."""
    for ask in (_attribute, _header):
        with suppress(Exception):  # what cannot tell it must not take the place of the error
            seconds = _seconds(ask(error))
            if seconds > 0:
                return seconds
    return 0.0


def _attribute(error: Any) -> Any:
    return getattr(error, "retry_after", None)


def _header(error: Any) -> Any:
    """Return the header of `requests`, `httpx`, `aiohttp`, `urllib` and `botocore` alike."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    else:
        headers = getattr(response if response is not None else error, "headers", None)
    if not hasattr(headers, "get"):
        return None
    return headers.get("Retry-After") or headers.get("retry-after")


def _seconds(told: Any) -> float:
    if isinstance(told, timedelta):
        return told.total_seconds()
    if told is None or isinstance(told, bool):
        return 0.0
    try:
        seconds = float(told)
    except (TypeError, ValueError):
        return _until(str(told))
    return seconds if 0 < seconds < float("inf") else 0.0


def _until(date: str) -> float:
    """Return the seconds until a date as HTTP writes it."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
