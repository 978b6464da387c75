"""What an operator sees of retries, among all that is coordinated through a store."""

from __future__ import annotations

import pytest

from persidict import LocalDict
from persidict_dask import CircuitBreaker, RetryPolicy
from persidict_dask.coordination import inspect


def seen(store):
    return {each.kind: each for each in inspect(store)}


class Look:
    """A call that looks at itself."""

    def __init__(self, store):
        self.store = store

    def __persist_token__(self):
        return "look"

    def __call__(self):
        return seen(self.store)["attempts"]


def test_calls_under_way_are_shown_with_those_who_make_them():
    store = LocalDict()
    shown = RetryPolicy(state=store).call(Look(store))
    assert shown.state == "1 calls, 0 in quarantine"
    assert [holder.is_gone for holder in shown.holders] == [False]
    assert "attempts" not in seen(store)


def test_the_state_of_a_circuit_is_shown():
    store = LocalDict()
    breaker = CircuitBreaker(store, "service", failures=1, reset=1000)
    with pytest.raises(OSError, match="down"):
        RetryPolicy(attempts=1, breaker=breaker).call(fail)
    assert seen(store)["breaker"].state == "open"
    breaker.close()
    assert seen(store)["breaker"].state == "closed"


def fail():
    raise OSError("down")
