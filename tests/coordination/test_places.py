"""Semaphores and barriers, and which stores can carry them."""

from __future__ import annotations

import threading
import time

import pytest

from persidict import EmptyDict, FileDirDict
from persidict_dask import (
    Barrier,
    Counter,
    Lease,
    LeaseLost,
    RateLimiter,
    Semaphore,
    SharedValue,
    WorkQueue,
)
from persidict_dask.coordination import _barrier, _silence, inspect
from persidict_dask.coordination._barrier import _Arrival

MAKERS = {
    "lease": lambda d: Lease(d, "x"),
    "semaphore": lambda d: Semaphore(d, "x", limit=2),
    "barrier": lambda d: Barrier(d, "x", parties=2),
    "counter": lambda d: Counter(d, "x"),
    "queue": lambda d: WorkQueue(d, "x"),
    "rate": lambda d: RateLimiter(d, "x", rate=1),
    "value": lambda d: SharedValue(d, "x"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_store_that_is_not_exact_is_refused(tmp_path, make):
    for d in (FileDirDict(base_dir=str(tmp_path), exact=False), EmptyDict()):
        with pytest.raises(ValueError, match="is not exact"):
            make(d)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_store_by_url_is_opened_when_needed(tmp_path, make):
    make(str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("d", [None, {}, 5])
def test_something_else_is_no_store(make, d):
    with pytest.raises(TypeError, match="PersiDict or a URL"):
        make(d)


@pytest.mark.parametrize("name", ["", None, ("a", "b")])
def test_a_name_is_a_string(plain, name):
    with pytest.raises((TypeError, ValueError)):
        Lease(plain, name)


@pytest.mark.parametrize("name", ["a/b", "..", "é", "x" * 100, "a b"])
def test_names_that_stores_cannot_have(plain, name):
    """Work, or are refused at once."""
    try:
        lease = Lease(plain, name)
    except ValueError:
        return
    with lease:
        assert inspect(plain)[0].name == name


def test_never_more_than_the_limit(store, together):
    inside, most, two = [], [], threading.Event()

    def work(_):
        with Semaphore(store, "s", limit=3):
            inside.append(1)
            most.append(len(inside))
            if len(inside) > 1:
                two.set()
            assert two.wait(60)
            inside.pop()

    together(work, 10)
    assert 1 < max(most) <= 3


def test_one_handle_may_hold_several(plain):
    semaphore = Semaphore(plain, "s", limit=2)
    assert semaphore.acquire()
    assert semaphore.acquire()
    assert not semaphore.acquire(timeout=0.05)
    semaphore.release()
    semaphore.release()
    assert not semaphore.held
    with pytest.raises(RuntimeError, match="not held"):
        semaphore.release()


def test_a_silent_holder_loses_its_place(plain, far, no_heart):
    silent = Semaphore(plain, "s", limit=1, ttl=0.2)
    silent.acquire()
    assert Semaphore(plain, "s", limit=1).acquire(timeout=20)
    with pytest.raises(LeaseLost):
        silent.release()


def test_all_say_the_same_limit(plain):
    with Semaphore(plain, "s", limit=2), pytest.raises(ValueError, match="limit of 2, not 3"):
        Semaphore(plain, "s", limit=3).acquire()
    with Semaphore(plain, "s", limit=3):
        pass  # once nobody holds it, it can be another


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_positive(plain, limit):
    with pytest.raises(ValueError, match="limit"):
        Semaphore(plain, "s", limit=limit)


def test_all_arrive_then_all_go_on(store, together):
    barrier = Barrier(store, "b", parties=4)
    for _ in range(3):
        assert sorted(together(lambda _: barrier.wait(20), 4)) == [0, 1, 2, 3]


def test_fewer_do_not_pass(plain, together):
    with pytest.raises(TimeoutError, match="fewer than 3"):
        together(lambda _: Barrier(plain, "b", parties=3).wait(0.2), 2)


def test_who_has_given_up_does_not_count(plain, together):
    barrier = Barrier(plain, "b", parties=2)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            barrier.wait(0.01)
    assert "0 of 2 arrived" in repr(inspect(plain))


def test_who_is_silent_does_not_count(plain, far, together):
    """One has died while it waited: the others wait for one more."""
    barrier = Barrier(plain, "b", parties=3)
    _Arrival(barrier._record, 3, 0.2)._look()
    passed = []
    alone = threading.Thread(target=lambda: passed.append(barrier.wait(60)))
    alone.start()
    for there in ("2 of 3", "1 of 3"):
        until = time.monotonic() + 20
        while f"{there} arrived" not in repr(inspect(plain)) and time.monotonic() < until:
            time.sleep(0.005)
        assert f"{there} arrived" in repr(inspect(plain))
    with pytest.raises(TimeoutError):
        barrier.wait(0.1)
    together(lambda _: barrier.wait(20), 2)
    alone.join()
    assert len(passed) == 1


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("rounds", [32, 33])
def test_m5_a_party_that_looks_many_rounds_late(plain, monkeypatch, rounds, is_counted):
    """Whether it was counted in its own is known for 32 rounds; after that it guesses nothing."""
    record = Barrier(plain, "b", parties=2)._record

    def arrived():
        arrival = _Arrival(record, 2, 30)
        return arrival, arrival._look()

    late, _ = arrived()
    with monkeypatch.context() as seen:
        seen.setattr(_silence, "is_gone", lambda who: not is_counted and who == late._me)
        for _ in range(2 * rounds - is_counted):
            arrived()
    if rounds > 32:
        with pytest.raises(threading.BrokenBarrierError, match="32 rounds"):
            late._look()
    elif is_counted:
        assert late._look() == 0
    else:
        assert late._look() is None
        assert arrived()[1] == 1
        assert late._look() == 0


def test_who_gives_up_when_all_have_come_has_passed(plain, monkeypatch):
    """The last of the others came between its last look and its end."""
    barrier = Barrier(plain, "b", parties=2)

    def poll(attempt, timeout, **_):
        monkeypatch.undo()
        assert attempt.look() is None
        assert Barrier(plain, "b", parties=2).wait(20) == 1

    monkeypatch.setattr(_barrier, "poll", poll)
    assert barrier.wait(timeout=0) == 0
    with pytest.raises(TimeoutError):
        barrier.wait(timeout=0)


def test_a_barrier_of_one(plain):
    assert Barrier(plain, "b", parties=1).wait() == 0


def test_all_say_the_same_number(plain, together):
    def wait(parties):
        with pytest.raises((TimeoutError, ValueError)) as caught:
            Barrier(plain, "b", parties=parties + 2).wait(0.5)
        return caught.type

    assert ValueError in together(wait, 2)
