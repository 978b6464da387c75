"""Changes of records whose first request arrives late: each is made once, and known to be made."""

from __future__ import annotations

import pytest

from persidict import OutcomeUnknownError
from persidict_dask import Counter, Lease, SharedValue, WorkQueue


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
