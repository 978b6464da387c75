"""The service as the driver sees it: started, told what to do, asked for its log, and stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from .load import Load

ROOT = Path(__file__).parents[3]


class Served:
    """A service that runs somewhere else."""

    def __init__(self, url: str) -> None:
        self.url = url

    def begin(self, phase: str) -> None:
        """Let it be healthy, failing or limited from now on."""
        urlopen(Request(f"{self.url}/phase/{phase}", method="PUT"), timeout=30).close()

    def load(self) -> Load:
        """What has arrived there."""
        with urlopen(f"{self.url}/log", timeout=30) as answer:
            return Load.of(json.load(answer))


@contextmanager
def serving(capacity: float, limit: float) -> Iterator[Served]:
    """A service in a process of its own, until the end of the block."""
    line = [sys.executable, "-m", f"{__package__}.service", str(capacity), str(limit)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Served(process.stdout.readline().strip())
        finally:
            process.kill()
