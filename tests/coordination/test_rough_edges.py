"""What goes wrong at the edges: failing stores, ended threads, interrupts, records nobody wrote."""

from __future__ import annotations

import json
import threading

import pytest

from persidict import FileDirDict
from persidict.owners import new_token
from persidict_dask import Counter, Lease, SharedValue, WorkQueue, install
from persidict_dask.coordination import _counter, inspect
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._polling import bells
from tests.faults.dead import dead_token


def test_a_store_that_fails_once_is_no_other_store(tmp_path, monkeypatch):
    """Whoever took another place for the records would be alone there, and hold the lease too."""
    d = FileDirDict(base_dir=str(tmp_path))
    lease = Lease(d, "x")
    make = FileDirDict.__init__

    def fails(self, **params):
        raise OSError("too many open files")

    monkeypatch.setattr(FileDirDict, "__init__", fails)
    with pytest.raises(OSError, match="too many"):
        lease.acquire()
    monkeypatch.setattr(FileDirDict, "__init__", make)
    with lease:
        assert list(d) == []
        assert not Lease(d, "x").acquire(timeout=0)


def test_what_a_thread_held_that_has_ended_may_be_released_by_another(plain):
    lease = Lease(plain, "x")
    first = threading.Thread(target=lease.acquire)
    first.start()
    first.join()
    waiting = threading.Thread(target=Lease(plain, "x").acquire)  # may get its number
    waiting.start()
    lease.release()
    waiting.join(20)
    assert not waiting.is_alive()


def test_whoever_waits_with_a_timeout_is_just_told_no(plain):
    lease = Lease(plain, "x")
    with lease:
        assert not lease.acquire(timeout=0)
        assert not lease.acquire(timeout=0.05)
        assert lease.held


def test_a_release_calls_those_who_wait_for_this_record(plain):
    lease = Lease(plain, "x")
    lease.acquire()
    with bells.waiting(lease._record.identity), bells.waiting("another"):
        lease.release()
        assert bells.answer(lease._record.identity)
        assert not bells.answer(lease._record.identity)  # one place, one call
        assert not bells.answer("another")


def test_a_claim_that_is_interrupted_has_not_failed(plain):
    queue = WorkQueue(plain, "q", max_deliveries=1)
    queue.put("x")
    with pytest.raises(KeyboardInterrupt), queue.claim():
        raise KeyboardInterrupt
    assert queue.claim().deliveries == 1


def test_what_cannot_be_stored_as_a_result_is_no_end(plain):
    queue = WorkQueue(plain, "q")
    queue.put("x", key="k")
    claim = queue.claim()
    with pytest.raises(TypeError):
        claim.done(threading.Lock())
    assert claim.done("a result")
    assert queue.done["k"] == "a result"


def test_an_item_that_is_done_cannot_be_released_as_dead(plain):
    queue = WorkQueue(plain, "q", max_deliveries=1)
    queue.put("x", key="k")
    claim = queue.claim()
    claim._parts.dead("k").change(lambda _: {"item": {"json": "x"}, "label": "", "errors": []})
    claim.done()
    with pytest.raises(KeyError):
        queue.dead.release("k")
    assert queue.claim() is None


@pytest.mark.parametrize("at", [0, 3])
def test_all_say_the_same_number_of_shards(plain, monkeypatch, at):
    """Whichever record the first count went to."""
    monkeypatch.setattr(_counter._random, "randrange", lambda _: at)
    counter = Counter(plain, "c", shards=4)
    counter.add(5)
    with pytest.raises(ValueError, match="4 shards"):
        _ = Counter(plain, "c").value
    with pytest.raises(ValueError, match="4 shards"):
        Counter(plain, "c").increment()
    assert counter.value == 5


def test_a_default_is_not_changed_by_an_update_that_fails(plain):
    shared = SharedValue(plain, "v", default=[])

    def appended(value):
        value.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shared.update(appended)
    assert shared.get() == []


@pytest.mark.parametrize("text", ["[1]", "no json", "{}", "5"])
def test_a_record_that_nobody_wrote_is_shown(plain, text):
    Lease(plain, "x").acquire()
    Lease(plain, "x")._place.records["lease", "y"] = text
    assert [each.name for each in inspect(plain)] == ["x", "y"]


def test_a_note_of_a_waiter_that_was_killed_is_removed(plain):
    """Whoever looks sees those who wait now."""
    with Lease(plain, "x") as lease:
        records = lease._place.records
        dead, living = (("waiting", "lease", "x", token) for token in (dead_token(), new_token()))
        records[dead] = records[living] = json.dumps(told_of_me(0))
        assert inspect(plain)[0].waiting == 1
        assert (dead in records, living in records) == (False, True)


def test_memory_by_url_is_another_one_each_time():
    with pytest.raises(ValueError, match="LocalDict"):
        Lease("memory:", "x")
    with pytest.raises(ValueError, match="memory:"):
        install(None, stores={"state": "memory:"})


def test_a_release_that_failed_can_be_repeated(plain, monkeypatch):
    lease = Lease(plain, "x")
    lease.acquire()
    records = type(lease._place.records)
    write = records.set_item_if

    def fails(self, *args, **kwargs):
        raise OSError("away")

    monkeypatch.setattr(records, "set_item_if", fails)
    with pytest.raises(OSError, match="away"):
        lease.release()
    monkeypatch.setattr(records, "set_item_if", write)
    lease.release()
    assert Lease(plain, "x").acquire(timeout=0)
