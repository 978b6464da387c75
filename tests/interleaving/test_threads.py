"""Threads on one memory dictionary: every update counts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from persidict import (
    ANY_ETAG,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)

from ..conformance.backends import Storage

THREADS, TURNS = 8, 200


@pytest.fixture(autouse=True)
def _many_switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch threads as often as possible, and do not sleep after a conflict."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Return the results of `work(0)`, ..., which all begin at the same moment."""
    start = threading.Barrier(THREADS)

    def run(n: int) -> Any:
        start.wait()
        return work(n)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def increment(current: Any, /) -> Any:
    return 1 if current is ITEM_NOT_AVAILABLE else current + 1


@pytest.mark.parametrize("handles", ["one handle", "a handle each", "a view each"])
def test_increments(storage: Storage, handles: str) -> None:
    """No increment through `transform_item` is lost, and each gives another number."""
    one = storage.local()

    def opened() -> LocalDict[Any]:
        if handles == "one handle":
            return one
        return storage.local() if handles == "a handle each" else one.get_subdict(())

    def work(n: int) -> list[int]:
        d = opened()
        turns = range(TURNS)
        return [
            d.transform_item(("a", "n"), transformer=increment, n_retries=None).new_value
            for _ in turns
        ]

    numbers = [number for each in in_threads(work) for number in each]
    assert sorted(numbers) == list(range(1, THREADS * TURNS + 1))
    assert one["a", "n"] == THREADS * TURNS


def test_increments_by_hand(storage: Storage) -> None:
    """Read, conditional write, try again: what `transform_item` does loses nothing either."""
    d = storage.local()
    d["n"] = 0

    def work(n: int) -> None:
        for _ in range(TURNS):
            done = False
            while not done:
                seen = d.get_with_etag("n")
                done = d.set_item_if(
                    "n",
                    value=increment(seen.new_value),
                    condition=ETAG_IS_THE_SAME,
                    expected_etag=seen.actual_etag,
                ).condition_was_satisfied

    in_threads(work)
    assert d["n"] == THREADS * TURNS


def test_increments_behind_a_cache(storage: Storage) -> None:
    """A cache in front loses nothing, and in the end it tells the truth."""
    d: MutableDictCached[Any] = storage.privately_cached(storage.local())

    def work(n: int) -> list[int]:
        return [
            d.transform_item("n", transformer=increment, n_retries=None).new_value
            for _ in range(TURNS)
        ]

    numbers = [number for each in in_threads(work) for number in each]
    assert sorted(numbers) == list(range(1, THREADS * TURNS + 1))
    assert d["n"] == THREADS * TURNS


def test_readers_behind_a_cache_never_go_back(storage: Storage) -> None:
    """While one thread counts up, no reader of the cached dictionary sees a number go down."""
    d: MutableDictCached[Any] = storage.privately_cached(storage.local())
    d["n"] = 0

    def work(n: int) -> list[int]:
        if n == 0:
            for number in range(TURNS * 2):
                d["n"] = number
            return []
        return [d["n"] for _ in range(TURNS)]

    for seen in in_threads(work):
        assert seen == sorted(seen)


def test_each_item_is_popped_once(storage: Storage) -> None:
    """Of several threads that pop, one gets the item."""
    d = storage.local()
    for n in range(TURNS):
        d["q", str(n)] = n

    def work(n: int) -> list[Any]:
        got = [d.pop(("q", str(i)), None) for i in range(TURNS // 2)]
        while True:
            try:
                got.append(d.popitem()[1])
            except KeyError:
                return [value for value in got if value is not None]

    popped = [value for each in in_threads(work) for value in each]
    assert sorted(popped) == list(range(TURNS))
    assert not d


@pytest.mark.parametrize("kind", ["mutable", "append-only", "write-once"])
def test_one_thread_inserts(storage: Storage, kind: str) -> None:
    """Of eight threads that insert one item, exactly one does."""
    appending = storage.local(append_only=True)
    d: Any = {
        "mutable": storage.local(),
        "append-only": appending,
        "write-once": WriteOnceDict(wrapped_dict=appending),
    }[kind]

    def work(n: int) -> list[bool]:
        question: Any = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
        return [
            d.setdefault_if(str(i), default_value=n, **question).value_was_mutated
            for i in range(TURNS)
        ]

    won = in_threads(work)
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * TURNS
    assert all(won[d[str(i)]][i] for i in range(TURNS))
