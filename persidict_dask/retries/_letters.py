"""Dead letters: what is known of the calls that are not started again."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from persidict import ITEM_NOT_AVAILABLE, AbsentKeyError, NonEmptySafeStrTuple
from persidict_dask._stats import note_released
from persidict_dask.coordination._places import Place, Somewhere
from persidict_dask.coordination._records import Fields, Record
from persidict_dask.retries._exits import exit_of
from persidict_dask.retries._subject import Subject

ATTEMPTS = "attempts"
_LETTERS = "letters"


@dataclass(frozen=True)
class Loss:
    """A process that died in an attempt; times are seconds since 1970, by its host's clock."""

    host: str
    pid: int
    worker: str
    task: str
    attempt: int
    began: float
    found: float
    """When it was found to be gone, by the clock of the host that found it."""
    exit: str = "unknown"
    """How it ended, as its nanny saw it, where `install` has told nannies of the store."""


@dataclass(frozen=True)
class DeadLetter:
    """A call under which processes have died.

    `error` and `traceback` are those of the last attempt that ended with an error of its own; if
    there was none, they tell of the deaths. `attempts` counts those of all callers. Times are
    seconds since 1970.
    """

    key: NonEmptySafeStrTuple
    call: str
    arguments: dict[str, str]
    error: str
    traceback: str
    attempts: int
    deaths: int
    hosts: tuple[str, ...]
    lost: tuple[Loss, ...]
    first_seen: float
    last_seen: float

    def __repr__(self) -> str:
        rows = "\n".join(f"  {name:<10} {value}" for name, value in self._rows())
        return f"<DeadLetter {self.call}\n{rows}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td><pre>{html.escape(value)}</pre></td></tr>"
            for name, value in [("call", self.call), *self._rows()]
        )
        return f"<table>{rows}</table>"

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "key", str(self.key.strings)
        yield "deaths", f"{self.deaths} in {self.attempts} attempts, on {', '.join(self.hosts)}"
        yield "seen", f"{_when(self.first_seen)} to {_when(self.last_seen)}"
        yield "error", self.error
        for each in self.lost:
            yield "lost", f"attempt {each.attempt}: {told_of(each)}, exit {each.exit}"
        if self.traceback:
            yield "traceback", self.traceback


class DeadLetters:
    """The calls that are not started again, by key.

    A listing, and for each letter one request, and one for each worker that died.

    Args:
        store: the `state` of the policy, or its URL.
    """

    def __init__(self, store: Somewhere) -> None:
        self._place = Place(store)

    def keys(self) -> list[NonEmptySafeStrTuple]:
        """Return the keys of all letters, those of `QuarantinedCallError`."""
        found = self._place.records.get_subdict(_LETTERS).keys()
        return sorted(NonEmptySafeStrTuple(key) for key in found)

    def __getitem__(self, key: Any) -> DeadLetter:
        name = NonEmptySafeStrTuple(key)
        text = self._place.records.get(NonEmptySafeStrTuple(_LETTERS, name), ITEM_NOT_AVAILABLE)
        if text is ITEM_NOT_AVAILABLE:
            raise AbsentKeyError(name)
        return _with_exits(self._place, _parsed(name, json.loads(str(text))))

    def __contains__(self, key: Any) -> bool:
        return NonEmptySafeStrTuple(_LETTERS, NonEmptySafeStrTuple(key)) in self._place.records

    def __iter__(self) -> Iterator[NonEmptySafeStrTuple]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def release(self, key: Any) -> bool:
        """Let the call run again, with all its attempts, and drop the letter.

        `False` if it was neither quarantined nor had a letter. If this is interrupted, the letter
        stays, and it may be called again.
        """
        name = NonEmptySafeStrTuple(key)
        record = Record(self._place, NonEmptySafeStrTuple(ATTEMPTS, name))
        is_lifted = _lifted(record, has_letter=name in self)
        note_released(name.strings)
        return self.discard(name) or is_lifted

    def discard(self, key: Any) -> bool:
        """Drop the letter only; the call stays refused until it is released."""
        letter = NonEmptySafeStrTuple(_LETTERS, NonEmptySafeStrTuple(key))
        return bool(self._place.records.discard(letter))

    def __repr__(self) -> str:
        return f"<DeadLetters: {len(self)}>"

    def _repr_html_(self) -> str:
        letters = [self[key] for key in self.keys()]
        rows = "".join(
            f"<tr><td>{html.escape(each.call)}</td><td>{each.deaths}</td>"
            f"<td>{html.escape(each.error)}</td><td>{_when(each.last_seen)}</td></tr>"
            for each in letters
        )
        head = "<tr><th>call</th><th>deaths</th><th>error</th><th>last seen</th></tr>"
        return f"<table>{head}{rows}</table>"


def write_letter(place: Place, subject: Subject, fields: Fields) -> None:
    """Write the letter of a call by its record; writing it again changes nothing."""
    lost = [Loss(**told) for told in fields["lost"]]
    last = fields.get("error")
    story = f"{fields['deaths']} processes died under it; the last: {told_of(lost[-1])}"
    letter = DeadLetter(
        key=subject.key,
        call=str(subject),
        arguments=subject.forms(),
        error=last["text"] if last else story,
        traceback=last["traceback"] if last else "",
        attempts=fields["attempts"],
        deaths=fields["deaths"],
        hosts=tuple(dict.fromkeys(each.host for each in lost)),
        lost=tuple(lost),
        first_seen=fields["since"],
        last_seen=lost[-1].found,
    )
    told = {name: value for name, value in asdict(letter).items() if name != "key"}
    place.records[NonEmptySafeStrTuple(_LETTERS, subject.key)] = json.dumps(told, indent=1)


def told_of(loss: Loss) -> str:
    """Say in a line what is known of a death."""
    where = f"process {loss.pid} on {loss.host}"
    where += f" (worker {loss.worker})" if loss.worker else ""
    return f"{where}, begun {_when(loss.began)}"


def _parsed(key: NonEmptySafeStrTuple, told: dict[str, Any]) -> DeadLetter:
    lost = tuple(Loss(**each) for each in told["lost"])
    return DeadLetter(**told | {"key": key, "lost": lost, "hosts": tuple(told["hosts"])})


def _with_exits(place: Place, letter: DeadLetter) -> DeadLetter:
    """Add what nannies have told since the letter was written."""
    lost = tuple(
        replace(each, exit=exit_of(place, each.host, each.worker, each.began))
        for each in letter.lost
    )
    return replace(letter, lost=lost)


def _lifted(record: Record, *, has_letter: bool) -> bool:
    """Take a call out of quarantine, and tell whether it was in it; those who run it go on.

    One with a letter may be about to be put there: whoever does that must see the change.
    """
    while True:
        seen = record.read()
        is_held = bool(seen.fields.get("is_quarantined"))
        if not is_held and not (has_letter and seen.exists):
            return False
        living = {name: seen.fields[name] for name in ("lanes", "attempts", "since")}
        if record.swap(seen, living) if living["lanes"] else record.remove(seen):
            return is_held


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
