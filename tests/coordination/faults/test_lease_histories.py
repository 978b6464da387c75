"""One holder at a time and growing tokens, whoever is killed, stopped or has a wrong clock."""

from itertools import pairwise

from persidict_dask import open_store
from persidict_dask.coordination import fence
from tests.coordination.faults.fleet import Fleet, until
from tests.coordination.faults.histories import (
    check_growing,
    check_unique,
    most_at_a_time,
    spans,
)

TTL = 0.4
MUTE = {"mute": True, "most_checks": 250}
"""One who is not heard of while it holds, sometimes for longer than `TTL`."""


def check_leases(fleet):
    got = fleet.events("got")
    check_unique([token for _, _, token, _, _ in got])
    check_growing([(before, after, token) for _, _, token, before, after in got])
    assert most_at_a_time(spans(fleet)) == 1


def test_holders_that_are_killed_and_stopped(tmp_path, store_url):
    """Tokens are unique and grow, and no two see at the same time that they hold."""
    with Fleet(tmp_path, store_url, "lease", ttl=TTL, is_writing=True) as fleet:
        fleet.start({}, {}, {}, MUTE)
        fleet.chaos("got", 11, more=7, stop=TTL * 1.5, stops=4)
        fleet.finish()
        check_leases(fleet)
        assert fleet.killed == 7
        check_writes(fleet, store_url)


def check_writes(fleet, store_url):
    """A write that has succeeded is never followed by one of an older holder."""
    wrote = fleet.events("wrote")
    assert all(seen >= token for _, token, seen in wrote)
    assert all(newest > token for _, token, newest in fleet.events("refused"))
    store = open_store(store_url)
    assert store["item"]["token"] == fence(store, "item") >= max(token for _, token, _ in wrote)


def test_wrong_wall_clocks(tmp_path, store_url):
    """Nothing depends on them."""
    with Fleet(tmp_path, store_url, "lease", ttl=TTL) as fleet:
        fleet.start({"skew": TTL}, {"skew": -TTL}, {"skew": 36_000}, MUTE | {"skew": -9e8})
        fleet.chaos("got", 3, more=10, stop=TTL * 1.5, stops=3)
        fleet.finish()
        check_leases(fleet)


def test_tokens_over_restarts(tmp_path, store_url):
    """A thousand acquisitions of five processes, each killed while it holds: growing tokens."""
    with Fleet(tmp_path, store_url, "tokens", times=200) as fleet:
        for generation in range(5):
            fleet.start({})
            until(lambda expected=generation + 1: fleet.count("last") == expected)
            fleet.kill(fleet.running[0])
        by_process = {}
        for pid, token in fleet.events("token"):
            by_process.setdefault(pid, []).append(token)
        generations = sorted(by_process.values(), key=lambda tokens: tokens[0])
        tokens = [token for tokens in generations for token in tokens]
        assert len(tokens) == 1000
        assert all(a < b for a, b in pairwise(tokens))


def test_semaphores(tmp_path, store_url):
    """Never more than `limit` hold a place, and sometimes as many."""
    limit = 3
    with Fleet(tmp_path, store_url, "semaphore", limit=limit, ttl=TTL) as fleet:
        fleet.start({}, {}, {}, {}, MUTE)
        fleet.chaos("got", 7, more=10, stop=TTL * 1.5, stops=2)
        until(lambda: most_at_a_time(spans(fleet)) >= limit)  # a busy machine runs one at a time
        fleet.finish()
        assert most_at_a_time(spans(fleet)) == limit
