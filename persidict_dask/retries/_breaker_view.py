"""What a process knows of a circuit: the record as it was seen, and what it has not told yet."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, Literal

from persidict.owners import new_token
from persidict_dask._errors import CircuitOpenError
from persidict_dask._heartbeat import heart
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._moments import moment_here
from persidict_dask.coordination._records import ABSENT, Fields, Record, Seen
from persidict_dask.coordination._renewal import renewed
from persidict_dask.coordination._silence import silence
from persidict_dask.retries._breaker_rules import Event, Rules
from persidict_dask.retries._budget_errand import Errand

State = Literal["closed", "open", "probing"]

_EVERY = 0.4
"""Seconds between two looks at the record, while the breaker is used."""
_IDLE = 12
"""Looks without any use after which there are no more."""
_LOOK = 1.0
"""Seconds for which the first look, or becoming the probe, may take."""
_TELL = 0.25
"""Seconds for which one who has something to tell waits until it is told."""
_AWAY = 5.0
"""Seconds without an answer after which the store is believed to be away."""
_SOON = 1.0
"""Seconds after which to ask again while a probe runs."""
_TTL = 10.0
"""Seconds of silence after which a probe is believed dead."""
_MOST = 64
"""Events that are kept to be told."""


class Probe:
    """The one call that finds out whether the circuit may be closed."""

    def __init__(self, view: View, holder: str) -> None:
        self.holder = holder
        self.pid = os.getpid()
        self._view = view
        self._beat = 0
        self.stop = renewed(self, _TTL)

    def renew(self) -> bool:
        """Tell others that it is alive; `False` if it was given up."""
        self._beat += 1
        return os.getpid() == self.pid and self._view.beats(self.holder, self._beat)

    def __repr__(self) -> str:
        return f"Probe({self.holder!r})"


class View:
    """The circuit as this process sees it: the record, changed by the events it has to tell.

    They are told in the background, all that there are by one swap. As long as the store does not
    take them, the process goes by its own view, by the same rules.
    """

    def __init__(self, record: Record, ident: Any, rules: Rules) -> None:
        self._record = record
        self._ident = ident
        self._rules = rules
        self.begin()

    def begin(self) -> None:
        self.is_clear = False
        """True if calls may be made, and the view is kept fresh."""
        self.is_clean = False
        """True if a success changes nothing."""
        self.is_used = False
        self._fields: Fields = {}
        self._seen: Seen = ABSENT
        self._untold: list[Event] = []
        self._is_fresh = self._is_away = False
        self._idle = 0
        self._lock = threading.RLock()
        self._asking = threading.RLock()
        self._errand = Errand(self._ask, "persidict-breaker")

    # What calls ask for

    def needs_store(self) -> bool:
        """True if `admit` has to ask the store now."""
        return not self._is_fresh or self._is_due()

    def admit(self, name: str) -> Probe | None:
        """Let the call go on, or make it the probe, or raise `CircuitOpenError`."""
        self.look_first()
        self.is_used = True
        told = self._fields.get("open")
        if not told:
            return None
        if self._is_due():
            probe = self._probe()
            if probe is not None or not self._fields.get("open"):
                return probe
        left = moment_here(told) - now()
        raise CircuitOpenError(name, left if left > 0 else min(_SOON, self._rules.reset))

    def state(self) -> State:
        """Say it in a word; asks the store if this process has not done so lately."""
        self.look_first()
        self.is_used = True
        return self._state()

    def figures(self) -> dict[str, Any]:
        """Return the state as it was seen last, and the number of its version; asks nobody."""
        return {"state": self._state(), "at": self._fields.get("serial", 0)}

    def _state(self) -> State:
        fields = self._fields
        if not fields.get("open"):
            return "closed"
        return "probing" if self._living(fields.get("holders", {})) else "open"

    def look_first(self) -> None:
        """Look at the record if nobody does so in the background; not for long."""
        if not self._is_fresh:
            self._errand.run(_LOOK)
            if self._is_first():
                heart.add(self._refresh, _EVERY)

    def _note(self, event: Event) -> None:
        """Go by it at once, and tell others; waits a moment until that is done."""
        if self._noted(event):
            self._tell(_TELL)

    def failed(self) -> None:
        """Count a failure."""
        self._note(self._rules.failed())

    def succeeded(self) -> None:
        """Failures before this do not count any more."""
        self._note(self._rules.succeeded())

    def ended(self, probe: Probe, is_well: bool | None) -> None:
        """Take in what the probe has come to."""
        if os.getpid() == probe.pid:
            probe.stop()
            self._note(self._rules.probed(probe.holder, is_well))

    def beats(self, holder: str, beat: int) -> bool:
        """Tell that a probe is alive; `False` if it is none any more."""
        event = self._rules.beaten(holder, beat)
        if self._noted(event):
            self._asked()
            self._drop(event)  # the next one says the same
        return holder in self._fields.get("holders", {})

    def close(self) -> None:
        """Close the circuit for all; raises what the store raises."""
        self._noted(self._rules.closed())
        self._ask()
        if self._noted(self._rules.closed()):  # it had not been seen that it was open
            self._ask()

    # Becoming the probe

    def _is_due(self) -> bool:
        fields = self._fields
        told = fields.get("open")
        is_over = told and moment_here(told) <= now()
        return bool(is_over) and not self._living(fields.get("holders", {}))

    def _probe(self) -> Probe | None:
        """Become the probe if the store says so, or if it says nothing at all."""
        me = new_token()
        if not self._noted(self._rules.probing(me, told_of_me(_TTL), self._living)):
            return None  # another thread was first
        self._tell(_LOOK)
        if me in self._seen.fields.get("holders", {}):
            return Probe(self, me)
        if me in self._fields.get("holders", {}):
            if self._is_cut_off():
                return Probe(self, me)
            self._noted(self._rules.probed(me, None))  # whatever the store makes of it later
        return None

    def _is_cut_off(self) -> bool:
        return self._is_away or self._errand.lasts > _AWAY

    def _living(self, holders: Fields) -> Fields:
        # without the identity of the record, which is not to be had before the store is opened
        return {
            who: told
            for who, told in holders.items()
            if not silence.is_over(self._ident, who, told)
        }

    # The record

    def _is_first(self) -> bool:
        """True for the thread that is to see to it that the view is kept fresh."""
        with self._lock:
            is_first, self._is_fresh = not self._is_fresh, True
            self._idle = 0
            self._show()
        return is_first

    def _noted(self, event: Event) -> bool:
        """Take it into the view; `False` if it changes nothing."""
        with self._lock:
            fields = event(self._fields)
            if fields is self._fields:
                return False
            self._untold = [*self._untold, event][-_MOST:]
            self._fields = fields
            self._show()
            return True

    def _drop(self, event: Event) -> None:
        with self._lock:
            self._untold = [each for each in self._untold if each is not event]

    def _show(self) -> None:
        """Let the calls see it that do not ask further."""
        self.is_clear = self._is_fresh and not self._fields.get("open")
        self.is_clean = self._is_fresh and not self._fields.get("failures")

    def _tell(self, patience: float) -> None:
        """Wait until all is told, or the store has failed, or time is up."""
        until = now() + patience
        while self._untold and self._errand.run(until - now()) and not self._is_away:
            pass

    def _asked(self) -> None:
        with suppress(Exception):
            self._ask()

    def _ask(self) -> None:
        """See the record as it is, and change it by what there is to tell."""
        with self._asking:
            try:
                seen, told = self._swapped()
            except Exception:
                self._is_away = True
                raise
            with self._lock:
                self._is_away = False
                self._untold = [event for event in self._untold if event not in told]
                self._seen = seen
                self._fields = _after(self._untold, seen.fields)
                self._show()

    def _swapped(self) -> tuple[Seen, list[Event]]:
        for attempt in range(1_000_000):
            seen, events = self._record.look(self._seen), self._untold
            fields = _after(events, seen.fields)
            if fields is seen.fields:
                return seen, events
            swapped = self._record.swap(seen, fields)
            if swapped is not None:
                return swapped, events
            self._record.let_others(attempt)
        raise AssertionError("unreachable")

    def _refresh(self) -> bool:
        """Keep the view fresh; `False` when it is not used any more."""
        with self._lock:
            self._idle = 0 if self.is_used else self._idle + 1
            self.is_used = False
            if self._idle > _IDLE:
                self._is_fresh = False
                self._show()
                return False
        self._asked()
        return True


def _after(events: list[Event], fields: Fields) -> Fields:
    """Return what a record is after some events; itself if they change nothing."""
    for event in events:
        fields = event(fields)
    return fields
