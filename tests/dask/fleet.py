"""Processes that make equal calls at the same time, and can be killed in the middle of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

WORKER = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from counting import ran
from persidict_dask import persist

STORE, GATE = sys.argv[1], Path(sys.argv[2])

class Gate:
    def __persist_token__(self):
        return "gate"
    def wait(self):
        while not GATE.exists():
            time.sleep(0.01)

gate = Gate()

@persist(STORE)
def slow(x):
    ran(f"slow-{os.getpid()}")
    gate.wait()
    return [x] * 3

def once(_):
    return slow(7)

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(16) as pool:
    results = list(pool.map(once, range(16)))
assert results == [[7, 7, 7]] * 16
stats = slow.stats()
print(stats.misses, stats.hits, flush=True)
"""


class Fleet:
    """Processes that make 16 equal calls each, and are held in the middle of the one that runs."""

    def __init__(self, project, store, size):
        self.project = project
        self.gate = project.folder / "gate"
        project.write("worker.py", WORKER)
        command = [sys.executable, "-W", "error", project.folder / "worker.py", store, self.gate]
        self.processes = [
            subprocess.Popen(
                command,
                cwd=project.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(size)
        ]
        for process in self.processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()

    def start(self):
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def runner(self, number):
        """The process that makes the run of this number."""
        while len(lines := self.project.log.read_text().split()) <= number:
            time.sleep(0.005)
        return int(lines[number].split("-")[1])

    def finish(self):
        """Let the run end; return misses and hits of all that are left."""
        self.gate.touch()
        told = []
        for process in self.processes:
            out, err = process.communicate(timeout=60)
            if process.returncode != -signal.SIGKILL:
                assert process.returncode == 0, err
                told.append([int(word) for word in out.split()])
        return told
