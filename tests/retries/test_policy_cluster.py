"""Whole policies on a cluster of eight: what is shared, what travels, what the scheduler sees."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import tenacity
from distributed import Client, LocalCluster

from persidict import FileDirDict
from persidict_dask import (
    CircuitBreaker,
    CircuitOpenError,
    QuarantinedCallError,
    RetryBudget,
    RetryPolicy,
    persist,
)
from tests.coordination.faults.fleet import until

WORKERS = 8


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(WORKERS)
        yield client


@pytest.fixture
def store(tmp_path):
    return FileDirDict(base_dir=str(tmp_path / "state"), durability="relaxed")


class Service:
    """Works or fails as a file says; counts who has called it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    @property
    def is_well(self) -> bool:
        return (self.path / "well").exists()

    def heal(self) -> None:
        (self.path / "well").touch()

    def __call__(self) -> str:
        with open(self.path / str(os.getpid()), "a") as calls:
            calls.write(".")
        if not self.is_well:
            raise ConnectionError("down")
        return "content"

    @property
    def calls(self) -> int:
        return sum(len(each.read_text()) for each in self.path.iterdir() if each.name != "well")


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path / "service")


def hammer(service, policy, times):
    """Call it so many times, and return how many calls have succeeded."""
    done = 0
    for _ in range(times):
        with suppress(ConnectionError):
            done += policy.call(service) == "content"
    return done


def on_all(client, function, *args):
    """Run something on every worker at the same time, as tasks."""
    futures = [
        client.submit(function, *args, workers=[each], pure=False)
        for each in client.scheduler_info(n_workers=-1)["workers"]
    ]
    return client.gather(futures)


@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "with a budget"])
def test_the_load_of_eight_thousand_calls_that_all_fail(client, store, service, is_shared):
    budget = RetryBudget(store, ratio=0.1) if is_shared else None
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), budget=budget)
    assert on_all(client, hammer, service, policy, 1000) == [0] * WORKERS
    first = WORKERS * 1000
    if is_shared:
        assert first < service.calls <= 1.12 * first
    else:
        assert service.calls == 3 * first


def test_calls_are_tried_again_as_soon_as_the_service_is_back(client, store, service, tmp_path):
    policy = RetryPolicy(attempts=2, wait=tenacity.wait_none(), budget=RetryBudget(store))
    on_all(client, hammer, service, policy, 100)
    service.heal()
    assert on_all(client, hammer, service, policy, 30) == [30] * WORKERS
    assert on_all(client, fails_now_and_then, policy) == [300] * WORKERS


def fails_now_and_then(policy):
    """Return how many of 300 calls succeed, of which each twentieth fails at first."""
    calls, done = iter(range(1000)), 0

    def flaky():
        if next(calls) % 20 == 19:
            raise ConnectionError
        return 1

    for _ in range(300):
        done += policy.call(flaky)
    return done


def ask(policy, service):
    try:
        return policy.call(service)
    except (ConnectionError, CircuitOpenError) as error:
        return type(error).__name__


def test_a_circuit_that_opens_on_one_worker_is_open_on_all(client, store, service):
    breaker = CircuitBreaker(store, "service", failures=3, reset=1000)
    policy = RetryPolicy(attempts=1, breaker=breaker)
    assert on_all(client, ask, policy, FakeWell()) == ["content"] * WORKERS
    one, *others = client.scheduler_info(n_workers=-1)["workers"]
    told = [client.submit(ask, policy, service, workers=[one], pure=False) for _ in range(3)]
    assert client.gather(told) == ["ConnectionError"] * 3
    until(lambda: set(on_all(client, ask, policy, service)) == {"CircuitOpenError"})
    assert service.calls <= 3 + 5 * len(others)


class FakeWell:
    def __call__(self):
        return "content"


class Held:
    """A call that goes on until it is let go; tells that it was begun."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> str:
        with open(self.path / f"begun-{os.getpid()}-{threading.get_ident()}", "x"):
            pass
        until((self.path / "go").exists)
        return "content"


def test_one_of_eight_workers_probes(client, store, service, tmp_path):
    breaker = CircuitBreaker(store, "service", failures=1, reset=0.5)
    policy = RetryPolicy(attempts=1, breaker=breaker)
    assert ask(policy, service) == "ConnectionError"
    held = tmp_path / "held"
    held.mkdir()
    probing = [
        client.submit(probes, policy, Held(held), workers=[each], pure=False)
        for each in client.scheduler_info(n_workers=-1)["workers"]
    ]
    until(lambda: len(list(held.glob("begun-*"))) == 1)
    until(lambda: len([each for each in probing if each.done()]) == WORKERS - 1)
    (held / "go").touch()
    assert sorted(client.gather(probing)) == ["content"] + ["refused"] * (WORKERS - 1)
    assert len(list(held.glob("begun-*"))) == 1
    until(lambda: on_all(client, ask, policy, FakeWell()) == ["content"] * WORKERS)


def probes(policy, held):
    """Try until this is the probe, or another one is."""
    while True:
        try:
            return policy.call(held)
        except CircuitOpenError:
            if list(held.path.glob("begun-*")):
                return "refused"
            time.sleep(0.02)


def test_policies_errors_and_results_travel(client, store):
    policy = RetryPolicy(
        attempts=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_none(),
        retry_on=tenacity.retry_if_exception_type(OSError),
        budget=RetryBudget(store),
        breaker=CircuitBreaker(store, "there"),
        state=store,
    )
    assert client.submit(lambda p: p, policy).result() is not None
    assert client.submit(policy(len), [1, 2]).result() == 2
    error = client.submit(raises_at_last, policy, pure=False).exception()
    assert type(error) is FileNotFoundError
    assert error.__notes__
    for raised in (CircuitOpenError("x", 1.5), QuarantinedCallError("f()", ("f", "0"), 2)):
        arrived = client.submit(raising, raised, pure=False).exception()
        assert str(arrived) == str(raised)
        assert vars(arrived) == vars(raised)


def raises_at_last(policy):
    return policy.call(open, "/no/such/file")


def raising(error):
    raise error


def test_a_wait_frees_the_worker(client, store, tmp_path):
    worker = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    policy = RetryPolicy(attempts=1000, wait=tenacity.wait_fixed(0.05))
    first = client.submit(policy(wants), tmp_path / "it", workers=[worker], pure=False)
    second = client.submit((tmp_path / "it").touch, workers=[worker], pure=False)
    assert first.result() == "there"
    second.result()


def wants(path):
    if not path.exists():
        raise FileNotFoundError(path)
    return "there"


def test_persisted_functions_are_tried_again_on_workers(client, store, tmp_path):
    tries = tmp_path / "tries"
    tries.mkdir()

    @persist(store, name="flaky", retry=RetryPolicy(attempts=3, wait=tenacity.wait_none()))
    def flaky(x, path):
        count = len(list(path.iterdir()))
        (path / str(count)).touch()
        if count < 2:
            raise OSError(count)
        return x

    assert client.submit(flaky, 7, tries).result() == 7
    assert flaky(7, tries) == 7
    assert len(list(tries.iterdir())) == 3


def test_a_policy_that_has_changed_counts_on_workers_that_know_the_function(client, store):
    def failing(policy):
        @persist(store, name="failing", retry=policy)
        def f(x):
            raise OSError(x)

        return f

    for attempts in (2, 4):
        policy = RetryPolicy(attempts=attempts, wait=tenacity.wait_none())
        error = client.submit(failing(policy), 1, pure=False).exception()
        assert f"after {attempts} attempts" in error.__notes__[0]
