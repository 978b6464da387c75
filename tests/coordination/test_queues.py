"""Queues: what is put is done, once; what cannot be done is put aside."""

from __future__ import annotations

import gc
import time
from itertools import chain

import pytest

from persidict import OutcomeUnknownError
from persidict_dask import WorkQueue
from persidict_dask.coordination import inspect
from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._records import Record

BIG = list(range(5000))


@pytest.fixture
def queue(store):
    return WorkQueue(store, "q")


@pytest.fixture
def q(plain):
    return WorkQueue(plain, "q", max_deliveries=2)


def beside(queue):
    return len(queue._place.payloads)


@pytest.mark.parametrize("item", [5, None, (1, 2), {"url": "x"}, b"x", BIG, {1, 2}])
def test_what_is_put_is_claimed_and_done(queue, item):
    key = queue.put(item)
    assert len(queue) == 1
    claim = queue.claim()
    assert (claim.key, claim.item, claim.deliveries) == (key, item, 1)
    assert type(claim.item) is type(item)
    assert queue.claim() is None
    assert claim.done(item)
    assert len(queue) == 0
    assert dict(queue.done) == {key: item}
    queue.done.clear()
    assert (len(queue.done), beside(queue)) == (0, 0)


def test_each_item_goes_to_one(queue, together):
    keys = {queue.put(n) for n in range(30)}

    def work(_):
        mine = WorkQueue(queue._place.store, "q")
        done = []
        while (claim := mine.claim()) is not None:
            assert claim.done()
            done.append(claim.key)
        return done

    done = [*chain.from_iterable(together(work, 5))]
    assert len(done) == 30
    assert set(done) == keys == set(queue.done)


def test_roughly_in_order(q):
    keys = [q.put(n) for n in range(40)]
    claimed = [claim.key for claim in q.drain() if claim.done()]
    assert all(abs(claimed.index(key) - at) < 40 for at, key in enumerate(keys))
    assert set(claimed[:8]) <= set(keys[:16])


def test_a_key_is_put_once(q):
    assert q.put("a", key="k") == "k"
    q.put("b", key="k")
    assert len(q) == 1
    claim = q.claim()
    q.put("c", key="k")
    assert claim.item == "a"
    claim.done()
    q.put("d", key="k")
    assert (len(q), q.claim()) == (0, None)
    assert q.done.discard("k")
    q.put("e", key="k")
    assert q.claim().item == "e"


def test_a_failure_comes_back_and_is_given_up_then(q):
    key = q.put(BIG, key="k")
    assert q.claim().fail(ValueError("first"))
    second = q.claim()
    assert second.deliveries == 2
    assert second.fail("second")
    assert (len(q), q.claim()) == (0, None)
    dead = q.dead[key]
    assert (dead.item, dead.deliveries) == (BIG, 2)
    assert "ValueError: first" in dead.errors[0]
    assert dead.errors[1] == "second"
    q.put("again", key="k")
    assert len(q) == 0
    assert "1 dead" in repr(inspect(q._place.store))


def test_what_is_dead_can_be_released(q):
    q.put("x", key="k")
    for _ in range(2):
        q.claim().fail("no")
    q.dead.release("k")
    assert len(q.dead) == 0
    claim = q.claim()
    assert (claim.item, claim.deliveries) == ("x", 1)
    claim.done()
    with pytest.raises(KeyError):
        q.dead.release("k")


@pytest.mark.parametrize("step", ["swap", "remove"])
def test_a_crash_while_what_is_dead_is_released_loses_nothing(q, monkeypatch, step):
    """It may be repeated."""
    q.put(BIG, key="k")
    for _ in range(2):
        q.claim().fail("no")
    with monkeypatch.context() as crash:
        crash.setattr(Record, step, _crash)
        with pytest.raises(KeyboardInterrupt):
            q.dead.release("k")
    q.dead.release("k")
    claim = q.claim()
    assert (claim.item, claim.deliveries, q.claim(), len(q.dead)) == (BIG, 1, None, 0)


def test_what_is_dead_can_be_discarded(q):
    q.put(BIG, key="k")
    for _ in range(2):
        q.claim().fail("no")
    assert q.dead.discard("k")
    assert not q.dead.discard("k")
    assert (len(q.dead), beside(q)) == (0, 0)


