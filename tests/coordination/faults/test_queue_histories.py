"""Work queues: each item is done, and recorded as done once, whoever is killed."""

import os
from collections import Counter

import pytest

from persidict_dask import open_store
from persidict_dask._maintenance import payloads_beside
from persidict_dask.coordination import WorkQueue, inspect
from tests.coordination.faults.fleet import Fleet, Puppet, until
from tests.coordination.faults.worker import LARGE

ITEMS = int(os.environ.get("FAULTS_ITEMS", "600"))
PROCESSES = int(os.environ.get("FAULTS_PROCESSES", "4"))
FAULTS = max(12, ITEMS // 150)


def filled(url, items, **settings):
    queue = WorkQueue(open_store(url), "shared", **settings)
    return queue, [queue.put(item) for item in items]


def test_workers_that_are_killed_and_stopped(tmp_path, store_url):
    """None is lost, each is recorded once, and nothing is left over but what the killed had."""
    settings = {"ttl": 0.5, "max_deliveries": 1000}
    items = [LARGE if i % 10 == 0 else str(i) for i in range(ITEMS)]
    queue, keys = filled(store_url, items, **settings)
    with Fleet(tmp_path, store_url, "queue", queue=settings) as fleet:
        fleet.start(*[{}] * PROCESSES)
        fleet.chaos("done", FAULTS, more=ITEMS // (FAULTS + 3), stop=0.8, stops=FAULTS // 6)
        assert fleet.killed > 2
        fleet.finish()
        assert len(queue) == 0
        assert len(queue.dead) == 0
        assert sorted(queue.done) == sorted(keys)
        firsts = Counter(key for _, key, is_first in fleet.events("done") if is_first)
        assert max(firsts.values()) == 1
        claimed = {(key, pid) for pid, key, _ in fleet.events("claimed")}
        results = {key: queue.done[key] for key in keys}
        assert all(result["of"] == key for key, result in results.items())
        assert {(key, result["by"]) for key, result in results.items()} <= claimed
        check_payloads(queue, fleet, results)


def check_payloads(queue, fleet, results):
    """Results are there, and no other payloads; but each who was killed may have left one."""
    large = sum(bool(result["large"]) for result in results.values())
    there = len([*payloads_beside(queue._place.store)])
    assert large <= there <= large + fleet.killed
    queue.done.clear()
    assert len([*payloads_beside(queue._place.store)]) == there - large


def test_workers_that_are_killed_while_they_work(tmp_path, store_url):
    """They leave nothing behind."""
    queue, keys = filled(store_url, [LARGE] * 4, max_deliveries=4)
    for i in range(3):
        worker = Puppet(tmp_path, store_url, "queue = WorkQueue(store, 'shared', max_deliveries=4)")
        worker("(claim := queue.claim()).deliveries, len(claim.item)")
        if i:
            worker("setattr(me, 'other', queue.claim())")
        worker.die()
    assert [claim.done(LARGE) for claim in queue.drain()] == [True] * 4
    assert [len(result) for result in queue.done.values()] == [len(LARGE)] * 4
    assert sorted(queue.done) == keys
    queue.done.clear()
    assert not [*payloads_beside(queue._place.store)]
    assert not [p for p in inspect(queue._place.store) if p.holders]


def test_an_item_that_kills(tmp_path, store_url):
    """It is put aside after `max_deliveries`, and the others are done."""
    queue, keys = filled(store_url, ["1", "poison", "2", "3", "4", "5"], max_deliveries=3)
    with Fleet(tmp_path, store_url, "queue", queue={"max_deliveries": 3}) as fleet:
        while not fleet.count("drained"):
            fleet.start({})
            fleet.running[0].wait(timeout=60)
            fleet.kill(fleet.running[0])
        assert fleet.killed == 4
        assert [*queue.dead] == [keys[1]]
        assert queue.dead[keys[1]].deliveries == 3
        assert queue.dead[keys[1]].item == "poison"
        assert sorted(queue.done) == sorted({*keys} - {keys[1]})
        assert len(queue) == 0


LAST_WISH = """
import os
queue = WorkQueue(store, "shared")
records = queue._parts.place.records

def done():
    claim = queue.claim()
    type(records).discard = lambda self, key: os._exit(1)
    claim.done(1)
"""


@pytest.fixture
def untidy(tmp_path, store_url):
    """A queue with an item whose worker was killed when it had recorded it as done."""
    queue, (key,) = filled(store_url, [LARGE])
    worker = Puppet(tmp_path, store_url, LAST_WISH)
    worker.tell("done()")
    assert worker.process.wait(timeout=60) == 1
    worker.die()
    assert len(queue) == 1
    assert dict(queue.done.items()) == {key: 1}
    return queue


def test_one_who_is_killed_before_it_has_tidied_up(untidy):
    """Its item is not done again, and is removed by the next."""
    assert [*untidy.drain()] == []
    assert len(untidy) == 0
    assert [*untidy.done.values()] == [1]


def test_the_payload_of_one_who_is_killed_before_it_has_tidied_up(untidy):
    """It is removed too."""
    assert [*untidy.drain()] == []
    assert not [*payloads_beside(untidy._place.store)]


def test_one_who_is_stopped_is_too_late(tmp_path, store_url):
    """Another does the item, and it is told so."""
    queue, (key,) = filled(store_url, ["item"], ttl=0.3)
    late = Puppet(tmp_path, store_url, "queue = WorkQueue(store, 'shared', ttl=0.3)", mute=True)
    with late:
        assert late("(setattr(me, 'claim', queue.claim()), me.claim.deliveries)[1]") == 1
        assert until(queue.claim).done("second")
        assert late("me.claim.done('first')") is False
        assert dict(queue.done.items()) == {key: "second"}
        assert late("len(queue)") == 0
