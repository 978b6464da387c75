"""Which results are of code that was replaced since: the notes beside them tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Note = Mapping[str, Any]

_KINDS: Final = ("function", "class", "global", "attribute", "version")
"""Components that an edit replaces; closures and defaults differ between siblings as well."""


def is_replaced(notes: Iterable[Note | None], now: Note) -> bool:
    """True if results of one code are what a function gave before an edit.

    All of them have to be of the same place in the same file or notebook: what another function
    has stored may be current for that one. A result without a note may be of anybody.

    Args:
        notes: of all results of that code.
        now: a note as the function would write it now.
    """
    place = _place(now)
    return place is not None and all(
        note is not None and _place(note) == place and _is_edited(note, now) for note in notes
    )


def _place(note: Note) -> tuple[str, str] | None:
    source = note.get("source")
    return (source, note["function"]) if source else None


def _is_edited(note: Note, now: Note) -> bool:
    """True if a part that both have is another one now."""
    own = f"function {now['module']}.{now['function']}"
    then, parts = note.get("code", {}), now["code"]
    if ("version" in then) != ("version" in parts):
        return True
    return any(
        then[name] != parts[name] for name in then.keys() & parts.keys() if _counts(name, own)
    )


def _counts(component: str, own: str) -> bool:
    """True for what has one definition: not for lambdas, and other functions inside of some."""
    kind = component.partition(" ")[0]
    return component == own or (kind in _KINDS and "<" not in component)
