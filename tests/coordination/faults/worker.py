"""Processes that coordinate through a store, and write down all that they see.

`python -m tests.coordination.faults.worker PROGRAM STORE_URL LOG SETTINGS`

Settings of all programs, as JSON: `skew` (seconds by which the wall clock of the process is wrong),
`host` (what it takes for the name of its host) and `mute` (nothing is renewed in the background).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
LARGE = "x" * 6000
"""So large that it lies beside its record."""


def now() -> float:
    """Return seconds by the clock that all processes of a host share."""
    return time.clock_gettime(_CLOCK)


class Me:
    """This process: its store, its log, its settings."""

    def __init__(self, url: str, log: str, settings: dict[str, Any]) -> None:
        from persidict_dask import open_store

        self.url = url
        self.store = open_store(url, **settings.pop("store", {}))
        self.settings = settings
        self.is_running = True
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log(self, kind: str, *told: Any) -> None:
        """Write down what has happened; it is there, whatever happens to this process."""
        os.write(self._log, json.dumps([kind, os.getpid(), *told]).encode() + b"\n")

    def wait_for_go(self) -> None:
        """Tell that all is prepared; return when all others are ready too."""
        print("ready", flush=True)
        read_line()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        while os.read(0, 1):
            pass
        self.is_running = False


def read_line() -> str:
    """Read a line without a buffer, so that no thread holds a lock while it waits."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line.decode()


def lease(me: Me) -> None:
    """Acquire, hold for a while, release; again and again."""
    from persidict_dask.coordination import Lease

    hold(me, Lease(me.store, "shared", ttl=me.settings["ttl"]))


def semaphore(me: Me) -> None:
    """Do the same with one of several places."""
    from persidict_dask.coordination import Semaphore

    limit, ttl = me.settings["limit"], me.settings["ttl"]
    hold(me, Semaphore(me.store, "shared", limit=limit, ttl=ttl))


def hold(me: Me, places: Any) -> None:
    """Look all the time whether it is held still, and write down when it certainly was."""
    from persidict_dask.coordination import LeaseLost

    while me.is_running:
        before = now()
        if not places.acquire(timeout=2):
            continue
        got = f"{os.getpid()}-{before}"
        me.log("got", got, getattr(places, "token", None), before, now())
        checks = random.choice([1, 2, 5, 20, 20, me.settings.get("most_checks", 20)])
        for _ in range(checks):
            at = now()
            if not places.held:
                break
            me.log("held", got, at)
            time.sleep(0.002)
        if me.settings.get("is_writing"):
            write(me, places.token)
        with contextlib.suppress(LeaseLost):
            places.release()
        time.sleep(random.choice([0, 0.01]))


def write(me: Me, token: int) -> None:
    """Write with the token, and read what is there then."""
    from persidict_dask.coordination import StaleTokenError, fenced_set

    try:
        fenced_set(me.store, "item", {"token": token}, token=token)
    except StaleTokenError as error:
        me.log("refused", error.token, error.newest)
    else:
        me.log("wrote", token, me.store["item"]["token"])


def tokens(me: Me) -> None:
    """Acquire so many times; the last is not released."""
    from persidict_dask.coordination import Lease

    times = me.settings["times"]
    lease = Lease(me.store, "shared", ttl=3600)
    for i in range(times):
        assert lease.acquire(timeout=60)
        me.log("token", lease.token)
        if i < times - 1:
            lease.release()
    me.log("last")
    while me.is_running:
        time.sleep(0.01)


def counter(me: Me) -> None:
    """Count, and write down each answer."""
    from persidict_dask.coordination import Counter

    counter = Counter(me.store, "shared", shards=me.settings["shards"])
    while me.is_running:
        before = now()
        result = counter.increment()
        me.log("counted", result, before, now())


