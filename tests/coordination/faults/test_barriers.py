"""Nobody passes a barrier before all have come, and all who live pass."""

import signal
import time
from pathlib import Path

from persidict._file_lock import LOCK_PREFIX
from persidict_dask import open_store
from persidict_dask.coordination import inspect
from tests.coordination.faults.fleet import Fleet, Puppet, stopped, until
from tests.coordination.faults.histories import most_at_a_time

PARTIES = 3


def test_rounds(tmp_path, store_url):
    """In each round all have come before anybody goes, and each has a place of its own."""
    rounds = 40
    with Fleet(tmp_path, store_url, "barrier", parties=PARTIES, rounds=rounds) as fleet:
        fleet.start(*[{}] * PARTIES)
        until(lambda: fleet.count("passed") > PARTIES * 5)
        stopped(fleet.running[0], lambda: time.sleep(0.3))
        fleet.finish()
        by_round = {}
        for _, number, *told in fleet.events("passed"):
            by_round.setdefault(number, []).append(told)
        assert sorted(by_round) == [*range(rounds)]
        for passed in by_round.values():
            assert sorted(place for place, _, _ in passed) == [*range(PARTIES)]
            assert max(before for _, before, _ in passed) <= min(after for _, _, after in passed)


def waiting(store):
    """Return the processes that have arrived, and wait."""
    return {holder.pid for each in inspect(store) for holder in each.holders}


def arrive(party, store):
    party.tell("barrier.wait()")
    until(lambda: party.process.pid in waiting(store))
    # one that is stopped keeps the lock that it is about to give back, and others wait for it
    until(lambda: not locks(store))


def locks(store):
    """Return the locks in a folder; a bucket has none."""
    folder = getattr(store, "base_dir", None)
    return [*Path(folder).rglob(f"{LOCK_PREFIX}*")] if folder else []


def test_one_that_is_killed_while_it_waits(tmp_path, store_url):
    """It does not count: the others wait until another comes in its place, and then all pass."""
    store = open_store(store_url)
    made = f"barrier = Barrier(store, 'x', parties={PARTIES}, ttl=3600)"

    def party():
        return Puppet(tmp_path, store_url, made)

    parties = [party() for _ in range(PARTIES)]
    for number in range(4):
        victim = parties.pop(number % PARTIES)
        order = [victim, *parties[:-1]] if number % 2 else [*parties[:-1], victim]
        for each in order:
            arrive(each, store)
        victim.die()
        arrive(parties[-1], store)
        until(lambda: waiting(store) == {each.process.pid for each in parties})
        new = party()
        new.tell("barrier.wait()")
        parties.append(new)
        places = [each.answer() for each in parties]
        assert all(0 <= place < PARTIES for place in places)
    for each in parties:
        each.die()
    assert "round 4" in repr(inspect(store))


def test_places_after_a_death(tmp_path, store_url):
    """Those who pass have a place each: exactly one is the first."""
    store = open_store(store_url)
    made = f"barrier = Barrier(store, 'x', parties={PARTIES}, ttl=3600)"
    victim, *parties = [Puppet(tmp_path, store_url, made) for _ in range(PARTIES + 1)]
    for each in [victim, parties[0]]:
        arrive(each, store)
    # who arrives next is the first to notice the death: the one who waits does not look now
    parties[0].process.send_signal(signal.SIGSTOP)
    victim.die()
    for each in parties[1:]:
        each.tell("barrier.wait()")
    until(lambda: "round 1" in repr(inspect(store)))
    parties[0].process.send_signal(signal.SIGCONT)
    places = [each.answer() for each in parties]
    for each in parties:
        each.die()
    assert sorted(places) == [*range(PARTIES)]


def test_kills_at_any_moment(tmp_path, store_url):
    """Others go on with those who come in their place, and never with fewer."""
    with Fleet(tmp_path, store_url, "barrier", parties=PARTIES) as fleet:
        fleet.start(*[{}] * PARTIES)
        fleet.chaos("passed", 5, more=15, stop=0.05, stops=1)
        for process in fleet.running:
            process.stdin.close()
        for process in fleet.running:
            assert process.wait(timeout=60) == 0, fleet.errors()
        waits = [(before, after) for _, _, _, before, after in fleet.events("passed")]
        arrived = {(pid, number): before for pid, number, before in fleet.events("arrives")}
        for pid, number, _, _, _ in fleet.events("passed"):
            arrived.pop((pid, number))
        everybody = waits + [(before, float("inf")) for before in arrived.values()]
        for before, after in waits:
            inside = [
                (max(start, before), min(end, after))
                for start, end in everybody
                if start <= after and end >= before
            ]
            assert most_at_a_time(inside) >= PARTIES
