"""Counters, rates and shared values."""

from __future__ import annotations

import threading
import time
from itertools import chain, pairwise

import pytest

from persidict_dask import Counter, RateLimiter, SharedValue, digest
from persidict_dask.coordination import _moments, _polling, _rate, _shared, inspect


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


@pytest.fixture
def slept(monkeypatch):
    """The pauses that were made, on a clock that nothing else moves."""
    clock, pauses = [1000.0], []

    def sleep(seconds):
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(_rate.time, "sleep", sleep)
    for module in (_rate, _moments, _polling):
        monkeypatch.setattr(module, "now", lambda: clock[0])
    return pauses


def test_a_burst_passes_at_once(plain, slept):
    limiter = RateLimiter(plain, "r", rate=0.001, burst=4)
    for _ in range(4):
        limiter.acquire()
    assert slept == []
    limiter.acquire()
    assert sum(slept) == pytest.approx(1000, rel=0.01)


def test_several_pass_together_when_the_last_may(plain, slept):
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


def test_who_wakes_up_too_late_asks_for_another_turn(plain, monkeypatch):
    """Or else all who were held up would pass together."""
    clock, passed = [1000.0], []
    for module in (_rate, _moments, _polling):
        monkeypatch.setattr(module, "now", lambda: clock[0])
    limiter = RateLimiter(plain, "r", rate=1)
    turns = [_rate._Turn(limiter, 1, None) for _ in range(4)]
    for turn in turns:
        turn.pause()
    clock[0] += 10  # all of them were held up
    while turns:
        pauses = [turn.pause() for turn in turns]
        passed += [clock[0] for pause in pauses if pause == 0]
        turns = [turn for turn, pause in zip(turns, pauses, strict=True) if pause]
        clock[0] += 0.01
    assert all(after - before > 0.9 for before, after in pairwise(passed))


@pytest.mark.parametrize("skew", [-1e6, 1e6])
def test_hosts_whose_clocks_differ_share_a_rate(plain, monkeypatch, skew):
    """Seen one second late at first, and at once from then on: late by no more than was seen."""
    clock, at = [1000.0], ["here"]
    shifts = {"here": 0.0, "there": skew}
    monkeypatch.setattr(_moments, "is_local", lambda token: token.startswith(at[0]))
    monkeypatch.setattr(_moments, "new_token", lambda: f"{at[0]}-1-1-1")
    monkeypatch.setattr(_moments, "_offsets", _moments._Offsets())
    for module in (_rate, _moments, _polling):
        monkeypatch.setattr(module, "now", lambda: clock[0] + shifts[at[0]])
    limiter, due = RateLimiter(plain, "r", rate=1), []
    for index in range(20):
        at[0] = "there" if index % 2 else "here"
        due.append(limiter.reserve(1, None) - shifts[at[0]])
        clock[0] += 1.0 if index < 2 else 0.001
    gaps = [after - before for before, after in pairwise(due)]
    assert min(gaps) > 0.999
    assert sum(gaps) < 19 + 3


def test_a_record_of_another_host_that_is_seen_late_delays_nothing_that_was_known(monkeypatch):
    """The least difference of the clocks that was ever seen is the nearest to the truth."""
    offsets, at = _moments._Offsets(), [1000.0]
    monkeypatch.setattr(_moments, "now", lambda: at[0])
    assert [offsets.of("there-1-1-1", told) for told in (500.0, 499.0, 500.5)] == [500, 500, 499.5]
    assert offsets.of("elsewhere-1-1-1", 400.0) == 600


def test_a_moment_told_before_the_clock_began_anew_is_no_later_than_it_was(monkeypatch):
    """This host has started again since: its clock is at an earlier time."""
    monkeypatch.setattr(_moments, "now", lambda: 1000.0)
    told = _moments.moment_at(1030.0, 1000.0)
    monkeypatch.setattr(_moments, "now", lambda: 5.0)
    assert _moments.moment_here(told) == 35.0


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


def test_a_large_value_that_is_replaced_while_it_is_read_is_read_anew(plain, monkeypatch):
    """What the record has named is gone; one that is gone for good is an error."""
    shared = SharedValue(plain, "v")
    shared.set(BIG)

    def replaced(*args):
        monkeypatch.undo()
        shared.set([BIG])
        return unpack(*args)

    unpack = _shared.unpack
    monkeypatch.setattr(_shared, "unpack", replaced)
    assert shared.get() == [BIG]
    shared._place.payloads.clear()
    with pytest.raises(KeyError):
        shared.get()


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


def test_what_a_value_is_by_default_is_no_part_of_its_token(tmp_path):
    """It may be anything."""
    assert digest(SharedValue(str(tmp_path), "v", default=object()))