def test_blocks_tell_how_it_went(q):
    q.put(1, key="good")
    with q.claim():
        pass
    q.put(2, key="bad")
    with pytest.raises(ZeroDivisionError), q.claim():
        _ = 1 / 0
    assert list(q.done) == ["good"]
    assert q.claim().deliveries == 2


def test_a_block_may_tell_itself(q):
    q.put(1, key="k")
    with q.claim() as claim:
        claim.done("result")
    assert q.done["k"] == "result"
    with pytest.raises(RuntimeError, match="has ended"):
        claim.done()


def test_what_is_given_back_was_never_delivered(q):
    q.put(1)
    for _ in range(5):
        assert q.claim().give_back()
    assert q.claim().deliveries == 1


def test_what_a_silent_worker_had_comes_back(plain, far, no_heart):
    queue = WorkQueue(plain, "q", ttl=0.2)
    queue.put(1, key="k")
    silent = queue.claim()
    assert WorkQueue(plain, "q").claim() is None
    again = WorkQueue(plain, "q").claim(timeout=20)
    assert again.deliveries == 2
    assert not silent.renew()
    assert silent.is_lost
    assert not silent.fail("too late")
    assert again.done("again")
    assert queue.done["k"] == "again"


def test_a_late_done_counts_if_it_is_the_first(plain, far, no_heart):
    queue = WorkQueue(plain, "q", ttl=0.2)
    queue.put(1, key="k")
    silent, again = queue.claim(), None
    queue.claim()
    again = queue.claim(timeout=20)
    assert silent.done("late")
    assert not again.done("again")
    assert queue.done["k"] == "late"
    assert (len(queue), beside(queue)) == (0, 0)


@pytest.mark.parametrize("deliveries", [1, 2, 3])
@pytest.mark.parametrize("late", ["first", "last"])
def test_what_was_given_up_and_is_done_late_is_not_dead(plain, monkeypatch, deliveries, late):
    """Whichever of its claimants has come back."""
    queue = WorkQueue(plain, "q", max_deliveries=deliveries)
    queue.put(BIG, key="k")
    with monkeypatch.context() as gone:
        gone.setattr("persidict_dask.coordination._silence.is_gone", lambda _: True)
        claims = [queue.claim() for _ in range(deliveries)]
        assert queue.claim() is None
    assert list(queue.dead) == ["k"]
    assert claims[0 if late == "first" else -1].done("late")
    assert (list(queue.dead), dict(queue.done)) == ([], {"k": "late"})
    assert (len(queue), beside(queue)) == (0, 0)


def test_what_is_done_while_it_is_put_again_does_not_come_back(q, plain, monkeypatch):
    """Whoever puts it has looked before, and looks again."""

    def others_do_it(self, name):
        monkeypatch.undo()
        other = WorkQueue(plain, "q")
        other.put(BIG, key=name)
        other.claim().done("by others")
        return False  # that was before

    monkeypatch.setattr(Parts, "is_over", others_do_it)
    q.put(BIG, key="k")
    assert (len(q), q.claim(), dict(q.done), beside(q)) == (0, None, {"k": "by others"}, 0)


def test_a_claimant_that_comes_back_while_it_is_given_up(plain, monkeypatch):
    """It is done, and not dead as well."""
    queue, remove = WorkQueue(plain, "q", max_deliveries=1), Record.remove
    queue.put(1, key="k")
    claim = queue.claim()

    def comes_back(self, seen):
        monkeypatch.undo()
        assert claim.done("back")
        return remove(self, seen)

    monkeypatch.setattr("persidict_dask.coordination._silence.is_gone", lambda _: True)
    monkeypatch.setattr(Record, "remove", comes_back)
    assert queue.claim() is None
    assert (list(queue.dead), dict(queue.done), len(queue)) == ([], {"k": "back"}, 0)


def test_what_was_given_up_half_is_given_up_once(plain, monkeypatch):
    """The first reason is the one that is kept."""
    queue = WorkQueue(plain, "q", max_deliveries=1)
    queue.put(BIG, key="k")
    with monkeypatch.context() as crash:
        crash.setattr(Record, "remove", _crash)
        with pytest.raises(KeyboardInterrupt):
            queue.claim().fail("the reason")
    monkeypatch.setattr("persidict_dask.coordination._silence.is_gone", lambda _: True)
    assert queue.claim() is None
    assert (queue.dead["k"], len(queue)) == ((BIG, 1, ["the reason"]), 0)


