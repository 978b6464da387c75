"""Calls and retries between hosts of which one is stopped or killed in the middle."""

from __future__ import annotations

from persidict_dask import open_store
from persidict_dask.coordination._places import Place
from tests.coordination.faults.fleet import until
from tests.retries.durable import told

WORK = """
from tests.retries.durable import *
os.chdir(folder)  # which has another path on each host, and the call is the same
run = persist(store_url)(work)
"""


def runs(hosts):
    return len(told(str(hosts.folder / "log"), "begins"))


def let_go(hosts):
    (hosts.folder / "log.go").touch()


def claims(hosts):
    return [*hosts.folder.rglob("*.claim")]


def begun(hosts, plan, call="run('log', {plan!r})"):
    """Return one in the middle of a run, and one of another host that makes the same call."""
    north, south = hosts
    first, second = north.python(WORK), south.python(WORK)
    first.tell(call.format(plan=plan))
    until(lambda: runs(hosts) == 1)
    second.tell(call.format(plan=plan))
    return first, second


# -- single flight --------------------------------------------------------------------------------


def test_others_wait_while_the_host_is_heard_of(hosts):
    """Four renewals take longer than the silence after which it would be dead."""
    first, second = begun(hosts, "waits waits")
    [claim] = claims(hosts)
    for _ in range(4):
        before = claim.stat().st_mtime_ns
        until(lambda before=before: claim.stat().st_mtime_ns != before)
    let_go(hosts)
    assert [first.answer(), second.answer()] == ["attempt 1"] * 2
    assert (runs(hosts), claims(hosts)) == (1, [])


def test_the_call_of_a_killed_host_is_taken_over(hosts):
    """By one of those that wait for it."""
    first, second = begun(hosts, "waits returns")
    first.host.kill()
    assert second.answer() == "attempt 2"
    assert (runs(hosts), claims(hosts)) == (2, [])


def test_the_call_of_a_dead_process(hosts):
    """It is taken over at once where that is seen; on other hosts it runs for an hour."""
    north, south = hosts
    forever = WORK + "import persidict_dask._claims as claims; claims.TTL = 3600"
    first, near, far = (host.python(forever) for host in (north, north, south))
    first.tell("run('log', 'waits returns')")
    until(lambda: runs(hosts) == 1)
    far.tell("run('log', 'waits returns')")
    first.kill()
    near.tell("run('log', 'waits returns')")
    assert [near.answer(), far.answer()] == ["attempt 2"] * 2
    assert (runs(hosts), claims(hosts)) == (2, [])


def test_the_call_of_a_stopped_host(hosts):
    """It is taken over; when the host goes on, it takes nothing from who runs the call now."""
    first, second = begun(hosts, "waits waits waits")
    first.host.stop()
    until(lambda: runs(hosts) == 2)
    [claim] = claims(hosts)
    first.host.go_on()
    before = claim.stat().st_mtime_ns
    until(lambda: claim.stat().st_mtime_ns != before)
    third = first.host.python(WORK)
    third.tell("run('log', 'waits waits waits')")
    let_go(hosts)
    answers = {first.answer(), second.answer(), third.answer()}
    assert answers == {"attempt 2"}
    assert (runs(hosts), claims(hosts)) == (2, [])


# -- retries --------------------------------------------------------------------------------------

ATTEMPTS = "answer(sync, policy(store_url, attempts=3), 'log', {plan!r})"


def records(hosts):
    beside = Place(open_store(str(hosts.folder / "store"))).records
    return [beside[key] for key in beside if key[0] == "attempts"]


def test_attempts_of_a_killed_host_count(hosts):
    """Three in all, on whichever host."""
    first, second = begun(hosts, "waits fails fails fails", ATTEMPTS)
    first.host.kill()
    error, text, note = second.answer()
    assert (error, text) == ("OSError", "attempt 3")
    assert note.startswith("after 3 attempts")
    assert runs(hosts) == 3


def test_a_host_that_is_killed_in_a_pause(hosts):
    """The pause is over when it would have been, and nothing has died under the call."""
    north, south = hosts
    first, second = north.python(WORK), south.python(WORK)
    call = "answer(sync, policy(store_url, wait=tenacity.wait_fixed(1)), 'log', 'fails returns')"
    first.tell(call)
    until(lambda: any('"state": "waiting"' in record for record in records(hosts)))
    north.kill()
    assert second(call) == ["returned", "attempt 2"]
    assert records(hosts) == []
    log = str(hosts.folder / "log")
    end, begin = (
        told(log, "ends")[0]["at"] - north.clock,
        told(log, "begins")[1]["at"] - south.clock,
    )
    assert begin - end >= 1


def test_attempts_of_a_host_that_is_stopped(hosts):
    """Another makes the next; both come to an end, and nothing is left of the call."""
    first, second = begun(hosts, "waits returns", ATTEMPTS)
    first.host.stop()
    assert second.answer() == ["returned", "attempt 2"]
    first.host.go_on()
    let_go(hosts)
    assert first.answer()[0] == "returned"
    assert (runs(hosts), records(hosts)) == (2, [])


BREAKER = """
from persidict_dask.retries._breaker import CircuitBreaker
import time

breaker, probes = CircuitBreaker(store_url, "b", reset=0.2), []

def admitted():
    try:
        probes.append(breaker.admit())
        return "closed" if probes[-1] is None else "probe"
    except CircuitOpenError:
        return "refused"

def once(state):
    while admitted() != state:
        time.sleep(0.005)
"""


def test_a_circuit_of_all_hosts(hosts):
    """Opened on one, refused on the other; when the host of the probe is killed, another probes."""
    north, south = hosts
    one, other, third = (host.python(BREAKER) for host in (north, south, south))
    assert other("admitted()") == "closed"
    one("[breaker.failed() for _ in range(5)] and None")
    other("once('refused')")
    one("once('probe')")
    assert other("admitted()") == "refused"
    north.kill()
    other("once('probe')")
    assert third("admitted()") == "refused"
    other("breaker.succeeded(probes[-1])")
    third("once('closed')")


BUDGET = """
from persidict_dask.retries._budget import RetryBudget
import time

budget = RetryBudget(store_url, "b", ratio=0.1, floor_per_s=0, window=4)

def earn():
    while True:
        budget.earn()
        time.sleep(0.001)

def spend():
    while not budget.take():
        time.sleep(0.005)
    return budget.use().retries
"""


def test_a_budget_of_all_hosts(hosts):
    """What is earned on one can be spent on the other, for whom it is another time."""
    rich, poor = (host.python(BUDGET) for host in hosts)
    assert poor("budget.take()") is False
    rich.tell("earn()")
    assert poor("spend()") == 1
