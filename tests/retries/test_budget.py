"""Retry budgets: what a process earns, what workers share, and nothing more than that."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque

import cloudpickle
import pytest
from dask.tokenize import tokenize

from persidict import FileDirDict, LocalDict, NonEmptySafeStrTuple
from persidict_dask import RetryPolicy, digest
from persidict_dask.coordination import _moments
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Record
from persidict_dask.retries import _budget, _budget_account, _budget_ledger
from persidict_dask.retries._budget import RetryBudget, _Local
from persidict_dask.retries._budget_local import local_of
from tests.coordination.faults.fleet import Puppet, until

WINDOW = 10.0


@pytest.fixture
def store():
    return LocalDict()


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nothing is done in the background but what a test asks for."""

    class Heart:
        def __init__(self):
            self.beats = []

        def add(self, call, every):
            self.beats.append((call, every))

    heart = Heart()
    monkeypatch.setattr(_budget, "heart", heart)
    return heart


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    at = [1000.0]
    for module in (_budget, _budget_account, _budget_ledger, _moments):
        monkeypatch.setattr(module, "now", lambda: at[0])
    return at


def worker(store, **settings):
    """A budget as another process has it."""
    budget = RetryBudget(store, **settings)
    record = Record(Place(store), NonEmptySafeStrTuple("budget", budget.name))
    budget.__dict__["_local"] = _Local(record, **budget._settings)
    return budget


def earn(budget, calls):
    for _ in range(calls):
        budget.earn()


def spend(budget, most=1000):
    """Return how many retries there are."""
    return next(n for n in range(most + 1) if n == most or not budget.take())


def rested(budget, clock):
    """Let it be as long ago as it takes that it last asked in vain."""
    clock[0] += budget._settings["window"] / 20 * 1.6


# --- one process -----------------------------------------------------------------------------


def test_what_was_refused_longer_than_a_window_ago_is_needed_no_more(clock):
    """Who has stopped to ask is not hungry, and gives others what it has."""
    account = _budget_account.Account(0.1, 10.0)
    for _ in range(3):
        account.refuse()
    clock[0] += 9
    assert account.needs() == 3
    clock[0] += 3
    assert account.needs() == 0


def test_calls_earn_retries(store, clock):
    budget = RetryBudget(store, ratio=0.1, floor_per_s=0)
    assert not budget.take()
    earn(budget, 9)
    assert not budget.take()
    earn(budget, 1)
    assert budget.use().available == 1
    assert budget.take()
    assert not budget.take()
    earn(budget, 90)
    assert spend(budget) == 9
    use = budget.use()
    assert (use.calls, use.retries, use.available) == (100, 10, 0)
    assert use.refused == 4


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.29, 0.7, 1, 2.5])
def test_no_token_is_lost_to_rounding(store, clock, ratio):
    for calls in (10, 30, 70, 100):
        budget = worker(store, ratio=ratio, floor_per_s=0)
        earn(budget, calls)
        assert spend(budget) == int(ratio * calls + 1e-6)


def test_what_was_earned_long_ago_is_lost(store, clock):
    budget = RetryBudget(store, ratio=0.1, floor_per_s=0)
    earn(budget, 100_000)
    clock[0] += WINDOW + 1
    earn(budget, 20)
    assert spend(budget) == 2
    assert budget.use().calls == 20


def test_it_is_back_to_normal_within_a_window(store, clock):
    """Total failure for a while; then the calls earn what they always earn."""
    budget = RetryBudget(store, ratio=0.1, floor_per_s=0)
    for _ in range(30):
        earn(budget, 10)
        spend(budget)
        clock[0] += 1
    for _ in range(11):
        clock[0] += 1
        earn(budget, 10)
    assert spend(budget) == 10


class Promise:
    """All calls and retries of a window; fails when there are too many retries."""

    def __init__(self, clock, ratio, floor=0.0):
        self._clock, self._ratio, self._floor = clock, ratio, floor
        self._calls, self._retries = deque(), deque()
        self.retries = 0

    def call(self):
        self._calls.append(self._clock[0])

    def retry(self):
        self._retries.append(self._clock[0])
        self.retries += 1
        for times in (self._calls, self._retries):
            while times and times[0] <= self._clock[0] - WINDOW:
                times.popleft()
        earned = self._ratio * len(self._calls) + self._floor * WINDOW
        assert len(self._retries) <= earned + 1e-9


