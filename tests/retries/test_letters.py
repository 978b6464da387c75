"""Calls under which processes die: not started again, told of in letters, released."""

from __future__ import annotations

import os

import pytest
import tenacity

from persidict import FileDirDict, LocalDict, NonEmptySafeStrTuple
from persidict_dask import (
    DeadLetters,
    QuarantinedCallError,
    RetryPolicy,
    persist,
    process_stats,
)
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Record
from persidict_dask.retries import _attempts
from tests.retries.durable import told
from tests.retries.test_attempts import Caller, Calls, World, record, records


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")


# --- processes ----------------------------------------------------------------------------------


def test_two_deaths(tmp_path, store_url):
    calls = Calls(tmp_path, store_url, "fails dies dies returns", poison_after=2)
    calls.die()
    calls.die()
    error, text = calls.end()
    assert error == "QuarantinedCallError"
    assert "2 processes died under it" in text
    assert calls.runs == 3
    letters = DeadLetters(calls.store)
    [key] = letters
    letter = letters[key]
    dead = told(calls.log, "begins")
    assert letter.key == key
    assert letter.call.startswith("tests.retries.durable.work(log=")
    assert letter.arguments["plan"] == "str 'fails dies dies returns'"
    assert letter.error == "OSError: attempt 1"
    assert "_ended(log, act)" in letter.traceback
    assert (letter.attempts, letter.deaths) == (3, 2)
    assert letter.hosts == (os.uname().nodename,)
    assert [(loss.attempt, loss.pid) for loss in letter.lost] == [
        (2, dead[1]["pid"]),
        (3, dead[2]["pid"]),
    ]
    assert letter.first_seen <= letter.lost[0].began <= letter.lost[0].found <= letter.last_seen
    assert letters.release(key)
    assert calls.end() == ["returned", "attempt 4"]
    assert records(calls.store) == []


# --- one after the other ------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch):
    """Processes die when told."""
    world = World()
    world.patch(monkeypatch)
    yield world
    world.end()


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    is_folder = request.param == "folder"
    return FileDirDict(base_dir=str(tmp_path), durability="relaxed") if is_folder else LocalDict()


@pytest.fixture
def caller(world, store):
    def make(**settings):
        return Caller(world, RetryPolicy(state=store, **settings))

    return make


@pytest.fixture
def quarantined(caller):
    """A call that has killed two, and was refused then; its key."""
    return kill(caller, 2)


def kill(caller, times):
    for _ in range(times):
        dying = caller()
        if dying.begin():
            assert dying.sleep() is None
        dying.die()
    with pytest.raises(QuarantinedCallError) as refused:
        caller().begin()
    return refused.value.key


def refused(caller):
    try:
        caller().begin()
    except QuarantinedCallError:
        return True
    return False


def test_it_is_refused_from_now_on(caller, store, quarantined):
    before = process_stats()["builtins.abs"]
    assert refused(caller)
    with pytest.raises(QuarantinedCallError, match=r"release\(\('builtins.abs', ") as told:
        RetryPolicy(state=store).call(abs, -1)
    assert told.value.key == quarantined
    assert (told.value.call, told.value.deaths) == ("builtins.abs(x=int -1)", 2)
    after = process_stats()["builtins.abs"]
    assert (after.attempts, after.refused) == (before.attempts, before.refused + 2)
    assert RetryPolicy(state=store).call(abs, -2) == 2


def test_other_policies_have_their_own_patience(caller):
    one = caller(poison_after=3)
    one.begin()
    one.die()
    two = caller(poison_after=3)
    two.begin()
    two.sleep()
    two.die()
    assert caller(poison_after=3).begin() is not None
    assert kill(lambda **_: caller(poison_after=2), 0)


def test_it_is_released(caller, store, quarantined):
    letters = DeadLetters(store)
    assert letters.keys() == [quarantined]
    assert quarantined in letters
    assert letters.release(quarantined) is True
    assert letters.release(quarantined) is False
    assert (len(letters), quarantined in letters) == (0, False)
    assert records(store) == []
    with pytest.raises(KeyError) as caught:
        letters[quarantined]
    assert str(caught.value) == repr(tuple(quarantined))
    one = caller()
    assert one.begin() is None
    assert record(store)["attempts"] == 1


def test_it_kills_again(caller, store, quarantined):
    """Two more deaths, and not one."""
    DeadLetters(store).release(tuple(quarantined))
    assert kill(caller, 2) == quarantined
    assert DeadLetters(store)[quarantined].deaths == 2


def test_a_letter_is_discarded(caller, store, quarantined):
    letters = DeadLetters(store)
    assert letters.discard(quarantined) is True
    assert letters.discard(quarantined) is False
    assert len(letters) == 0
    assert refused(caller)
    assert len(letters) == 0
    assert letters.release(quarantined) is True
    assert not refused(caller)


def test_what_never_died_is_not_released(caller, store, world):
    letters = DeadLetters(store)
    assert letters.release(("builtins.abs", "x")) is False
    one = caller()
    one.begin()
    key = NonEmptySafeStrTuple(next(iter(Place(store).records))[1:])
    assert letters.release(key) is False
    one.die()
    two = caller()
    assert two.begin() is not None
    assert letters.release(key) is False
    assert record(store)["deaths"] == 1


def test_living_callers_of_a_call_in_quarantine(caller, store):
    """What runs comes to its end, and there is no further attempt; success lifts nothing."""
    one, two, three = caller(wait=tenacity.wait_fixed(0)), caller(), caller()
    for each in (one, two, three):
        each.begin()
    dying = [caller(), caller()]
    for each in dying:
        each.begin()
    for each in dying:
        each.die()
    assert refused(caller)
    assert two.end(_attempts.Outcome(5)).value == 5
    with pytest.raises(QuarantinedCallError):
        one.fail()
    assert refused(caller)
    assert len(record(store)["lanes"]) == 1
    assert DeadLetters(store).release(DeadLetters(store).keys()[0])
    assert [*record(store)["lanes"]] == [three.me]
    assert three.end(_attempts.Outcome(6)).value == 6
    assert records(store) == []


