"""Equal calls that run at the same time run once, wherever they come from, whoever dies."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from persidict import FileDirDict, LocalDict, OutcomeUnknownError
from persidict_dask import _claims, _flights, persist
from persidict_dask._claims import Claims, Held
from persidict_dask._heartbeat import Heart

from .fleet import Fleet


def test_64_equal_calls_in_4_processes_run_once(new_project, tmp_path):
    fleet = Fleet(new_project(), str(tmp_path / "store"), 4)
    fleet.start()
    fleet.runner(0)
    told = fleet.finish()
    assert sum(misses for misses, _ in told) == 1
    assert sum(hits for _, hits in told) == 63
    assert len(fleet.project.executed()) == 1


def test_a_killed_runner_is_taken_over_at_once(new_project, tmp_path):
    fleet = Fleet(new_project(), str(tmp_path / "store"), 4)
    fleet.start()
    first = fleet.runner(0)
    os.kill(first, signal.SIGKILL)
    begin = time.monotonic()
    second = fleet.runner(1)
    # far from the lease: it is the process that was missed, not its silence
    assert time.monotonic() - begin < _claims.TTL / 3
    assert second != first
    told = fleet.finish()
    assert len(told) == 3
    assert sum(misses for misses, _ in told) == 1
    assert len(fleet.project.executed()) == 2


def test_nothing_is_left_of_claims(new_project, tmp_path):
    fleet = Fleet(new_project(), str(tmp_path / "store"), 2)
    fleet.start()
    os.kill(fleet.runner(0), signal.SIGKILL)
    fleet.runner(1)
    assert [path.suffix for path in claims_in(tmp_path / "store")] == [".claim"]
    fleet.finish()
    assert claims_in(tmp_path / "store") == []


def claims_in(folder):
    return list(folder.rglob("*.claim"))


# -- in one process -------------------------------------------------------------------------------


class HeldFunction:
    """A function that is held in the middle of its first run."""

    def __init__(self, store, **options):
        self.runs = []
        self.started, self.go_on = threading.Event(), threading.Event()
        self.fail = False

        me = Opaque(self)

        @persist(store, ignore="me", **options)
        def slow(x, me):
            me.it.runs.append(x)
            me.it.started.set()
            assert me.it.go_on.wait(60)
            if me.it.fail and len(me.it.runs) == 1:
                raise ValueError(x)
            return [x]

        self.function = slow
        self.call = lambda x: slow(x, me)


class Opaque:
    """Carries test equipment past the key."""

    def __init__(self, it):
        self.it = it

    def __persist_token__(self):
        return "equipment"


@pytest.fixture(params=["folder", "memory"])
def any_store(request, tmp_path):
    return FileDirDict(base_dir=str(tmp_path / "s")) if request.param == "folder" else LocalDict()


def waiting_for():
    """How many threads wait for a call of this process."""
    return sum(
        frame.f_code.co_name == "_carry_out" and "step" in frame.f_locals
        for frame in sys._current_frames().values()
        for frame in above(frame)
        if isinstance(frame.f_locals.get("step"), _flights.Join)
    )


def above(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_threads_share_a_run(any_store):
    held = HeldFunction(any_store, name=f"threads in {type(any_store).__name__}")
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(held.call, 1) for _ in range(8)]
        assert held.started.wait(60)
        until(lambda: waiting_for() == 7)
        held.go_on.set()
        results = [call.result(60) for call in calls]
    assert results == [[1]] * 8
    assert held.runs == [1]
    stats = held.function.stats()
    assert (stats.misses, stats.hits, stats.waits) == (1, 7, 7)


def test_each_waiter_has_a_copy_of_its_own(any_store):
    held = HeldFunction(any_store)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(held.call, 1) for _ in range(3)]
        held.go_on.set()
        results = [call.result(60) for call in calls]
    assert len({id(result) for result in results}) == 3


def test_other_calls_do_not_wait(any_store):
    held = HeldFunction(any_store)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(held.call, 1)
        assert held.started.wait(60)
        second = pool.submit(held.call, 2)
        until(lambda: held.runs == [1, 2])
        held.go_on.set()
        assert [first.result(60), second.result(60)] == [[1], [2]]


def test_a_failure_is_the_runners_and_the_next_tries_again(any_store):
    held = HeldFunction(any_store)
    held.fail = True
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(held.call, 1) for _ in range(4)]
        assert held.started.wait(60)
        until(lambda: waiting_for() == 3)
        held.go_on.set()
        errors = [call.exception(60) for call in calls]
    assert sum(isinstance(error, ValueError) for error in errors) == 1
    assert errors.count(None) == 3
    assert held.runs == [1, 1]


def test_an_error_that_is_handled_keeps_no_argument(any_store):
    @persist(any_store, version="1")
    def fails(argument):
        raise OSError("as planned")

    class Large:
        def __persist_token__(self):
            return "large"

    large = Large()
    seen = weakref.ref(large)
    gc.collect()
    gc.disable()  # what is gone has not been part of a cycle
    try:
        with suppress(OSError):
            fails(large)
        del large
        assert seen() is None
    finally:
        gc.enable()


def test_without_it_all_of_them_run(any_store):
    held = HeldFunction(any_store, single_flight=False)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(held.call, 1) for _ in range(3)]
        until(lambda: held.runs == [1, 1, 1])
        held.go_on.set()
        assert [call.result(60) for call in calls] == [[1]] * 3


def test_a_call_inside_of_itself_waits_for_nobody(any_store, runs):
    @persist(any_store)
    def again(x):
        runs.append(x)
        return again(x) + 1 if len(runs) < 3 else 0

    assert again(1) == 0  # what was stored first is the result
    assert runs == [1, 1, 1]


def test_errors_that_are_signals_elsewhere(any_store):
    for kind in (StopIteration, GeneratorExit, KeyboardInterrupt, SystemExit):

        @persist(any_store, name=kind.__name__)
        def failing(kind=kind):
            raise kind("mine")

        with pytest.raises(kind) as caught:
            failing()
        assert caught.value.__context__ is None
        assert caught.value.args == ("mine",)


# -- the claims -----------------------------------------------------------------------------------


@pytest.fixture
def claims(tmp_path):
    return Claims(
        FileDirDict(base_dir=str(tmp_path), serialization_format="claim", base_class_for_values=str)
    )


KEY = ("f", "c", "a")


@pytest.fixture
def key():
    from persidict import NonEmptySafeStrTuple

    return NonEmptySafeStrTuple(*KEY)


def test_one_of_two_has_the_claim(claims, key):
    held = claims.take(key, "")
    assert isinstance(held, Held)
    seen = claims.take(key, "")
    assert not isinstance(seen, Held)
    assert not seen.is_abandoned("")
    assert claims.look(key, seen) is seen
    held.release()
    assert claims.look(key, seen) is None
    held.release()
    assert isinstance(claims.take(key, ""), Held)


def test_a_lost_claim_is_not_released_by_its_former_owner(claims, key):
    held = claims.take(key, "")
    seen = claims.take(key, "")
    taken = claims.take_over(key, seen, "")
    assert isinstance(taken, Held)
    assert claims.take_over(key, seen, "") is None
    held.release()
    assert claims.look(key, seen) is not None
    assert held._renew() is False
    taken.release()
    assert claims.look(key, seen) is None


def test_a_runner_that_is_silent_elsewhere_is_taken_over(claims, key, monkeypatch, tmp_path):
    """Silence is measured by the clock of the one who waits, whatever the clocks say."""
    monkeypatch.setattr(_claims, "new_token", lambda: "0123456789ab-1-2-3")  # of another host
    theirs = claims.take(key, "")
    theirs._stop()
    monkeypatch.undo()
    now = [0.0]
    monkeypatch.setattr(_flights.time, "monotonic", lambda: now[0])
    steps = _flights._claimed(claims, key, "")
    answer, taken = None, None
    while taken is None:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            taken = done.value
            break
        if isinstance(step, _flights.Pause):
            now[0] += step.seconds
            answer = None
            if now[0] < 100:
                theirs._renew()  # a sign of life, until it stops
        else:
            answer = step.call()
    assert isinstance(taken, Held)
    assert 100 + _claims.TTL <= now[0] <= 100 + _claims.TTL + 5


def test_m4_a_long_call_is_not_taken_over_though_every_other_sign_of_life_gets_lost(
    claims, key, monkeypatch
):
    """It is told at intervals that leave room for a store which is away for a moment."""
    now, beats = [0.0], []
    with monkeypatch.context() as there:
        there.setattr(_claims.heart, "add", lambda *beat: beats.append(beat))
        there.setattr(_claims, "new_token", lambda: "0123456789ab-1-2-3")  # of another host
        claims.take(key, "")
    monkeypatch.setattr(_flights.time, "monotonic", lambda: now[0])
    ((renew, every),) = beats
    steps, answer, due = _flights._claimed(claims, key, ""), None, every
    while now[0] < 10 * _claims.TTL:
        step = steps.send(answer)  # stops when it has taken over
        if isinstance(step, _flights.Pause):
            now[0] += step.seconds
            answer = None
        else:
            answer = step.call()
        if now[0] >= due:
            assert round(due / every) % 2 or renew()
            due += every


def test_the_same_task_again_takes_over_at_once(claims, key, monkeypatch):
    """Dask runs a task again only if its worker is gone."""
    monkeypatch.setattr(_claims, "new_token", lambda: "0123456789ab-1-2-3")
    claims.take(key, "tcp://scheduler 'f-1'")._stop()
    monkeypatch.undo()
    seen = claims.take(key, "")
    assert seen.is_abandoned("tcp://scheduler 'f-1'")
    assert not seen.is_abandoned("tcp://scheduler 'f-2'")
    assert not seen.is_abandoned("")


@pytest.mark.parametrize("record", ["", "{}", "[1]", '{"owner": 1}', "nonsense"])
def test_a_record_that_says_nothing_belongs_to_nobody(claims, key, record):
    claims._records[key] = record
    seen = claims.take(key, "")
    assert seen.owner == ""
    assert not seen.is_abandoned("")


def test_a_damaged_record_is_no_claim(claims, key, tmp_path):
    claims.take(key, "")
    (file,) = claims_in(tmp_path)
    file.write_bytes(b"\xff\xfe")
    assert isinstance(claims.take(key, ""), Held)


def test_what_is_raised_while_one_waits_comes_out(claims, key):
    """Such as the exception of a signal handler."""
    claims.take(key, "")
    steps = _flights.steps(("place", key), lambda: claims, lambda: _flights.MISSING, print)
    step = steps.send(None)
    while not isinstance(step, _flights.Pause):
        step = steps.send(step.call())
    with pytest.raises(ValueError, match="deadline"):
        steps.throw(ValueError("deadline"))
    _, is_ours = _flights._flights.join(("place", key))
    assert is_ours
    _flights._flights.leave(("place", key))


def test_a_store_that_hangs_silences_no_other(monkeypatch):
    beating, stuck = threading.Event(), threading.Event()
    heart = Heart()

    def hangs():
        stuck.wait(60)
        return False

    beats = []

    def healthy():
        beats.append(1)
        if len(beats) == 3:
            beating.set()
        return len(beats) < 3

    heart.add(hangs, 0.001)
    heart.add(healthy, 0.002)
    assert beating.wait(60)
    stuck.set()


@pytest.mark.parametrize("is_dropped", [False, True])
def test_a_beat_that_is_due_sooner_does_not_wait_for_one_that_is_later(is_dropped):
    heart, beating = Heart(), threading.Event()
    drop = heart.add(lambda: True, 1000)
    while heart._wakes > 1e9:  # until it sleeps
        time.sleep(0.001)
    if is_dropped:
        drop()
    heart.add(lambda: bool(beating.set()), 0.001)
    assert beating.wait(60)


def test_two_handles_of_one_memory_share_a_run(runs):
    store = LocalDict()
    again = LocalDict(**store.get_params())
    started, go_on = Opaque(threading.Event()), Opaque(threading.Event())

    def slow(x):
        runs.append(x)
        started.it.set()
        assert go_on.it.wait(60)
        return x

    one, other = persist(store)(slow), persist(again)(slow)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(one, 1)]
        assert started.it.wait(60)
        calls.append(pool.submit(other, 1))
        until(lambda: waiting_for() == 1)
        go_on.it.set()
        assert [call.result(60) for call in calls] == [1, 1]
    assert runs == [1]


class Choosy(FileDirDict):
    """Knows a single format, and says so in its own way."""

    def __init__(self, serialization_format="pkl", **params):
        if serialization_format != "pkl":
            raise ValueError("only pkl")
        super().__init__(serialization_format=serialization_format, **params)


def test_a_store_without_room_for_claims(tmp_path):
    @persist(Choosy(base_dir=str(tmp_path)))
    def f(x):
        return x

    assert [f(1), f(1)] == [1, 1]
    assert f.stats().hits >= 1


def test_renewals_change_the_record(claims, key):
    held = claims.take(key, "")
    first = claims.take(key, "")
    assert held._renew() is True
    second = claims.look(key, first)
    assert second is not first
    assert second.owner == first.owner
    assert second.etag != first.etag


@pytest.mark.parametrize("is_made", [True, False])
@pytest.mark.parametrize("act", ["take", "take_over", "renew"])
def test_claims_whose_answers_are_lost(claims, key, monkeypatch, act, is_made):
    """A claim that was made is ours, to be renewed and released; else it is of whoever has it."""
    held = claims.take(key, "") if act != "take" else None
    seen = claims.take(key, "") if act == "take_over" else None
    name = "setdefault_if" if act == "take" else "set_item_if"
    write = getattr(FileDirDict, name)

    def lost(*args, **what):
        monkeypatch.undo()
        if is_made:
            write(*args, **what)
        raise OutcomeUnknownError("lost", backend="x", operation="x")

    monkeypatch.setattr(FileDirDict, name, lost)
    if act == "renew":
        assert held._renew()
        mine = held
    else:
        mine = claims.take(key, "") if act == "take" else claims.take_over(key, seen, "")
    assert isinstance(mine, Held) is (is_made or act != "take_over")
    if mine is not None:
        assert mine._renew()
        mine.release()
        assert claims.under("f") == []


def test_a_store_that_is_away_for_a_moment_costs_no_claim(claims, key, monkeypatch):
    """It is renewed the next time, and an error at its end is none of the call."""
    held = claims.take(key, "")

    def away(*_, **__):
        raise OSError("away")

    with monkeypatch.context() as moment:
        moment.setattr(FileDirDict, "set_item_if", away)
        assert held._renew()
    assert held._renew()
    with monkeypatch.context() as moment:
        moment.setattr(FileDirDict, "discard_item_if", away)
        held.release()
    assert len(claims.under("f")) == 1


def test_a_call_whose_claim_cannot_be_written_runs(tmp_path, monkeypatch):
    @persist(FileDirDict(base_dir=str(tmp_path)))
    def f(x):
        return x

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Claims, "take", fails)
    with pytest.warns(RuntimeWarning, match="at the same time: .*No space") as caught:
        assert f(1) == 1
    assert caught[0].filename == __file__


def test_m8_what_was_stored_just_before_the_claim_is_not_run_again(tmp_path, monkeypatch, runs):
    """Another process has had its claim, its result and its end between our look and our claim."""
    store, take = FileDirDict(base_dir=str(tmp_path)), Claims.take

    def f(x):
        runs.append(x)
        return [x]

    mine, theirs = persist(store, name="f")(f), persist(store, name="f", single_flight=False)(f)

    def late(*args):
        theirs(1)
        return take(*args)

    monkeypatch.setattr(Claims, "take", late)
    assert mine(1) == [1]
    assert runs == [1]
    assert claims_in(tmp_path) == []


def test_what_is_forgotten_takes_the_claims_of_the_dead_along(tmp_path, claims, monkeypatch):
    @persist(FileDirDict(base_dir=str(tmp_path)), name="f")
    def f(x):
        return x

    living, dead = f.key_of(1), f.key_of(2)
    held = claims.take(living, "")
    monkeypatch.setattr(_claims, "is_gone", lambda owner: "gone" in owner)
    monkeypatch.setattr(_claims, "new_token", lambda: "gone")
    claims.take(dead, "")._stop()
    f.forget_all()
    assert len(claims_in(tmp_path)) == 1
    held.release()
