"""What a record says of one call: who makes attempts at it now, and what the dead have left.

Each caller has a lane of its own, so that equal calls which run at the same time count their
attempts apart. The lane of a caller that died is free: the next caller goes on where it ended.
"""

from __future__ import annotations

import time
from typing import Any

from persidict.owners import is_gone, is_local
from persidict_dask._waiting import Here, is_shared
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._moments import moment_at, moment_here
from persidict_dask.coordination._records import Fields
from persidict_dask.coordination._silence import silence
from persidict_dask.retries._standing import REMEMBERED

TTL = 30.0
"""Seconds after which a silent process of another host is believed dead."""

_MOVING = 5.0
"""Seconds that a task which was moved here waits for the worker that it has left."""

RUNNING = "running"
WAITING = "waiting"
LOST = "lost"
RELEASED = "released"


class Watch:
    """Tells the living from the dead among those who have lanes, for one who wants to begin."""

    def __init__(self, where: Any, here: Here) -> None:
        self._where = where
        self._here = here
        self._since = now()
        self._beats: dict[str, Any] = {}

    def is_dead(self, owner: str, lane: Fields) -> bool:
        """True if it is gone, was silent too long, or its task has long come from another host."""
        if is_local(owner):
            return is_gone(owner)
        has_gone = self.is_leaving(owner, lane) and self.is_overdue()
        return has_gone or silence.is_over(self._where, owner, lane)

    def is_leaving(self, owner: str, lane: Fields) -> bool:
        """True if its task came here from another worker, which may be about to say so."""
        return self._has_moved_here(lane) and (is_local(owner) or is_shared(lane["task"]))

    def is_overdue(self) -> bool:
        """True if those who leave have had the time to say so."""
        return now() - self._since > _MOVING

    def is_heard(self, owner: str, lane: Fields) -> bool:
        """True if it has certainly been alive since this one looked first."""
        if is_local(owner):
            return True
        return bool(lane["beat"] != self._beats.setdefault(owner, lane["beat"]))

    def _has_moved_here(self, lane: Fields) -> bool:
        task, worker = self._here
        return bool(task) and lane["task"] == task and lane["worker"] != worker


def new_lane(here: Here) -> Fields:
    """Return the lane of a caller that starts its first attempt."""
    at = now()
    counts = {"attempts": 1, "state": RUNNING, "waits": [], "idle": 0.0, "spent": 0.0}
    return counts | {"first": moment_at(at, at)} | _of_mine(here)


def taken_over(lane: Fields, here: Here) -> Fields:
    """Return a free lane in the hands of this caller.

    One that was released runs at once, if it is the same task that goes on elsewhere, and its last
    attempt does not count. In another cluster it has been broken off.
    """
    at = now()
    mine = lane | {"first": moment_at(at - spent(lane), at)} | _of_mine(here)
    if lane["state"] != RELEASED:
        return mine
    if lane["task"] and lane["task"] != here.task:
        return mine | {"state": LOST}
    return begun(mine | {"attempts": lane["attempts"] - 1})


def is_of_here(lane: Fields) -> bool:
    """True if it is told by the clock of this host when the first attempt began."""
    return is_local(lane["first"]["clock"])


def spent(lane: Fields) -> float:
    """Return the seconds since the first attempt began; of another host, until it wrote last."""
    if is_of_here(lane):
        return now() - moment_here(lane["first"])
    return float(lane["spent"])


def older(lane: Fields, seconds: float) -> Fields:
    """Return the lane with its first attempt sooner."""
    first = lane["first"]
    return lane | {"first": first | {"until": first["until"] - seconds}}


def begun(lane: Fields) -> Fields:
    """Return the lane with its next attempt begun."""
    changes = {"attempts": lane["attempts"] + 1, "state": RUNNING, "since": time.time()}
    return lane | changes | {"spent": spent(lane)}


def left(lane: Fields, *, counts: bool) -> Fields:
    """Return the lane for the next caller; the attempt under way may be taken back."""
    if lane["state"] != RUNNING:
        return lane
    return lane | {"state": LOST if counts else RELEASED}


def waiting(lane: Fields, pause: float) -> Fields:
    """Return the lane with its attempt ended, and the moment of the next."""
    at = now()
    waits, idle = [*lane["waits"], pause][-REMEMBERED:], lane["idle"] + pause
    told = {"state": WAITING, "next": moment_at(at + pause, at), "waits": waits, "idle": idle}
    return lane | told | {"spent": spent(lane)}


def beaten(lane: Fields) -> Fields:
    """Return the lane with a new sign of life."""
    return lane | {"beat": lane["beat"] + 1, "spent": spent(lane)}


def _of_mine(here: Here) -> Fields:
    return told_of_me(TTL) | {"task": here.task, "worker": here.worker}


def with_lane(fields: Fields, owner: str, lane: Fields) -> Fields:
    """Return the record with a lane of an owner."""
    return fields | {"lanes": fields.get("lanes", {}) | {owner: lane}}


def counted(fields: Fields) -> Fields:
    """Return the record with one more attempt, of whatever caller."""
    return {"since": time.time()} | fields | {"attempts": fields.get("attempts", 0) + 1}


def without(fields: Fields, owner: str) -> Fields:
    """Return the record without the lane of an owner."""
    lanes = {name: lane for name, lane in fields["lanes"].items() if name != owner}
    return fields | {"lanes": lanes}


def set_free(fields: Fields, owner: str, *, counts: bool) -> Fields:
    """Return the record with the lane of an owner free for the next caller."""
    lane = left(fields["lanes"][owner], counts=counts)
    return without(fields, owner) | {"free": [*fields.get("free", []), lane]}


def withdrawn(fields: Fields, owner: str) -> Fields:
    """Return the record as if the owner had never taken its lane."""
    fields = set_free(fields, owner, counts=False)
    *others, mine = fields["free"]
    if mine["state"] != RELEASED:
        return fields
    # whoever goes on, the attempt has not been made
    return fields | {"free": [*others, mine | {"task": ""}] if mine["attempts"] > 1 else others}


def buried(fields: Fields, watch: Watch) -> Fields:
    """Return the record with the lanes of the dead free, and their deaths counted."""
    for owner, lane in fields.get("lanes", {}).items():
        if watch.is_dead(owner, lane):
            fields = _with_loss(set_free(fields, owner, counts=True), lane)
    return fields


def _with_loss(fields: Fields, lane: Fields) -> Fields:
    """Count a death in an attempt; one during a pause has nothing to do with the call."""
    if lane["state"] != RUNNING:
        return fields
    told = {name: lane[name] for name in ("host", "pid", "worker", "task")}
    loss = told | {"attempt": lane["attempts"], "began": lane["since"], "found": time.time()}
    lost = [*fields.get("lost", []), loss][-REMEMBERED:]
    return fields | {"deaths": fields.get("deaths", 0) + 1, "lost": lost}


def losses(before: Fields, after: Fields) -> list[Fields]:
    """Return the deaths that were counted between two versions of a record."""
    new = after.get("deaths", 0) - before.get("deaths", 0)
    return after["lost"][-new:] if new else []


def succeeded(fields: Fields) -> Fields:
    """Return the record of a call that has come to a result: what died under it is forgotten."""
    return fields if fields.get("is_quarantined") else fields | {"deaths": 0, "lost": []}


def is_empty(fields: Fields) -> bool:
    """True if the record tells nothing that anybody has to know."""
    return not any(fields.get(name) for name in ("lanes", "free", "deaths", "is_quarantined"))
