"""A proxy between an S3 client and a server that loses, delays or replaces answers on demand."""

import contextlib
import io
import random
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

PATIENCE = 60.0
# How soon a thread that waits for an event of a test sees that the proxy is closing.
GLANCE = 0.05
ERROR = "<Error><Code>{}</Code><Message>injected</Message></Error>"
WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class Request(NamedTuple):
    """A request as it came in; the path has its query, the names of headers are in lower case."""

    number: int
    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request."""

    def serve(self, exchange: "Exchange") -> None:
        """Treat the request of the exchange."""
        raise NotImplementedError


@dataclass(frozen=True)
class Answer(Fault):
    """Answer with an error at once, without asking the server."""

    status: int
    code: str

    def serve(self, exchange: "Exchange") -> None:
        exchange.send(error_message(self.status, self.code, exchange.request.method))


@dataclass(frozen=True)
class AnswerAfter(Fault):
    """Let the server do what was asked, and answer with an error all the same."""

    status: int
    code: str

    def serve(self, exchange: "Exchange") -> None:
        exchange.forward()
        exchange.send(error_message(self.status, self.code, exchange.request.method))


@dataclass(frozen=True)
class DropBefore(Fault):
    """Close the connection of the client without asking the server."""

    def serve(self, exchange: "Exchange") -> None:
        exchange.drop()


@dataclass(frozen=True)
class DropAfter(Fault):
    """Close the connection of the client when the server has answered."""

    def serve(self, exchange: "Exchange") -> None:
        exchange.forward()
        exchange.drop()


@dataclass(frozen=True)
class CutBody(Fault):
    """Send the first n bytes of the body of the answer, then close the connection."""

    n: int

    def serve(self, exchange: "Exchange") -> None:
        exchange.send(exchange.forward().cut(self.n), close=True)


@dataclass(frozen=True)
class Damage(Fault):
    """Change the last byte of the body of the answer."""

    def serve(self, exchange: "Exchange") -> None:
        answer = exchange.forward()
        exchange.send(answer._replace(body=answer.body[:-1] + bytes([answer.body[-1] ^ 1])))


@dataclass(frozen=True)
class Delay(Fault):
    """Ask the server only after the event, or after a minute."""

    event: threading.Event

    def serve(self, exchange: "Exchange") -> None:
        exchange.wait(self.event, PATIENCE)
        exchange.send(exchange.forward())


@dataclass(frozen=True)
class DelayAnswer(Fault):
    """Ask the server at once, answer only after the event, or after a minute."""

    event: threading.Event

    def serve(self, exchange: "Exchange") -> None:
        answer = exchange.forward()
        exchange.wait(self.event, PATIENCE)
        exchange.send(answer)


@dataclass(frozen=True)
class Late(Fault):
    """Close the connection of the client; ask the server after the event, and tell with `done`."""

    event: threading.Event
    done: threading.Event = field(default_factory=threading.Event)

    def serve(self, exchange: "Exchange") -> None:
        exchange.drop()
        exchange.wait(self.event)
        exchange.forward()
        self.done.set()


Decide = Callable[[Request], Fault | None]


def random_faults(seed: int, rate: float, faults: Sequence[Fault]) -> Decide:
    """Return a decision for one of the faults, with this probability, the same for each seed."""
    rng = random.Random(seed)

    def decide(request: Request) -> Fault | None:
        return rng.choice(faults) if rng.random() < rate else None

    return decide


class Message(NamedTuple):
    """A request or an answer, as bytes: with its lines up to the empty one, and an encoded body."""

    lines: list[bytes]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return parse_headers(self.lines)

    @property
    def status(self) -> int:
        return int(self.lines[0].split()[1])

    def encode(self) -> bytes:
        return b"".join(self.lines) + b"\r\n" + self.body

    def cut(self, n: int) -> "Message":
        """Return the answer with n bytes of its body; its head promises the whole."""
        if not is_chunked(self.headers):
            return self._replace(body=self.body[:n])
        content = b"".join(data for _, data in read_chunks(io.BytesIO(self.body)))[:n]
        # the chunk that would say that it is the last one is missing
        return self._replace(body=b"%x\r\n%b\r\n" % (len(content), content) if content else b"")


def error_message(status: int, code: str, method: str) -> Message:
    """Return an error as S3 writes it."""
    silent = method == "HEAD" or status in WITHOUT_BODY
    body = b"" if silent else ERROR.format(code).encode()
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\n"
    head += f"Content-Length: {len(body)}\r\n"
    return Message(head.encode().splitlines(keepends=True), body)


def parse_headers(lines: Sequence[bytes]) -> dict[str, str]:
    """Return the headers by their names in lower case; those that come again are joined."""
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.decode("latin-1").partition(":")
        key, value = name.strip().lower(), value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def is_chunked(headers: dict[str, str]) -> bool:
    """True if the length of the body stands in the body."""
    return headers.get("transfer-encoding", "").lower().endswith("chunked")


def read_lines(file: io.BufferedIOBase) -> list[bytes]:
    """Return the lines before the next empty one; none at the end of the connection."""
    lines = []
    while (line := file.readline()) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            return []
        lines.append(line)
    return lines


def read_chunks(file: io.BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk as it is and what it contains, then the trailers."""
    while size := int((line := file.readline()).split(b";")[0], 16):
        data = read_exactly(file, size)
        yield line + data + read_exactly(file, 2), data
    yield line + b"".join(read_lines(file)) + b"\r\n", b""


