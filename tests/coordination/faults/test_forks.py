"""A child that was forked holds nothing of what its parent holds."""

import pytest

from persidict_dask import open_store
from persidict_dask.coordination import Lease, Semaphore
from tests.coordination.faults.fleet import Puppet

MADE = {
    "lease": "places = Lease(store, 'x', ttl=60)",
    "semaphore": "places = Semaphore(store, 'x', limit=1, ttl=60)",
}


@pytest.fixture(params=MADE)
def parent(request, tmp_path, store_url):
    """A process that holds one."""
    with Puppet(tmp_path, store_url, MADE[request.param]) as puppet:
        assert puppet("places.acquire()")
        puppet.is_lease = request.param == "lease"
        yield puppet


def other(parent):
    store = open_store(parent.url)
    return Lease(store, "x") if parent.is_lease else Semaphore(store, "x", limit=1)


def test_a_child_holds_nothing(parent):
    """It does not believe that it holds, and cannot renew or acquire what its parent holds."""
    assert parent("in_child(lambda: places.held)") is False
    assert parent("in_child(places.renew)") == "LeaseLost"
    assert parent("in_child(lambda: places.acquire(timeout=0.1))") is False
    assert parent("places.held")


def test_a_child_releases_nothing(parent):
    """Neither when it tries, nor when it ends."""
    assert parent("in_child(places.release)") == "LeaseLost"
    assert parent("in_child(lambda: places.__exit__(None, None, None))") == "LeaseLost"
    assert parent("in_child(lambda: globals().pop('places') and None)") is None
    assert not other(parent).acquire(timeout=0)
    assert parent("places.held")
    assert parent("places.release()") is None
    assert other(parent).acquire(timeout=0)


def test_a_child_acquires_for_itself(parent):
    """What it then holds is not its parent's."""
    assert parent("places.release()") is None
    assert parent("in_child(lambda: [places.acquire(timeout=5), places.held]) + [places.held]") == [
        True,
        True,
        False,
    ]
    assert parent("places.acquire(timeout=20)")  # the child has ended


SLOW = """
import threading
from persidict_dask.coordination._records import Record
places = Lease(store, "x", ttl=60)
inside, swap = threading.Event(), Record.swap

def slow(*args):
    inside.set()
    time.sleep(0.5)
    return swap(*args)

def while_renewing(act):
    Record.swap = slow
    thread = threading.Thread(target=places.renew)
    thread.start()
    inside.wait()
    answer = in_child(act, seconds=3)
    thread.join()
    return answer
"""


@pytest.mark.parametrize("act", ["places.renew", "places.release"])
def test_a_fork_in_the_middle_of_a_renewal(tmp_path, store_url, act):
    """The child does not wait for the end of what only its parent does."""
    with Puppet(tmp_path, store_url, SLOW) as parent:
        assert parent("places.acquire()")
        assert parent(f"while_renewing({act})") == "LeaseLost"
        assert parent("places.held")
