"""Counters and shared values: what was acknowledged is there, whoever is killed."""

import pytest

from persidict_dask import open_store
from persidict_dask._maintenance import payloads_beside
from persidict_dask.coordination import Counter, SharedValue
from tests.coordination.faults.fleet import Fleet
from tests.coordination.faults.histories import check_growing, check_unique


@pytest.mark.parametrize("shards", [1, 4])
def test_counters(tmp_path, store_url, shards):
    """Every increment that returned is counted once, and who was killed has counted or has not."""
    with Fleet(tmp_path, store_url, "counter", shards=shards) as fleet:
        fleet.start({}, {}, {}, {})
        fleet.chaos("counted", 5, more=200, stop=0.05, stops=1)
        fleet.finish()
        counted = fleet.events("counted")
        value = Counter(open_store(store_url), "shared", shards=shards).value
        assert len(counted) <= value <= len(counted) + fleet.killed
        check_growing([(before, after, result) for _, result, before, after in counted])
        if shards == 1:
            check_unique([result for _, result, _, _ in counted])
            assert max(result for _, result, _, _ in counted) <= value


def test_shared_values(tmp_path, store_url):
    """Each update is made to the value that the one before has left, and none is lost."""
    with Fleet(tmp_path, store_url, "shared") as fleet:
        fleet.start({}, {}, {}, {})
        fleet.chaos("updated", 6, more=50, stop=0.05, stops=1)
        fleet.finish()
        store = open_store(store_url)
        names = SharedValue(store, "shared").get()
        assert len(set(names)) == len(names)
        updated = fleet.events("updated")
        for _, name, length, index, last in updated:
            assert names[length - 1] == name == last
            assert index == length - 1
        assert len(updated) <= len(names) <= len(updated) + fleet.killed
        assert {*names} <= {name for _, name in fleet.events("asks")}
        assert len([*payloads_beside(store)]) <= 1 + fleet.killed  # what nobody means any more
