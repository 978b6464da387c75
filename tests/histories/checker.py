"""Is there an order of operations, each between its call and its return, that explains them all?

The model is written from the contract and knows nothing of the package. The state of an item is the
value that it has, which is unique for each write, or `None` while it is absent. Operations are
linearized "just in time": events are taken in the order of the clock, and all states that are still
possible are carried along, each with the open operations that have taken effect already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

OPEN = float("inf")
UNKNOWN = "unknown"
"""The result of an operation that has taken effect before its end, or never does."""


class Op(NamedTuple):
    """One operation of one client: what it asked for and what it was told.

    `result` depends on the kind: a value (`None`: absent), a truth, or the four fields of a
    conditional result as a list (met, etag before, etag after, value), with `None` for absent.
    """

    kind: str
    key: str
    value: str | None  # what it wants to write
    condition: str  # "same", "changed", "any"
    expected: str | None
    start: int
    end: float  # `OPEN` if the client was killed: it may have taken effect, or may not
    result: Any

    @property
    def is_told(self) -> bool:
        """True if it is known what came of it."""
        return self.end != OPEN and self.result != UNKNOWN


class Violation(AssertionError):
    """No order explains the history."""


def check(ops: Iterable[Op]) -> None:
    """Raise `Violation` if the history of some key is not linearizable, or an etag repeats."""
    by_key = defaultdict(list)
    for op in ops:
        by_key[op.key].append(op)
    for key, history in by_key.items():
        _check_key(key, history, _etags(key, history))


class Etags(NamedTuple):
    """Which version has which etag, as far as anybody was told."""

    etag_of: dict[str, str]
    value_of: dict[str, str]

    def fits(self, state: str | None, etag: str | None) -> bool:
        """Can the item in this state have this etag (`None`: be absent)?"""
        if state is None or etag is None:
            return state is None and etag is None
        return self.etag_of.get(state, etag) == etag and self.value_of.get(etag, state) == state


def _etags(key: str, history: list[Op]) -> Etags:
    etag_of: dict[str, str] = {}
    value_of: dict[str, str] = {}
    for op in history:
        for etag, value in _told(op):
            if etag_of.setdefault(value, etag) != etag:
                raise Violation(f"{key}: {value} has the etags {etag_of[value]} and {etag}")
            if value_of.setdefault(etag, value) != value:
                raise Violation(f"{key}: {etag} names {value_of[etag]} and {value}")
    return Etags(etag_of, value_of)


def _told(op: Op) -> Iterator[tuple[str, str]]:
    if op.kind in CONDITIONAL and op.is_told:
        _, _, after, value = op.result
        if after is not None and value not in (None, UNREAD):
            yield after, value


def _check_key(key: str, history: list[Op], etags: Etags) -> None:
    events = sorted(
        [(op.start, 0, i) for i, op in enumerate(history)]
        + [(op.end, 1, i) for i, op in enumerate(history) if op.end != OPEN]
    )
    possible: set[tuple[str | None, frozenset[int]]] = {(None, frozenset())}
    pending: set[int] = set()
    for _, is_return, index in events:
        if not is_return:
            pending.add(index)
            continue
        after = _after_return(index, possible, pending, history, etags)
        if history[index].result == UNKNOWN:
            after |= {(state, done) for state, done in possible if index not in done}
        possible = after
        pending.discard(index)
        if not possible:
            raise Violation(f"{key}: nothing explains {history[index]}")


def _after_return(
    index: int,
    possible: set[tuple[str | None, frozenset[int]]],
    pending: set[int],
    history: list[Op],
    etags: Etags,
) -> set[tuple[str | None, frozenset[int]]]:
    """Return what is possible once the operation must have taken effect."""
    found, seen, todo = set(), set(possible), list(possible)
    while todo:
        state, done = todo.pop()
        if index in done:
            found.add((state, done - {index}))
            continue
        for other in pending - done:
            for after in effects(state, history[other], etags):
                step = (after, done | {other})
                if step not in seen:
                    seen.add(step)
                    todo.append(step)
    return found


# -- the model ----------------------------------------------------------------------------------

UNREAD = "?"
CONDITIONAL = {"get_if", "set_if", "setdefault_if", "discard_if"}


def effects(state: str | None, op: Op, etags: Etags) -> Iterator[str | None]:
    """Yield the states after the operation, if its result is what it must be in this state."""
    if not op.is_told:
        yield from _effects_unseen(state, op, etags)
    elif op.kind in CONDITIONAL:
        yield from _conditional(state, op, etags)
    else:
        yield from _PLAIN[op.kind](state, op)


_PLAIN: dict[str, Callable[[str | None, Op], list[str | None]]] = {
    "set": lambda state, op: [op.value],
    "in": lambda state, op: [state] * (op.result == (state is not None)),
    "get": lambda state, op: [state] * (op.result == state),
    "del": lambda state, op: [None] * (op.result == (state is not None)),
    "discard": lambda state, op: [None] * (op.result == (state is not None)),
    "pop": lambda state, op: [None] * (op.result == state),
    "setdefault": lambda state, op: [op.result] * (op.result == (state or op.value)),
    # into an append-only dict
    "insert": lambda state, op: [state or op.value] * (op.result == (state is None)),
    # the result is what the transformer was given
    "transform": lambda state, op: [op.value] * (op.result == state),
}


def _conditional(state: str | None, op: Op, etags: Etags) -> Iterator[str | None]:
    met, before, after, value = op.result
    if not etags.fits(state, before):
        return
    if not met and before is None:
        yield state  # it was absent in the meantime: nothing was done, and nothing is claimed
        return
    if met != _holds(op.condition, op.expected, before):
        return
    if not (met and _acts(op, before)):
        if after == before and value in (state, UNREAD):
            yield state
    elif (after is None) == (op.kind == "discard_if") and value in (op.value, None):
        yield op.value


def _acts(op: Op, before: str | None) -> bool:
    return op.kind in ("set_if", "discard_if") or (op.kind == "setdefault_if" and before is None)


def _effects_unseen(state: str | None, op: Op, etags: Etags) -> Iterator[str | None]:
    """What a client may have done that could not tell."""
    if op.kind in ("setdefault", "insert", "setdefault_if"):
        if state is None:
            yield op.value
    elif op.kind == "set_if":
        is_known = state is None or state in etags.etag_of
        known = None if state is None else etags.etag_of.get(state)
        if not is_known or _holds(op.condition, op.expected, known):
            yield op.value
    elif op.kind not in ("in", "get", "get_if"):
        yield op.value  # of removals: none


def _holds(condition: str, expected: str | None, actual: str | None) -> bool:
    return {"any": True, "same": expected == actual, "changed": expected != actual}[condition]
