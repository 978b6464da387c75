"""A web site on this machine that notes when it was asked for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """Serves `/page/<number>`; `log` holds the path and the moment of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log: list[tuple[str, float]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.log.append((self.path, time.monotonic()))
        body = f"This is {self.path}.\n".encode() * 50
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@contextmanager
def serving() -> Iterator[Site]:
    """A site that runs in a thread until the end of the block."""
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


def busiest_second(moments: list[float]) -> int:
    """The most requests within any one second."""
    ordered = sorted(moments)
    return max(sum(0 <= other - first < 1 for other in ordered) for first in ordered)


def mean_rate(moments: list[float]) -> float:
    """Requests per second between the first and the last."""
    return (len(moments) - 1) / (max(moments) - min(moments)) if len(moments) > 1 else 0.0