def read_exactly(file: io.BufferedIOBase, size: int) -> bytes:
    """Return so many bytes, or raise that the connection ended before."""
    data = file.read(size)
    if len(data) < size:
        raise ConnectionResetError("the connection ended inside of a body")
    return data


def read_body(file: io.BufferedIOBase, headers: dict[str, str]) -> bytes | None:
    """Return the body in its encoding; None if the headers do not tell its length."""
    if is_chunked(headers):
        return b"".join(chunk for chunk, _ in read_chunks(file))
    if "content-length" in headers:
        return read_exactly(file, int(headers["content-length"]))
    return None


def read_answer(file: io.BufferedIOBase, method: str) -> Message:
    """Return the final answer, without those that only say that the server goes on."""
    lines = read_lines(file)
    if not lines:
        raise ConnectionResetError("the server closed the connection without an answer")
    answer = Message(lines, b"")
    if answer.status < HTTPStatus.OK:
        return read_answer(file, method)
    if method == "HEAD" or answer.status in WITHOUT_BODY:
        return answer
    body = read_body(file, answer.headers)
    return answer._replace(body=file.read() if body is None else body)


def ends_connection(message: Message) -> bool:
    """True if the sender of a message closes the connection after it."""
    return "close" in message.headers.get("connection", "").lower()


def has_length(answer: Message, method: str) -> bool:
    """True if a client knows where the answer ends before the connection does."""
    known = "content-length" in answer.headers or is_chunked(answer.headers)
    return known or method == "HEAD" or answer.status in WITHOUT_BODY


def without_expect(lines: list[bytes]) -> list[bytes]:
    """Return the lines of a request without the wish for a 100, unless its signature has it."""
    _, _, signed = parse_headers(lines).get("authorization", "").partition("SignedHeaders=")
    if "expect" in signed.partition(",")[0].split(";"):
        return lines
    return [line for line in lines if not line.lower().startswith(b"expect:")]


class Exchange:
    """One request of a client, its answer, and what a fault can do between them."""

    def __init__(self, proxy: "FaultProxy", client: socket.socket, message: Message):
        self.proxy = proxy
        self.client = client
        self.message = message
        self.keeps = not ends_connection(message)
        self.answered = False
        self.request, self.fault = proxy.register(message)

    def run(self) -> None:
        """Serve the request; the client of a server that cannot be reached is cut off."""
        try:
            self.fault.serve(self) if self.fault else self.send(self.forward())
        except OSError:
            self.drop()

    def forward(self) -> Message:
        """Ask the server and return its answer."""
        request = self.message._replace(lines=without_expect(self.message.lines))
        # in a connection of its own: one that was kept could be closed by the server just now
        with self.proxy.connection() as upstream, upstream.makefile("rb") as file:
            with contextlib.suppress(OSError):  # a server may answer before it has read everything
                upstream.sendall(request.encode())
            return read_answer(file, self.request.method)

    def send(self, answer: Message, *, close: bool = False) -> None:
        """Answer the client."""
        self.record(answer.status)
        has_end = has_length(answer, self.request.method) and not ends_connection(answer)
        self.keeps = self.keeps and has_end and not close
        self.client.sendall(answer.encode())

    def drop(self) -> None:
        """Close the connection of the client, which is all it gets."""
        self.record("dropped")
        self.keeps = False
        with contextlib.suppress(OSError):  # the client was faster
            self.client.shutdown(socket.SHUT_RDWR)

    def record(self, answer: int | str) -> None:
        """Note the answer before the client has it, so that it is there for a test to read."""
        if not self.answered:
            self.answered = True
            self.proxy.answers.append((self.request.number, answer))

    def wait(self, event: threading.Event, limit: float = float("inf")) -> None:
        """Wait for the event; give up the exchange when the proxy is closed."""
        deadline = time.monotonic() + limit
        while not event.wait(GLANCE) and time.monotonic() < deadline:
            if self.proxy.closing:
                raise ConnectionAbortedError("the proxy is closed")


