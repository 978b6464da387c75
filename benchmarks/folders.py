"""Folders that many write to: the price of exactness, contention, and holders that were killed."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks._harness import Contender, Race, Sample, Target, timed
from benchmarks._machine import memory_folder
from benchmarks._ours import NAME, folder_dict
from benchmarks._peers import HandMadeFiles, Store, disk_cache
from benchmarks._scale import Scale
from benchmarks.small_items import value_of

PROCESSES, INCREMENTS = 16, 50
KEY = "counter"
_context = multiprocessing.get_context("fork")  # so that starting a process costs little


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield the races; each works on stores of its own."""
    keys = [f"item-{index:05d}" for index in range(scale.items)]
    yield _relaxed("set, small value, relaxed, on disk", place / "disk", keys)
    with memory_folder(place) as memory:
        yield _relaxed("set, small value, relaxed, in memory", memory, keys)
    yield _lock(place / "lock", scale.items)
    yield _increments(place / "increments")
    yield _killed_holder(place / "killed")


def _relaxed(title: str, folder: Path, keys: list[str]) -> Race:
    by_hand: Store = HandMadeFiles(folder / "hand")
    exact = folder_dict(folder / "exact", durability="relaxed")
    loose = folder_dict(folder / "loose", durability="relaxed", exact=False)
    others = [
        _setting(f"{NAME}, relaxed", exact, keys, Target(ratio=2)),
        _setting(f"{NAME}, relaxed, exact=False: without locks", loose, keys),
    ]
    return Race(title, _setting("open + pickle + os.replace", by_hand, keys), others)


def _setting(name: str, store: Any, keys: list[str], target: Target | None = None) -> Contender:
    def fill() -> None:
        for index, key in enumerate(keys):
            store[key] = value_of(index)

    return Contender(name, timed(fill, len(keys)), target)


def _lock(folder: Path, times: int) -> Race:
    from persidict._file_lock import locked

    folder.mkdir()
    path = str(folder / "lock")

    def bare() -> None:
        os.symlink("x" * 40, path)
        os.unlink(path)

    def repeated(call: Callable[[], object]) -> Sample:
        return timed(lambda: [call() for _ in range(times)], times)

    ours = Contender(NAME, repeated(lambda: locked(path, 1, len)), Target(seconds=60e-6))
    return Race(
        "lock and unlock, nobody else wants it",
        Contender("bare symlink + unlink", repeated(bare)),
        [ours],
    )


def _increments(folder: Path) -> Race:
    """Seconds for all of them, from the moment at which every process is ready."""
    cached: Any = disk_cache(folder / "diskcache")
    ours = folder_dict(folder / "ours", durability="relaxed")
    others = [Contender(NAME, _contended(ours, _transform), Target(seconds=2.5))]
    baseline = Contender("diskcache.incr", _contended(cached, _incr))
    return Race(f"{PROCESSES} processes x {INCREMENTS} increments of one counter", baseline, others)


def _incr(store: Any) -> None:
    store.incr(KEY)


def _transform(store: Any) -> None:
    store.transform_item(KEY, transformer=_plus_one, n_retries=None)


def _plus_one(current: Any) -> int:
    return current + 1 if isinstance(current, int) else 1


def _contended(store: Any, increment: Callable[[Any], None]) -> Sample:
    def sample() -> float:
        store.clear()
        ready = _context.Barrier(PROCESSES + 1)
        workers = [
            _context.Process(target=_work, args=(store, increment, ready)) for _ in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        ready.wait()
        start = perf_counter()
        ready.wait()
        seconds = perf_counter() - start
        for worker in workers:
            worker.join()
        assert store[KEY] == PROCESSES * INCREMENTS
        return seconds

    return sample


def _work(store: Any, increment: Callable[[Any], None], ready: Any) -> None:
    ready.wait()
    for _ in range(INCREMENTS):
        increment(store)
    ready.wait()


def _killed_holder(folder: Path) -> Race:
    """A write that finds the lock of a process that was killed, against one that finds none."""
    from persidict._file_lock import lock_path

    ours = folder_dict(folder, durability="relaxed")
    ours[KEY] = 0
    (file,) = Path(ours.base_dir).iterdir()
    lock, dead = lock_path(str(file)), _dead_token()
    write = partial(ours.__setitem__, KEY, 1)
    found = timed(write, before=lambda: os.symlink(dead, lock))
    return Race(
        "set, small value, after the holder of its lock was killed",
        Contender("no lock in the way", timed(write)),
        [Contender("the lock of a killed process", found, Target(seconds=1))],
    )


def _dead_token() -> str:
    code = "from persidict._owner import new_token; print(new_token())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
