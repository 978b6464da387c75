"""Who is believed dead: by the silence of each, by one clock, with room for what gets lost."""

from __future__ import annotations

import asyncio

import pytest

from persidict_dask import Barrier, Lease, Semaphore, WorkQueue
from persidict_dask.coordination import _polling, _renewal, _silence
from persidict_dask.coordination._barrier import _Arrival
from persidict_dask.coordination._holders import alive
from persidict_dask.coordination._polling import Attempt, poll, poll_async
from persidict_dask.coordination._silence import Silence

ELSEWHERE = ["0123456789ab-1-2-3", "0123456789ab-1-2-4"]  # tokens of another host


@pytest.fixture
def clock(monkeypatch):
    """The clock by which silence and waiting are measured; only the test moves it."""
    at = [1000.0]
    for module in (_silence, _polling):
        monkeypatch.setattr(module, "now", lambda: at[0])
    return at


@pytest.fixture
def beats(monkeypatch):
    """What is to be called again and again, and how often; nobody does but the test."""
    added = []
    monkeypatch.setattr(_renewal.heart, "add", lambda *beat: added.append(beat) or (lambda: None))
    return added


def test_each_holder_has_a_silence_of_its_own(clock):
    """Whoever comes after a silent one, or beside it, begins anew."""
    silence, told = Silence(), {"beat": 0, "ttl": 10}
    first, second = ELSEWHERE
    assert not silence.is_over("x", first, told)
    clock[0] += 9
    assert not silence.is_over("x", second, told)
    assert not silence.is_over("y", first, told)
    clock[0] += 2
    assert silence.is_over("x", first, told)
    assert not silence.is_over("x", second, told)
    assert not silence.is_over("y", first, told)
    assert not silence.is_over("x", first, told | {"beat": 1})


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hurry_does_not_wait_for_the_next_look(clock, monkeypatch, is_async):
    """A holder of this host that is gone is noticed while others would still sleep."""

    def wait(_, seconds):
        clock[0] += seconds
        return False

    async def sleep(seconds):
        wait(None, seconds)

    monkeypatch.setattr(_polling.bells, "wait", wait)
    monkeypatch.setattr(_polling.asyncio, "sleep", sleep)
    gone = clock[0] + 0.2
    attempt = Attempt("x", lambda: clock[0] if clock[0] >= gone else None, lambda: clock[0] >= gone)
    if is_async:
        found = asyncio.run(poll_async(attempt, 60, is_near=False))
    else:
        found = poll(attempt, 60, is_near=False)
    assert gone <= found < gone + 0.1


HELD = {
    "lease": (Lease, lambda handle: handle.acquire(timeout=0)),
    "semaphore": (lambda d, name: Semaphore(d, name, limit=1), lambda s: s.acquire(timeout=0)),
    "queue": (WorkQueue, lambda queue: queue.claim()),
}


@pytest.mark.parametrize(("make", "get"), HELD.values(), ids=HELD)
def test_one_sign_of_life_may_get_lost(plain, far, clock, beats, make, get):
    """Who is told by every other one only keeps what it holds for ever."""
    held = make(plain, "x")
    if make is WorkQueue:
        held.put(1)
    holding = get(held)
    ((renew, every),) = beats
    for n in range(1, 20):
        assert n % 2 or renew()
        assert not get(make(plain, "x"))
        clock[0] += every
    assert holding
    assert len(beats) == 1


def test_one_sign_of_life_of_a_party_may_get_lost(plain, far, clock, beats):
    """It counts for as long as it waits."""
    record = Barrier(plain, "x", parties=2)._record
    waiting = _Arrival(record, 2, 30)
    attempt = waiting.attempt()
    assert attempt.look() is None
    ((renew, every),) = beats
    for n in range(1, 20):
        assert n % 2 or renew()
        assert len(alive(record, record.read().fields["holders"])) == 1
        clock[0] += every
    assert Barrier(plain, "x", parties=2).wait(timeout=0) == 1
    assert attempt.look() == 0


def test_a_renewal_that_fails_is_not_the_last(beats):
    """The store may be away for a moment."""

    class Thing:
        def __init__(self):
            self.answers = iter([True, OSError, True, False])

        def renew(self):
            answer = next(self.answers)
            if answer is OSError:
                raise OSError("away")
            return answer

    thing = Thing()
    _renewal.renewed(thing, 30)
    ((renew, _),) = beats
    assert [renew() for _ in range(4)] == [True, True, True, False]
    del thing
    assert not renew()
