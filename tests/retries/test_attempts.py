"""Attempts that are written down: they count over deaths, and nothing is left of what has ended."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import cloudpickle
import pytest
import tenacity

from persidict import FileDirDict, LocalDict
from persidict.exceptions import OutcomeUnknownError
from persidict_dask import (
    AttemptLostError,
    DeadLetters,
    RetryPolicy,
    StoreRef,
    UnstableKeyError,
    _stores,
    open_store,
    persist,
)
from persidict_dask._names import name_of
from persidict_dask._waiting import Here
from persidict_dask.coordination import _moments, _renewal, _silence
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Record
from persidict_dask.retries import _attempts, _lanes, _leaving
from persidict_dask.retries._errors import packed, unpacked
from persidict_dask.retries._rounds import Call
from persidict_dask.retries._standing import Outcome
from tests.coordination.faults.fleet import Puppet, until
from tests.retries.durable import told, work

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
        return [after["at"] - before["at"] for before, after in zip(ends, begins[1:], strict=False)]


# --- processes that die -------------------------------------------------------------------------


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
    calls = Calls(
        tmp_path, store_url, "fails fails", way, attempts=2, wait="tenacity.wait_fixed(1.5)"
    )
    with calls.begin() as dying:
        until(lambda: records(calls.store) and lane(calls.store)["state"] == "waiting")
        dying.die()
    error, text, note = calls.end()
    assert (error, text) == ("OSError", "attempt 2")
    assert note.startswith("after 2 attempts, with waits of 1.5 s")
    assert min(calls.gaps) >= 1.5
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


# --- what is left -------------------------------------------------------------------------------


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


# --- equal calls at the same time ---------------------------------------------------------------


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


# --- step by step -------------------------------------------------------------------------------


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

    def end(self):
        """Let no caller end in the middle of another test."""
        for caller in self.callers:
            caller._steps.close()

    def patch(self, monkeypatch):
        """Let all who look at records see this world."""
        plain = _lanes.now
        monkeypatch.setattr(_renewal, "heart", self)
        monkeypatch.setattr(_attempts, "_unfinished", set())
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
    yield world
    world.end()


NOWHERE = Here()


class Caller:
    """One who makes a call step by step; a process of its own for all who look at records."""

    def __init__(self, world, policy, here=NOWHERE, function=abs, args=(-1,), subject=None):
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

    def make(here=NOWHERE, **settings):
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


@pytest.fixture
def moved(caller, world):
    """The same task on two hosts, one after the other."""
    one, two = caller(Here(TASK, "tcp://10.0.0.2:1")), caller(Here(TASK, "tcp://10.0.0.3:1"))
    one.begin()
    world.far.add(one.me)
    assert two.begin() == 0.02
    return one, two


def test_a_task_that_comes_from_another_host(moved, world, store):
    """Its worker may leave: it gets some seconds to say so; but nobody waits for its silence."""
    world.late += 4
    assert moved[1].sleep() == 0.03
    world.late += 2
    assert moved[1].sleep() == 8
    assert record(store)["deaths"] == 1


def test_a_task_that_another_host_gives_back(moved, store):
    one, two = moved
    one._steps.gi_frame.f_locals["attempts"].release(counts=False)
    assert two.sleep() is None
    assert record(store).get("deaths", 0) == 0
    assert lane(store)["attempts"] == 1


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


@pytest.mark.parametrize("deadline", [99, 97])
def test_the_store_tells_another_host_how_long_it_took(caller, world, store, monkeypatch, deadline):
    """It has no other clock in common with the host where the first attempt began."""
    stamps = iter([1000.0, 1090.0])
    monkeypatch.setattr(_attempts.Attempts, "_stamp", lambda self: next(stamps))
    one, two, three = (caller(deadline=deadline) for _ in range(3))
    one.begin()
    world.far |= {one.me, lane(store)["first"]["clock"]}
    two.begin()
    world.late += 31
    if deadline == 99:
        assert two.sleep() == 8
        two.die()
        world.late += 10  # and it is remembered by this host
        two = three
    with pytest.raises(StopIteration) as end:
        next(two._steps)
    assert f"deadline of {deadline} s" in end.value.value.error.__notes__[0]


# --- a store that fails -------------------------------------------------------------------------


@pytest.fixture
def fails(monkeypatch):
    """Let a step of the store fail, from some time on or once, though it may have been made."""

    def make(name, error, *, after=0, times=1000, is_made=False):
        plain, left = getattr(Record, name), iter(range(after + times))

        def step(self, *args):
            number = next(left, None)
            if number is None or number < after:
                return plain(self, *args)
            if is_made:
                plain(self, *args)
            raise error()  # a new one: its traceback keeps alive who has got it

        monkeypatch.setattr(Record, name, step)

    return make


AWAY = partial(ConnectionError, "the store is away")
UNKNOWN = partial(OutcomeUnknownError, "x", backend="x", operation="x")


def failing(log):
    log.append("run")
    raise OSError(f"attempt {len(log)}")


def test_a_store_that_is_away_before_the_first_attempt(world, store, fails):
    log = Log()
    fails("swap", AWAY)
    with pytest.raises(ConnectionError, match="the store is away"):
        RetryPolicy(state=store, wait=FAST).call(failing, log)
    assert log == []
    world.beat()
    assert (_attempts._unfinished, world.beats) == (set(), [])


def test_a_first_write_whose_answer_is_lost(world, store, fails):
    """Nobody runs, and nothing is left for others to take for a death."""
    log = Log()
    fails("swap", UNKNOWN, is_made=True, times=1)
    with pytest.raises(OutcomeUnknownError):
        RetryPolicy(state=store, wait=FAST).call(failing, log)
    assert log == []
    assert lane(store)["state"] == "running"
    world.beat()
    assert records(store) == []
    assert (_attempts._unfinished, world.beats) == (set(), [])


def test_a_takeover_whose_answer_is_lost(caller, world, store, fails):
    """What the dead has left is there for the next."""
    one, two, three = caller(), caller(), caller()
    one.begin()
    one.fail()
    one.die()
    fails("swap", UNKNOWN, is_made=True, after=1, times=1)
    with pytest.raises(OutcomeUnknownError):
        two.begin()
    world.beat()
    assert 7 < three.begin() <= 8
    assert [lane["attempts"] for lane in record(store)["lanes"].values()] == [1]


def test_a_failure_that_cannot_be_noted(store, fails):
    log = Log()
    fails("swap", AWAY, after=1, times=1)
    with pytest.raises(OSError, match="attempt 3"):
        RetryPolicy(state=store, wait=FAST).call(failing, log)
    assert len(log) == 3
    assert records(store) == []


def test_a_retry_that_cannot_be_noted_is_not_made(store, fails):
    log = Log()
    fails("swap", AWAY, after=1)
    with pytest.raises(OSError, match="attempt 1") as caught:
        RetryPolicy(state=store, wait=FAST).call(failing, log)
    assert "could not be written down" in caught.value.__notes__[0]
    assert "the store is away" in caught.value.__notes__[0]
    assert records(store) == []


def test_an_end_that_cannot_be_noted(world, store, fails):
    """The value is there all the same; the record is removed as soon as that is possible."""
    fails("remove", AWAY, times=2)
    assert RetryPolicy(state=store).call(abs, -1) == 1
    gc.collect()
    world.beat()
    assert lane(store)["state"] == "running"
    world.beat()
    assert records(store) == []
    assert (_attempts._unfinished, world.beats) == (set(), [])


def reschedules():
    from distributed import Reschedule

    raise Reschedule


@pytest.mark.parametrize("cluster", ["the same", "another"])
def test_an_attempt_that_was_given_back(caller, world, store, cluster):
    """It is made again by the task that goes on; in another cluster it was the last that counts."""
    one = caller(here=Here("the same 't'", "w1"))
    assert one.begin() is None
    one._steps.gi_frame.f_locals["attempts"].release(counts=False)
    two = caller(here=Here(f"{cluster} 't'", "w2"))
    assert two.begin() == (None if cluster == "the same" else 8)
    assert lane(store)["attempts"] == 1
    assert record(store).get("deaths", 0) == 0


def test_a_reschedule_that_cannot_be_noted(world, store, fails):
    from distributed import Reschedule

    fails("swap", AWAY, after=1, times=1)
    with pytest.raises(Reschedule):
        RetryPolicy(state=store).call(reschedules)
    world.beat()
    assert [lane["state"] for lane in record(store)["free"]] == ["released"]
    assert world.beats == []


def test_renewals_end_with_the_call(world, store):
    assert RetryPolicy(state=store).call(abs, -1) == 1
    with pytest.raises(OSError, match="attempt 2"):
        RetryPolicy(state=store, wait=FAST, attempts=2).call(failing, Log())
    assert world.beats == []


# --- children -----------------------------------------------------------------------------------


def forks(store):
    child = os.fork()
    if child == 0:
        raise SystemExit
    os.waitpid(child, 0)
    return lane(store)["state"]


def test_a_child_that_leaves_the_attempt(store):
    """It is not for the child to say that the attempt is over."""
    me = os.getpid()
    try:
        state = RetryPolicy(state=store).call(forks, store)
    finally:
        if os.getpid() != me:
            os._exit(0)
    assert state == "running"
    assert records(store) == []


# --- what a call is -----------------------------------------------------------------------------


def made(version):
    if version == 1:

        def f(x):
            return x + 1

    else:

        def f(x):
            return x + 2

    return f


def test_a_function_that_was_edited_is_another_call(world, store):
    policy = RetryPolicy(state=store)
    one, two, three = (Caller(world, policy, function=made(version)) for version in (1, 2, 1))
    one.begin()
    one.die()
    assert two.begin() is None
    assert three.begin() is not None


def test_what_has_no_stable_content(store):
    log = Log()
    with pytest.raises(UnstableKeyError):
        RetryPolicy(state=store).call(log.append, threading.Lock())
    assert log == []
    assert records(store) == []


# --- what travels -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "url", "ref", "dictionary"])
def test_policies_travel_with_their_store(tmp_path, store, kind):
    """Nothing is opened on the way."""
    path = str(tmp_path / "here")
    where = {"path": path, "url": f"file://{path}", "ref": StoreRef.of(store), "dictionary": store}
    policy = RetryPolicy(state=where[kind], wait=FAST)
    before = len(_stores._process.opened)
    arrived = cloudpickle.loads(cloudpickle.dumps(policy))
    cloudpickle.loads(cloudpickle.dumps(arrived))
    assert len(_stores._process.opened) == before
    log = Log()
    assert arrived.call(seen_in_it, log, store) == "value"
    assert len(log) == 3


def test_memory_stays_in_its_process(world, python):
    store = LocalDict()
    policy = RetryPolicy(state=store, wait=FAST)
    one = Caller(world, policy)
    one.begin()
    one.die()
    two = Caller(world, policy)
    assert two.begin() is None
    assert two.end(Outcome(5)).value == 5
    assert records(store) == []
    there = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1])).call(abs, -1)"
    with pytest.raises(AssertionError, match="only in the process that made it"):
        python(there, cloudpickle.dumps(policy).hex())


class Private(OSError):
    """An error that cannot be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Awkward(ValueError):
    """An error that can be pickled, and not be made again."""

    def __reduce__(self):
        return int, ("why",)


