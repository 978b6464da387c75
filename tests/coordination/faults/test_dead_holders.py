"""When others may have what a dead one held: at once on its host, else after silence."""

import time

import pytest

from persidict_dask import open_store
from persidict_dask.coordination import Barrier, Lease, Semaphore, WorkQueue
from persidict_dask.coordination._holders import alive
from tests.coordination.faults.fleet import Puppet

OTHER = "0123456789ab"
"""The name of a host where nobody can look whether a process is there."""


@pytest.mark.parametrize(
    "made", ["Lease(store, 'x', ttl=3600)", "Semaphore(store, 'x', limit=1, ttl=3600)"]
)
def test_a_process_of_the_same_host(tmp_path, store_url, made):
    """It is noticed at once, whatever it has said of its `ttl`."""
    with Puppet(tmp_path, store_url, f"places = {made}") as holder:
        assert holder("places.acquire()")
        mine = eval(made, {**globals(), "store": open_store(store_url)})
        assert not mine.acquire(timeout=0.1)
        holder.die()
        assert mine.acquire(timeout=20)
        mine.release()


def test_a_claimant_of_the_same_host(tmp_path, store_url):
    """Its item comes back at once."""
    queue = WorkQueue(open_store(store_url), "x", ttl=3600)
    queue.put("item")
    with Puppet(tmp_path, store_url, "queue = WorkQueue(store, 'x', ttl=3600)") as worker:
        assert worker("(setattr(me, 'claim', queue.claim()), me.claim.item)[1]") == "item"
        assert queue.claim(timeout=0.1) is None
        worker.die()
        assert queue.claim(timeout=20).deliveries == 2


def test_a_holder_of_another_host_that_is_dead(tmp_path, store_url):
    """It has the lease for `ttl` seconds more, by the clock of who waits."""
    holder = Puppet(tmp_path, store_url, "lease = Lease(store, 'x', ttl=0.5)", host=OTHER)
    assert holder("lease.acquire()")
    holder.die()
    time.sleep(0.6)  # nobody has looked meanwhile: that is not silence
    lease = Lease(open_store(store_url), "x", ttl=3600)
    start = time.monotonic()
    assert not lease.acquire(timeout=0)
    assert lease.acquire(timeout=60)
    assert time.monotonic() - start >= 0.5
    assert lease.token == 2


@pytest.mark.parametrize("host", ["", OTHER])
def test_a_holder_that_lives(tmp_path, store_url, host):
    """It keeps what it holds, for much longer than `ttl`."""
    ttl = 1.2
    made = f"lease, limit = Lease(store, 'x', ttl={ttl}), Semaphore(store, 'x', limit=1, ttl={ttl})"
    with Puppet(tmp_path, store_url, made, host=host) as holder:
        assert holder("lease.acquire() and limit.acquire()")
        store = open_store(store_url)
        assert not Lease(store, "x", ttl=ttl).acquire(timeout=2 * ttl)
        assert not Semaphore(store, "x", limit=1, ttl=ttl).acquire(timeout=0)
        assert holder("lease.held and limit.held")
        assert holder("(lease.release(), limit.release())") == [None, None]


def test_one_of_another_host_that_has_died_at_a_barrier(tmp_path, store_url):
    """It counts for `ttl` seconds more, and then no more."""
    made = "barrier = Barrier(store, 'x', parties=2, ttl=0.5)"
    dead = Puppet(tmp_path, store_url, made, host=OTHER)
    dead.tell("barrier.wait()")
    store = open_store(store_url)
    record = Barrier(store, "x", parties=2)._record
    while not record.read().fields.get("holders"):
        time.sleep(0.002)
    dead.die()
    while alive(record, record.read().fields["holders"]):
        time.sleep(0.01)
    with pytest.raises(TimeoutError):
        Barrier(store, "x", parties=2).wait(timeout=0.2)