class Handler(socketserver.StreamRequestHandler):
    """One connection of a client."""

    disable_nagle_algorithm = True
    server: "Listener"

    def handle(self) -> None:
        """Serve one request after the other."""
        with contextlib.suppress(OSError):  # the client went away
            while message := self.read_request():
                exchange = Exchange(self.server.proxy, self.connection, message)
                exchange.run()
                if not exchange.keeps:
                    return

    def read_request(self) -> Message | None:
        """Return the next request, with the body for which the client may wait to be asked."""
        lines = read_lines(self.rfile)
        if not lines:
            return None
        headers = parse_headers(lines)
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Message(lines, read_body(self.rfile, headers) or b"")


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The listening socket, with a thread for each connection that the proxy knows of."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, proxy: "FaultProxy"):
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.proxy.track(request)
        self.proxy.spawn(self.process_request_thread, request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.proxy.forget(request)
        super().shutdown_request(request)


class FaultProxy:
    """A proxy at `url`, for as long as its `with` block, that asks `decide` about each request."""

    def __init__(self, upstream_url: str):
        parts = urlsplit(upstream_url)
        self.upstream = (parts.hostname, parts.port)
        self.decide: Decide = lambda request: None
        self.requests: list[Request] = []
        self.answers: list[tuple[int, int | str]] = []
        self.closing = False
        self.lock = threading.Lock()
        self.decide_lock = threading.Lock()
        self.sockets: set[socket.socket] = set()
        self.threads: set[threading.Thread] = set()
        self.listener = Listener(self)
        self.url = f"http://127.0.0.1:{self.listener.server_address[1]}"

    def __enter__(self) -> Self:
        self.server_thread = threading.Thread(
            target=self.listener.serve_forever, args=(GLANCE,), daemon=True
        )
        self.server_thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, cut all connections, and wait for the threads."""
        self.listener.shutdown()
        self.server_thread.join()
        self.listener.server_close()
        with self.lock:
            self.closing = True
            sever(self.sockets)
            threads = list(self.threads)
        for thread in threads:
            thread.join()

    def register(self, message: Message) -> tuple[Request, Fault | None]:
        """Give the request its number and decide about it, one after the other."""
        method, path, _ = message.lines[0].decode("latin-1").split(" ", 2)
        with self.decide_lock:
            request = Request(len(self.requests), method, path, message.headers)
            self.requests.append(request)
            return request, self.decide(request)

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A new connection to the server."""
        with socket.create_connection(self.upstream, PATIENCE) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.track(upstream)
            try:
                yield upstream
            finally:
                self.forget(upstream)

    def track(self, connection: socket.socket) -> None:
        """Remember a connection to cut it when the proxy is closed."""
        with self.lock:
            if self.closing:
                raise ConnectionAbortedError("the proxy is closed")
            self.sockets.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self.lock:
            self.sockets.discard(connection)

    def spawn(self, run: Callable[..., None], *args: Any) -> None:
        """Start a thread that is waited for when the proxy is closed."""

        def target() -> None:
            try:
                run(*args)
            finally:
                with self.lock:
                    self.threads.discard(threading.current_thread())

        thread = threading.Thread(target=target, daemon=True)
        with self.lock:
            self.threads.add(thread)
        thread.start()


def sever(connections: Iterable[socket.socket]) -> None:
    """Wake whoever reads from these connections; their owners close them."""
    for connection in connections:
        with contextlib.suppress(OSError):  # it is not connected any more
            connection.shutdown(socket.SHUT_RDWR)
