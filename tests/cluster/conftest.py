"""A cluster of processes with a page, and what tasks count on it."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request

import pytest
from distributed import Client, LocalCluster

from persidict_dask import _stats, install


def cluster(**settings):
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True} | settings
    return LocalCluster(dashboard_address="127.0.0.1:0", protocol="tcp://", **settings)


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread each."""
    with cluster() as made, Client(made) as client:
        yield client


@pytest.fixture
def installed(client):
    """On a cluster of two workers, and without figures of tests before."""
    client.cluster.scale(2)
    wait_for(lambda: len(workers(client)) == 2)
    installed = install(client)
    yield installed
    installed.uninstall()


@pytest.fixture(autouse=True)
def own_counts(monkeypatch):
    """This process has counted nothing before a test, and has no gauges."""
    monkeypatch.setattr(_stats, "_process", _stats._Process())
    monkeypatch.setattr(_stats, "_gauges", {})
    monkeypatch.setattr(_stats, "_handles", {})


def counting(name, n=0):
    """Count as a call does that was tried twice."""
    _stats.count(name, attempts=2, retries=1, seconds_waiting=0.25, misses=1, bytes=n)
    return os.getpid()


def run(client, name, times=8, **where):
    """Return the pids of the tasks; nothing of them stays on the workers."""
    return client.gather(client.map(counting, [name] * times, range(times), pure=False, **where))


def workers(client):
    return [*client.scheduler_info(n_workers=-1)["workers"]]


def pids(client):
    return client.run(os.getpid)


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def get(url):
    """Return status, kind and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", ""
