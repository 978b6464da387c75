"""Attempts that are written down: they count over deaths, and nothing is left of what has ended."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cloudpickle
import pytest
import tenacity

from persidict import FileDirDict, LocalDict
from persidict.exceptions import OutcomeUnknownError
from persidict_dask import (
    AttemptLostError,
    DeadLetters,
    QuarantinedCallError,
    RetryPolicy,
    UnstableKeyError,
    open_store,
    persist,
)
from persidict_dask.coordination import _moments, _renewal, _silence
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Record
from persidict_dask.retries import _attempts, _lanes, _policy
from persidict_dask.retries._rounds import Call
from persidict_dask.retries._standing import Outcome
from persidict_dask._names import name_of
from persidict_dask._waiting import Here
from tests.coordination.faults.fleet import Puppet, until
from tests.retries.durable import in_loop, sync, told, work

WAYS = ["sync", "in_loop"]
OTHER = "0123456789ab"


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")


def records(store):
    """Return what the store tells of calls."""
    beside = Place(store).records
    return [json.loads(beside[key]) for key in beside if key[0] == "attempts"]


def record(store):
    [only] = records(store)
    return only


def lane(store):
    [only] = record(store)["lanes"].values()
    return only


class Calls:
    """The same call, made by processes."""

    def __init__(self, folder, url, plan, way="sync", **settings):
        self.folder, self.url, self.log = folder, url, str(folder / "log")
        given = "".join(f", {name}={value}" for name, value in settings.items())
        self._told = f"answer({way}, policy({url!r}{given}), {self.log!r}, {plan!r})"
        self.store = open_store(url)

    def begin(self, **settings):
        """Start a process that makes the call."""
        puppet = Puppet(self.folder, self.url, "from tests.retries.durable import *", **settings)
        puppet.tell(self._told)
        return puppet

    def die(self):
        """Start one that dies under it."""
        with self.begin() as dying:
            assert dying.process.wait(60) == -9, dying.errors()

    def end(self, **settings):
        """Start one that comes back with an answer."""
        with self.begin(**settings) as living:
            return living.answer()

    def go(self):
        """Let a run that waits go on."""
        (self.folder / "log.go").touch()

    @property
    def runs(self):
        return len(told(self.log, "begins"))

    @property
    def gaps(self):
        ends, begins = told(self.log, "ends"), told(self.log, "begins")
        return [after["at"] - before["at"] for before, after in zip(ends, begins[1:])]


# --- processes that die ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_five_attempts_over_two_deaths(tmp_path, store_url, way):
    calls = Calls(tmp_path, store_url, "dies fails dies fails fails", way)
    calls.die()
    calls.die()
    error, text, note = calls.end()
    assert (error, text) == ("OSError", "attempt 5")
    assert note.startswith("after 5 attempts, with waits of 0.2, 0.2, 0.2, 0.2 s")
    assert calls.runs == 5
    assert min(calls.gaps) >= 0.2
    assert record(calls.store)["deaths"] == 2
    assert not record(calls.store)["lanes"]


@pytest.mark.parametrize("way", WAYS)
def test_death_in_a_pause(tmp_path, store_url, way):
    """It has nothing to do with the call, and the pause is over when it would have been."""
    calls = Calls(tmp_path, store_url, "fails fails", way, attempts=2, wait="tenacity.wait_fixed(2)")
    with calls.begin() as dying:
        until(lambda: records(calls.store) and lane(calls.store)["state"] == "waiting")
        dying.die()
    error, text, note = calls.end()
    assert (error, text) == ("OSError", "attempt 2")
    assert note.startswith("after 2 attempts, with waits of 2 s")
    assert min(calls.gaps) >= 2
    assert records(calls.store) == []


def test_the_last_attempt_is_lost(tmp_path, store_url):
    """What the function has raised before is raised, and a note says that it was not the last."""
    calls = Calls(tmp_path, store_url, "fails dies", attempts=2)
    calls.die()
    error, text, lost, note = calls.end()
    assert (error, text) == ("OSError", "attempt 1")
    assert lost == "the process of attempt 2 is gone"
    assert note.startswith("after 2 attempts, with waits of 0.2 s")
    assert calls.runs == 2


def test_all_attempts_are_lost(tmp_path, store_url):
    calls = Calls(tmp_path, store_url, "dies dies", attempts=2)
    calls.die()
    calls.die()
    error, text, note = calls.end()
    assert (error, text) == ("AttemptLostError", "the process of attempt 2 is gone")
    assert note.startswith("after 2 attempts")
    assert calls.runs == 2


def test_success_after_a_death_forgets_it(tmp_path, store_url):
    calls = Calls(tmp_path, store_url, "dies returns", attempts=2)
    calls.die()
    assert record(calls.store)["lanes"]
    assert calls.end() == ["returned", "attempt 2"]
    assert records(calls.store) == []
    assert len(DeadLetters(calls.store)) == 0


def test_one_that_is_stopped_is_not_dead(tmp_path, store_url):
    """An equal call of the same host does not wait for it, and has attempts of its own."""
    calls = Calls(tmp_path, store_url, "waits returns", attempts=1)
    with calls.begin() as first:
        until(lambda: calls.runs == 1)
        first.process.send_signal(19)
        assert calls.end() == ["returned", "attempt 2"]
        calls.go()
        first.process.send_signal(18)
        assert first.answer()[0] == "returned"
    assert records(calls.store) == []


def test_persisted_calls_wait_for_who_runs_them_and_go_on_with_their_count(tmp_path, store_url):
    calls = Calls(tmp_path, store_url, "waits fails fails fails", "persisted", attempts=3)
    with calls.begin() as first:
        until(lambda: calls.runs == 1)
        with calls.begin() as second:
            first.die()
            error, text, note = second.answer()
    assert (error, text) == ("OSError", "attempt 3")
    assert note.startswith("after 3 attempts, with waits of 0.2, 0.2 s")
    assert calls.runs == 3
    assert record(calls.store)["deaths"] == 1
    key = persist(store_url)(work).key_of(calls.log, "waits fails fails fails")
    assert key in [each[1:] for each in Place(calls.store).records]


# --- what is left ----------------------------------------------------------------------------------


FAST = tenacity.wait_fixed(0)


class Log(list):
    """What was seen in runs; it belongs to no key."""

    def __persist_token__(self):
        return "log"


@pytest.fixture
def store(tmp_path):
    return FileDirDict(base_dir=str(tmp_path / "here"), durability="relaxed")


def seen_in_it(log, store):
    log.append([lane(store)["state"], lane(store)["attempts"], record(store)["attempts"]])
    if len(log) < 3:
        raise OSError("x")
    return "value"


async def seen_in_it_later(*args):
    return seen_in_it(*args)


def test_an_attempt_is_written_down_before_it_begins(store):
    log = Log()
    assert RetryPolicy(state=store, wait=FAST).call(seen_in_it, log, store) == "value"
    assert log == [["running", n, n] for n in (1, 2, 3)]
    assert records(store) == []


def test_an_attempt_of_a_coroutine_too(store):
    log = Log()
    policy = RetryPolicy(state=store, wait=FAST)
    assert asyncio.run(policy.call_async(seen_in_it_later, log, store)) == "value"
    assert log == [["running", n, n] for n in (1, 2, 3)]
    assert records(store) == []


@pytest.fixture
def requests(monkeypatch):
    """What records are asked for, in order."""
    asked = []
    for name in ("look", "swap", "remove"):
        plain = getattr(Record, name)

        def noted(self, *args, name=name, plain=plain):
            asked.append(name)
            return plain(self, *args)

        monkeypatch.setattr(Record, name, noted)
    return asked


def test_what_it_costs(store, requests):
    policy = RetryPolicy(state=store, wait=FAST)
    assert policy.call(abs, -1) == 1
    assert requests == ["swap", "remove"]
    requests.clear()
    policy.call(seen_in_it, Log(), store)
    assert requests == ["swap", *["swap", "swap"] * 2, "remove"]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (OSError("x"), 3),
        (FileNotFoundError("x"), 1),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 1),
        (SystemExit(), 1),
        (asyncio.CancelledError(), 1),
        (GeneratorExit(), 1),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_nothing_is_left_of_what_has_failed(store, way, error, attempts):
    log = Log()

    def fails():
        log.append("run")
        raise error

    async def fails_later():
        fails()

    policy = RetryPolicy(state=store, wait=FAST, fatal=FileNotFoundError)
    with pytest.raises(type(error)) as caught:
        if way == "sync":
            policy.call(fails)
        else:
            drive(policy.call_async(fails_later))
    assert caught.value is error or way == "async"
    assert len(log) == attempts
    assert records(store) == []


def drive(coroutine):
    """Run it in a loop, whatever kind of error comes out."""
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


async def hangs(when):
    if when == "waiting":
        raise OSError("x")
    await asyncio.sleep(1000)


async def started(store, state="running"):
    """Return a task whose call is there, in its attempt or in the pause after it."""
    policy = RetryPolicy(state=store, wait=tenacity.wait_fixed(1000))
    task = asyncio.ensure_future(policy.call_async(hangs, state))
    while not records(store) or lane(store)["state"] != state:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    return task


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_nothing_is_left_of_what_was_cancelled(store, state):
    async def main():
        task = await started(store, state)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert records(store) == []


@pytest.mark.parametrize("step", ["swap", "remove"])
def test_a_cancellation_while_the_store_is_asked(store, monkeypatch, step):
    """It is not lost, the step comes to its end, and the loop goes on meanwhile."""
    asked, answer, plain = threading.Event(), threading.Event(), getattr(Record, step)

    def slow(self, *args):
        asked.set()
        assert answer.wait(20)
        return plain(self, *args)

    async def value():
        return 5

    async def main():
        monkeypatch.setattr(Record, step, slow)
        task = asyncio.ensure_future(RetryPolicy(state=store).call_async(value))
        while not asked.is_set():  # the loop goes on, or this would not
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert records(store) == []


def test_a_coroutine_that_is_thrown_away(store):
    async def main():
        steps = RetryPolicy(state=store).call_async(hangs, "running").__await__()
        waits = next(steps)
        while not records(store) or not waits.done():
            await asyncio.sleep(0.001)
        for _ in range(3):  # shields and wrappers around what the store has answered
            waits = waits if not waits.done() else steps.send(None)
        return steps

    asyncio.run(main()).close()
    assert records(store) == []


# --- equal calls at the same time ------------------------------------------------------------------


def test_equal_calls_count_apart(store):
    log, policy = Log(), RetryPolicy(state=store, attempts=3, wait=FAST)
    together = threading.Barrier(4)

    def fails(log, together):
        log.append("run")
        together.wait(20)
        raise OSError("x")

    def one(_):
        with pytest.raises(OSError, match="x"):
            policy.call(fails, log, Shared(together))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert len(log) == 12
    assert records(store) == []


class Shared:
    """Something for all threads; it belongs to no key."""

    def __init__(self, thing):
        self.wait = thing.wait

    def __persist_token__(self):
        return "shared"


# --- step by step ----------------------------------------------------------------------------------


class World:
    """Hosts, clocks, hearts; callers move and die as told."""

    def __init__(self):
        self.dead, self.far, self.late = set(), set(), 0.0
        self.beats, self.callers = [], []

    def add(self, call, every):
        self.beats.append(call)
        return lambda: self.beats.remove(call) if call in self.beats else None

    def beat(self):
        for call in [*self.beats]:
            if not call() and call in self.beats:
                self.beats.remove(call)


    def patch(self, monkeypatch):
        """Let all who look at records see this world."""
        plain = _lanes.now
        monkeypatch.setattr(_renewal, "heart", self)
        monkeypatch.setattr(_lanes, "is_gone", lambda owner: owner in self.dead)
        for module in (_lanes, _moments):
            monkeypatch.setattr(module, "is_local", lambda owner: owner not in self.far)
        for module in (_lanes, _attempts, _moments, _silence):
            monkeypatch.setattr(module, "now", lambda: plain() + self.late)


@pytest.fixture
def world(monkeypatch):
    """Processes of this host die when told, other hosts are seen by their records only."""
    world = World()
    world.patch(monkeypatch)
    return world


class Caller:
    """One who makes a call step by step; a process of its own for all who look at records."""

    def __init__(self, world, policy, here=Here(), function=abs, args=(-1,), subject=None):
        self.world = world
        world.callers.append(self)  # one that is thrown away would end its call
        self._steps = policy._durable(Call(name_of(function), function, args, {}), subject, here)

    def begin(self):
        """Go to the first attempt, which is `None`, or the pause before it."""
        return next(self._steps)

    @property
    def me(self):
        return self._steps.gi_frame.f_locals["attempts"]._me

    def fail(self, error=None):
        """Let an attempt fail, and return the pause."""
        return self._steps.send(Outcome(error=error or OSError("x")))

    def sleep(self):
        """Come back from a pause."""
        return self._steps.send(None)

    def end(self, outcome=None):
        """Go to the end."""
        with pytest.raises(StopIteration) as end:
            self._steps.send(outcome)
        return end.value.value

    def die(self):
        """Be gone without a word."""
        self.world.dead.add(self.me)
        self.world.beats.clear()


@pytest.fixture
def caller(world, store):
    """Make callers of equal calls."""

    def make(here=Here(), **settings):
        usual = {"wait": tenacity.wait_fixed(8), "poison_after": 10}
        return Caller(world, RetryPolicy(state=store, **(usual | settings)), here)

    return make


def test_a_lane_that_is_free_goes_to_one(caller, store):
    one, two, three = caller(), caller(), caller()
    assert one.begin() is None
    one.die()
    assert two.begin() == 8
    assert three.begin() is None
    assert record(store)["deaths"] == 1
    assert sorted(lane["attempts"] for lane in record(store)["lanes"].values()) == [1, 1]
    assert two.sleep() is None
    assert sorted(lane["attempts"] for lane in record(store)["lanes"].values()) == [1, 2]


def test_the_rest_of_a_pause_is_waited(caller, world):
    one, two = caller(), caller()
    one.begin()
    assert one.fail() == 8
    one.die()
    world.late += 5
    assert 2.5 < two.begin() <= 3
    assert two.sleep() is None


def test_a_pause_that_is_over(caller, world):
    one, two = caller(), caller()
    one.begin()
    one.fail()
    one.die()
    world.late += 9
    assert two.begin() is None


def test_the_deadline_goes_on(caller, world):
    one, two = caller(deadline=30), caller(deadline=30)
    one.begin()
    one.die()
    world.late += 23
    with pytest.raises(StopIteration) as end:
        two.begin()
    error = end.value.value.error
    assert isinstance(error, AttemptLostError)
    assert "deadline of 30 s" in error.__notes__[0]


def test_the_deadline_leaves_time(caller, world):
    one, two = caller(deadline=30), caller(deadline=30)
    one.begin()
    one.die()
    world.late += 21
    assert two.begin() == 8


def test_two_find_the_same_death(caller, store, monkeypatch):
    """It is counted once."""
    one, two, three = caller(), caller(), caller()
    one.begin()
    one.die()
    plain = Record.swap

    def swap(self, seen, fields):
        monkeypatch.setattr(Record, "swap", plain)
        if seen.exists:
            assert three.begin() == 8
        else:
            monkeypatch.setattr(Record, "swap", swap)
        return plain(self, seen, fields)

    monkeypatch.setattr(Record, "swap", swap)
    assert two.begin() is None
    assert record(store)["deaths"] == 1
    assert record(store)["attempts"] == 2


def test_a_living_caller_of_another_host_is_heard_of(caller, world, store):
    one, two = caller(), caller()
    one.begin()
    world.far.add(one.me)
    assert two.begin() == 0.02
    assert two.sleep() > 0.02
    world.late += 20
    assert two.sleep() > 0.02
    world.beat()
    assert two.sleep() is None
    assert len(record(store)["lanes"]) == 2


def test_a_silent_one_of_another_host_is_dead(caller, world, store):
    one, two = caller(), caller()
    one.begin()
    world.far.add(one.me)
    two.begin()
    world.late += 31
    assert two.sleep() == 8
    assert record(store)["deaths"] == 1
    assert [*record(store)["lanes"]] == [two.me]
    world.beat()  # it lives, in truth
    assert [*record(store)["lanes"]] == [two.me]
    one.fail()
    assert "another process goes on" in one.end().error.__notes__[0]


TASK = "tcp://10.0.0.1:8786 'key'"


def test_a_task_that_comes_from_another_host(caller, world, store):
    """Its worker is gone: nobody waits for its silence."""
    one, two = caller(Here(TASK, "tcp://10.0.0.2:1")), caller(Here(TASK, "tcp://10.0.0.3:1"))
    one.begin()
    world.far.add(one.me)
    assert two.begin() == 8
    assert record(store)["deaths"] == 1


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:8786 'key'", "inproc://127.0.0.1/1/2 'key'"])
def test_the_same_name_of_a_task_on_another_host(caller, world, store, where):
    """Addresses that each host has for itself name no cluster of both."""
    one, two = caller(Here(where, "tcp://127.0.0.1:1")), caller(Here(where, "tcp://127.0.0.1:2"))
    one.begin()
    world.far.add(one.me)
    assert two.begin() == 0.02
    world.beat()
    assert two.sleep() is None
    assert not record(store).get("deaths")


def test_a_task_that_comes_from_a_worker_of_this_host(caller, world, store):
    """It may leave: it gets some seconds to say so; then its attempt counts, and nobody died."""
    one, two = caller(Here(TASK, "tcp://10.0.0.2:1")), caller(Here(TASK, "tcp://10.0.0.2:2"))
    one.begin()
    assert two.begin() == 0.02
    world.late += 6
    assert two.sleep() == 8
    assert not record(store).get("deaths")
    assert [*record(store)["lanes"]] == [two.me]


def test_another_host_goes_on(caller, world, store):
    """A pause is over no sooner there, and the deadline sees the time by the store's clock."""
    one, two = caller(deadline=100), caller(deadline=100)
    one.begin()
    one.fail()
    fields = lane(store)
    world.far |= {one.me, fields["next"]["clock"], fields["first"]["clock"]}
    two.begin()
    world.late += 31
    pause = two.sleep()
    assert pause == 0 or pause is None or pause <= 8
