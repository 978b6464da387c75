"""Locks, counters, queues and values of a folder, beside those of a scheduler.

All is measured inside of tasks on two worker processes; the first line of each table is what
`distributed` has, which its scheduler keeps in memory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import perf_counter, time
from typing import Any

from benchmarks._harness import Contender, Race, Sample
from benchmarks._ours import folder_dict
from benchmarks._scale import Scale

PEERS = ("persidict", "dask", "distributed")
TASKS = 4
PATIENCE = 60  # seconds
RELAXED = "relaxed"

_names = count()
_kept: list[Any] = []  # in a worker, for as long as that lives


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield what one task does alone, and what four do at the same time."""
    times = scale.items // 10
    with _cluster() as client:
        for tasks in (1, TASKS):
            who = "one task" if tasks == 1 else f"{tasks} tasks at the same time"
            samples = _Samples(client, place / str(tasks), times, tasks)
            yield _locks(samples, who)
            yield _counters(samples, who)
            yield _queues(samples, who)
            yield _values(samples, who)


def deaths(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield how long others wait for what a process holds that is killed."""
    del scale
    with _cluster() as client:
        yield Race(
            "until the lock of a process that was killed is free",
            Contender("Lease", _death(client, lambda name: _lease(_folder(place), name))),
            [Contender("distributed.Lock", _death(client, _lock))],
        )


@contextmanager
def _cluster() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,  # some are killed
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


Work = Callable[[Any, int], None]


class _Samples:
    """Makes samples of work that tasks do, with things that are new each time."""

    def __init__(self, client: Any, place: Path, times: int, tasks: int) -> None:
        self._client = client
        self._times = times
        self._tasks = tasks
        self.full, self.relaxed = _folder(place / "full"), _folder(place / "relaxed", "relaxed")

    def of(self, work: Work, make: Callable[[str], Any]) -> Sample:
        """Return seconds per turn: from the first that begins to the last that ends."""

        def sample() -> float:
            thing = make(f"n{next(_names)}")
            running = [
                self._client.submit(_timed, work, thing, self._times, pure=False)
                for _ in range(self._tasks)
            ]
            moments = self._client.gather(running)
            first, last = min(start for start, _ in moments), max(end for _, end in moments)
            return float(last - first) / (self._times * self._tasks)

        return sample

    def ours(self, name: str, work: Work, make: Callable[[Any, str], Any]) -> list[Contender]:
        """Return the same through to the disk, and with relaxed durability."""
        return [
            Contender(name, self.of(work, lambda n: make(self.full, n))),
            Contender(f"{name}, {RELAXED}", self.of(work, lambda n: make(self.relaxed, n))),
        ]


def _timed(work: Work, thing: Any, times: int) -> tuple[float, float]:
    start = time()
    work(thing, times)
    return start, time()


def _locks(samples: _Samples, who: str) -> Race:
    return Race(
        f"acquire and release, {who}",
        Contender("distributed.Lock", samples.of(_enter, _lock)),
        [
            Contender("distributed.Semaphore", samples.of(_enter, _dask_semaphore)),
            *samples.ours("Lease", _enter, _lease),
            *samples.ours("Semaphore", _enter, _semaphore),
        ],
    )


def _enter(lock: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            pass


def _lock(name: str) -> Any:
    from distributed import Lock

    return Lock(name)  # type: ignore[no-untyped-call]


def _dask_semaphore(name: str) -> Any:
    from distributed import Semaphore

    return Semaphore(max_leases=1, name=name)  # type: ignore[no-untyped-call]


def _folder(path: Path, durability: str = "full") -> Any:
    return folder_dict(path, durability=durability)


def _lease(store: Any, name: str) -> Any:
    from persidict_dask.coordination import Lease

    return Lease(store, name)


def _semaphore(store: Any, name: str) -> Any:
    from persidict_dask.coordination import Semaphore

    return Semaphore(store, name, limit=1)


def _counters(samples: _Samples, who: str) -> Race:
    return Race(
        f"count, {who}",
        Contender("distributed.Lock around a Variable", samples.of(_count_locked, _locked_zero)),
        samples.ours("Counter.increment", _increment, _counter),
    )


def _locked_zero(name: str) -> tuple[Any, Any]:
    from distributed import Variable

    number = Variable(name)  # type: ignore[no-untyped-call]
    number.set(0)  # type: ignore[no-untyped-call]
    return _lock(f"{name} lock"), number


def _count_locked(thing: tuple[Any, Any], times: int) -> None:
    lock, number = thing
    for _ in range(times):
        with lock:
            number.set(number.get() + 1)


def _counter(store: Any, name: str) -> Any:
    from persidict_dask.coordination import Counter

    return Counter(store, name)


def _increment(counter: Any, times: int) -> None:
    for _ in range(times):
        counter.increment()


def _queues(samples: _Samples, who: str) -> Race:
    return Race(
        f"put an item and take one, {who}",
        Contender("distributed.Queue, put and get", samples.of(_put_and_get, _dask_queue)),
        samples.ours("WorkQueue, put, claim and done", _put_and_claim, _queue),
    )


def _dask_queue(name: str) -> Any:
    from distributed import Queue

    return Queue(name)  # type: ignore[no-untyped-call]


def _put_and_get(queue: Any, times: int) -> None:
    for number in range(times):
        queue.put(number)
    for _ in range(times):
        queue.get(timeout=PATIENCE)


def _queue(store: Any, name: str) -> Any:
    from persidict_dask.coordination import WorkQueue

    return WorkQueue(store, name)


def _put_and_claim(queue: Any, times: int) -> None:
    for number in range(times):
        queue.put(number)
    for _ in range(times):
        queue.claim(timeout=PATIENCE).done()


def _values(samples: _Samples, who: str) -> Race:
    return Race(
        f"set and get, {who}",
        Contender("distributed.Variable", samples.of(_set_and_get, _variable)),
        samples.ours("SharedValue", _set_and_get, _value),
    )


def _variable(name: str) -> Any:
    from distributed import Variable

    return Variable(name)  # type: ignore[no-untyped-call]


def _value(store: Any, name: str) -> Any:
    from persidict_dask.coordination import SharedValue

    return SharedValue(store, name)


def _set_and_get(value: Any, times: int) -> None:
    for number in range(times):
        value.set(number)
        value.get()


def _death(client: Any, make: Callable[[str], Any]) -> Sample:
    """Return a sample that kills a worker; the wait is over after a minute, whoever has it."""

    def sample() -> float:
        client.wait_for_workers(2)
        name = f"n{next(_names)}"
        process = client.submit(_hold, make(name), pure=False).result()
        waiting = make(name)
        os.kill(process, signal.SIGKILL)
        start = perf_counter()
        if waiting.acquire(timeout=PATIENCE):
            waiting.release()
        return perf_counter() - start

    return sample


def _hold(lock: Any) -> int:
    lock.acquire()
    _kept.append(lock)
    return os.getpid()
