"""Leases, places, items and numbers between hosts, of which one is stopped or killed."""

from __future__ import annotations

import time
from itertools import count

import pytest

from tests.coordination.faults.fleet import until
from tests.hosts.host import Raised

TTL = 0.3
STORE = "store = open_store(store_url); "


def raised_by(process, expression):
    """Return the names of what it raises."""
    with pytest.raises(Raised) as raised:
        process(expression)
    return raised.value.kinds


def answered(process):
    """Return the next answer, or the names of what was raised instead."""
    try:
        return process.answer()
    except Raised as raised:
        return raised.kinds


def stops_everywhere(victim, expression):
    """Let it begin this again and again, each time stopped one system call later."""
    for index in count():
        victim.tell(
            f"stopping_before('', {index}, lambda: {expression.replace('INDEX', str(index))})"
        )
        if not victim.stopped():
            return
        yield index


# -- leases ---------------------------------------------------------------------------------------

LEASE = STORE + "lease = Lease(store, 'x', ttl={ttl})"


def test_a_lease_is_kept_while_its_host_is_heard_of(hosts):
    """Much longer than `ttl`, between hosts whose clocks have nothing in common."""
    holder, other = (host.python(LEASE.format(ttl=TTL)) for host in hosts)
    assert holder("lease.acquire()")
    assert not other(f"lease.acquire(timeout={3 * TTL})")
    assert holder("lease.held")
    holder("lease.release()")
    assert other("lease.acquire()")


def test_a_lease_of_a_killed_host(hosts):
    """It is over when the host was silent for `ttl`."""
    north, south = hosts
    holder, other = north.python(LEASE.format(ttl=TTL)), south.python(LEASE.format(ttl=3600))
    assert holder("lease.acquire() and lease.token") == 1
    north.kill()
    assert not other("lease.acquire(timeout=0)")
    assert other("lease.acquire() and lease.token") == 2


def test_a_lease_of_a_dead_process(hosts):
    """It is over at once for those who see that; for others it has an hour yet."""
    north, south = hosts
    holder, near, far = (host.python(LEASE.format(ttl=3600)) for host in (north, north, south))
    assert holder("lease.acquire()")
    holder.kill()
    assert not far(f"lease.acquire(timeout={TTL})")
    assert near("lease.acquire() and lease.token") == 2


def test_a_holder_that_was_stopped(hosts):
    """It knows at once that it may have lost the lease, and cannot write any more."""
    holder, other = (host.python(LEASE.format(ttl=TTL)) for host in hosts)
    assert holder("lease.acquire()")
    holder("fenced_set(store, 'k', 'old', token=lease.token)")
    holder.stop()
    assert other("lease.acquire() and lease.token") == 2
    other("fenced_set(store, 'k', 'new', token=lease.token)")
    holder.go_on()
    assert not holder("lease.held")
    assert "StaleTokenError" in raised_by(
        holder, "fenced_set(store, 'k', 'old', token=lease.token)"
    )
    assert "LeaseLost" in raised_by(holder, "lease.release()")
    assert other("lease.held and (store['k'], fence(store, 'k'))") == ["new", 2]


def test_a_fenced_write_stopped_before_each_of_its_calls(hosts):
    """The value of the newer holder stays."""
    north, south = hosts
    older, newer = north.python(STORE), south.python(f"{STORE}file_lock.LEASE = 0.02")
    newer("fenced_set(store, 'k', 'new', token=1)")
    for index in stops_everywhere(older, "fenced_set(store, 'k', 'old', token=2 * INDEX + 2)"):
        newer(f"fenced_set(store, 'k', 'new', token={2 * index + 3})")
        older.go_on()
        told = answered(older)
        assert told is None or {"StaleTokenError", "OutcomeUnknownError"} & {*told}
        assert newer("(store['k'], fence(store, 'k'))") == ["new", 2 * index + 3]
    assert index > 10


# -- places ---------------------------------------------------------------------------------------


def test_places_of_a_host_that_is_stopped(hosts):
    """All of them go to others, and never are there more holders than places."""
    code = STORE + f"places = Semaphore(store, 'x', limit=2, ttl={TTL})"
    north, south = hosts
    here, there = [north.python(code) for _ in range(2)], [south.python(code) for _ in range(3)]
    assert all(process("places.acquire()") for process in here)
    assert not there[0](f"places.acquire(timeout={TTL * 2})")
    north.stop()
    assert all(process("places.acquire()") for process in there[:2])
    north.go_on()
    assert not there[2]("places.acquire(timeout=0)")
    for process in here:
        assert not process("places.held")
        assert "LeaseLost" in raised_by(process, "places.release()")
    assert all(process("places.held") for process in there[:2])


