"""Clients of a folder in one process: threads that do random things, and write all of it down."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from persidict import FileDirDict
from persidict.exceptions import OutcomeUnknownError
from persidict.owners import new_token
from tests.histories.checker import UNKNOWN
from tests.histories.recorder import Client
from tests.hosts import stops


class Witness(Client):
    """One that may be told that nobody knows what has become of its operation."""

    ahead = 0

    def now(self) -> int:
        """Return the time by the clock of the test."""
        return time.monotonic_ns() - self.ahead

    def step(self, value: str, kind: str, key: str) -> None:
        try:
            super().step(value, kind, key)
        except OutcomeUnknownError:
            self.write([self.now(), UNKNOWN])


_running: list[threading.Thread] = []


def start(folder: str, name: str, counts: list[int], seed: str, ahead: int) -> str:
    """Start a thread for each number of operations; return what names this process in locks."""
    d = FileDirDict(base_dir=f"{folder}/d", durability="relaxed", digest_len=0)
    stops.watch_threads()
    Witness.ahead = ahead * 10**9
    for thread, count in enumerate(counts):
        log = os.open(Path(folder, "logs", f"{name}.{thread}"), os.O_WRONLY | os.O_CREAT)
        client: Any = Witness(d, f"{name}.{thread}", log, f"{seed} {name} {thread}")
        _running.append(threading.Thread(target=client.run, args=(count,)))
    for each in _running:
        each.start()
    return new_token().rpartition("-")[0] + "-"


def stopped_once(call: str, skip: int) -> bool:
    """Let a thread stop the process before a call; return when that is over, or all are done."""
    is_over = stops.stop_before(call, skip)
    while not is_over() and not are_done():
        time.sleep(0.001)
    return is_over()


def are_done() -> bool:
    return not any(thread.is_alive() for thread in _running)
