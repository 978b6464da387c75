"""How a circuit opens and closes: what each event makes of the record.

`failures` are the moments until which failures count, `open` is the moment from which a probe may
run, `holders` has the probe that runs. An event that changes nothing returns what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from persidict_dask.coordination._clock import now
from persidict_dask.coordination._moments import moment_at, moment_here
from persidict_dask.coordination._records import Fields

Event: TypeAlias = Callable[[Fields], Fields]
Living: TypeAlias = Callable[[Fields], Fields]
"""Returns the holders that are not believed dead."""

_CLOSED: Fields = {"failures": [], "open": None, "holders": {}}


class Rules(NamedTuple):
    """The settings of a breaker; makes events, which happen at the time of the making."""

    failures: int
    window: float
    reset: float

    def failed(self) -> Event:
        """A call that nobody watched has failed."""
        return partial(self._failed, now())

    def succeeded(self) -> Event:
        """A call that nobody watched has succeeded."""
        return partial(self._succeeded, now())

    def probing(self, me: str, told: Fields, living: Living) -> Event:
        """Somebody wants to be the probe."""
        return partial(self._probing, me, told, living)

    def beaten(self, me: str, beat: int) -> Event:
        """The probe is alive."""
        return partial(self._beaten, me, beat)

    def probed(self, me: str, is_well: bool | None) -> Event:
        """The probe has ended, perhaps without a result."""
        return partial(self._probed, now(), me, is_well)

    def closed(self) -> Event:
        """Somebody has closed the circuit by hand."""
        return partial(self._closed)

    def _failed(self, at: float, fields: Fields) -> Fields:
        if fields.get("open") or at + self.window <= now():
            return fields
        counting = [told for told in fields.get("failures", []) if moment_here(told) > now()]
        counting.append(moment_at(at + self.window, at))
        if len(counting) >= self.failures:
            return self._opened(fields, at)
        return fields | {"failures": counting}

    def _succeeded(self, at: float, fields: Fields) -> Fields:
        failures = fields.get("failures", [])
        # of another host they seem to be younger than they are, by as long as it took to see them
        later = [told for told in failures if moment_here(told | {"until": told["at"]}) > at]
        return fields if len(later) == len(failures) else fields | {"failures": later}

    def _probing(self, me: str, told: Fields, living: Living, fields: Fields) -> Fields:
        is_due = fields.get("open") and moment_here(fields["open"]) <= now()
        if not is_due or living(fields.get("holders", {})):
            return fields
        return fields | {"holders": {me: told}}

    def _beaten(self, me: str, beat: int, fields: Fields) -> Fields:
        mine = fields.get("holders", {}).get(me)
        return fields if mine is None else fields | {"holders": {me: mine | {"beat": beat}}}

    def _probed(self, at: float, me: str, is_well: bool | None, fields: Fields) -> Fields:
        if me not in fields.get("holders", {}):  # believed dead: others have gone on
            return fields
        if is_well is None:
            return fields | {"holders": {}}
        return fields | _CLOSED if is_well else self._opened(fields, at)

    def _opened(self, fields: Fields, at: float) -> Fields:
        return fields | _CLOSED | {"open": moment_at(at + self.reset, at)}

    def _closed(self, fields: Fields) -> Fields:
        return fields | _CLOSED if fields.get("open") or fields.get("failures") else fields
