"""The candidates as processes: their events come in by a queue, none is left behind."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0  # seconds
Event = dict[str, Any]


class Team:
    """Starts candidates, listens to them, stops and continues them.

    Args:
        store: the folder of lease and table.
        names: one candidate for each.
    """

    def __init__(self, store: str, names: list[str]) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self._processes = {name: self._started(store, name) for name in names}

    def _started(self, store: str, name: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", f"{__package__}.candidate", store, name]
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._events.put(json.loads(line))

    def wait_for(self, wanted: Callable[[Event], bool], patience: float = PATIENCE) -> Event:
        """The next event that is wanted; `queue.Empty` if none comes for so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            event = self._events.get(timeout=max(0.1, deadline - time.monotonic()))
            if wanted(event):
                return event

    def stop(self, name: str) -> None:
        """Stop a candidate (SIGSTOP): all of its threads stand still, and it does not know."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """Let it go on (SIGCONT)."""
        self._processes[name].send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()  # also one that is stopped
            process.wait()
