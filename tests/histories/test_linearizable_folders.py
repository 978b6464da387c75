"""Random histories of many clients of one folder can be explained, also when some are killed."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.histories.checker import OPEN, Violation, check
from tests.histories.recorder import read_back

ROOT = Path(__file__).parent.parent.parent
OPERATIONS = int(os.environ.get("HISTORY_OPERATIONS", "5000"))  # of each of the eight clients
SEED = os.environ.get("HISTORY_SEED") or str(random.randrange(10**6))
RELAXED = {"durability": "relaxed"}


def clients(tmp_path, params, *, processes=4, threads=2, operations=OPERATIONS, seed=SEED):
    """Start the processes, and let them go on together once all of them are ready."""
    print("HISTORY_SEED", seed)
    (tmp_path / "logs").mkdir()
    command = [sys.executable, "-m", "tests.histories.recorder", tmp_path / "d", tmp_path / "logs"]
    running = [
        subprocess.Popen(
            [*map(str, [*command, process, threads, operations, seed, json.dumps(params)])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.close()
    return running


def finish(running):
    for process in running:
        process.wait()
        process.stdout.close()


def history(tmp_path, params, **settings):
    running = clients(tmp_path, params, **settings)
    finish(running)
    assert [process.returncode for process in running] == [0] * len(running)
    return read_back(tmp_path / "logs")


def test_mixed_operations(tmp_path):
    ops = history(tmp_path, RELAXED)
    assert len(ops) == 8 * OPERATIONS
    check(ops)


def test_insertions_into_an_append_only_dict(tmp_path):
    ops = history(tmp_path, RELAXED | {"append_only": True}, operations=OPERATIONS // 10)
    check(ops)
    assert sum(op.kind == "insert" and op.result for op in ops) > 10


def test_clients_that_are_killed(tmp_path):
    """Whatever they were doing has happened or has not; the others go on."""
    chance = random.Random(SEED)
    for index in range(4):
        folder = tmp_path / str(index)
        folder.mkdir()
        running = clients(folder, RELAXED, operations=OPERATIONS // 10, seed=f"{SEED} {index}")
        log = folder / "logs" / "0.0"
        wanted = chance.randrange(OPERATIONS // 20)
        while log.read_bytes().count(b"\n") < wanted:
            pass
        running[0].send_signal(signal.SIGKILL)
        finish(running)
        assert [process.returncode for process in running[1:]] == [0] * 3
        ops = read_back(folder / "logs")
        assert sum(op.end == OPEN for op in ops) <= 2
        check(ops)


def test_without_locks_the_checker_finds_what_goes_wrong(tmp_path):
    """Or else it would find nothing with them."""
    for index in range(20):
        folder = tmp_path / str(index)
        folder.mkdir()
        unsafe = RELAXED | {"exact": False}
        ops = history(folder, unsafe, operations=OPERATIONS // 10, seed=f"{SEED} {index}")
        try:
            check(ops)
        except Violation:
            return
    pytest.fail("no violation was found")