@pytest.mark.parametrize("error", [Private("why"), Awkward("why"), OSError("why" * 9999)])
def test_errors_that_do_not_fit_into_a_record(caller, store, error):
    """They are told of, by whoever goes on."""
    one, two, three = (caller(attempts=2, retry_on=Exception) for _ in range(3))
    one.begin()
    one.fail(error)
    assert len(json.dumps(record(store))) < 20_000
    one.die()
    two.begin()
    two.sleep()
    two.die()
    with pytest.raises(StopIteration) as end:
        three.begin()
    told = end.value.value.error
    assert type(told) is RuntimeError
    assert "an earlier attempt has raised " in str(told)
    assert "why" in str(told)


def test_a_class_that_is_not_to_be_had_here():
    told = packed(OSError("why"))
    assert repr(unpacked(told)) == "OSError('why')"
    assert "OSError: why" in str(unpacked(told | {"pickle": "Y25vd2hlcmUKQwou"}))


# --- workers that close -------------------------------------------------------------------------


class Worker:
    """What can be seen of one of Dask; its scheduler knows what it executes."""

    def __init__(self, loop, address, *keys):
        self.address, self.loop, self.asyncio_loop = address, self, loop
        self.state = SimpleNamespace(executing=set(), long_running=set())
        self.state.executing |= {SimpleNamespaceOf(key) for key in keys}
        self.scheduler, self.known = self, dict.fromkeys(keys, "processing")
        self.batched_stream = SimpleNamespace(closed=lambda: False)
        self.status = SimpleNamespace(name="running")
        self.plugins = []

    def add_callback(self, *args):
        self.plugins.append(args)

    async def get_task_status(self, keys):
        return {key: self.known.get(key) for key in keys}

    plugin_add = None


