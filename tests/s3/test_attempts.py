"""Attempts in buckets: what holds in folders holds here, and costs what is promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import tenacity
from distributed import Client

from persidict_dask import RetryPolicy, open_store
from tests.retries import test_attempts_cluster as clusters
from tests.retries.test_attempts import (
    record,
    test_all_attempts_are_lost,
    test_death_in_a_pause,
    test_five_attempts_over_two_deaths,
    test_one_that_is_stopped_is_not_dead,
    test_persisted_calls_wait_for_who_runs_them_and_go_on_with_their_count,
    test_success_after_a_death_forgets_it,
)
from tests.retries.test_letters import test_two_deaths

from .conftest import Place, place_on
from .servers import Server
from .test_coordination import costs, opened
from .test_requests import DELETE, PUT, Requests

__all__ = [
    "test_all_attempts_are_lost",
    "test_death_in_a_pause",
    "test_five_attempts_over_two_deaths",
    "test_one_that_is_stopped_is_not_dead",
    "test_persisted_calls_wait_for_who_runs_them_and_go_on_with_their_count",
    "test_success_after_a_death_forgets_it",
    "test_two_deaths",
]


@pytest.fixture
def store_url(shared: Place) -> str:
    """The URL of an empty part of a bucket."""
    return url_on(shared)


def url_on(real: Place) -> str:
    where = f"s3://{real.bucket}/{real.prefix}"
    return f"{where}?endpoint_url={quote(str(real.url))}&region=us-east-1"


@pytest.fixture
def requests(real: Place) -> Requests:
    return Requests(real)


def test_a_cluster_that_restarts(
    ministack: Server, clients: dict[str, Any], tmp_path: Path
) -> None:
    url = url_on(place_on(ministack, clients, tmp_path))
    with clusters.cluster_of(2) as cluster, Client(cluster) as client:
        clusters.test_five_attempts_over_two_deaths_and_a_restart(
            client, url, open_store(url), str(tmp_path / "log"), clusters.sync, "fails"
        )


class Flaky:
    """Fails so many times, and sees each time that the attempt is in the store."""

    def __init__(self, store: Any, failures: int) -> None:
        self.store, self.failures = store, failures
        self.attempts: list[int] = []

    def __call__(self) -> None:
        self.attempts.append(record(self.store)["attempts"])
        if len(self.attempts) <= self.failures:
            raise OSError("x")

    def __persist_token__(self) -> Any:
        return self.failures


def test_costs(real: Place, requests: Requests) -> None:
    """One write and one removal; two writes more for each retry."""
    policy = RetryPolicy(state=opened(real), wait=tenacity.wait_fixed(0), attempts=3)
    assert policy.call(abs, -1) == 1
    assert costs(requests, lambda: policy.call(abs, -1), PUT, DELETE) == 1
    assert costs(requests, lambda: failing(policy), PUT, *[PUT] * 4, DELETE)
    flaky = Flaky(real.basic(), 2)
    policy.call(flaky)
    assert flaky.attempts == [1, 2, 3]


def fails() -> None:
    raise OSError("x")


def failing(policy: RetryPolicy) -> bool:
    with pytest.raises(OSError, match="x"):
        policy.call(fails)
    return True
