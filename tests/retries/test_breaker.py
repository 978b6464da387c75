"""Circuit breakers: opened by some, open for all, closed by one."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import cloudpickle
import pytest
import tenacity

from persidict import FileDirDict, LocalDict, NonEmptySafeStrTuple
from persidict_dask import RetryPolicy
from persidict_dask._errors import AttemptLostError, CircuitOpenError
from persidict_dask.coordination import _moments, _silence, inspect
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Record
from persidict_dask.retries import _breaker_rules, _breaker_view, _driving
from persidict_dask.retries._attempts import Attempts
from persidict_dask.retries._breaker import CircuitBreaker
from persidict_dask.retries._breaker_rules import Rules
from persidict_dask.retries._breaker_view import Probe, View
from persidict_dask.retries._rounds import Call, rounds
from persidict_dask.retries._standing import Forgetful, Outcome, Standing
from tests.coordination.faults.fleet import Puppet, until


@pytest.fixture
def store():
    return LocalDict()


@pytest.fixture
def quiet(monkeypatch):
    """Nothing is looked at in the background but when a test asks for it."""

    class Heart:
        def __init__(self):
            self.beats = []

        def add(self, call, every):
            self.beats.append((call, every))
            return lambda: None

    heart = Heart()
    monkeypatch.setattr(_breaker_view, "heart", heart)
    monkeypatch.setattr("persidict_dask.coordination._renewal.heart", heart)
    return heart


@pytest.fixture
def clock(monkeypatch, quiet):
    """A clock that only the test moves."""
    at = [1000.0]
    for module in (_breaker_view, _breaker_rules, _moments, _silence):
        monkeypatch.setattr(module, "now", lambda: at[0])
    return at


def worker(store, name="b", **settings):
    """A breaker as another process has it."""
    breaker = CircuitBreaker(store, name, **settings)
    record = Record(Place(store), NonEmptySafeStrTuple("breaker", name))
    breaker.__dict__["_view"] = View(record, object(), Rules(**breaker._settings))
    return breaker


def fail(breaker, times=5):
    for _ in range(times):
        breaker.failed()


def look(*breakers):
    """Let them see what others have done."""
    for breaker in breakers:
        breaker._view._refresh()


def refused(breaker):
    try:
        breaker.admit()
    except CircuitOpenError:
        return True
    return False


# --- one after the other ---------------------------------------------------------------------


def test_it_opens_after_so_many_failures(store, clock):
    breaker = CircuitBreaker(store, "b")
    assert breaker.state == "closed"
    for _ in range(5):
        assert breaker.admit() is None
        breaker.failed()
    assert breaker.state == "open"
    clock[0] += 5
    with pytest.raises(CircuitOpenError, match="'b' is open") as told:
        breaker.admit()
    assert told.value.name == "b"
    assert told.value.retry_after == pytest.approx(10)


def test_failures_of_all_count_together(store, clock):
    one, two, three = (worker(store) for _ in range(3))
    fail(one, 2)
    fail(two, 2)
    assert [each.admit() for each in (one, two, three)] == [None] * 3
    fail(three, 1)
    look(one, two)
    assert [refused(each) for each in (one, two, three)] == [True] * 3


def test_a_success_in_between_makes_them_count_no_more(store, clock):
    one, two = worker(store), worker(store)
    for _ in range(10):
        fail(one, 4)
        clock[0] += 0.01
        look(two)
        two.succeeded()
        look(one)
    assert one.admit() is None
    fail(one, 5)
    assert refused(one)


def test_failures_of_long_ago_do_not_count(store, clock):
    breaker = CircuitBreaker(store, "b")
    fail(breaker, 4)
    clock[0] += 31
    fail(breaker, 4)
    assert breaker.admit() is None
    fail(breaker, 1)
    assert refused(breaker)


def test_a_success_is_older_than_failures_that_come_after_it(store, clock, monkeypatch):
    """Also when it is told later."""
    one, two = worker(store), worker(store)
    fail(two, 1)
    look(one)
    with monkeypatch.context() as cut:
        cut.setattr(Record, "look", _away)
        clock[0] += 1
        one.succeeded()
    clock[0] += 1
    fail(two, 3)
    look(one, two)
    fail(two, 2)
    assert refused(two)


def test_one_probe_closes_it_for_all(store, clock):
    one, two = worker(store), worker(store)
    assert [one.admit(), two.admit()] == [None, None]
    fail(one)
    look(two)
    clock[0] += 15.1
    assert two.needs_store()
    probe = two.admit()
    assert isinstance(probe, Probe)
    assert "Probe(" in repr(probe)
    assert [one.state, two.state] == ["open", "probing"]
    assert refused(one)  # which sees only now that there is a probe
    assert one.state == "probing"
    assert refused(two)
    two.succeeded(probe)
    look(one)
    assert [one.admit(), two.admit(), one.state] == [None, None, "closed"]
    fail(one, 4)
    assert one.admit() is None


def test_a_probe_that_fails_opens_it_again(store, clock):
    one, two = worker(store), worker(store)
    fail(one)
    clock[0] += 15.1
    probe = one.admit()
    clock[0] += 5
    one.failed(probe)
    assert refused(two)
    clock[0] += 14
    look(one)
    assert refused(one)
    clock[0] += 1.1
    assert two.admit()


def test_a_probe_without_a_result_makes_room_for_another(store, clock):
    one, two = worker(store), worker(store)
    fail(one)
    clock[0] += 15.1
    one.abandoned(one.admit())
    assert isinstance(two.admit(), Probe)
    one.abandoned()
    assert refused(one)


@pytest.mark.parametrize("is_durable", [False, True], ids=["", "durable"])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("before", [[], [OSError("down")]], ids=["first attempt", "retry"])
def test_m7_a_probe_that_is_interrupted_makes_room(
    store, clock, monkeypatch, before, interrupt, is_durable
):
    """Whichever attempt of a call it is, the next call finds the circuit open, and not occupied."""
    breaker = CircuitBreaker(store, "b", failures=1)
    if not before:
        fail(breaker)
        clock[0] += 16
    policy = RetryPolicy(
        wait=tenacity.wait_fixed(16), breaker=breaker, state=store if is_durable else None
    )
    errors, probing = [*before, interrupt], []

    def attempt():
        probing.append(breaker.state)
        raise errors.pop(0)

    async def attempt_async():
        attempt()

    def sleep(seconds):
        clock[0] += seconds

    async def sleep_async(seconds):
        sleep(seconds)

    monkeypatch.setattr(_driving, "_sleep", sleep)
    monkeypatch.setattr(_driving, "_sleep_async", sleep_async)
    with pytest.raises(interrupt):
        if interrupt is KeyboardInterrupt:
            policy.call(attempt)
        else:
            asyncio.run(policy.call_async(attempt_async))
    assert probing == ["closed"] * len(before) + ["probing"]
    assert breaker.state == "open"
    assert isinstance(worker(store, failures=1).admit(), Probe)


def test_an_error_that_is_not_retried_says_nothing_of_the_service(store, clock):
    """Neither while the circuit is closed, nor as the end of a probe."""
    breaker = CircuitBreaker(store, "b", failures=1)
    policy = RetryPolicy(breaker=breaker)
    for state in ("closed", "open"):
        with pytest.raises(ZeroDivisionError):
            policy.call(lambda: 1 / 0)
        assert breaker.state == state
        fail(breaker)
        clock[0] += 16
    assert isinstance(breaker.admit(), Probe)


def test_a_probe_whose_attempt_cannot_begin_makes_room(store, clock, monkeypatch):
    """Another process goes on with the call."""
    breaker = CircuitBreaker(store, "b", failures=1)
    policy = RetryPolicy(wait=tenacity.wait_fixed(16), breaker=breaker, state=store)
    monkeypatch.setattr(_driving, "_sleep", lambda pause: clock.__setitem__(0, clock[0] + pause))
    monkeypatch.setattr(Attempts, "begin", lambda _: False)
    with pytest.raises(OSError, match="down"):
        policy.call(_down)
    assert breaker.state == "open"
    assert isinstance(breaker.admit(), Probe)


def _down():
    raise OSError("down")


def test_an_attempt_that_another_process_has_lost_is_not_told_here(store, clock):
    """It may say nothing of the service; and what was given to it was not used up here."""
    breaker = CircuitBreaker(store, "b", failures=1)
    rules = RetryPolicy(breaker=breaker, wait=tenacity.wait_fixed(1))
    lost = Outcome(error=AttemptLostError("gone"))
    call = Call.of("f", list, (iter([1]),), {})
    steps = rounds(rules, call, Forgetful(), Standing(outcome=lost, is_of_others=True))
    assert next(steps) == 1
    assert next(steps) is None  # now an attempt
    assert breaker.state == "closed"
    with pytest.raises(StopIteration) as end:
        steps.send(Outcome([1]))
    assert end.value.value == Outcome([1])


def test_a_failure_counts_from_when_it_happened(clock):
    """However late the record hears of it."""
    rules = Rules(failures=1, window=30, reset=15)
    event = rules.failed()
    clock[0] += 10
    assert _moments.moment_here(event({})["open"]) == clock[0] + 5
    clock[0] += 20
    fields = {"failures": []}
    assert event(fields) is fields


@pytest.mark.parametrize(("reset", "soon"), [(15, 1), (0.2, 0.2)])
def test_while_a_probe_runs_it_is_worth_to_ask_soon(store, clock, reset, soon):
    breaker = CircuitBreaker(store, "b", reset=reset)
    fail(breaker)
    clock[0] += reset + 3
    probe = breaker.admit()
    with pytest.raises(CircuitOpenError) as refusal:
        breaker.admit()
    assert refusal.value.retry_after == soon
    breaker.succeeded(probe)


def test_a_silent_probe_makes_room_and_changes_nothing_later(store, clock):
    one, two, three = (worker(store) for _ in range(3))
    fail(one)
    clock[0] += 15.1
    late = one.admit()
    assert refused(two)
    assert refused(three)
    clock[0] += 10.1
    probe = two.admit()
    assert isinstance(probe, Probe)
    one.succeeded(late)
    assert one.state == "probing"
    two.failed(probe)
    one.succeeded(late)
    look(one, three)
    assert [refused(each) for each in (one, two, three)] == [True] * 3
    assert not late.renew()


def test_a_probe_that_is_heard_of_keeps_its_place(store, clock):
    one, two = worker(store), worker(store)
    fail(one)
    clock[0] += 15.1
    probe = one.admit()
    for _ in range(10):
        assert refused(two)
        clock[0] += 4
        assert probe.renew()
        look(two)
    assert refused(two)
    one.succeeded(probe)
    look(two)
    assert two.admit() is None
    assert not probe.renew()


def test_a_probe_is_renewed_in_the_background_until_it_is_forgotten(store, clock, quiet):
    breaker = CircuitBreaker(store, "b")
    fail(breaker)
    clock[0] += 15.1
    probe = breaker.admit()
    renew, every = quiet.beats[-1]
    assert every < 4
    assert renew()
    del probe
    gc.collect()
    assert not renew()


def test_what_comes_late_while_it_is_open_changes_nothing(store, clock):
    """Calls that were let through before."""
    breaker = CircuitBreaker(store, "b")
    fail(breaker)
    breaker.succeeded()
    assert refused(breaker)
    clock[0] += 14
    fail(breaker)
    clock[0] += 1.1
    assert isinstance(breaker.admit(), Probe)


def test_it_is_closed_by_hand(store, clock):
    one, two = worker(store), worker(store)
    fail(one)
    two.close()
    look(one)
    assert [one.admit(), two.admit()] == [None, None]
    fail(one, 4)
    assert one.admit() is None


def test_an_operator_sees_the_probe(store, clock):
    breaker = CircuitBreaker(store, "b")
    fail(breaker)
    clock[0] += 15.1
    probe = breaker.admit()
    ((holder,),) = (each.holders for each in inspect(store))
    assert holder.pid == os.getpid() == probe.pid


# --- as a value ------------------------------------------------------------------------------


def test_it_is_a_value(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path))
    breaker = CircuitBreaker(d, "x", failures=2)
    same = cloudpickle.loads(cloudpickle.dumps(breaker))
    assert same == breaker
    assert hash(same) == hash(breaker)
    assert same._view is breaker._view
    assert breaker != CircuitBreaker(d, "x")
    assert breaker != CircuitBreaker(d, "y", failures=2)
    assert repr(breaker) == "CircuitBreaker('x', failures=2, window=30.0, reset=15.0)"


def test_a_url_is_opened_when_it_is_needed(tmp_path, quiet):
    breaker = cloudpickle.loads(cloudpickle.dumps(CircuitBreaker(str(tmp_path / "d"), "x")))
    assert breaker.needs_store()
    hash(breaker)
    assert not (tmp_path / "d").exists()
    breaker.failed()
    assert len(Place(str(tmp_path / "d")).records) == 1


WRONG = [
    ({"failures": 0}, ValueError),
    ({"failures": 1.5}, TypeError),
    ({"window": 0}, ValueError),
    ({"window": None}, TypeError),
    ({"reset": -1}, ValueError),
    ({"reset": "15"}, TypeError),
    ({"reset": float("nan")}, ValueError),
    ({"name": None}, TypeError),
    ({"store": 5}, TypeError),
]


@pytest.mark.parametrize(("wrong", "error"), WRONG, ids=str)
def test_wrong_settings(store, wrong, error):
    with pytest.raises(error, match="|".join(wrong)):
        CircuitBreaker(**{"store": store, "name": "x", **wrong})


# --- requests --------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """The requests, in short."""
    requests, look_, swap = [], Record.look, Record.swap
    monkeypatch.setattr(Record, "look", lambda *a: (requests.append("r"), look_(*a))[1])
    monkeypatch.setattr(Record, "swap", lambda *a: (requests.append("w"), swap(*a))[1])

    def since():
        told = "".join(requests)
        requests.clear()
        return told

    return since


def test_what_it_asks_of_the_store(store, clock, asked):
    breaker, other = worker(store), worker(store)
    assert breaker.needs_store()
    for _ in range(10):
        breaker.admit()
        breaker.succeeded()
        assert not breaker.needs_store()
    assert asked() == "r"
    breaker.failed()
    assert asked() == "rw"
    clock[0] += 0.1
    breaker.succeeded()
    assert asked() == "rw"
    breaker.succeeded()
    assert asked() == ""
    fail(breaker, 20)
    assert asked() == "rw" * 5
    assert refused(breaker)
    assert not breaker.needs_store()
    assert asked() == ""
    clock[0] += 15.1
    probe = breaker.admit()
    assert asked() == "rw"
    assert refused(breaker)
    assert asked() == ""
    breaker.succeeded(probe)
    assert asked() == "rw"
    assert other.admit() is None
    assert asked() == "r"


def test_calls_that_go_well_wait_for_nobody(store, quiet):
    breaker = CircuitBreaker(store, "b")
    breaker.admit()
    breaker._view._lock = breaker._view._asking = None
    assert breaker.admit() is None
    breaker.succeeded()
    assert not breaker.needs_store()


def test_it_looks_in_the_background_while_it_is_used(store, clock, quiet):
    breaker, other = worker(store), worker(store)
    breaker.admit()
    ((refresh, every),) = quiet.beats
    assert every <= 0.5
    for _ in range(30):
        breaker.admit()
        assert refresh()
    assert next(n for n in range(100) if not refresh()) * every < 10
    fail(other)
    assert breaker.needs_store()
    assert refused(breaker)  # it looks before it says anything
    assert [each for _, each in quiet.beats] == [every, every]


def test_many_threads_write_together(store, quiet, asked, monkeypatch):
    """What others have to tell meanwhile is told by one swap."""
    go, swap = threading.Event(), Record.swap
    monkeypatch.setattr(Record, "swap", lambda *a: (go.wait(), swap(*a))[1])
    breaker = worker(store, failures=100)
    breaker.admit()
    threads = [threading.Thread(target=breaker.failed) for _ in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: len(breaker._view._untold) == 20)
    go.set()
    for thread in threads:
        thread.join()
    until(lambda: not breaker._view._untold)
    assert asked().count("w") <= 3
    assert len(breaker._view._seen.fields["failures"]) == 20


# --- a store that is slow, away or broken ----------------------------------------------------


def _away(*_):
    raise OSError("away")


def test_without_the_store_it_goes_by_its_own_failures(store, clock, monkeypatch):
    monkeypatch.setattr(Record, "look", _away)
    breaker = worker(store)
    assert breaker.admit() is None
    fail(breaker)
    assert refused(breaker)
    clock[0] += 15.1
    probe = breaker.admit()
    assert isinstance(probe, Probe)
    assert refused(breaker)
    untold = len(breaker._view._untold)
    assert all(probe.renew() for _ in range(9))
    assert len(breaker._view._untold) == untold
    breaker.failed(probe)
    assert refused(breaker)
    clock[0] += 15.1
    breaker.succeeded(breaker.admit())
    assert breaker.admit() is None
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert breaker.admit() is None
    with pytest.raises(OSError, match="away"):
        breaker.close()


def test_what_was_found_out_without_the_store_is_told_later(store, clock, monkeypatch):
    one, two = worker(store), worker(store)
    one.admit(), two.admit()
    with monkeypatch.context() as cut:
        cut.setattr(Record, "look", _away)
        fail(one)
        look(one, two)
        assert two.admit() is None
    look(one, two)
    assert refused(two)
    clock[0] += 15.1
    with monkeypatch.context() as cut:
        cut.setattr(Record, "look", _away)
        one.succeeded(one.admit())
        assert one.admit() is None
    look(one, two)
    assert two.admit() is None


def test_a_long_time_without_the_store_leaves_little_to_tell(store, clock, monkeypatch):
    breaker = worker(store)
    with monkeypatch.context() as cut:
        cut.setattr(Record, "look", _away)
        fail(breaker)
        for _ in range(500):
            clock[0] += 15.1
            breaker.failed(breaker.admit())
    assert refused(breaker)
    assert len(breaker._view._untold) <= 64
    look(breaker)
    fail(breaker)
    assert worker(store).state == "open"


def test_a_store_that_does_not_answer_holds_up_nobody_twice(store, quiet, monkeypatch):
    """Calls go on as if it were closed, and by their own failures."""
    go, look_ = threading.Event(), Record.look
    monkeypatch.setattr(Record, "look", lambda *a: (go.wait(), look_(*a))[1])
    monkeypatch.setattr(_breaker_view, "_LOOK", 0.01)
    monkeypatch.setattr(_breaker_view, "_TELL", 0.01)
    breaker = worker(store, failures=50)
    for _ in range(50):
        assert breaker.admit() is None
        breaker.failed()
    assert refused(breaker)
    go.set()
    until(lambda: not breaker._view._untold)
    assert worker(store, failures=50).state == "open"


def test_a_slow_answer_makes_no_second_probe(store, clock, monkeypatch):
    """Who did not hear in time that it is the probe is none, and others can be."""
    one, two = worker(store), worker(store)
    fail(one)
    look(two)
    clock[0] += 15.1
    go, look_ = threading.Event(), Record.look
    with monkeypatch.context() as slow:
        slow.setattr(_breaker_view, "_LOOK", 0.01)
        slow.setattr(Record, "look", lambda *a: (go.wait(), look_(*a))[1])
        assert refused(one)
        go.set()
        until(lambda: not one._view._errand.lasts)
    look(one)
    probe = two.admit()
    assert isinstance(probe, Probe)
    assert refused(one)


def test_a_damaged_record(tmp_path, quiet):
    d = FileDirDict(base_dir=str(tmp_path))
    Place(d).records["breaker", "b"] = "no json"
    breaker = CircuitBreaker(d, "b")
    assert breaker.admit() is None
    fail(breaker)
    assert refused(breaker)


def test_lost_answers(store, clock, monkeypatch):
    """A change that was made though it seemed to fail is made once."""
    swap = Record.swap

    def lost(*args):
        swap(*args)
        raise OSError

    breaker = worker(store)
    with monkeypatch.context() as cut:
        cut.setattr(Record, "swap", lost)
        fail(breaker)
    look(breaker)
    clock[0] += 15.1
    probe = breaker.admit()
    with monkeypatch.context() as cut:
        cut.setattr(Record, "swap", lost)
        breaker.succeeded(probe)
    look(breaker)
    assert breaker.admit() is None
    assert worker(store).state == "closed"


# --- threads, forks, processes ---------------------------------------------------------------


def test_one_probe_among_threads(store, together_probes):
    assert len(together_probes(CircuitBreaker(store, "b", reset=0.05))) == 1


def test_one_probe_among_handles(tmp_path, together_probes):
    breaker = CircuitBreaker(str(tmp_path), "b", reset=0.05)
    text = cloudpickle.dumps(breaker)
    assert len(together_probes(breaker, lambda: cloudpickle.loads(text))) == 1


@pytest.fixture
def together_probes():
    def run(breaker, another=None):
        probes, start = [], threading.Barrier(8)

        def work():
            mine = another() if another else breaker
            start.wait()
            is_over = False
            while not is_over:
                is_over = bool(probes)
                try:
                    probes.append(mine.admit())
                except CircuitOpenError:
                    time.sleep(0.001)

        fail(breaker)
        until(lambda: breaker.needs_store())
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return probes

    return run


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")


WORKER = """
from persidict_dask._errors import AttemptLostError, CircuitOpenError
from persidict_dask.retries._breaker import CircuitBreaker

