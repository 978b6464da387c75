"""Counters and claims of many processes on one folder: nothing lost, nothing twice."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from persidict import (
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    FileDirDict,
    MutationPolicyError,
    WriteOnceDict,
)
from tests.histories.counting import KEY

ROOT = Path(__file__).parent.parent.parent
FOREVER = 10**9
SEED = os.environ.get("HISTORY_SEED") or str(random.randrange(10**6))
KEYS = 1000


class Pool:
    """Processes that count in one folder, each with a log of what it was told."""

    def __init__(self, folder, count, params=None):
        self.folder, self.count = folder, count
        self.params = {"durability": "relaxed", "lock_timeout": 20} | (params or {})
        self.logs, self.running = [], []

    def start(self, processes):
        new = [self._spawn() for _ in range(processes)]
        for process in new:
            assert process.stdout.readline() == "ready\n"
        for process in new:
            process.stdin.write("\n")
            process.stdin.close()

    def _spawn(self):
        log = self.folder / f"log-{len(self.logs)}"
        self.logs.append(log)
        command = [sys.executable, "-m", "tests.histories.counting", self.folder / "d", log]
        process = subprocess.Popen(
            [*map(str, [*command, self.count, json.dumps(self.params)])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def finish(self):
        for process in self.running:
            process.wait()
            process.stdout.close()

    def told(self):
        return [int(line) for log in self.logs if log.exists() for line in log.read_text().split()]

    def wait_for(self, values):
        """Wait until so many values more were told to somebody."""
        wanted = self.size() + 2 * values  # at least two bytes each
        while self.size() < wanted:
            pass

    def size(self):
        return sum(log.stat().st_size for log in self.logs if log.exists())

    def total(self):
        d = FileDirDict(base_dir=self.folder / "d")
        return d.get(KEY, 0)


@pytest.fixture
def pool(tmp_path):
    made = Pool(tmp_path, 50)
    yield made
    for process in made.running:
        process.kill()
    made.finish()


def test_sixteen_processes_count_to_eight_hundred(pool):
    pool.start(16)
    pool.finish()
    assert sorted(pool.told()) == list(range(1, 801))
    assert pool.total() == 800
    assert [name for name in os.listdir(pool.folder / "d") if name.startswith(".__")] == []


def test_killed_processes_neither_lose_nor_double_what_was_acknowledged(pool):
    print("HISTORY_SEED", SEED)
    chance, kills = random.Random(SEED), 60
    pool.count = FOREVER
    pool.start(6)
    for _ in range(kills):
        pool.wait_for(chance.randrange(20))
        victim = pool.running.pop(chance.randrange(len(pool.running)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        pool.start(1)
    for process in pool.running:
        process.kill()
    pool.finish()
    told = pool.told()
    assert len(told) > kills
    assert len(set(told)) == len(told)
    assert len(told) <= pool.total() <= len(told) + kills + 6
    d = FileDirDict(base_dir=pool.folder / "d")
    assert len(d) == 1
    assert [name for name in os.listdir(d.base_dir) if name.startswith(".__")] == []


def test_stopped_processes_go_on_where_they_were(pool):
    """Others go on too, or are told that somebody holds the lock, and try again."""
    print("HISTORY_SEED", SEED)
    chance = random.Random(SEED)
    pool.count, pool.params["lock_timeout"] = 400, 0.05
    pool.start(4)
    for _ in range(40):
        pool.wait_for(5)
        victim = chance.choice(pool.running)
        os.kill(victim.pid, signal.SIGSTOP)
        while state(victim.pid) not in "TZ":
            pass
        for process in pool.running:
            if process is not victim and process.poll() is None:
                progress_or_timeouts(process)
        os.kill(victim.pid, signal.SIGCONT)
        if any(process.poll() is not None for process in pool.running):
            break
    pool.finish()
    assert [process.returncode for process in pool.running] == [0] * 4
    assert sorted(pool.told()) == list(range(1, 1601))
    assert pool.total() == 1600


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def progress_or_timeouts(process):
    """Give the process some time of the processor, and so many turns."""

    def switches():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    before = switches()
    while state(process.pid) != "Z" and switches() < before + 20:
        pass


# -- claims -------------------------------------------------------------------------------------


def by_setdefault_if(d, key, mine):
    result = d.setdefault_if(
        key, default_value=mine, condition=ETAG_IS_THE_SAME, expected_etag=ITEM_NOT_AVAILABLE
    )
    return result.condition_was_satisfied


def by_insertion(d, key, mine):
    try:
        d[key] = mine
    except MutationPolicyError:
        return False
    return True


def by_write_once(d, key, mine):
    d[key] = mine
    return d[key] == mine


def by_setdefault(d, key, mine):
    return d.setdefault(key, mine) == mine


CLAIMS = {
    by_setdefault_if: lambda folder: FileDirDict(base_dir=folder, durability="relaxed"),
    by_setdefault: lambda folder: FileDirDict(base_dir=folder, durability="relaxed"),
    by_insertion: lambda folder: FileDirDict(
        base_dir=folder, durability="relaxed", append_only=True
    ),
    by_write_once: lambda folder: WriteOnceDict(
        wrapped_dict=FileDirDict(base_dir=folder, durability="relaxed", append_only=True)
    ),
}


def race(folder, claim, barrier, won, me):
    d = CLAIMS[claim](folder)
    mine = []
    for index in range(KEYS):
        barrier.wait()
        if claim(d, str(index), me):
            mine.append(index)
    won.put(mine)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_one_winner_of_each_key(tmp_path, claim):
    context = multiprocessing.get_context("spawn")
    barrier, won = context.Barrier(8), context.Queue()
    racers = [
        context.Process(target=race, args=(tmp_path / "d", claim, barrier, won, me))
        for me in range(8)
    ]
    for racer in racers:
        racer.start()
    claimed = [index for _ in racers for index in won.get()]
    for racer in racers:
        racer.join()
    assert sorted(claimed) == list(range(KEYS))
