"""Whoever was stopped while it held a lease cannot overwrite what a later holder wrote."""

import pytest

from persidict_dask import open_store
from persidict_dask.coordination import Lease, StaleTokenError, _fencing, fence, fenced_set
from tests.coordination.faults.fleet import Puppet, stopped, until

TTL = 0.3


@pytest.mark.parametrize("form", ["pkl", "json"])
def test_a_holder_that_was_stopped(tmp_path, store_url, form):
    """Its write is refused, the value is that of the later holder, and it learns what it lost."""
    store = open_store(store_url, serialization_format=form)
    prepare = f"lease = Lease(store, 'shared', ttl={TTL})"
    old = Puppet(tmp_path, store_url, prepare, store={"serialization_format": form})
    with old:
        assert old("lease.acquire()")
        assert old("fenced_set(store, 'item', {'by': 'old'}, token=lease.token)") is None
        stopped(old.process, lambda: overwrite(store))
        assert old("fenced_set(store, 'item', {'by': 'old'}, token=lease.token)") == STALE
        assert old("fenced_set(store, 'another', 'old', token=lease.token)") is None
        assert old("store['item']") == store["item"] == {"by": "new"}
        assert fence(store, "item") == 2
        assert old("lease.held") is False
        assert old("lease.release()") == "LeaseLost"


STALE = "StaleTokenError"


def overwrite(store):
    lease = Lease(store, "shared", ttl=60)
    assert lease.acquire(timeout=60)
    fenced_set(store, "item", {"by": "new"}, token=lease.token)
    lease.release()


def test_a_holder_that_is_not_heard_of(tmp_path, store_url):
    """It knows by its own clock when others may have taken what it holds."""
    with Puppet(tmp_path, store_url, f"lease = Lease(store, 'x', ttl={TTL})", mute=True) as mute:
        assert mute("lease.acquire() and lease.held")
        lease = Lease(open_store(store_url), "x", ttl=60)
        assert lease.acquire(timeout=60)
        assert mute("lease.held") is False
        assert mute("lease.renew()") == "LeaseLost"
        assert mute("lease.release()") == "LeaseLost"
        assert lease.held
        lease.release()


def test_a_holder_whose_renewals_do_not_get_through_knows_it_by_itself(tmp_path, store_url):
    """Also if nobody else has come: somebody could have."""
    with Puppet(tmp_path, store_url, f"lease = Lease(store, 'x', ttl={TTL})", mute=True) as mute:
        assert mute("lease.acquire() and lease.held")
        until(lambda: not mute("lease.held"))
        assert mute("lease.renew()") is None
        assert mute("lease.held")


def test_a_holder_that_was_stopped_in_the_middle_of_its_write(store_url, monkeypatch):
    """A later one that comes between its look and its write is not overwritten either."""
    store, look = open_store(store_url), _fencing._newest

    def newest(*args):
        seen = look(*args)
        monkeypatch.setattr(_fencing, "_newest", look)
        fenced_set(store, "item", "new", token=2)
        return seen

    monkeypatch.setattr(_fencing, "_newest", newest)
    with pytest.raises(StaleTokenError):
        fenced_set(store, "item", "old", token=1)
    assert store["item"] == "new"
    assert fence(store, "item") == 2