class SimpleNamespaceOf:
    def __init__(self, key):
        self.key, self.state = key, "executing"


class Leaver:
    def __init__(self, here):
        self.here, self.released, self.is_under_way = here, [], True

    def release(self, *, counts):
        self.released.append(counts)


@pytest.fixture
def leaving():
    return _leaving._Leaving()


@pytest.fixture
def loop():
    """A loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_worker_that_closes(leaving, loop):
    """What is wanted elsewhere does not count; what nobody wants any more, does."""
    worker = Worker(loop, "tcp://a", "x", ("y", 1))
    assert leaving._is_new(worker)
    assert not leaving._is_new(worker)
    tasks = ["tcp://s 'x'", "tcp://s ('y', 1)", "tcp://s 'y'", ""]
    calls = [Leaver(Here(task, "tcp://a")) for task in tasks]
    for call in calls:
        leaving.watch(call)
    leaving.close(worker)
    assert [call.released for call in calls] == [[False], [False], [True], [True]]
    late = Leaver(calls[0].here)
    leaving.watch(late)
    assert late.released == [False]


HERE = Here("tcp://s 'x'", "tcp://a")


@pytest.mark.parametrize("state", [None, "erred", "memory", "forgotten"])
def test_a_task_that_the_scheduler_does_not_run_again(leaving, loop, state):
    """It forgets the tasks of workers that it restarts."""
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    assert leaving.is_wanted(HERE)
    worker.known["x"] = state
    assert not leaving.is_wanted(HERE)


def test_a_task_that_was_cancelled(leaving, loop):
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    (task,) = worker.state.executing
    task.state = "cancelled"
    assert not leaving.is_wanted(HERE)


async def never(keys):
    await asyncio.Event().wait()


async def gone(keys):
    raise OSError("connection refused")


@pytest.mark.parametrize("answer", [never, gone])
def test_a_worker_that_has_lost_its_scheduler(leaving, loop, monkeypatch, answer):
    """It is not waited for longer than the nanny waits for the worker."""
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    monkeypatch.setattr(_leaving, "_ANSWER", 0.05)
    worker.get_task_status = answer
    worker.batched_stream.closed = lambda: True
    assert not leaving.is_wanted(HERE)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_scheduler_that_is_too_busy_to_answer(leaving, loop, monkeypatch, is_cancelled):
    """What it said last holds: it tells workers which tasks they need not go on with."""
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    (task,) = worker.state.executing
    monkeypatch.setattr(_leaving, "_ANSWER", 0.05)

    async def busy(keys):
        task.state = "cancelled" if is_cancelled else "executing"
        await never(keys)

    worker.get_task_status = busy
    assert leaving.is_wanted(HERE) is not is_cancelled


def test_a_worker_whose_loop_has_ended(leaving):
    loop = asyncio.new_event_loop()
    loop.close()
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    leaving.watch(call := Leaver(HERE))
    leaving.close(worker)
    assert call.released == [True]


def test_what_is_under_way_is_released_first(leaving, loop):
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    calls, order = [Leaver(HERE) for _ in range(20)], []
    for number, call in enumerate(calls):
        call.is_under_way = number == 13
        call.release = lambda number=number, **_: order.append(number)
        leaving.watch(call)
    leaving.close(worker)
    assert order[0] == 13
    assert sorted(order) == [*range(20)]


def test_a_worker_that_was_closed_late_does_not_close_the_next_one_of_its_address(leaving, loop):
    old, new = Worker(loop, "tcp://a", "x"), Worker(loop, "tcp://a", "x")
    leaving._is_new(old)
    old.status.name = "closed"
    assert leaving._is_new(new)
    assert not leaving._is_new(old)  # a thread of it goes on
    leaving.watch(call := Leaver(HERE))
    leaving.close(old)
    assert call.released == []
    leaving.close(new)
    assert call.released == [False]


def moved_from_elsewhere(monkeypatch):
    """A task of a worker of another host, which is here now."""
    lane = _lanes.new_lane(Here("tcp://10.0.0.1:1 'x'", "tcp://10.0.0.2:2"))
    monkeypatch.setattr(_lanes, "is_local", lambda owner: False)
    return lane, _lanes.Watch("where", Here("tcp://10.0.0.1:1 'x'", "tcp://10.0.0.3:3"))


def test_a_worker_of_another_host_has_the_time_to_say_that_it_closes(monkeypatch):
    """Then it was killed: the scheduler has given its task to this one."""
    lane, watch = moved_from_elsewhere(monkeypatch)
    fields = _lanes.with_lane({}, "owner", lane)
    assert watch.is_leaving("owner", lane)
    assert _lanes.buried(fields, watch) == fields
    watch._since -= _lanes._MOVING
    assert _lanes.buried(fields, watch)["deaths"] == 1


def test_a_scheduler_of_loopback_is_another_one_on_each_host(monkeypatch):
    lane, _ = moved_from_elsewhere(monkeypatch)
    watch = _lanes.Watch("where", Here("tcp://127.0.0.1:1 'x'", "tcp://127.0.0.1:3"))
    lane = lane | {"task": "tcp://127.0.0.1:1 'x'"}
    watch._since -= _lanes._MOVING
    assert not watch.is_leaving("owner", lane)
    assert not watch.is_dead("owner", lane)


def test_a_coroutine_that_is_thrown_away_in_the_loop_does_not_ask_it(leaving, loop):
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)

    async def asks():
        return leaving.is_wanted(HERE)

    assert not asyncio.run_coroutine_threadsafe(asks(), loop).result(60)


def test_closed_workers_are_forgotten(leaving, loop):
    worker = Worker(loop, "tcp://a", "x")
    leaving._is_new(worker)
    leaving.watch(call := Leaver(Here("tcp://s 'x'", "tcp://a")))
    leaving.close(worker)
    assert call.released == [False]
    worker = Worker(loop, "tcp://a", "x")  # in the place of the other
    assert leaving._is_new(worker)
    leaving.close(worker)
    del worker
    gc.collect()
    assert not leaving._workers
    assert not leaving._calls
