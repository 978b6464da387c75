"""The pool: as many worker processes as there is work for, some of which are killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Self

from persidict_dask.coordination import Primitive, inspect

from .worker import QUEUE

ROOT = Path(__file__).parents[3]
FILES_PER_WORKER = 10  # of those that are not done yet


class Pool:
    """Starts workers, kills some, and leaves none behind.

    Args:
        store: the folder of the queue.
        most: how many workers there are at most.
    """

    def __init__(self, store: str, most: int) -> None:
        self._store = store
        self._most = most
        self._workers: list[subprocess.Popen[bytes]] = []
        self.started = 0
        self.killed = 0

    @property
    def pids(self) -> set[int]:
        """Those of the workers that run."""
        return {worker.pid for worker in self._workers if worker.poll() is None}

    def fit(self, left: int) -> None:
        """Start workers if there are too few for what is left to do; they end by themselves."""
        wanted = min(self._most, -(-left // FILES_PER_WORKER))
        for _ in range(wanted - len(self.pids)):
            line = [sys.executable, "-m", f"{__package__}.worker", self._store]
            self._workers.append(subprocess.Popen(line, cwd=ROOT))
            self.started += 1

    def kill_one_at_work(self) -> bool:
        """Kill (SIGKILL) a worker that has claimed a file right now, if there is one."""
        at_work = sorted({holder.pid for holder in queue_state(self._store).holders} & self.pids)
        if not at_work:
            return False
        pid = random.choice(at_work)
        victim = next(worker for worker in self._workers if worker.pid == pid)
        victim.kill()
        victim.wait()
        self.killed += 1
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()


def queue_state(store: str) -> Primitive:
    """What an operator sees of the queue."""
    return next(each for each in inspect(store) if (each.kind, each.name) == ("queue", QUEUE))
