"""What every conditional operation must do, as a pure function of the item's state and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from persidict.exceptions import MutationPolicyError
from persidict.jokers_and_status_flags import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    ConditionalOperationResult,
    ETagConditionFlag,
    ETagIfExists,
    ETagValue,
    RetrieveValueFlag,
)

NEW_ETAG: Final = ETagValue("<the etag of the version that the operation wrote>")
"""Stands for an etag that only the store can make up."""


class Version(NamedTuple):
    """An item that exists."""

    etag: ETagValue
    value: Any


class Call(NamedTuple):
    """One call of a conditional operation; `retrieve` of `None` leaves the argument out."""

    operation: str
    condition: ETagConditionFlag = ANY_ETAG
    expected: ETagIfExists = ITEM_NOT_AVAILABLE
    retrieve: RetrieveValueFlag | None = None
    value: Any = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the method that is named by `operation`."""
        if self.operation == "get_with_etag":
            return {}
        arguments: dict[str, Any] = {"condition": self.condition, "expected_etag": self.expected}
        if self.operation in VALUE_ARGUMENT:
            arguments[VALUE_ARGUMENT[self.operation]] = self.value
        if self.retrieve is not None:
            arguments["retrieve_value"] = self.retrieve
        return arguments

    def on(self, target: Any, key: Any) -> Any:
        """Make the call on an item of a dictionary."""
        return getattr(target, self.operation)(key, **self.arguments())


class Policy(NamedTuple):
    """What a kind of dictionary permits."""

    name: str
    insert_only: bool = False
    refused: frozenset[str] = frozenset()
    """Operations that raise whatever the state of the item and the arguments."""
    refuses_early: bool = False
    """True if it refuses to overwrite or delete even where the condition does not hold."""
    keeps_nothing: bool = False


class Outcome(NamedTuple):
    """The state after a call, and what the caller gets: a result, or an error of this type."""

    state: Version | None
    result: ConditionalOperationResult[Any] | None = None
    error: type[Exception] | None = None
    fetches: bool = False
    """True if the existing value has to be read; where it is False the value is left alone."""


VALUE_ARGUMENT: Mapping[str, str] = {"set_item_if": "value", "setdefault_if": "default_value"}
DISCARDS = frozenset({"discard_item_if", "discard_if"})

MUTABLE = Policy("mutable")
APPEND_ONLY = Policy("append-only", insert_only=True)
APPEND_ONLY_CACHED = Policy("append-only behind a cache", insert_only=True, refused=DISCARDS)
WRITE_ONCE = Policy("write-once", insert_only=True, refused=frozenset({"set_item_if"}))
KEEPS_NOTHING = Policy("keeps nothing", keeps_nothing=True)


def satisfied(condition: ETagConditionFlag, expected: ETagIfExists, actual: ETagIfExists) -> bool:
    """Return whether a condition holds."""
    if condition is ANY_ETAG:
        return True
    return bool((expected == actual) == (condition is ETAG_IS_THE_SAME))


def retrieved(mode: RetrieveValueFlag | None, expected: ETagIfExists, actual: ETagIfExists) -> bool:
    """Return whether an existing value that stays in place is fetched."""
    if mode is ALWAYS_RETRIEVE or mode is NEVER_RETRIEVE:
        return mode is ALWAYS_RETRIEVE
    assert mode is IF_ETAG_CHANGED or mode is None, mode
    return bool(expected != actual)


def oracle(state: Version | None, call: Call, policy: Policy = MUTABLE) -> Outcome:
    """Return what `call` does to an item in `state`."""
    if call.operation in policy.refused:
        return Outcome(state, error=MutationPolicyError)
    if policy.keeps_nothing:
        return _left_alone(None, call, _met(None, call))
    return _OPERATIONS[call.operation](state, call, policy)


def _get(state: Version | None, call: Call, _: Policy) -> Outcome:
    return _left_alone(state, call, _met(state, call))


def _get_with_etag(state: Version | None, call: Call, _: Policy) -> Outcome:
    return _left_alone(state, Call("get_item_if", retrieve=ALWAYS_RETRIEVE), met=True)


def _set(state: Version | None, call: Call, policy: Policy) -> Outcome:
    met = _met(state, call)
    if policy.refuses_early and _refused_early(state, call):
        return Outcome(state, error=MutationPolicyError)
    if not met or call.value is KEEP_CURRENT:
        return _left_alone(state, call, met)
    if policy.insert_only and (state is not None or call.value is DELETE_CURRENT):
        return Outcome(state, error=MutationPolicyError)
    return _deleted(state) if call.value is DELETE_CURRENT else _written(state, call.value)


def _refused_early(state: Version | None, call: Call) -> bool:
    if call.value is DELETE_CURRENT:
        return True
    insertion = call.condition is ETAG_IS_THE_SAME and call.expected is ITEM_NOT_AVAILABLE
    return state is not None and call.value is not KEEP_CURRENT and not insertion


def _setdefault(state: Version | None, call: Call, _: Policy) -> Outcome:
    met = _met(state, call)
    if state is None and met:
        return _written(None, call.value)
    return _left_alone(state, call, met)


def _discard(state: Version | None, call: Call, policy: Policy) -> Outcome:
    met = _met(state, call)
    if state is None or not met:
        return _left_alone(state, call._replace(retrieve=NEVER_RETRIEVE), met)
    return Outcome(state, error=MutationPolicyError) if policy.insert_only else _deleted(state)


_OPERATIONS: Mapping[str, Callable[[Version | None, Call, Policy], Outcome]] = {
    "get_with_etag": _get_with_etag,
    "get_item_if": _get,
    "set_item_if": _set,
    "setdefault_if": _setdefault,
    "discard_item_if": _discard,
    "discard_if": _discard,
}

OPERATIONS = tuple(_OPERATIONS)


def etag_of(state: Version | None) -> ETagIfExists:
    """Return the etag of a state, `ITEM_NOT_AVAILABLE` for an absent item."""
    return ITEM_NOT_AVAILABLE if state is None else state.etag


def _met(state: Version | None, call: Call) -> bool:
    return satisfied(call.condition, call.expected, etag_of(state))


def absent_result(met: bool) -> ConditionalOperationResult[Any]:
    """Return the result that an absent item has when nothing is done."""
    absent = ITEM_NOT_AVAILABLE
    return ConditionalOperationResult(met, absent, absent, absent)


def _left_alone(state: Version | None, call: Call, met: bool) -> Outcome:
    if state is None:
        return Outcome(None, absent_result(met))
    fetches = retrieved(call.retrieve, call.expected, state.etag)
    value = state.value if fetches else VALUE_NOT_RETRIEVED
    result = ConditionalOperationResult(met, state.etag, state.etag, value)
    return Outcome(state, result, fetches=fetches)


def _written(state: Version | None, value: Any) -> Outcome:
    result = ConditionalOperationResult(True, etag_of(state), NEW_ETAG, value)
    return Outcome(Version(NEW_ETAG, value), result)


def _deleted(state: Version | None) -> Outcome:
    if state is None:
        return Outcome(None, absent_result(met=True))
    absent = ITEM_NOT_AVAILABLE
    return Outcome(None, ConditionalOperationResult(True, state.etag, absent, absent))
