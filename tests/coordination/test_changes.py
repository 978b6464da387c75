"""Changes of records whose answers are lost: each is made once, and what came of it is known."""

from __future__ import annotations

import pytest

from persidict import NonEmptySafeStrTuple, OutcomeUnknownError
from persidict_dask import Counter, Lease, SharedValue, WorkQueue
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import ABSENT, Record


def released(store):
    lease = Lease(store, "x")
    lease.acquire()
    return lease.release


def renewed(store):
    lease = Lease(store, "x")
    lease.acquire()
    return lease.renew


def ended(how):
    def act(store):
        queue = WorkQueue(store, "x")
        queue.put(1, key="k")
        return getattr(queue.claim(), how)

    return act


CHANGES = {
    "increment": (lambda store: Counter(store, "x").increment, 1),
    "acquire": (lambda store: lambda: Lease(store, "x").acquire(timeout=0), True),
    "renew": (renewed, None),
    "release": (released, None),
    "update": (lambda store: lambda: SharedValue(store, "x", 1).update(lambda n: 2 * n), 2),
    "done": (ended("done"), True),
    "give back": (ended("give_back"), True),
}


@pytest.mark.parametrize(("prepared", "result"), CHANGES.values(), ids=CHANGES)
def test_m1_a_request_that_arrives_just_before_its_repeat(plain, monkeypatch, prepared, result):
    """The repeat is refused, over the very change that it was to make."""
    act, late = prepared(plain), []
    records = type(Counter(plain, "x")._place.records)
    write = records.set_item_if

    def set_item_if(self, key, **what):
        late.append(what)
        if len(late) == 1:
            raise OutcomeUnknownError("on its way", backend="x", operation="x")
        if len(late) == 2:
            assert write(self, key, **late[0]).condition_was_satisfied
        return write(self, key, **what)

    monkeypatch.setattr(records, "set_item_if", set_item_if)
    assert act() == result
    assert len(late) == 2


FOLLOWED = [(1, True), (1, False), (47, True), (47, False), (48, True), (None, True), (None, False)]


@pytest.mark.parametrize(("others", "is_made"), FOLLOWED)
def test_a_change_that_others_have_followed(plain, monkeypatch, others, is_made):
    """The record names the last 48 who have changed it; one that was removed names nobody."""
    record = Record(Place(plain), NonEmptySafeStrTuple("counter", "x"))
    seen, records = record.swap(ABSENT, {"value": 0}), type(record._place.records)
    write = records.set_item_if

    def lost(*args, **what):
        monkeypatch.undo()
        if is_made:
            write(*args, **what)
        for n in range(others or 0):
            assert record.swap(record.read(), {"value": n})
        if others is None:
            record.remove(record.read())
        raise OutcomeUnknownError("lost", backend="x", operation="x")

    monkeypatch.setattr(records, "set_item_if", lost)
    if others in (1, 47):
        swapped = record.swap(seen, {"value": "mine"})
        assert (swapped is not None) == is_made
        assert not is_made or record.swap(swapped, {"value": "over theirs"}) is None
    else:
        with pytest.raises(OutcomeUnknownError, match="so often"):
            record.swap(seen, {"value": "mine"})
