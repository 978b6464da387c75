"""Processes that start together, can be killed, stopped and replaced, and leave logs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent.parent
SEED = os.environ.get("FAULTS_SEED") or str(random.randrange(10**6))


def until(holds: Callable[[], Any], timeout: float = 100) -> Any:
    """Return what it gives once that is true."""
    deadline = time.monotonic() + timeout
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
    return found


class Fleet:
    """Processes of one program; used in a `with` statement, which ends them."""

    def __init__(self, folder: Path, url: str, program: str, **settings: Any) -> None:
        self.folder, self.url, self.program, self.settings = folder, url, program, settings
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.running: list[subprocess.Popen[str]] = []
        self.killed = 0
        self.chance = random.Random(SEED)
        self._number = 0
        print("FAULTS_SEED", SEED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def start(self, *settings: dict[str, Any]) -> None:
        """Start a process for each of the settings; they go on once all of them are ready."""
        new = [self._started(each) for each in settings]
        for process in new:
            assert process.stdout.readline() == "ready\n", self.errors()
        self.running += new
        for process in new:
            self._tell(process, "go")

    def _started(self, settings: dict[str, Any]) -> subprocess.Popen[str]:
        log = self.logs / f"{self._number}-{self.program}"
        self._number += 1
        command = [sys.executable, "-m", "tests.coordination.faults.worker", self.program]
        with open(self.folder / "errors", "ab") as errors:
            return subprocess.Popen(
                [*command, self.url, str(log), json.dumps(self.settings | settings)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def errors(self) -> str:
        """Return what the processes have complained about."""
        return (self.folder / "errors").read_text()

    def events(self, kind: str) -> list[list[Any]]:
        """Return what processes wrote down about one kind of thing: their number, and what."""
        found = []
        for log in self.logs.iterdir():
            lines = log.read_bytes().split(b"\n")[:-1]
            told = [json.loads(line) for line in lines if line.startswith(b'["%b"' % kind.encode())]
            found += [each[1:] for each in told]
        return found

    def count(self, kind: str) -> int:
        """Count them."""
        start = b'["%b"' % kind.encode()
        return sum(log.read_bytes().count(start) for log in self.logs.iterdir())

    def wait_for(self, kind: str, more: int) -> None:
        """Wait until so many more have been written down, or nobody is left who would."""
        wanted = self.count(kind) + more
        until(lambda: self.count(kind) >= wanted or not self.living())

    def living(self) -> list[subprocess.Popen[str]]:
        """Return the processes that have not ended; fails if one has failed."""
        for process in self.running:
            assert process.poll() in (None, 0), self.errors()
        return [process for process in self.running if process.returncode is None]

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill it at whatever it does."""
        self.running.remove(process)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        self.killed += 1

    def replace(self, process: subprocess.Popen[str], **settings: Any) -> None:
        """Kill it, and start another, which comes when it is ready."""
        self.kill(process)
        new = self._started(settings)
        self.running.append(new)
        self._tell(new, "go")

    def any(self, kind: str) -> subprocess.Popen[str]:
        """Choose a process: often the one that was the last to write down something."""
        living = self.living()
        if self.chance.random() < 0.5:
            last = max(self.logs.iterdir(), key=lambda log: log.stat().st_mtime_ns).read_bytes()
            for process in living:
                if b'"%b", %d' % (kind.encode(), process.pid) in last:
                    return process
        return self.chance.choice(living)

    def chaos(self, kind: str, steps: int, *, more: int, stop: float, stops: int) -> None:
        """Let so many things happen between the faults: kills, and stops of so many seconds."""
        first = (steps - stops) // 2  # others may do all the rest while one is stopped
        faults = ["stop"] * stops + ["kill"] * (steps - stops - first)
        self.chance.shuffle(faults)
        for fault in ["kill"] * first + faults:
            self.wait_for(kind, more)
            if not self.living():
                return
            process = self.any(kind)
            if fault == "kill":
                self.replace(process)
            else:
                stopped(process, lambda: time.sleep(stop))
        self.wait_for(kind, more)

    def finish(self) -> None:
        """Let all come to an end, and check that it is a good one."""
        for process in self.running:
            process.stdin.close()
        for process in self.running:
            assert process.wait(timeout=100) == 0, self.errors()
            process.stdout.close()
        self.running = []


def stopped(process: subprocess.Popen[str], act: Callable[[], Any]) -> Any:
    """Do something while a process is stopped."""
    process.send_signal(signal.SIGSTOP)
    try:
        return act()
    finally:
        process.send_signal(signal.SIGCONT)


class Puppet(Fleet):
    """One process that does what it is told."""

    def __init__(self, folder: Path, url: str, prepare: str, **settings: Any) -> None:
        super().__init__(folder, url, "puppet", prepare=prepare, **settings)
        self._number = len([*self.logs.iterdir()])
        self.process = self._started({})
        self.running = [self.process]
        assert self.process.stdout.readline() == "ready\n", self.errors()

    def tell(self, expression: str) -> None:
        """Tell it what to do, and do not wait for the answer."""
        self._tell(self.process, expression)

    def answer(self) -> Any:
        """Return the next answer."""
        line = self.process.stdout.readline()
        assert line, self.errors()
        return json.loads(line)

    def __call__(self, expression: str) -> Any:
        """Tell it what to do; return the result, or the name of the error."""
        self.tell(expression)
        return self.answer()

    def die(self) -> None:
        """Kill it."""
        self.kill(self.process)
