"""Locks of files between hosts: who is dead, who only silent, and what becomes of the robbed."""

from __future__ import annotations

import os
from itertools import count

import pytest

from tests.histories.checker import OPEN, Op, check
from tests.hosts.host import Raised

PREPARE = """
import persidict._file_lock as file_lock
from tests.histories.recorder import ACTS, etag, plain, told
file_lock.LEASE = {lease}
d = FileDirDict(base_dir=folder + "/d", durability="relaxed", lock_timeout={patience})

def act(kind, key, value, expected, condition=ETAG_IS_THE_SAME):
    result = ACTS[kind](d, key, value, condition, etag(expected))
    return told(result) if hasattr(result, "actual_etag") else plain(result)

def count():
    def more(n):
        return (plain(n) or 0) + 1
    return d.transform_item("k", transformer=more, n_retries=None).new_value
"""
FOR_EVER = 3600


def prepare(lease=FOR_EVER, patience=60):
    return PREPARE.format(lease=lease, patience=patience)


def twins(hosts, *prepares):
    """Start a process on each host, with the same number."""
    places = [*hosts]
    pids = [host.python().pid for host in places]
    for host, pid in zip(places, pids, strict=True):
        host.ask(["skip", max(pids) - pid])
    north, south = (host.python(code) for host, code in zip(places, prepares, strict=True))
    assert north.pid == south.pid
    return north, south


def stopped_inside(process):
    """Let it stop while it has the lock, and something to write."""
    process("d.setdefault('k', 0)")
    process.tell("stopping_before('replace', 0, count)")
    assert process.stopped() == "replace"


def is_refused(process, expression="count()"):
    """True if it waits in vain for a lock."""
    with pytest.raises(Raised) as raised:
        process(expression)
    return "LockTimeoutError" in raised.value.kinds


def locks(hosts):
    return [name for name in os.listdir(hosts.folder / "d") if name.startswith(".__lock")]


# -- who is dead ----------------------------------------------------------------------------------


def test_a_dead_holder_of_the_same_host_is_found_at_once(hosts):
    """From another host it could be alive; and a process with its number that lives is another."""
    holder, twin = twins(hosts, prepare(), prepare(patience=0.1))
    neighbour = holder.host.python(prepare())
    stopped_inside(holder)
    holder.kill()
    assert is_refused(twin)
    assert neighbour("count()") == 1
    assert twin("count()") == 2
    assert locks(hosts) == []


def test_a_holder_of_another_host_is_not_who_has_its_number_here(hosts):
    """Who has that number here is dead, and the holder is not."""
    holder, twin = twins(hosts, prepare(), prepare())
    neighbour = twin.host.python(prepare(patience=0.1))
    twin.kill()
    stopped_inside(holder)
    assert is_refused(neighbour)
    holder.go_on()
    assert (holder.answer(), neighbour("count()")) == (1, 2)


def test_a_dead_host_is_silent_for_the_lease(hosts):
    """Then others take its lock; the host that comes after it, too."""
    north, south = hosts
    holder, other = north.python(prepare()), south.python(prepare(lease=0.1))
    for number in (1, 2):
        stopped_inside(holder)
        holder.host.kill()
        assert other("count()") == number
        north, _ = hosts
        holder = north.python(prepare())
    stopped_inside(other)
    other.host.kill()
    assert is_refused(north.python(prepare(patience=0.1)))
    assert north.python(prepare(lease=0.1))("count()") == 3
    assert locks(hosts) == []


def test_a_stopped_holder_of_the_same_host_is_never_robbed(hosts):
    """Whatever the lease."""
    north, _ = hosts
    holder, other = north.python(prepare()), north.python(prepare(lease=0.01, patience=0.3))
    stopped_inside(holder)
    assert is_refused(other)
    holder.go_on()
    assert (holder.answer(), other("count()")) == (1, 2)


# -- who was robbed -------------------------------------------------------------------------------

WRITES = ["set", "set_if", "transform"]
REMOVALS = ["discard", "discard_if", "del", "pop"]


LOST = object()


@pytest.mark.parametrize("kind", [*WRITES, *REMOVALS])
def test_stopped_before_each_of_its_calls(hosts, kind):
    """One that was robbed meanwhile does all of it anew, or says that it does not know."""
    north, south = hosts
    victim, other = north.python(prepare()), south.python(prepare(lease=0.02))
    lost = 0
    for index in count():
        first = other(f"act('set_if', 'k{index}', 'first', None)")
        asked = f"act({kind!r}, 'k{index}', 'mine', {first[2]!r})"
        victim.tell(f"stopping_before('', {index}, lambda: {asked})")
        if not victim.stopped():
            break
        theirs = other(f"act('set_if', 'k{index}', 'theirs', None, ANY_ETAG)")
        victim.go_on()
        mine = answer(victim)
        last = other(f"act('get', 'k{index}', None, None)")
        ops = [
            op("set_if", "first", None, 0, 1, first),
            op(kind, "mine", first[2], 2, OPEN if mine is LOST else 5, mine),
            op("set_if", "theirs", None, 3, 4, theirs, "any"),
            op("get", None, None, 6, 7, last),
        ]
        check(ops)
        assert locks(hosts) == []
        lost += mine is LOST
    assert index > 5
    assert bool(lost) == (kind in WRITES)  # what is removed is free for the other, without a lock


def op(kind, value, expected, start, end, result, condition="same"):
    wants = None if kind in REMOVALS else value
    return Op(kind, "k", wants, condition, expected, start, end, result)


def answer(process):
    """Return its answer, or that it does not know it."""
    try:
        return process.answer()
    except Raised as raised:
        if "OutcomeUnknownError" in raised.kinds:
            return LOST
        raise


def test_who_was_robbed_leaves_the_lock_to_the_robber(hosts):
    """Who is inside now stays alone there, and no change is lost."""
    north, south = hosts
    victim, robber = north.python(prepare()), south.python(prepare(lease=0.1))
    third = north.python(prepare(patience=0.1))
    stopped_inside(victim)
    stopped_inside(robber)
    victim.go_on()
    assert is_refused(third)
    robber.go_on()
    assert {victim.answer(), robber.answer()} == {1, 2}
    assert third("count()") == 3
    assert locks(hosts) == []


@pytest.mark.parametrize("call", ["symlink", "readlink", "unlink", "replace"])
def test_robbers_that_die_before_such_a_call(hosts, call):
    """Others take over from the dead holder, and from the dead robber."""
    north, south = hosts
    other, neighbour = north.python(prepare(lease=0.02)), south.python(prepare())
    for skip in count():
        robber = robbery(north, south)
        before = other("d['k']")
        robber.tell(f"stopping_before({call!r}, {skip}, count)")
        if not robber.stopped():
            break
        robber.kill()
        assert other("count()") - before in (1, 2)
        assert neighbour("len(d)") == 1  # a listing removes what the dead of its host have left
        assert locks(hosts) == []
    assert skip > 0


def robbery(north, south):
    """Leave the lock of one that is dead; return a process of the other host, ready to rob it."""
    holder = north.python(prepare())
    stopped_inside(holder)
    holder.kill()
    return south.python(prepare(lease=0))