def test_a_claim_belongs_to_the_process_that_has_made_it(q, monkeypatch):
    """A forked child has a copy of it, and ends and renews nothing."""
    key = q.put("x")
    claim = q.claim()
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: 1)
        for end in (claim.done, claim.give_back, lambda: claim.fail("no")):
            with pytest.raises(RuntimeError, match="belongs to the process"):
                end()
        assert not claim.renew()
    assert (len(q), len(q.done)) == (1, 0)
    assert claim.done()
    assert list(q.done) == [key]


def test_silence_again_and_again_is_the_end(plain, far, no_heart):
    queue = WorkQueue(plain, "q", ttl=0.1, max_deliveries=2)
    queue.put(1, key="k")
    claims = [queue.claim(timeout=20) for _ in range(2)]
    assert [claim.deliveries for claim in claims] == [1, 2]
    assert list(queue.drain()) == []
    assert "its claimant is gone" in queue.dead["k"].errors[-1]


def test_m6_a_lost_claim_buries_nothing(plain, monkeypatch):
    """Its item was given up at the last delivery, released, and claimed anew."""
    queue = WorkQueue(plain, "q", max_deliveries=1)
    queue.put(BIG, key="k")
    lost = queue.claim()
    with monkeypatch.context() as dead:
        dead.setattr("persidict_dask.coordination._silence.is_gone", lambda _: True)
        assert queue.claim() is None
    queue.dead.release("k")
    claim = queue.claim()
    assert not lost.fail("too late")
    assert (len(queue), list(queue.dead)) == (1, [])
    assert claim.item == BIG
    assert claim.done("well")
    assert dict(queue.done) == {"k": "well"}


def test_who_is_heard_of_keeps_it(plain, far):
    queue = WorkQueue(plain, "q", ttl=0.3)
    queue.put(1)
    claim = queue.claim()
    assert queue.claim(timeout=1.2) is None
    assert claim.done()


def test_a_forgotten_claim_comes_back(plain, far):
    queue = WorkQueue(plain, "q", ttl=0.2)
    queue.put(1)
    claim = queue.claim()
    del claim
    gc.collect()
    assert queue.claim(timeout=20).deliveries == 2


def test_a_crash_between_done_and_the_removal(plain, far, no_heart, monkeypatch):
    """Whoever finds the item later sees that it is done."""
    queue = WorkQueue(plain, "q", ttl=0.1)
    queue.put(1, key="k")
    claim = queue.claim()
    monkeypatch.setattr(type(queue._place.records), "discard", _crash)
    with pytest.raises(KeyboardInterrupt):
        claim.done("result")
    monkeypatch.undo()
    monkeypatch.setattr("persidict_dask.coordination._silence.is_gone", lambda _: False)
    assert len(queue) == 1
    assert list(queue.drain()) == []
    assert (len(queue), dict(queue.done)) == (0, {"k": "result"})


def _crash(*_):
    raise KeyboardInterrupt


def test_waiting_for_an_item(q):
    start = time.monotonic()
    assert q.claim(timeout=0.2) is None
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"max_deliveries": 0}, {"max_deliveries": "3"}])
def test_settings_are_checked(plain, wrong):
    with pytest.raises((TypeError, ValueError), match=r"ttl|max_deliveries"):
        WorkQueue(plain, "q", **wrong)


@pytest.mark.parametrize("key", ["", 5, "a/b"])
def test_keys_are_checked(q, key):
    with pytest.raises((TypeError, ValueError)):
        q.put(1, key=key)
    assert len(q) == 0


@pytest.mark.parametrize("is_done", [True, False])
def test_an_item_of_which_nobody_can_tell_who_has_claimed_it(q, plain, monkeypatch, is_done):
    """If it is not there any more, that does not matter."""
    key, plainly = q.put("x"), Record.swap

    def swap(self, seen, fields):
        monkeypatch.setattr(Record, "swap", plainly)
        if is_done:
            WorkQueue(plain, "q").claim().done()
        raise OutcomeUnknownError("x", backend="x", operation="x")

    monkeypatch.setattr(Record, "swap", swap)
    if is_done:
        assert q.claim() is None
        assert [*q.done] == [key]
    else:
        with pytest.raises(OutcomeUnknownError):
            q.claim()
