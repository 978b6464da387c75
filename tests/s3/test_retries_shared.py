"""Budgets and breakers in buckets: what holds in folders holds here, and costs what is promised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from persidict_dask._errors import CircuitOpenError
from persidict_dask.coordination import _renewal
from persidict_dask.retries import _breaker_view, _budget
from persidict_dask.retries._breaker import CircuitBreaker
from persidict_dask.retries._budget import RetryBudget
from tests.coordination.faults.fleet import until
from tests.retries.test_breaker import (
    test_a_probe_that_is_killed_makes_room,
    test_one_probe_among_processes_and_their_threads,
    test_opened_here_and_refused_there_within_a_second,
)
from tests.retries.test_budget import test_processes_help_each_other, test_total_failure

from .conftest import Place
from .test_coordination import costs, opened
from .test_requests import GET, PUT, Requests

__all__ = [
    "test_a_probe_that_is_killed_makes_room",
    "test_one_probe_among_processes_and_their_threads",
    "test_opened_here_and_refused_there_within_a_second",
    "test_processes_help_each_other",
    "test_total_failure",
]


@pytest.fixture
def store_url(shared: Place) -> str:
    """The URL of an empty part of a bucket."""
    return f"s3://{shared.bucket}/{shared.prefix}?endpoint_url={quote(str(shared.url))}&region=us-east-1"


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], bool]]:
    """What is to be done in the background, and is done when a test asks for it."""
    found: list[Callable[[], bool]] = []

    class Heart:
        def add(self, call: Callable[[], bool], every: float) -> Callable[[], None]:
            found.append(call)
            return lambda: None

    for module in (_breaker_view, _budget, _renewal):
        monkeypatch.setattr(module, "heart", Heart())
    return found


@pytest.fixture
def requests(real: Place) -> Requests:
    return Requests(real)


def earn_and_spend(budget: RetryBudget, calls: int, retries: int) -> int:
    for _ in range(calls):
        budget.earn()
    return sum(budget.take() for _ in range(retries))


def test_costs_of_a_budget(real: Place, requests: Requests, beats: Any) -> None:
    budget = RetryBudget(opened(real), window=1000, floor_per_s=0.02)
    assert costs(requests, lambda: earn_and_spend(budget, 1000, 100)) == 100
    assert costs(requests, lambda: earn_and_spend(budget, 0, 10), GET, PUT) == 10
    assert costs(requests, lambda: earn_and_spend(budget, 0, 5), GET, PUT) == 5
    # three more; what is left of the floor is not worth a write, and others are asked, once
    assert costs(requests, lambda: earn_and_spend(budget, 0, 100), GET, PUT, GET, PUT) == 3
    assert costs(requests, lambda: earn_and_spend(budget, 100, 5)) == 5
    (share,) = beats
    assert costs(requests, share)  # it was refused some, and has nothing to give


def test_a_surplus_costs_a_look(real: Place, requests: Requests, beats: Any) -> None:
    budget = RetryBudget(opened(real))
    earn_and_spend(budget, 100, 0)
    assert costs(requests, beats[0], GET)


def admit_and_succeed(breaker: CircuitBreaker, times: int) -> bool:
    for _ in range(times):
        breaker.admit()
        breaker.succeeded()
    return True


def test_costs_of_a_breaker(real: Place, requests: Requests, beats: Any) -> None:
    breaker = CircuitBreaker(opened(real), "b", failures=2, reset=0.5)
    assert costs(requests, lambda: admit_and_succeed(breaker, 100), GET)
    assert costs(requests, lambda: admit_and_succeed(breaker, 100))
    assert costs(requests, beats[0], GET)
    costs(requests, breaker.failed, GET, PUT)
    assert costs(requests, lambda: admit_and_succeed(breaker, 10), GET, PUT)
    costs(requests, breaker.failed, GET, PUT)
    costs(requests, breaker.failed, GET, PUT)
    costs(requests, breaker.failed)
    with pytest.raises(CircuitOpenError):
        costs(requests, breaker.admit)
    until(breaker.needs_store)
    probe = costs(requests, breaker.admit, GET, PUT)
    costs(requests, lambda: breaker.succeeded(probe), GET, PUT)
    assert costs(requests, lambda: admit_and_succeed(breaker, 10))
