"""Leases: one holder at a time, tokens that grow, loss that is noticed."""

from __future__ import annotations

import gc
import pickle
import threading
import time

import pytest

from persidict_dask import DeadlockError, Lease, LeaseLost
from persidict_dask.coordination import _holders, inspect
from persidict_dask.coordination._records import Record


def test_a_lease_is_held_by_one(store):
    mine, other = Lease(store, "x"), Lease(store, "x")
    assert mine.acquire()
    assert mine.held
    assert not other.acquire(timeout=0)
    assert not other.held
    mine.release()
    assert not mine.held
    assert other.acquire(timeout=0)
    other.release()


def test_names_are_apart_and_kinds_and_items_too(store):
    with Lease(store, "x"), Lease(store, "y"):
        assert list(store) == []


def test_tokens_grow_over_handles(store):
    tokens = []
    for _ in range(5):
        with Lease(store, "x") as lease:
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


def test_there_is_no_token_before_the_first(plain):
    with pytest.raises(RuntimeError, match="before it was acquired"):
        _ = Lease(plain, "x").token


def test_an_old_token_stays_with_the_handle(plain):
    """So that a holder who has lost it presents the token that is refused."""
    lease = Lease(plain, "x")
    with lease:
        token = lease.token
    with Lease(plain, "x"):
        assert lease.token == token


def test_threads_take_turns(plain, together):
    inside, most = [], []
    lease = Lease(plain, "x")

    def work(index):
        with lease if index % 2 else Lease(plain, "x") as held:
            inside.append(held.token)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()

    together(work, 12)
    assert set(most) == {1}


def test_a_release_wakes_waiters_of_the_same_process(plain):
    """Without their next look, which would be much later."""
    lease, got = Lease(plain, "x"), threading.Event()
    lease.acquire()
    waiter = threading.Thread(target=lambda: Lease(plain, "x").acquire() and got.set())
    waiter.start()
    lease.release()
    assert got.wait(20)
    waiter.join()


def test_who_is_silent_loses_it(plain, far, no_heart):
    silent, next_one = Lease(plain, "x", ttl=0.2), Lease(plain, "x", ttl=30)
    silent.acquire()
    assert not next_one.acquire(timeout=0)
    assert next_one.acquire(timeout=20)
    assert next_one.token > silent.token
    assert not silent.held
    with pytest.raises(LeaseLost):
        silent.renew()
    with pytest.raises(LeaseLost):
        silent.release()
    assert next_one.held
    next_one.release()


def test_who_is_heard_of_keeps_it(plain, far):
    lease = Lease(plain, "x", ttl=0.3)
    with lease:
        assert not Lease(plain, "x").acquire(timeout=1.5)
        assert lease.held


def test_the_ttl_of_the_holder_counts(plain, far, no_heart):
    """A waiter with a shorter one takes nothing away."""
    Lease(plain, "x", ttl=60).acquire()
    assert not Lease(plain, "x", ttl=0.05).acquire(timeout=0.5)


def test_a_holder_whose_time_is_over_holds_no_more(plain, no_heart):
    lease = Lease(plain, "x", ttl=0.05)
    lease.acquire()
    time.sleep(0.1)
    assert not lease.held
    lease.renew()  # nobody has taken it
    assert lease.held


@pytest.fixture
def clock(monkeypatch):
    """The clock by which a holder knows how long it holds; only the test moves it."""
    at = [1000.0]
    monkeypatch.setattr(_holders, "now", lambda: at[0])
    return at


@pytest.mark.parametrize("act", ["acquire", "renew"])
def test_m2_a_slow_answer_makes_nothing_valid_for_longer(plain, no_heart, clock, monkeypatch, act):
    """Others count from when they see what was asked for, which is before the answer."""
    lease, swap = Lease(plain, "x", ttl=10), Record.swap
    if act == "renew":
        lease.acquire()

    def slow(*args):
        swapped = swap(*args)
        clock[0] += 7
        return swapped

    clock[0] += 5
    monkeypatch.setattr(Record, "swap", slow)
    getattr(lease, act)()
    assert lease.held
    clock[0] += 2.9
    assert lease.held
    clock[0] += 0.2
    assert not lease.held