def test_in_no_window_are_more_retries_than_calls_allow(store, clock):
    budget, promise = RetryBudget(store, ratio=0.2, floor_per_s=0), Promise(clock, 0.2)
    chance, calls = random.Random(5), 0
    for _ in range(20_000):
        clock[0] += chance.choice([0.001, 0.01, 0.3])
        while chance.random() < 0.7:
            budget.earn()
            promise.call()
            calls += 1
        if budget.take():
            promise.retry()
    assert promise.retries > 0.8 * 0.2 * calls


def test_calls_wait_for_nobody(store):
    budget = RetryBudget(store, window=1000)
    budget.earn()
    budget._local._lock = budget._local.account._lock = None
    earn(budget, 100)


def test_calls_of_many_threads_all_count(store):
    budget = RetryBudget(store, ratio=1, floor_per_s=0, window=1000)
    threads = [threading.Thread(target=earn, args=(budget, 5000)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.use().calls == 40_000


def test_threads_do_not_spend_a_token_twice(store):
    budget, got = RetryBudget(store, ratio=1, floor_per_s=0, window=1000), []
    earn(budget, 1000)
    threads = [threading.Thread(target=lambda: got.append(spend(budget))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 1000


def test_nothing_is_asked_of_a_store_that_has_nothing_to_give(tmp_path):
    budget = RetryBudget(str(tmp_path / "d"), ratio=0, floor_per_s=0)
    earn(budget, 100)
    assert not budget.take()
    assert not (tmp_path / "d").exists()


# --- as a value ------------------------------------------------------------------------------


def test_it_is_a_value(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path))
    budget = RetryBudget(d, "x", ratio=0.5)
    same = cloudpickle.loads(cloudpickle.dumps(budget))
    assert same == budget
    assert hash(same) == hash(budget)
    others = [RetryBudget(d, "y", ratio=0.5), RetryBudget(d, "x"), RetryBudget(LocalDict(), "x")]
    assert not any(other == budget for other in [*others, None])
    assert repr(budget) == "RetryBudget('x', ratio=0.5, floor_per_s=1.0, window=10.0)"


def test_all_equal_handles_of_a_process_have_one_account(tmp_path):
    """Also those that arrive with each task; and none of them opens the store for that."""
    budget = RetryBudget(str(tmp_path / "d"), ratio=0.1, floor_per_s=0)
    for _ in range(10):
        cloudpickle.loads(cloudpickle.dumps(budget)).earn()
    assert budget.use().calls == 10
    assert budget.use().available == 1
    assert RetryBudget(str(tmp_path / "d"), ratio=0.2).use().calls == 0
    assert not (tmp_path / "d").exists()


def test_threads_that_are_the_first_get_the_same_account():
    def made():
        time.sleep(0.02)
        return object()

    found, ident = [], object()
    threads = [
        threading.Thread(target=lambda: found.append(local_of(ident, made))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


WRONG = [
    ({"ratio": -0.1}, ValueError),
    ({"ratio": float("nan")}, ValueError),
    ({"ratio": float("inf")}, ValueError),
    ({"ratio": "0.1"}, TypeError),
    ({"ratio": True}, TypeError),
    ({"ratio": None}, TypeError),
    ({"floor_per_s": -1}, ValueError),
    ({"window": 0}, ValueError),
    ({"window": "10"}, TypeError),
    ({"name": 5}, TypeError),
    ({"store": 5}, TypeError),
]


@pytest.mark.parametrize(("wrong", "error"), WRONG, ids=str)
def test_wrong_settings(store, wrong, error):
    with pytest.raises(error, match="|".join(wrong)):
        RetryBudget(**{"store": store, **wrong})


# --- the floor, and the pool -----------------------------------------------------------------


def test_the_floor_needs_no_calls_and_is_shared(store, clock):
    workers = [worker(store, ratio=0) for _ in range(4)]
    total = 0
    for _ in range(20):
        total += sum(spend(one) for one in workers)
        rested(workers[0], clock)
        clock[0] -= WINDOW / 20
    assert 8 <= total <= 10


@pytest.mark.parametrize("floor", [0.01, 0.5, 3])
def test_the_floor_comes_again(store, clock, floor):
    """And in no window more than is promised."""
    budget, times = worker(store, ratio=0, floor_per_s=floor), []
    most = max(1, floor * WINDOW)
    for _ in range(2000):
        clock[0] += most / floor / 100
        times += [clock[0]] * spend(budget)
    per_second = len(times) / (20 * most / floor)
    assert floor * 0.4 < per_second <= floor
    for at in times:
        assert sum(at - WINDOW < other <= at for other in times) <= most


def test_what_the_floor_has_given_counts_from_when_it_is_spent(store, clock):
    """Which may be half a window after it was given."""
    workers, promise = [worker(store, ratio=0) for _ in range(4)], Promise(clock, 0, 1)

    def retry(index, times):
        for _ in range(spend(workers[index], times)):
            promise.retry()

    retry(0, 1)
    retry(1, 1)
    clock[0] += 4.9
    retry(0, 10)
    retry(1, 10)
    assert promise.retries >= 8
    clock[0] += 5.2
    retry(2, 10)
    retry(3, 10)
    clock[0] += 5
    retry(2, 10)
    assert promise.retries >= 13


def test_what_is_not_used_is_lost(store, clock):
    budget = worker(store, ratio=0)
    assert budget.take()
    assert budget.use().available == 4
    clock[0] += 5.1
    assert budget.use().available == 0
    assert spend(budget) == 3  # half of the five that were left


def test_what_was_earned_too_long_ago_is_not_given(store, clock):
    """It would be spent when it counts no more."""
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    clock[0] += 6
    poor.take()
    rich._local._share()
    rested(poor, clock)
    assert spend(poor) == 0
    assert spend(rich) == 100


def test_what_was_given_counts_until_it_counts_for_nobody(store, clock):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    poor.take()
    rich._local._share()
    clock[0] += 14
    earn(rich, 100)
    assert rich.use().available == 0
    clock[0] += 3
    assert rich.use().available == 10


def test_the_surplus_of_one_helps_another(store, clock):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    assert not poor.take()
    rich._local._share()
    rested(poor, clock)
    assert spend(poor) == 20
    assert rich.use().available == 80
    assert spend(rich) == 80


def test_nobody_gives_what_nobody_wants(store, clock):
    rich = worker(store, floor_per_s=0)
    earn(rich, 1000)
    rich._local._share()
    assert rich.use().available == 100
    assert len(Place(store).records) == 0


def test_who_was_refused_gives_nothing(store, clock):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    poor.take()
    rich.take()
    earn(rich, 1000)
    rich._local._share()
    assert rich.use().available == 100


def test_a_pool_is_lost_after_a_while(store, clock):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    poor.take()
    rich._local._share()
    clock[0] += WINDOW * 0.6
    assert spend(poor) == 0


def test_what_was_not_given_is_there_again(store, clock, monkeypatch):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    poor.take()
    monkeypatch.setattr(Record, "swap", lambda *_: None)
    rich._local._share()
    assert rich.use().available == 100


def test_what_may_have_arrived_stays_spent(store, clock, monkeypatch):
    rich, poor = worker(store, floor_per_s=0), worker(store, floor_per_s=0)
    earn(rich, 1000)
    poor.take()
    swap = Record.swap

    def lost(*args):
        swap(*args)
        raise OSError

    monkeypatch.setattr(Record, "swap", lost)
    rich._local._share()
    assert rich.use().available == 80


@pytest.mark.parametrize("seed", range(6))
def test_all_together_keep_the_promise(store, clock, monkeypatch, seed):
    """Whatever they do, whoever dies, whichever answers get lost."""
    chance = random.Random(seed)
    swap = Record.swap

    def unsure(*args):
        if chance.random() < 0.1:
            raise OSError
        swapped = swap(*args)
        if chance.random() < 0.1:
            raise OSError
        return swapped

    monkeypatch.setattr(Record, "swap", unsure)
    settings = {"ratio": 0.2, "floor_per_s": 0.7}
    workers = [worker(store, **settings) for _ in range(4)]  # two of them make no calls
    promise, helped = Promise(clock, *settings.values()), 0
    for _ in range(8000):
        clock[0] += chance.choice([0.001, 0.01, 0.2])
        index = chance.randrange(4)
        if chance.random() < 0.002:  # another one comes in its place
            workers[index] = worker(store, **settings)
        if chance.random() < 0.05:
            workers[index]._local._share()
        for _ in range(chance.choice([0, 1, 5]) if index < 2 else 0):
            workers[index].earn()
            promise.call()
        if chance.random() < (0.8 if index > 1 else 0.1) and workers[index].take():
            promise.retry()
            helped += index > 1
    assert helped > 200


def test_hosts_whose_clocks_differ_keep_a_pool_no_longer(store, clock, monkeypatch):
    """One that has just come does not know how old it is, and lets it be."""
    host = ["here"]
    for module in (_moments, _budget_ledger):
        monkeypatch.setattr(module, "is_local", lambda token: token.startswith(host[0]))
    monkeypatch.setattr(_moments, "new_token", lambda: f"{host[0]}-1-1-1")
    monkeypatch.setattr(_moments, "_offsets", _moments._Offsets())
    rich, poor, late = (worker(store, floor_per_s=0) for _ in range(3))
    earn(rich, 1000)
    host[0] = "there"
    assert spend(poor) == 0
    host[0] = "here"
    clock[0] += 0.1
    rich._local._share()
    host[0] = "there"
    assert spend(late) == 0
    rested(poor, clock)
    assert spend(poor) == 20


def test_hungry_ones_say_so_once_in_a_window(store, clock, monkeypatch):
    writes, swap = [], Record.swap
    monkeypatch.setattr(Record, "swap", lambda *args: (writes.append(1), swap(*args))[1])
    workers = [worker(store, floor_per_s=0) for _ in range(8)]
    for _ in range(90):
        for one in workers:
            one.take()
        clock[0] += 0.1
    assert len(writes) == 1


# --- when it is new --------------------------------------------------------------------------


def test_threads_that_come_first_all_get_what_the_floor_has(store, clock):
    """One asks for all of them, and they ask again while there is more."""
    budget, got, start = RetryBudget(store), [], threading.Barrier(8)

    def first():
        start.wait()
        got.append(budget.take())

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 8


def test_processes_that_ask_in_the_same_moment_all_get_something(store, clock, monkeypatch):
    one, other = worker(store), worker(store)
    look, came_between = Record.look, []

    def slow(record, *args):
        seen = look(record, *args)
        if record is one._local._record and not came_between:
            came_between.append(other.take())
        return seen

    monkeypatch.setattr(Record, "look", slow)
    assert one.take()
    assert came_between == [True]


def test_it_does_not_insist_for_ever(store, clock, monkeypatch):
    asked = []
    monkeypatch.setattr(Record, "swap", lambda *_: asked.append(1))
    assert not worker(store).take()
    assert 1 < len(asked) < 10


def test_the_first_retry_waits_until_the_store_is_open(store, monkeypatch):
    """Which takes longer than any later request, and happens once."""
    is_asked, go, look = threading.Event(), threading.Event(), Record.look

    def opening(*args):
        is_asked.set()
        go.wait(10)
        return look(*args)

    monkeypatch.setattr(_budget, "_PATIENCE", 0)
    monkeypatch.setattr(Record, "look", opening)
    budget, got = RetryBudget(store), []
    thread = threading.Thread(target=lambda: got.append(budget.take()))
    thread.start()
    assert is_asked.wait(10)
    go.set()
    thread.join()
    assert got == [True]
    go.clear()
    assert [budget.take() for _ in range(6)] == [True] * 4 + [False] * 2
    go.set()


# --- a store that is slow, away or broken ----------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """Every request fails; returns how many there were."""
    asked = []

    def fail(*_):
        asked.append(1)
        raise OSError("away")

    monkeypatch.setattr(Record, "look", fail)
    return asked


def test_without_the_store_all_live_by_what_they_earn(store, clock, broken):
    budget = RetryBudget(store)
    earn(budget, 100)
    assert spend(budget) == 10
    for _ in range(400):
        clock[0] += 0.5
        budget.take()
    assert 15 <= len(broken) <= 45  # soon once in a window
    budget._local._share()


def test_a_store_that_does_not_answer_holds_up_one_retry(store, monkeypatch):
    """The answer, when it comes, is for the next."""
    go, look = threading.Event(), Record.look

    def hang(*args):
        go.wait()
        return look(*args)

    monkeypatch.setattr(Record, "look", hang)
    waits, wait = [], threading.Event.wait

    def noted(event, timeout=None):
        waits.append(timeout)
        return wait(event, timeout)

    monkeypatch.setattr(_budget, "_PATIENCE", 0.01)
    monkeypatch.setattr(_budget, "_PATIENCE_AT_FIRST", 0.01)
    budget = RetryBudget(store, ratio=0)
    monkeypatch.setattr(threading.Event, "wait", noted)
    assert [budget.take() for _ in range(50)] == [False] * 50
    monkeypatch.undo()
    assert sum(each for each in waits if each is not None) < 0.1
    go.set()
    until(lambda: budget.use().available)
    assert budget.take()


def test_a_damaged_record(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path))
    Place(d).records["budget", "default"] = "no json"
    assert not RetryBudget(d).take()


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    budget = RetryBudget(str(tmp_path / "file" / "d"))
    earn(budget, 10)
    assert [budget.take(), budget.take()] == [True, False]


# --- in the background -----------------------------------------------------------------------


def test_it_shares_only_while_it_is_used(store, clock, quiet):
    budget = RetryBudget(store)
    earn(budget, 3)
    ((share, every),) = quiet.beats
    assert every == WINDOW / 4
    clock[0] += 5
    earn(budget, 3)
    assert share()
    clock[0] += 15
    assert not share()
    earn(budget, 1)
    assert len(quiet.beats) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_begins_anew(tmp_path, store_url):
    prepare = """
from persidict_dask.retries._budget import RetryBudget
budget = RetryBudget(store, ratio=1, floor_per_s=0)
def earn(n):
    for _ in range(n):
        budget.earn()
def held():
    with budget._local.account._lock:
        return in_child(lambda: (earn(2), budget.use()[0])[1])
"""
    with Puppet(tmp_path, store_url, prepare) as parent:
        parent("earn(5)")
        assert parent("in_child(lambda: (earn(1), budget.take(), budget.take())[1:])") == [
            True,
            False,
        ]
        assert parent("held()") == 2
        assert parent("budget.use()[:2]") == [5, 0]


# --- many processes --------------------------------------------------------------------------


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")


CALLERS = """
from persidict_dask.coordination._records import Record
from persidict_dask.retries._budget import RetryBudget

writes, exchanged = [], Record._exchanged
Record._exchanged = lambda *args: (writes.append(1), exchanged(*args))[1]
budget = RetryBudget(store, "b", ratio=0.1)

def failing(calls):
    attempts = 0
    for _ in range(calls):
        budget.earn()
        for attempt in range(3):
            if attempt and not budget.take():
                break
            attempts += 1
            time.sleep(0.001)
    return attempts, len(writes)

def well(calls):
    for _ in range(calls):
        budget.earn()
    return budget.use().available
"""


def test_total_failure(tmp_path, store_url):
    """Three attempts for each call would be 24,000."""
    puppets = [Puppet(tmp_path, store_url, CALLERS) for _ in range(8)]
    try:
        for puppet in puppets:
            puppet.tell("failing(1000)")
        told = [puppet.answer() for puppet in puppets]
        retries = sum(attempts for attempts, _ in told) - 8000
        writes = sum(n for _, n in told)
        assert 760 <= retries <= 0.12 * 8000
        assert 1 <= writes <= retries / 20
        for puppet in puppets:  # the service is back
            assert puppet("well(1000)") >= 90
    finally:
        for puppet in puppets:
            puppet.die()


def test_processes_help_each_other(tmp_path, store_url):
    """One has only failures, and few calls; the others have more than they need."""
    prepare = CALLERS.replace("ratio=0.1", "ratio=0.1, floor_per_s=0, window=4")
    prepare += """
def busy(seconds):
    until, calls = now() + seconds, 0
    while now() < until:
        calls += 1
        budget.earn()
        time.sleep(0.001)
    return calls
"""
    with (
        Puppet(tmp_path, store_url, prepare) as poor,
        Puppet(tmp_path, store_url, prepare) as rich,
    ):
        rich.tell("busy(8)")
        until(lambda: poor("budget.take()"), timeout=60)
        assert rich.answer() > 100


def test_budgets_of_other_ratios_are_other_budgets(tmp_path):
    """For Dask and for results that are kept: tasks with them are not the same task."""
    tokens = {
        (tokenize(policy), digest(policy))
        for ratio in (0.1, 0.9, 0.1)
        for policy in [RetryPolicy(budget=RetryBudget(str(tmp_path), ratio=ratio))]
    }
    assert len(tokens) == 2
    assert len({first for first, _ in tokens}) == len({second for _, second in tokens}) == 2
