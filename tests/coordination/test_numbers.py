"""Counters, rates and shared values."""

from __future__ import annotations

import threading
import time
from itertools import chain

import pytest

from persidict_dask import Counter, RateLimiter, SharedValue
from persidict_dask.coordination import _moments, _rate, inspect


def test_every_increment_counts_and_returns_another_sum(store, together):
    counter = Counter(store, "c")
    sums = together(lambda _: [Counter(store, "c").increment() for _ in range(5)], 6)
    assert sorted([*chain.from_iterable(sums)]) == list(range(1, 31))
    assert counter.value == 30


def test_counting_by_more_and_down(plain):
    counter = Counter(plain, "c")
    assert counter.value == 0
    assert counter.increment(5) == 5
    assert counter.increment(-7) == -2
    assert counter.increment(0) == -2
    assert counter.increment(10**30) == 10**30 - 2


@pytest.mark.parametrize("n", [1.5, "1", None, True])
def test_only_whole_numbers_are_counted(plain, n):
    counter = Counter(plain, "c")
    with pytest.raises(TypeError):
        counter.increment(n)
    assert counter.value == 0


def test_many_shards_have_one_sum(store, together):
    together(lambda _: [Counter(store, "c", shards=4).add() for _ in range(5)], 6)
    counter = Counter(store, "c", shards=4)
    assert counter.value == 30
    assert counter.increment(2) == 32
    assert "32" in repr(inspect(store))


def test_a_rate_is_kept(plain, together):
    """Seven pass: one at once, then one every twentieth of a second."""
    start = time.monotonic()
    together(lambda _: RateLimiter(plain, "r", rate=20).acquire(), 7)
    assert time.monotonic() - start >= 6 / 20 - 0.001


def test_a_burst_passes_at_once(plain, monkeypatch):
    slept = []
    monkeypatch.setattr(_rate.time, "sleep", slept.append)
    limiter = RateLimiter(plain, "r", rate=0.001, burst=4)
    for _ in range(4):
        limiter.acquire()
    assert slept == []
    limiter.acquire()
    assert sum(slept) == pytest.approx(1000, rel=0.01)


def test_several_pass_together_when_the_last_may(plain, monkeypatch):
    slept = []
    monkeypatch.setattr(_rate.time, "sleep", slept.append)
    limiter = RateLimiter(plain, "r", rate=0.01)
    limiter.acquire(3)
    assert sum(slept) == pytest.approx(200, rel=0.01)


def test_a_turn_that_comes_too_late_is_not_reserved(plain):
    limiter = RateLimiter(plain, "r", rate=0.01)
    limiter.acquire()
    for _ in range(3):
        with pytest.raises(TimeoutError, match="next turn"):
            limiter.acquire(timeout=0.1)
    with pytest.raises(TimeoutError, match=r"in (99|100)"):  # no longer than after one
        limiter.acquire(timeout=90)


def test_another_host_counts_from_when_it_looks(plain, monkeypatch):
    """Its clock has started at another time; it waits longer, never less."""
    slept = []
    monkeypatch.setattr(_rate.time, "sleep", slept.append)
    RateLimiter(plain, "r", rate=0.1).acquire()
    clock = _rate.now
    monkeypatch.setattr(_moments, "is_local", lambda _: False)
    for skew in (-1e6, 1e6):
        for module in (_rate, _moments):
            monkeypatch.setattr(module, "now", lambda skew=skew: clock() + skew)
        with pytest.raises(TimeoutError, match=r"in (9\.\d+|10) s"):
            RateLimiter(plain, "r", rate=0.1).acquire(timeout=1)


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}, {"rate": 1, "burst": 0}])
def test_rates_are_positive(plain, wrong):
    with pytest.raises(ValueError, match=r"rate|burst"):
        RateLimiter(plain, "r", **wrong)


BIG = {"rows": list(range(10_000))}


@pytest.mark.parametrize("value", [5, None, "text", (1, 2), {1: 2}, b"x", {"a": [1.5]}, BIG, len])
def test_values_of_all_kinds(store, value):
    shared = SharedValue(store, "v", default="none")
    assert shared.get() == "none"
    shared.set(value)
    assert SharedValue(store, "v").get() == value
    assert type(shared.get()) is type(value)


def test_no_update_is_lost(store, together):
    together(lambda i: SharedValue(store, "v", ()).update(lambda old: (*old, i)), 8)
    assert sorted(SharedValue(store, "v").get()) == list(range(8))


def test_no_update_of_a_large_value_is_lost(plain, together):
    """Which lies beside the record; what is replaced is removed."""
    SharedValue(plain, "v").set({"n": 0, "ballast": list(range(5000))})

    def count(_):
        return SharedValue(plain, "v").update(lambda old: {**old, "n": old["n"] + 1})

    together(count, 8)
    shared = SharedValue(plain, "v")
    assert shared.get()["n"] == 8
    assert len(shared._place.payloads) == 1


def test_what_an_update_raises_changes_nothing(plain):
    shared = SharedValue(plain, "v", 1)
    with pytest.raises(ZeroDivisionError):
        shared.update(lambda old: old / 0)
    assert shared.get() == 1


def test_waiting_for_a_value(plain):
    shared = SharedValue(plain, "v", 0)
    setter = threading.Thread(target=lambda: [shared.set(n) for n in range(1, 6)])
    setter.start()
    assert SharedValue(plain, "v", 0).wait_for(lambda n: n >= 5, timeout=20) == 5
    setter.join()
    with pytest.raises(TimeoutError, match="predicate"):
        shared.wait_for(lambda n: n < 0, timeout=0.05)


def test_a_value_none_can_be_waited_for(plain):
    assert SharedValue(plain, "v", None).wait_for(lambda value: value is None, timeout=0) is None