breaker = CircuitBreaker(store, "b", reset=RESET)
probes = []

def fail(times):
    for _ in range(times):
        breaker.failed()
    return now()

def admitted():
    try:
        probe = breaker.admit()
        if probe:
            probes.append(probe)
        return "probe" if probe else "closed"
    except CircuitOpenError:
        return "refused"

def once(state):
    while admitted() != state:
        time.sleep(0.005)
    return now()

def race(seconds):
    def work():
        until = now() + seconds
        while now() < until:
            admitted()
            time.sleep(0.005)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(probes)
"""


class Puppets:
    """Processes with the same breaker."""

    def __init__(self, folder, url, count, reset, **settings):
        prepare = WORKER.replace("RESET", str(reset))
        self.all = [Puppet(folder, url, prepare, **settings) for _ in range(count)]

    def __enter__(self):
        return self.all

    def __exit__(self, *_):
        for puppet in self.all:
            if puppet.running:
                puppet.die()


def test_opened_here_and_refused_there_within_a_second(tmp_path, store_url):
    with Puppets(tmp_path, store_url, 2, reset=60) as (one, two):
        assert two("admitted()") == "closed"
        two.tell("once('refused')")
        opened = one("fail(5)")
        assert two.answer() - opened < 1
        assert one("admitted()") == "refused"
        one("breaker.close()")
        assert two("once('closed')")


def test_one_probe_among_processes_and_their_threads(tmp_path, store_url):
    with Puppets(tmp_path, store_url, 8, reset=0.5) as puppets:
        puppets[0]("fail(5)")
        for puppet in puppets:
            puppet.tell("race(3)")
        probes = [puppet.answer() for puppet in puppets]
        assert sorted(probes) == [0] * 7 + [1]
        puppets[probes.index(1)]("breaker.succeeded(probes[0])")
        for puppet in puppets:
            assert puppet("once('closed')")


def test_a_probe_that_is_killed_makes_room(tmp_path, store_url):
    with Puppets(tmp_path, store_url, 3, reset=0.2) as (one, two, three):
        one("fail(5)")
        one("once('probe')")
        assert two("admitted()") == "refused"
        two.tell("once('probe')")
        one.die()
        assert two.answer()
        assert three("admitted()") == "refused"
        two("breaker.succeeded(probes[-1])")
        three("once('closed')")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_begins_anew(tmp_path, store_url):
    """It looks for itself, and ends no probe of its parent."""
    held = """
def held():
    with breaker._view._lock, breaker._view._asking:
        return in_child(lambda: [breaker.needs_store(), admitted()])
"""
    prepare = WORKER.replace("RESET", "0.2") + held
    with Puppet(tmp_path, store_url, prepare) as parent:
        assert parent("admitted()") == "closed"
        assert parent("held()") == [True, "closed"]
        parent("fail(5)")
        assert parent("in_child(admitted)") in ("refused", "probe")
        parent("once('probe')")
        in_child = "in_child(lambda: [admitted(), breaker.succeeded(probes[0]), admitted()])"
        assert parent(in_child) == ["refused", None, "refused"]
        assert parent("in_child(lambda: [admitted(), probes[0].renew()])") == ["refused", False]
        assert parent("breaker.state") == "probing"
        assert parent("probes[0].renew()")