def queue(me: Me) -> None:
    """Do all items until none is left."""
    from persidict_dask import LeaseLost
    from persidict_dask.coordination import WorkQueue

    queue = WorkQueue(me.store, "shared", **me.settings["queue"])
    for claim in queue.drain():
        me.log("claimed", claim.key, claim.deliveries)
        try:
            item = claim.item
        except LeaseLost:  # it was stopped, and others have done it
            me.log("vanished", claim.key)
            claim.give_back()
            continue
        if item == "poison":
            os._exit(1)
        if isinstance(item, str):
            time.sleep(random.choice([0, 0, 0.003]))
        result = {
            "of": claim.key,
            "by": os.getpid(),
            "large": LARGE if random.random() < 0.1 else "",
        }
        me.log("done", claim.key, claim.done(result))
    me.log("drained")


def barrier(me: Me) -> None:
    """Wait for the others, round after round."""
    from persidict_dask.coordination import Barrier

    barrier = Barrier(me.store, "shared", parties=me.settings["parties"], ttl=3600)
    rounds = me.settings.get("rounds")
    number = 0
    while number != rounds if rounds else me.is_running:
        before = now()
        me.log("arrives", number, before)
        with contextlib.suppress(TimeoutError):
            place = barrier.wait(timeout=None if rounds else 1)
            me.log("passed", number, place, before, now())
            number += 1


def rate(me: Me) -> None:
    """Pass so many times; write down the moment of each reservation, and that of passing."""
    from persidict_dask.coordination import RateLimiter

    limiter = RateLimiter(me.store, "shared", rate=me.settings["rate"], burst=me.settings["burst"])
    change, last = limiter._record.change, {}

    def changed(make: Callable[[Any], Any]) -> Any:
        seen = change(make)
        last.update(seen.fields)
        return seen

    limiter._record.change = changed
    for _ in range(me.settings["times"]):
        limiter.acquire()
        after, told = now(), last["next"]
        me.log("passed", max(told["at"], told["until"] - 1 / me.settings["rate"]), after)


def shared(me: Me) -> None:
    """Put names into a list that all share."""
    from persidict_dask.coordination import SharedValue

    value = SharedValue(me.store, "shared", [])
    number = 0
    while me.is_running:
        name = f"{os.getpid()}-{number}-{'x' * 40}"  # so that there soon are payloads
        me.log("asks", name)
        names = value.update(lambda names, name=name: [*names, name])
        me.log("updated", name, len(names), names.index(name), names[-1])
        number += 1


def puppet(me: Me) -> None:
    """Do what it is told, line by line, and answer with the result or the name of the error."""
    import persidict_dask.coordination as coordination

    world = {**vars(coordination), "me": me, "store": me.store, "now": now, **globals()}
    world["read_line"] = None
    exec(me.settings["prepare"], world)
    print("ready", flush=True)
    while line := read_line():
        try:
            answer = eval(line, world)
        except Exception as error:
            answer = type(error).__name__
        print(json.dumps(answer), flush=True)


def in_child(act: Callable[[], Any], seconds: int = 10) -> Any:
    """Return what it gives in a child of this process; the name of the error, or "killed"."""
    import signal

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        try:
            answer = act()
        except Exception as error:
            answer = type(error).__name__
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        told = file.read()
    os.waitpid(child, 0)
    return json.loads(told) if told else "killed"


PROGRAMS = {
    program.__name__: program
    for program in (lease, semaphore, tokens, counter, queue, barrier, rate, shared, puppet)
}


def enter_world(skew: float = 0, host: str = "", mute: bool = False) -> None:
    """Make this process believe what its settings say, before anything is imported."""
    if skew:
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + skew
        time.time_ns = lambda: real_ns() + int(skew * 1e9)
    if host:
        import persidict.owners

        persidict.owners._host = lambda: host
    if mute:
        from persidict_dask._heartbeat import heart

        heart.add = lambda call, every: lambda: None


def main(program: str, url: str, log: str, text: str) -> None:
    settings = json.loads(text)
    enter_world(
        **{name: settings.pop(name) for name in ("skew", "host", "mute") if name in settings}
    )
    me = Me(url, log, settings)
    if program != "puppet":
        me.wait_for_go()
    PROGRAMS[program](me)


if __name__ == "__main__":
    main(*sys.argv[1:])
