"""Removal of the results of a function: of all of them, or of those of code that was replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from persidict import NonEmptySafeStrTuple
from persidict_dask._older import is_replaced
from persidict_dask._results import Results

Key = NonEmptySafeStrTuple


class Removed(int):
    """How many results were removed; its repr tells more."""

    told: str

    def __new__(cls, number: int, told: str) -> Self:
        made = super().__new__(cls, number)
        made.told = told
        return made

    def __getnewargs__(self) -> tuple[int, str]:  # type: ignore[override]
        return int(self), self.told

    def __repr__(self) -> str:
        return f"<{int(self)} {self.told}>"

    __str__ = int.__repr__


def forget_all(results: Results) -> Removed:
    """Remove all results of a function; return how many."""
    removed: set[Key] = set()
    for handle in results.changeable:
        removed |= {key for key in [*results.keys_in(handle)] if handle.discard(key)}
    for handle in results.beside:
        for key in [*results.keys_in(handle)]:
            handle.discard(key)
    if results.claims is not None:
        results.claims.remove_abandoned(results.claims.under(results.name))
    return Removed(len(removed), f"results of {results.label} removed")


def forget_older(results: Results, code: str, now: Mapping[str, Any]) -> Removed:
    """Remove the results of code that was replaced by what it is now; return how many.

    Reads the notes of all other code.
    """
    others = _by_code(results, code)
    doomed = {c for c, keys in others.items() if _is_replaced(results, keys, now)}
    keys = {key for one in doomed for key in others[one]}
    number = sum(map(results.forget, keys))
    if results.claims is not None:
        claimed = results.claims.under(results.name)
        results.claims.remove_abandoned([key for key in claimed if key[1] in doomed])
    kept = sum(map(len, others.values())) - len(keys)
    removed = f"results of {len(doomed)} earlier versions of {results.label} removed"
    return Removed(number, f"{removed}; {kept} of other code kept")


def _by_code(results: Results, code: str) -> dict[str, set[Key]]:
    """Return the keys of results of all code but one; also of those that only a cache has."""
    others: dict[str, set[Key]] = defaultdict(set)
    for handle in results.changeable:
        for key in results.keys_in(handle):
            if key[1] != code:
                others[key[1]].add(key)
    return others


def _is_replaced(results: Results, keys: Collection[Key], now: Mapping[str, Any]) -> bool:
    notes: Iterable[Mapping[str, Any] | None] = map(results.note_or_none, keys)
    return is_replaced(notes, now)
