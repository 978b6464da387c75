"""A script on a cluster of programs of their own, and again with everything new: nothing runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time

SCRIPT = """
import json, sys
import cloudpickle
from distributed import Client
from counting import ran
from persidict_dask import persist

TABLE = list(range(100))

def tripled(x):
    return 3 * TABLE[x % 100]

@persist("{cache}")
def work(x, *, power=1):
    ran("work")
    return [tripled(x) ** power, TABLE]

def opened():
    module = sys.modules.get("persidict_dask._stores")
    return sorted(ref.cls.__name__ for ref in module._process.opened) if module else []

with Client(scheduler_file=sys.argv[1]) as client:
    client.wait_for_workers(2)
    results = client.gather(client.map(work, range(200)))
    told = {
        "right": results == [[3 * (x % 100), TABLE] for x in range(200)],
        "workers": list(client.run(opened).values()),
        "scheduler": client.run_on_scheduler(opened),
        "bytes": len(cloudpickle.dumps(work)),
    }
print(json.dumps(told))
"""


@contextlib.contextmanager
def programs(folder, file):
    """A scheduler and two workers, none of them started by Python's multiprocessing."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "random"}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = [
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        *[["distributed.cli.dask_worker", "--host", "127.0.0.1", *common, "--no-nanny"]] * 2,
    ]
    running = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=folder,
                    env=env,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while not file.exists():
                assert running[0].poll() is None
                time.sleep(0.01)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_two_hundred_calls_and_nothing_the_second_time(new_project, tmp_path):
    project = new_project()
    project.write("script.py", SCRIPT)
    for session in range(2):
        file = tmp_path / f"scheduler-{session}.json"
        with programs(project.folder, file):
            told = json.loads(project.run("script.py", file))
        assert told["right"]
        assert told["workers"] == [["FileDirDict", "WriteOnceDict"]] * 2
        assert told["scheduler"] == []
        assert told["bytes"] <= 2048
        assert project.executed() == ["work"] * (200 if session == 0 else 0)
