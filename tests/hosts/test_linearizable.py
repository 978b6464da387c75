"""Two hosts, two processes on each, two threads in each: a random history can be explained.

Holders of locks are stopped for longer than the lease, and killed. `HOSTS_OPERATIONS` makes the
history longer, `HOSTS_SEED` begins one like that of another run.
"""

from __future__ import annotations

import json
import os
import random
import time

from persidict._file_lock import holder_of, lock_path
from tests.coordination.faults.fleet import until
from tests.histories.checker import UNKNOWN, Op, check
from tests.histories.recorder import KEYS, read_back

OPERATIONS = int(os.environ.get("HOSTS_OPERATIONS", "3000"))
SEED = os.environ.get("HOSTS_SEED") or str(random.randrange(10**6))
LEASE = 0.1
CALLS = "replace replace replace unlink unlink stat utime readlink symlink link".split()
PREPARE = f"from tests.hosts.clients import *; file_lock.LEASE = {LEASE}"


class Clients:
    """A process with clients, that can be replaced when it is killed."""

    def __init__(self, hosts, at, name, counts):
        self.hosts, self.at, self.name, self.counts = hosts, at, name, counts
        self.logs = [hosts.folder / "logs" / f"{name}.{i}" for i in range(len(counts))]
        host = [*hosts][at]
        self.process = host.python(PREPARE)
        self.token = self.process(f"start(folder, {name!r}, {counts}, {SEED!r}, {host.clock})")

    def done(self):
        """Return how many operations of each thread have come to an end."""
        return [log.read_bytes().count(b"\n") // 2 for log in self.logs]

    @property
    def are_done(self):
        return self.done() == self.counts

    def stop(self, call, skip):
        """Stop it before a call, and tell whether it was there."""
        self.process.tell(f"stopped_once({call!r}, {skip})")
        return self.process.stopped() != ""

    def go_on(self):
        self.process.go_on()
        self.process.answer()

    def locks(self):
        """Return the items of which it holds the locks."""
        folder = self.hosts.folder / "d"
        holders = {key: holder_of(lock_path(str(folder / f"{key}.pkl"))) for key in KEYS}
        return {key for key, holder in holders.items() if holder.startswith(self.token)}

    def replaced(self):
        """Kill it, and return another that does what is left to do."""
        self.process.kill()
        for log in self.logs:
            if log.read_bytes().count(b"\n") % 2:  # it will never tell more of this one
                with open(log, "a") as file:
                    file.write(json.dumps([time.monotonic_ns(), UNKNOWN]) + "\n")
        left = [all_ - done for all_, done in zip(self.counts, self.done(), strict=True)]
        return Clients(self.hosts, self.at, f"{self.name}+", left)


def test_nothing_is_lost_in_silence(hosts):
    """What raises has happened or has not; all other operations are linearizable."""
    print("HOSTS_SEED", SEED)
    chance = random.Random(SEED)
    (hosts.folder / "logs").mkdir()
    counts = [OPERATIONS // 8] * 2
    running = [Clients(hosts, at, f"{at}{i}", counts) for at in (0, 1) for i in (0, 1)]
    robbed = 0
    for fault in faults(chance, OPERATIONS // 20):
        progress(running, chance.randrange(10))
        index = chance.randrange(4)
        victim, others = running[index], running[2:] if index < 2 else running[:2]
        if not victim.stop(chance.choice(CALLS), chance.randrange(4)):
            continue
        if fault == "kill":
            running[index] = victim.replaced()
        else:
            robbed += was_robbed(victim, others)
            victim.go_on()
    until(lambda: all(each.are_done for each in running))
    ops = read_back(hosts.folder / "logs") + [*last_looks(hosts)]
    print(len(ops), "operations,", robbed, "robbed,", sum(not op.is_told for op in ops), "unknown")
    assert len(ops) == OPERATIONS // 8 * 8 + len(KEYS) * 2
    check(ops)
    assert robbed


def was_robbed(victim, others):
    """Wait until others have the locks that it has, if they want them; tell whether it had any."""
    held = victim.locks()
    until(lambda: not held & victim.locks() or all(other.are_done for other in others))
    return held > victim.locks()


def faults(chance, number):
    both = ["kill", "stop", "stop", "stop"] * number
    chance.shuffle(both)
    return both[:number]


def progress(running, more):
    """Wait until so many operations more have come to an end, or all have."""
    wanted = sum(map(sum, (each.done() for each in running))) + more
    until(
        lambda: (
            sum(map(sum, (each.done() for each in running))) >= wanted
            or all(each.are_done for each in running)
        )
    )


def last_looks(hosts):
    """Yield what both hosts see in the end."""
    for host in hosts:
        process = host.python("d = FileDirDict(base_dir=folder + '/d', digest_len=0)")
        for key in KEYS:
            start = time.monotonic_ns()
            value = process(f"d.get({key!r})")
            yield Op("get", key, None, "any", None, start, time.monotonic_ns(), value)
