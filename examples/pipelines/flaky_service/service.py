"""A service in a process of its own that fails and limits its rate when told, and keeps a log."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from .load import BUCKET

HEALTHY, FAILING, LIMITED = "healthy", "failing", "limited"
REFUSAL = 0.5  # what turning away costs it, in pages
BURST = 0.25  # seconds' worth of pages that it has in reserve
BUSY, LIMIT, FINE = 503, 429, 200


class Answer(NamedTuple):
    """What a request gets."""

    status: int
    retry_after: float = 0.0


class Reserve:
    """What is left of a rate: fills with time, and is taken from by requests."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.left = self._most = max(1.0, rate * BURST)
        self._seen = time.monotonic()

    def fill(self) -> None:
        now = time.monotonic()
        self.left = min(self._most, self.left + (now - self._seen) * self.rate)
        self._seen = now

    def take(self, cost: float) -> None:
        self.left = max(0.0, self.left - cost)

    @property
    def wait(self) -> float:
        """Seconds until it is good for a page."""
        return max(0.0, 1 - self.left) / self.rate


class Service(ThreadingHTTPServer):
    """Serves `/page/<number>` up to a capacity, in the phase that `PUT /phase/<name>` sets.

    Args:
        capacity: pages per second that it can make. A request that it turns away costs it too,
            so that too many of them leave nothing for pages.
        limit: pages per second that it gives in the limited phase; the others cost it nothing.
    """

    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, capacity: float, limit: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._capacity, self._limit = Reserve(capacity), Reserve(limit)
        self._started = time.monotonic()
        self._phases: list[tuple[float, str]] = []
        self._counts: Counter[tuple[int, int]] = Counter()
        self._inside = 0

    def begin(self, phase: str) -> None:
        with self._lock:
            if not self._phases:  # time runs since the first
                self._started = time.monotonic()
            self._phases.append((self._age(), phase))

    def answer(self) -> Answer:
        """Decide about a request, and note it."""
        with self._lock:
            self._inside += 1
            answer = self._decide(self._phases[-1][1] if self._phases else HEALTHY)
            self._counts[int(self._age() / BUCKET), answer.status] += 1
        return answer

    def left(self) -> None:
        with self._lock:
            self._inside -= 1

    def seconds_of_work(self) -> float:
        """The more it has to do, the slower it is."""
        return 0.01 + 0.002 * min(self._inside, 50)

    def log(self) -> dict[str, Any]:
        """Phases, each with the second in which it began; second, status and number of requests."""
        with self._lock:
            counted = sorted(self._counts.items())
            requests = [(bucket * BUCKET, status, n) for (bucket, status), n in counted]
            return {"phases": self._phases[:], "requests": requests}

    def _decide(self, phase: str) -> Answer:
        self._capacity.fill()
        self._limit.fill()
        if phase == LIMITED and self._limit.wait:
            return Answer(LIMIT, retry_after=math.ceil(self._limit.wait))
        if phase == FAILING or self._capacity.wait:
            self._capacity.take(REFUSAL)
            return Answer(BUSY)
        self._capacity.take(1)
        self._limit.take(1)
        return Answer(FINE)

    def _age(self) -> float:
        return time.monotonic() - self._started


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        if self.path == "/log":
            self._send(Answer(FINE), json.dumps(self.server.log()))
            return
        answer = self.server.answer()
        try:
            time.sleep(self.server.seconds_of_work())
            self._send(answer, f"This is {self.path}.\n" * 50)
        finally:
            self.server.left()

    def do_PUT(self) -> None:
        self.server.begin(self.path.rpartition("/")[2])
        self._send(Answer(FINE), "")

    def _send(self, answer: Answer, text: str) -> None:
        body = text.encode() if answer.status == FINE else b""
        self.send_response(answer.status)
        if answer.retry_after:
            self.send_header("Retry-After", f"{answer.retry_after:g}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


if __name__ == "__main__":
    with Service(*map(float, sys.argv[1:3])) as service:
        print(f"http://127.0.0.1:{service.server_port}", flush=True)
        service.serve_forever(poll_interval=0.05)
