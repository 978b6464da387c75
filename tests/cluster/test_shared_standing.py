"""An open circuit stays in the figures when the workers that have seen it are gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import tenacity
from distributed import Client

from persidict_dask import (
    CircuitBreaker,
    RetryBudget,
    RetryPolicy,
    _stats,
    install,
    persist,
    stats,
)
from tests.cluster.conftest import cluster, get, pids, wait_for, workers


def failing(breaker, budget=None):
    """What a task does: open the circuit."""
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), breaker=breaker, budget=budget)
    try:
        policy.call(open, "/no/such/file")
    except Exception:
        return breaker.state


@pytest.fixture
def name(tmp_path):
    """A name of the breaker's own: processes of workers outlive tests."""
    return tmp_path.name


def breaker(tmp_path, **settings):
    return CircuitBreaker(str(tmp_path), tmp_path.name, **{"failures": 1, "reset": 3600} | settings)


def on_scheduler(client):
    """What the page shows: the scheduler asks nobody."""

    def told(dask_scheduler):
        return dask_scheduler.plugins["persidict"].ears.stats()

    return client.run_on_scheduler(told)


def standing(client, name):
    return [each.breakers.get(name) for each in (stats(client), on_scheduler(client))]


def seen_by_workers(client, name):
    """How many workers of the cluster tell of the breaker themselves."""
    return sum(("breaker", name) in each for each in client.run(names).values())


def names():
    return [*_stats._gauges]


@pytest.mark.parametrize("how", ["restart", "kill", "scale"])
def test_d10_an_open_circuit_when_all_its_workers_are_gone(client, installed, tmp_path, how, name):
    shared = breaker(tmp_path)
    assert client.submit(failing, shared, pure=False).result() == "open"
    assert stats(client).breakers.get(name) == "open"
    if how == "restart":
        client.restart()
    elif how == "kill":
        for pid in pids(client).values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: stats(client).workers_lost >= 2)
    else:
        client.cluster.scale(0)
        wait_for(lambda: stats(client).workers == 0)
        assert stats(client).breakers.get(name) == "open"
        client.cluster.scale(2)
    assert standing(client, name) == ["open", "open"]
    wait_for(lambda: len(workers(client)) == 2 and seen_by_workers(client, name) == 2)
    assert standing(client, name) == ["open", "open"]


def test_d10_it_is_read_from_the_store_and_not_remembered(client, installed, tmp_path, name):
    """Another process may have closed it meanwhile."""
    shared = breaker(tmp_path)
    client.submit(failing, shared, pure=False).result()
    wait_for(lambda: on_scheduler(client).breakers.get(name) == "open")
    client.cluster.scale(0)
    wait_for(lambda: stats(client).workers == 0)
    shared.close()
    _stats._gauges.clear()  # this process tells nothing of it
    assert on_scheduler(client).breakers.get(name) == "open"
    client.cluster.scale(2)
    wait_for(lambda: on_scheduler(client).breakers.get(name) == "closed")
    wait_for(lambda: len(workers(client)) == 2)


def test_d10_budgets_of_workers_that_are_gone(client, installed, tmp_path, name):
    budget = RetryBudget(str(tmp_path), name)
    client.submit(failing, breaker(tmp_path, failures=99), budget, pure=False).result()
    wait_for(lambda: name in stats(client).budgets)
    client.restart()
    wait_for(lambda: name in stats(client).budgets)
    assert stats(client).budgets[name]["retries"] == 0


def test_d10_calls_in_quarantine_after_a_restart(client, installed):
    client.submit(_stats.note_quarantined, "f(1)", ("f", "1"), pure=False).result()
    wait_for(lambda: stats(client).quarantined)
    client.restart()
    again = install(client)
    assert stats(client).quarantined == {("f", "1"): "f(1)"}
    again.uninstall()


def test_d10_a_new_cluster_on_the_old_store(tmp_path, monkeypatch, name):
    """The policy is installed, and nobody has used it yet."""
    shared = breaker(tmp_path)
    assert failing(shared, RetryBudget(str(tmp_path), name)) == "open"
    policy = RetryPolicy(breaker=shared, budget=RetryBudget(str(tmp_path), name))
    monkeypatch.setattr(_stats, "_gauges", {})
    monkeypatch.setattr(_stats, "_handles", {})
    with cluster() as made, Client(made) as client:
        # this process has told of its breakers before: the workers know it by the policy alone
        installed = install(client, retry=policy)
        wait_for(lambda: on_scheduler(client).breakers.get(name) == "open")
        assert stats(client).breakers.get(name) == "open"
        assert name in on_scheduler(client).budgets
        page = get(installed.page + "/stats.json")
        assert json.loads(page[2])["breakers"][name] == "open"
        installed.uninstall()


NEW = """
import sys
from distributed import Client, LocalCluster
from persidict_dask import CircuitBreaker, RetryPolicy, install, stats

if __name__ == "__main__":
    breaker = CircuitBreaker(sys.argv[1], "store", failures=1, reset=3600)
    with LocalCluster(n_workers=1, dashboard_address=None) as cluster, Client(cluster) as client:
        install(client, retry=RetryPolicy(breaker=breaker))
        print(stats(client).breakers)
"""


def test_d10_at_once_in_a_new_program(tmp_path):
    store = tmp_path / "store"
    assert failing(breaker(store)) == "open"
    script = tmp_path / "script.py"
    script.write_text(NEW)
    command = [sys.executable, str(script), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "{'store': 'open'}"


def test_d10_persisted_functions_with_a_policy_of_their_own(client, installed, tmp_path, name):
    shared = breaker(tmp_path)

    @persist(str(tmp_path / "cache"), retry=RetryPolicy(attempts=1, breaker=shared))
    def down(x):
        raise OSError("down")

    with pytest.raises(OSError):
        client.submit(down, 1, pure=False).result()
    wait_for(lambda: on_scheduler(client).breakers.get(name) == "open")
    client.restart()
    assert on_scheduler(client).breakers.get(name) == "open"


def test_d10_a_store_that_cannot_be_sent_costs_nothing(client, installed):
    def local():
        from persidict import LocalDict

        return failing(CircuitBreaker(LocalDict(), "mine", failures=1))

    assert client.submit(local, pure=False).result() == "open"
    wait_for(lambda: stats(client).breakers.get("mine") == "open")
    client.restart()
    assert stats(client).breakers.get("mine") == "open"
    assert client.submit(abs, -1, pure=False).result() == 1