def test_m2_a_slow_look_is_no_time_that_is_held(plain, no_heart, clock, monkeypatch):
    """It comes before what is asked for."""
    lease, look = Lease(plain, "x", ttl=10), Record.look

    def slow(*args):
        clock[0] += 100
        return look(*args)

    monkeypatch.setattr(Record, "look", slow)
    lease.acquire()
    clock[0] += 9.9
    assert lease.held


def test_a_loss_is_raised_at_the_end_of_the_block(plain, far, no_heart):
    lease = Lease(plain, "x", ttl=0.05)
    with pytest.raises(LeaseLost), lease:
        assert Lease(plain, "x").acquire(timeout=20)


def test_an_error_in_the_block_is_more_to_the_point(plain, far, no_heart):
    with pytest.raises(ZeroDivisionError), Lease(plain, "x", ttl=0.05):
        assert Lease(plain, "x").acquire(timeout=20)
        _ = 1 / 0


def test_the_same_thread_cannot_have_it_twice(plain):
    """Waiting for oneself would never end."""
    lease = Lease(plain, "x")
    with lease:
        for again in (lease, Lease(plain, "x")):
            with pytest.raises(DeadlockError):
                again.acquire()
        assert not Lease(plain, "x").acquire(timeout=0.05)
    with lease:
        assert lease.held


def test_a_circle_of_threads_is_an_error_for_one_of_them(plain, together):
    have_one, outcomes = threading.Barrier(2), []

    def cross(index):
        first, second = ("a", "b") if index else ("b", "a")
        with Lease(plain, first):
            have_one.wait()
            try:
                with Lease(plain, second):
                    outcomes.append("got")
            except DeadlockError:
                outcomes.append("refused")

    together(cross, 2)
    assert sorted(outcomes) == ["got", "refused"]


def test_another_thread_may_release(plain, together):
    lease = Lease(plain, "x")
    lease.acquire()
    together(lambda _: lease.release(), 1)
    assert Lease(plain, "x").acquire(timeout=0)


def test_what_is_forgotten_is_not_renewed(plain, far):
    lease = Lease(plain, "x", ttl=0.2)
    lease.acquire()
    del lease
    gc.collect()
    assert Lease(plain, "x").acquire(timeout=20)


def test_a_handle_that_travels_holds_nothing(tmp_path, plain):
    lease = Lease(plain, "x", ttl=7)
    with lease:
        other = pickle.loads(pickle.dumps(lease))
        assert not other.held
        assert repr(other) == repr(lease) == "Lease('x', ttl=7)"
        assert not other.acquire(timeout=0)


def test_releasing_what_is_not_held(plain):
    for act in (Lease(plain, "x").release, Lease(plain, "x").renew):
        with pytest.raises(RuntimeError, match="not held"):
            act()


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_a_ttl_is_positive(plain, ttl):
    with pytest.raises(ValueError, match="ttl"):
        Lease(plain, "x", ttl=ttl)


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (float("nan"), ValueError)])
def test_a_timeout_is_a_number(plain, timeout, error):
    with pytest.raises(error, match="timeout"):
        Lease(plain, "x").acquire(timeout=timeout)


def test_the_view_of_an_operator(plain):
    with Lease(plain, "x") as lease:
        waiting = threading.Thread(target=Lease(plain, "x").acquire)
        waiting.start()
        until = time.monotonic() + 20
        while (seen := inspect(plain)[0]).waiting == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert (seen.kind, seen.name, seen.waiting) == ("lease", "x", 1)
        [holder] = seen.holders
        assert (holder.token, holder.is_gone) == (lease.token, False)
        assert "held, token 1" in repr(inspect(plain))
        assert "<td>lease</td>" in inspect(plain)._repr_html_()
    waiting.join()
    assert inspect(plain)[0].waiting == 0
