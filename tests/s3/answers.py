"""Answers of servers that are not quite S3: what the proxy makes of those of one that is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.session import Session

from .proxy import Exchange, Fault, Message, error_message, is_chunked, read_chunks
from .servers import Server

Edit = Callable[[Message], Message]


@dataclass(frozen=True)
class Edited(Fault):
    """Let the server answer, and change its answer on the way."""

    edit: Edit

    def serve(self, exchange: Exchange) -> None:
        exchange.send(self.edit(exchange.forward()))


@dataclass(frozen=True)
class Balancer(Fault):
    """Answer 503 as a balancer does, in HTML; the server has been asked before, or has not."""

    asked: bool

    def serve(self, exchange: Exchange) -> None:
        if self.asked:
            exchange.forward()
        answer = error_message(503, "", exchange.request.method)
        body = b"<html><body>Service Unavailable</body></html>" if answer.body else b""
        exchange.send(with_body(with_header("Content-Type", "text/html")(answer), body))


@dataclass(frozen=True)
class Remaining(Fault):
    """Answer that some of the objects of a batch are not removed, and remove none of it."""

    errors: tuple[tuple[str, ...], ...]
    """(code, key) of each, or (code,) for an error that names no object."""

    def serve(self, exchange: Exchange) -> None:
        entries = "".join(
            "<Error><Code>{}</Code>{}</Error>".format(
                one[0], "".join(f"<Key>{key}</Key>" for key in one[1:])
            )
            for one in self.errors
        )
        answer = error_message(200, "", exchange.request.method)
        exchange.send(with_body(answer, f"<DeleteResult>{entries}</DeleteResult>".encode()))


def without(*headers: str) -> Edit:
    """Leave headers out."""
    names = tuple(name.lower().encode() + b":" for name in headers)

    def edit(answer: Message) -> Message:
        lines = [line for line in answer.lines if not line.lower().startswith(names)]
        return answer._replace(lines=lines)

    return edit


def with_header(name: str, text: str) -> Edit:
    """Put a header in the place of those of this name."""

    def edit(answer: Message) -> Message:
        rest = without(name)(answer)
        return rest._replace(lines=[*rest.lines, f"{name}: {text}\r\n".encode()])

    return edit


def with_body(answer: Message, body: bytes) -> Message:
    """Put another body in its place."""
    plain = without("Transfer-Encoding")(answer)
    return with_header("Content-Length", str(len(body)))(plain)._replace(body=body)


def content(answer: Message) -> bytes:
    """Return the body without its encoding."""
    if not answer.body or not is_chunked(answer.headers):
        return answer.body
    return b"".join(data for _, data in read_chunks(io.BytesIO(answer.body)))


def with_xml(pattern: str, replacement: str) -> Edit:
    """Change what stands in the body."""

    def edit(answer: Message) -> Message:
        return with_body(answer, re.sub(pattern.encode(), replacement.encode(), content(answer)))

    return edit


def chunked(answer: Message) -> Message:
    """Send the body in chunks of no more than 64 KiB, and do not tell its length."""
    body, size = content(answer), 1 << 16
    if not body:
        return answer
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    plain = without("Content-Length", "Transfer-Encoding")(answer)
    return with_header("Transfer-Encoding", "chunked")(plain)._replace(body=encoded)


def with_first(pattern: str) -> Edit:
    """Put what was found in the first answer into all that follow."""
    first: list[str] = []

    def edit(answer: Message) -> Message:
        first.extend(re.findall(pattern, content(answer).decode("latin-1")))
        return with_xml(pattern, first[0])(answer) if first else answer

    return edit


def with_etags(text: str) -> Edit:
    r"""Put etags in the place of those of headers and listings; `\1` is what was between quotes."""

    def edit(answer: Message) -> Message:
        if "etag" in answer.headers:
            answer = with_header("ETag", re.sub('"(.*)"', text, answer.headers["etag"]))(answer)
        if b"<ETag>" in answer.body:
            quoted = text.replace('"', "&quot;")
            answer = with_xml(
                r"<ETag>(?:&quot;|&#34;|\")(.*?)(?:&quot;|&#34;|\")", f"<ETag>{quoted}"
            )(answer)
        return answer

    return edit


class Expiring:
    """Credentials that are renewed for each request, which raises what is waiting in `failures`."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def client(self, server: Server, **config: Any) -> Any:
        """Return a client of the server with these credentials."""
        session = Session()
        session._credentials = RefreshableCredentials.create_from_metadata(
            self._renewed(server), lambda: self._renewed(server), "test"
        )
        place = {"endpoint_url": server.url, "region_name": "us-east-1"}
        return boto3.Session(botocore_session=session).client(
            "s3", **place, config=Config(**config)
        )

    def _renewed(self, server: Server) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop()
        soon = datetime.now(UTC) + timedelta(minutes=1)
        return {
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "token": None,
            "expiry_time": soon.isoformat(),
        }