# --- broken off in the middle -------------------------------------------------------------------


class Cut(BaseException):
    """The end of a process."""


@pytest.fixture
def cut(monkeypatch):
    """Let a step fail once, before or after it was made."""

    def make(where, name, *, is_made):
        plain = getattr(where, name)

        def once(*args, **kwargs):
            monkeypatch.setattr(where, name, plain)
            if is_made:
                plain(*args, **kwargs)
            raise Cut

        monkeypatch.setattr(where, name, once)

    return make


@pytest.fixture
def doomed(caller):
    """A call that has killed two, which nobody has found yet."""
    for _ in range(2):
        dying = caller()
        if dying.begin() is not None:
            dying.sleep()
        dying.die()
    return caller


@pytest.mark.parametrize("step", ["letter", "quarantine"])
@pytest.mark.parametrize("is_made", [False, True])
def test_a_burier_that_dies(doomed, store, cut, step, is_made):
    """Whoever comes next does the rest: there is no quarantine without a letter, and no run."""
    if step == "letter":
        cut(_attempts, "write_letter", is_made=is_made)
    else:
        cut_quarantine(cut, is_made=is_made)
    with pytest.raises(Cut):
        doomed().begin()
    assert refused(doomed)
    [key] = DeadLetters(store)
    assert DeadLetters(store)[key].deaths == 2
    assert record(store)["deaths"] == 2


def cut_quarantine(cut, *, is_made):
    plain = Record.swap
    cut(Record, "swap", is_made=is_made)
    once = Record.swap

    def swap(self, seen, fields):
        return (once if fields.get("is_quarantined") else plain)(self, seen, fields)

    Record.swap = swap


@pytest.mark.parametrize("step", ["remove", "discard"])
@pytest.mark.parametrize("is_made", [False, True])
def test_a_release_that_is_broken_off(caller, store, cut, quarantined, step, is_made):
    """It may be called again, as long as there is a letter."""
    letters = DeadLetters(store)
    cut(*{"remove": (Record, "remove"), "discard": (DeadLetters, "discard")}[step], is_made=is_made)
    with pytest.raises(Cut):
        letters.release(quarantined)
    assert (quarantined in letters) is not (step == "discard" and is_made)
    letters.release(quarantined)
    assert len(letters) == 0
    assert not refused(caller)


def test_a_release_between_letter_and_quarantine(doomed, store, monkeypatch):
    """It counts: the call is not quarantined after it, least of all without a letter."""
    plain = _attempts.write_letter

    def released(*args):
        plain(*args)
        [key] = DeadLetters(store)
        assert DeadLetters(store).release(key)

    monkeypatch.setattr(_attempts, "write_letter", released)
    assert not refused(doomed)
    assert not record(store).get("is_quarantined")
    assert record(store)["deaths"] == 1  # found again: until then it was in the letter only
    assert len(DeadLetters(store)) == 0


def test_a_release_before_the_only_death_is_in_the_record(caller, store, monkeypatch):
    """The letter is written again: there is no quarantine without one."""
    one = caller()
    one.begin()
    one.die()
    plain = _attempts.write_letter

    def released(*args):
        monkeypatch.setattr(_attempts, "write_letter", plain)
        plain(*args)
        DeadLetters(store).release(DeadLetters(store).keys()[0])

    monkeypatch.setattr(_attempts, "write_letter", released)
    with pytest.raises(QuarantinedCallError) as told:
        caller(poison_after=1).begin()
    assert DeadLetters(store).keys() == [told.value.key]


# --- for people ---------------------------------------------------------------------------------


def test_how_it_looks(caller, store, quarantined):
    letters = DeadLetters(store)
    told = repr(letters[quarantined])
    assert told.startswith("<DeadLetter builtins.abs(x=int -1)\n")
    assert "2 in 2 attempts, on " in told
    assert f"process {os.getpid()} on {os.uname().nodename}" in told
    assert repr(letters) == "<DeadLetters: 1>"
    assert "<td>builtins.abs(x=int -1)</td>" in letters._repr_html_()


def test_markup_is_escaped(world, store):
    def call(x):
        """Be called with something that browsers would run."""

    policy = RetryPolicy(state=store, wait=tenacity.wait_fixed(0), attempts=9)
    for _ in range(2):
        dying = Caller(world, policy, function=call, args=("<script>",))
        dying.begin()
        assert dying.fail(OSError("<b>")) is None
        dying.die()
    with pytest.raises(QuarantinedCallError):
        policy.call(call, "<script>")
    letters = DeadLetters(store)
    for text in (letters._repr_html_(), letters[letters.keys()[0]]._repr_html_()):
        assert "<script>" not in text
        assert "<b>" not in text
        assert "&lt;script&gt;" in text
        assert "OSError: &lt;b&gt;" in text


def test_persisted_functions(world, store):
    """Their letters have the keys of their results, and hits are not refused."""
    plain = persist(store)(abs)
    f = persist(store, retry=RetryPolicy(state=store))(abs)
    for _ in range(2):
        dying = Caller(world, f._options.retry, subject=f._subject(f._call((-1,), {})))
        if dying.begin() is not None:
            dying.sleep()
        dying.die()
    with pytest.raises(QuarantinedCallError) as told:
        f(-1)
    assert told.value.key == f.key_of(-1)
    assert DeadLetters(store).keys() == [f.key_of(-1)]
    assert f(-2) == 2
    assert plain(-1) == 1
    assert f(-1) == 1
