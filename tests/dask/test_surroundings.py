"""A function finds the thread of its worker as Dask gives it, though persidict has waited in it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import Client, Event, LocalCluster

from persidict_dask import Lease

MODULE = """
from distributed import Event, get_client, rejoin, secede, worker_client
from tenacity import wait_fixed

from persidict_dask import Lease, RetryPolicy, persist

def seceding(x):
    secede()
    found = get_client().submit(abs, -x, pure=False).result()
    rejoin()
    return found

def seceding_for_good(x):
    secede()
    return x

def with_client(x):
    with worker_client() as client:
        return client.submit(abs, -x, pure=False).result()

HOW = {"secede": seceding, "for good": seceding_for_good, "worker_client": with_client}

@persist("{cache}", ignore="how")
def flown(x, how):
    if how is None:  # in the process of the test
        Event(f"started {x}").set()
        Event(f"go on {x}").wait()
        raise OSError("it is for the next one")
    return HOW[how](x)

def crowded(x):
    # takes the place until this very task is about to end
    Event(f"taken {x}").set()
    Event(f"leave {x}").wait()

def leasing(x, how):
    with Lease("{cache}", f"lease-{x}"):
        Event(f"held {x}").set()
        return HOW[how](x)

def retried(x, how):
    tries = []

    def attempt():
        tries.append(0)
        if len(tries) == 1:
            raise OSError("once")
        Event(f"taken {x}").wait()
        return HOW[how](x)

    return RetryPolicy(attempts=2, wait=wait_fixed(0.05)).call(attempt)

def reverse(x):
    # its own secede comes first
    secede()
    with Lease("{cache}", f"lease-{x}"):
        pass
    rejoin()
    return x

@persist("{cache}", ignore="caller")
def inner(x, caller):
    return seceding(x)

@persist("{cache}", ignore="caller")
def outer(x, caller):
    return inner(x, caller) + 1
"""


@pytest.fixture(scope="module")
def narrow(shared_project):
    """One worker process with one thread, which does not wait long for a place."""
    shared_project.write("surroundings.py", MODULE)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(__import__("sys").path.insert, 0, str(shared_project.folder))
        client.run(hurried)
        yield client


def hurried():
    from persidict_dask import _waiting

    _waiting._PATIENCE = 0.05


def away(dask_worker):
    return len(dask_worker.state.long_running)


def threads(dask_worker):
    return len(dask_worker.executors["default"]._threads)


def until(client, count, wanted):
    deadline = time.monotonic() + 60
    while list(client.run(count).values()) != [wanted]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


HOW = ("secede", "for good", "worker_client")


@pytest.mark.parametrize("how", HOW)
def test_d6_secede_after_single_flight_has_waited(narrow, how):
    import surroundings

    x = HOW.index(how) + 10
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(surroundings.flown, x, None)
        Event(f"started {x}").wait()
        waiter = narrow.submit(surroundings.flown, x, how)
        until(narrow, away, 1)
        Event(f"go on {x}").set()
        assert isinstance(first.exception(60), OSError)
    assert waiter.result(60) == x
    until(narrow, threads, 1)


def test_d6_secede_after_single_flight_has_waited_and_the_pool_is_full(narrow):
    import surroundings

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(surroundings.flown, 20, None)
        Event("started 20").wait()
        waiter = narrow.submit(surroundings.flown, 20, "for good")
        until(narrow, away, 1)
        other = narrow.submit(surroundings.crowded, 20)
        Event("taken 20").wait()
        Event("go on 20").set()
        assert isinstance(first.exception(60), OSError)
        assert waiter.result(60) == 20
        Event("leave 20").set()
        other.result(60)
    until(narrow, threads, 1)


@pytest.mark.parametrize("how", HOW)
def test_d6_secede_after_a_lease_has_waited_and_the_pool_is_full(narrow, shared_project, how):
    import surroundings

    x = HOW.index(how) + 30
    lease = Lease(str(shared_project.cache), f"lease-{x}")
    with lease:
        waiter = narrow.submit(surroundings.leasing, x, how)
        until(narrow, away, 1)
        other = narrow.submit(surroundings.crowded, x)
        Event(f"taken {x}").wait()
    Event(f"held {x}").wait()
    Event(f"leave {x}").set()
    assert waiter.result(60) == x
    other.result(60)
    until(narrow, threads, 1)


@pytest.mark.parametrize("how", HOW)
def test_d6_secede_in_an_attempt_after_a_pause(narrow, how):
    import surroundings

    x = HOW.index(how) + 40
    waiter = narrow.submit(surroundings.retried, x, how)
    other = narrow.submit(surroundings.crowded, x)
    Event(f"taken {x}").wait()
    Event(f"leave {x}").set()
    assert waiter.result(60) == x
    other.result(60)
    until(narrow, threads, 1)


def test_d6_a_function_that_has_seceded_itself_waits_and_rejoins(narrow, shared_project):
    import surroundings

    with Lease(str(shared_project.cache), "lease-50"):
        waiter = narrow.submit(surroundings.reverse, 50)
        until(narrow, away, 1)
    assert waiter.result(60) == 50
    until(narrow, threads, 1)


def test_d6_many_calls_that_wait_and_secede_share_a_thread(narrow):
    """Each waits for the other ones, whose functions give their places away."""
    import surroundings

    futures = narrow.map(surroundings.outer, [60] * 20 + [61] * 20, range(40), pure=False)
    assert narrow.gather(futures) == [61] * 20 + [62] * 20
    until(narrow, threads, 1)