def test_a_barrier_between_hosts(hosts):
    """It lets them pass together; who was on a host that is killed does not count any more."""
    code = STORE + f"barrier = Barrier(store, 'x', parties=3, ttl={TTL})"
    north, south = hosts
    there = south.python(STORE), "sorted(h.host for each in inspect(store) for h in each.holders)"
    dying, first = north.python(code), south.python(code)
    for process in (dying, first):
        process.tell("barrier.wait()")
    until(lambda: there[0](there[1]) == ["north", "south"])
    north.kill()
    until(lambda: there[0](there[1]) == ["south"])
    others = [host.python(code) for host in hosts]
    for process in others:
        process.tell("barrier.wait()")
    assert sorted(process.answer() for process in (first, *others)) == [0, 1, 2]


def test_a_rate_between_hosts(hosts):
    """Nobody passes too soon, though the one's clock is a day ahead of the other's."""
    first, second = (
        host.python(STORE + "limit = RateLimiter(store, 'x', rate=3)") for host in hosts
    )
    for one, other in ((first, second), (second, first)):
        begin = time.monotonic()
        one("limit.acquire()")
        other("limit.acquire()")
        assert 1 / 3 <= time.monotonic() - begin < 60


# -- items of queues ------------------------------------------------------------------------------

QUEUE = STORE + f"queue = WorkQueue(store, 'x', ttl={TTL}); claims = []"
CLAIM = "claims.append(queue.claim(timeout=60)) or (claims[-1].item, claims[-1].deliveries)"


def test_an_item_of_a_killed_host_is_delivered_again(hosts):
    """Once, to one of another host."""
    north, south = hosts
    claimant, other = north.python(QUEUE), south.python(QUEUE)
    other("queue.put('item', key='k')")
    assert claimant(CLAIM) == ["item", 1]
    north.kill()
    assert other("queue.claim()") is None
    assert other(CLAIM) == ["item", 2]
    assert other("claims[0].done('result')") is True
    assert other("(dict(queue.done), len(queue))") == [{"k": "result"}, 0]


def test_items_of_a_dead_process(hosts):
    """Those who see that it is gone get them at once, whatever `ttl`."""
    north, south = hosts
    forever = QUEUE.replace(str(TTL), "3600")
    claimant, near, far = (host.python(forever) for host in (north, north, south))
    near("queue.put('item')")
    claimant(CLAIM)
    claimant.kill()
    assert far(f"queue.claim(timeout={TTL})") is None
    assert near(CLAIM) == ["item", 2]


def test_a_claimant_that_was_stopped(hosts):
    """The item is done by whoever has it now; what the stopped one tells of it counts no more."""
    claimant, other = (host.python(QUEUE) for host in hosts)
    other("[queue.put(key, key=key) for key in 'abc']")
    assert [claimant(CLAIM)[1] for _ in range(3)] == [1, 1, 1]
    claimant.stop()
    assert [other(CLAIM)[1] for _ in range(3)] == [2, 2, 2]
    claimant.go_on()
    assert claimant("claims[0].give_back()") is False
    assert claimant("claims[1].fail('late')") is False
    assert other("[claim.done('other') for claim in claims]") == [True] * 3
    assert claimant("claims[2].done('late')") is False
    assert other("dict(queue.done)") == {"a": "other", "b": "other", "c": "other"}
    assert other("(len(queue), len(queue.dead))") == [0, 0]


def test_done_stopped_before_each_of_its_calls(hosts):
    """One result is recorded: that of the only one who was told so."""
    north, south = hosts
    claimant = north.python(QUEUE.replace(str(TTL), "0.02"))
    other = south.python(QUEUE + "; file_lock.LEASE = 0.02")
    for index in count():
        claimant(f"queue.put('item', key='k{index}')")
        claimant(CLAIM)
        claimant.tell(f"stopping_before('', {index}, lambda: claims[-1].done('first'))")
        if not claimant.stopped():
            break
        is_second = other(
            "(claim := queue.claim(timeout=0.1)) is not None and claim.done('second')"
        )
        claimant.go_on()
        told = answered(claimant)
        assert told is not is_second
        assert other(f"queue.done['k{index}']") == ("second" if is_second else "first")
        assert other("len(queue)") == 0
    assert index > 10


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Counter(store, 'x')", "SharedValue(store, 'x', 0)"])
def test_counting_stopped_before_each_of_its_calls(hosts, name):
    """All that was counted is there, and each of them has got a number of its own."""
    north, south = hosts
    code = f"{STORE}number = {name}"
    count_up = "number.increment()" if "Counter" in name else "number.update(lambda n: n + 1)"
    victim, other = north.python(code), south.python(code + "; file_lock.LEASE = 0.02")
    expected = other(count_up)
    for _ in stops_everywhere(victim, count_up):
        theirs = other(count_up)
        victim.go_on()
        told = answered(victim)
        value = other("number.value" if "Counter" in name else "number.get()")
        expected += 2
        assert (value, {told, theirs}) == (expected, {expected - 1, expected})
