"""Why a call is a hit or a miss, in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from persidict import NonEmptySafeStrTuple

Note = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A component of a key that differs; `None` where there is none on that side.

    `component` is the name of an argument, or of a part of the code: `argument x`,
    `function pkg.helpers.clean`, `global pkg.LIMIT`, `library numpy`, `python`.
    """

    component: str
    stored: str | None
    now: str | None

    def __str__(self) -> str:
        if self.stored is None:
            return f"{self.component}: new, {self.now}"
        if self.now is None:
            return f"{self.component}: gone, it was {self.stored}"
        return f"{self.component}: {self.stored} -> {self.now}"


@dataclass(frozen=True)
class Explanation:
    """Why a call is a hit or a miss.

    `is_hit` tells which; `reason` says it in a sentence; `changes` are the components that differ
    from the nearest stored call, whose provenance is `nearest`; `key` is the key of the call.
    """

    key: NonEmptySafeStrTuple
    is_hit: bool
    reason: str
    changes: tuple[Change, ...] = ()
    nearest: Note | None = None

    def __bool__(self) -> bool:
        return self.is_hit

    def __str__(self) -> str:
        return "\n".join([self._head(), *(f"    {change}" for change in self.changes)])

    __repr__ = __str__

    def _head(self) -> str:
        return f"{'hit' if self.is_hit else 'miss'}: {self.reason}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(change.component)}</td><td>{_cell(change.stored)}</td>"
            f"<td>{_cell(change.now)}</td></tr>"
            for change in self.changes
        )
        head = "<tr><th>component</th><th>stored</th><th>now</th></tr>" if rows else ""
        return f"<p>{escape(self._head())}</p><table>{head}{rows}</table>"


def hit(key: NonEmptySafeStrTuple, note: Note | None) -> Explanation:
    """Explain a hit by the note beside the result."""
    made = "" if note is None else f", computed {_when(note)}"
    return Explanation(key, is_hit=True, reason=f"the result is stored{made}", nearest=note)


def unfit(key: NonEmptySafeStrTuple, reason: str, note: Note | None) -> Explanation:
    """Explain a miss although there is a result."""
    return Explanation(key, is_hit=False, reason=reason, nearest=note)


def miss(
    key: NonEmptySafeStrTuple,
    code: Mapping[str, str],
    values: Mapping[str, str],
    arguments: Note,
    notes: Iterable[Note],
) -> Explanation:
    """Explain a miss by what differs from the stored call that differs least.

    Args:
        key: of the call.
        code: components of the code as it is now.
        values: short forms of those that are data.
        arguments: for each argument its digest and its short form, as in a note.
        notes: of the stored calls.
    """
    now = {"code": code, "globals": values, "arguments": arguments}
    ranked = [(_changes(note, now), note) for note in notes]
    if not ranked:
        return Explanation(key, is_hit=False, reason="nothing is stored for this function")
    # of those that are equally near, the youngest
    ranked.sort(key=lambda one: str(one[1].get("created")), reverse=True)
    changes, note = min(ranked, key=lambda one: len(one[0]))
    if not changes:
        reason = f"there was such a call, {_when(note)}; its result is gone"
        return Explanation(key, is_hit=False, reason=reason, nearest=note)
    many = "s" if len(changes) > 1 else ""
    reason = f"{len(changes)} component{many} changed since the nearest stored call, {_when(note)}"
    return Explanation(key, is_hit=False, reason=reason, changes=changes, nearest=note)


def _changes(stored: Note, now: Note) -> tuple[Change, ...]:
    before, after = _components(stored), _components(now)
    names = [*after, *(name for name in before if name not in after)]
    return tuple(
        Change(name, *_shown(before.get(name), after.get(name)))
        for name in names
        if _digest(before.get(name)) != _digest(after.get(name))
    )


_Component = tuple[str, str | None]  # its digest, and its short form if it is data


def _components(note: Note) -> dict[str, _Component]:
    """Return all that a key was made of, the code first."""
    values = note.get("globals", {})
    code = {name: (digest, values.get(name)) for name, digest in note.get("code", {}).items()}
    arguments = note.get("arguments", {}).items()
    return code | {f"argument {name}": (one["digest"], one["value"]) for name, one in arguments}


def _digest(component: _Component | None) -> str | None:
    return None if component is None else component[0]


def _shown(before: _Component | None, after: _Component | None) -> tuple[str | None, str | None]:
    """Return the short forms of two components, with their digests where they look the same."""
    sides = [None if side is None else side[1] or side[0] for side in (before, after)]
    if sides[0] == sides[1]:
        sides = [f"{side[1]} ({side[0][:8]})" for side in (before, after) if side is not None]
    return sides[0], sides[1]


def _when(note: Note) -> str:
    return f"{note.get('created', 'some time ago')} on {note.get('host', 'some host')}"


def _cell(text: str | None) -> str:
    return "<i>none</i>" if text is None else f"<code>{escape(text)}</code>"
