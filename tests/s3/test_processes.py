"""Processes that compete on a server: counters are exact, claims and removals go to one of them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .conftest import Place

ROOT = Path(__file__).parent.parent.parent
PROCESSES, COUNT = 8, 50


def test_eight_processes(real: Place) -> None:
    """Fifty increments each; fifty keys to claim, fifty items to take."""
    d = real.basic()
    d.update({("queue", str(number)): number for number in range(COUNT)})
    command = [sys.executable, "-m", "tests.s3.counting", str(real.url), real.prefix, str(COUNT)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [
        subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
        for _ in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    got = [process.communicate()[0].split() for process in running]
    assert d["counter"] == PROCESSES * COUNT
    assert sum(int(claimed) for claimed, _ in got) == COUNT
    assert sum(int(popped) for _, popped in got) == COUNT
    assert len(d.get_subdict("queue")) == 0


def test_threads_share_a_dictionary(real: Place) -> None:
    d = real.basic()

    def count(_: int) -> None:
        for _ in range(10):
            d.transform_item("counter", transformer=plus_one, n_retries=None)

    def plus_one(value: object) -> int:
        return value + 1 if isinstance(value, int) else 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert d["counter"] == 80
