"""The conditional operations: the complete table, and what their arguments must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pytest

from persidict.exceptions import MutationPolicyError
from persidict.jokers_and_status_flags import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    ConditionalOperationResult,
    ETagIfExists,
    ETagValue,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._fixtures import AnyDict, DictFixtures, Make, needs
from persidict.testing._oracle import (
    NEW_ETAG,
    OPERATIONS,
    VALUE_ARGUMENT,
    Call,
    Outcome,
    Version,
    absent_result,
    oracle,
)
from persidict.testing._table import Row, rows


class Got(NamedTuple):
    """What a call returned or raised."""

    result: Any = None
    error: Exception | None = None


def attempt(call: Callable[[], Any]) -> Got:
    """Return what a call returns or raises."""
    try:
        return Got(result=call())
    except Exception as error:
        return Got(error=error)


def mismatch(outcome: Outcome, got: Got, before: ETagValue | None = None) -> str:
    """Return how a call differs from what it must be; "" if it does not."""
    if outcome.error is not None:
        return "" if type(got.error) is outcome.error else f"no {outcome.error.__name__}: {got}"
    if type(got.result) is not ConditionalOperationResult:
        return f"not a result: {got}"
    wanted = outcome.result
    assert wanted is not None
    new = got.result.resulting_etag
    if wanted.resulting_etag == NEW_ETAG:
        if not _may_be_new(new, before):
            return f"not a new etag: {new!r} after {before!r}"
        wanted = with_etag(wanted, new)
    same = wanted == got.result and type(got.result.condition_was_satisfied) is bool
    return "" if same else f"not as it must be: {got.result} is not {wanted}"


def with_etag(
    result: ConditionalOperationResult[Any], etag: ETagIfExists
) -> ConditionalOperationResult[Any]:
    """Return the result of a write, with the etag that the store gave it."""
    return ConditionalOperationResult(
        result.condition_was_satisfied, result.actual_etag, etag, result.new_value
    )


def _may_be_new(etag: Any, before: ETagValue | None) -> bool:
    return isinstance(etag, str) and etag not in ("", before, NEW_ETAG)


class ConditionalTable(DictFixtures):
    """Every operation with every kind of argument, against the oracle."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_table_for_absent_items(self, make: Make, operation: str) -> None:
        """Full result, and the stored state afterwards, if there is no item."""
        d, witness = make(), make()
        wrong = []
        for n, row in enumerate(rows(operation, present=False)):
            key = NonEmptySafeStrTuple("absent", str(n))
            call = row.call(current=None, other=ETagValue("0:0:0"), value=self.value(2))
            wrong += self._differences(d, witness, key, None, call)
        assert not wrong, "\n".join(wrong)

    @needs("keeps")
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_table_for_present_items(self, make: Make, operation: str) -> None:
        """Full result, and the stored state afterwards, if there is an item."""
        d, witness = make(), make()
        wrong = []
        for n, row in enumerate(rows(operation, present=True)):
            key = NonEmptySafeStrTuple("present", str(n))
            state, other = self._planted(d, key)
            call = row.call(current=copied(state.etag), other=other, value=self.value(2))
            wrong += self._differences(d, witness, key, state, call)
        assert not wrong, "\n".join(wrong)

    def _planted(self, d: AnyDict, key: NonEmptySafeStrTuple) -> tuple[Version, ETagValue]:
        """Make an item; return it, and an etag that it had before or could have."""
        d[key] = self.value(0)
        other = ETagValue(current_etag(d, key) + "0")
        if not self.policy.insert_only:
            other = current_etag(d, key)
            d[key] = self.value(1)
        return Version(current_etag(d, key), d[key]), other

    def _differences(
        self,
        d: AnyDict,
        witness: AnyDict,
        key: NonEmptySafeStrTuple,
        state: Version | None,
        call: Call,
    ) -> list[str]:
        outcome = oracle(state, call, self.policy)
        got = attempt(lambda: call.on(d, key))
        wrong = mismatch(outcome, got, state.etag if state else None)
        wrong = wrong or self._state_mismatch(
            witness if self.cross_handle else d, key, outcome, got
        )
        return [f"{call} on {state}: {wrong}"] if wrong else []

    def _state_mismatch(
        self, witness: AnyDict, key: NonEmptySafeStrTuple, outcome: Outcome, got: Got
    ) -> str:
        seen = witness.get_with_etag(key)
        if outcome.state is None:
            gone = seen == absent_result(met=True) and key not in witness
            return "" if gone else f"not absent afterwards: {seen}"
        etag, value = outcome.state
        etag = got.result.resulting_etag if etag == NEW_ETAG else etag
        same = seen == ConditionalOperationResult(True, etag, etag, value)
        if self.fresh_etag:
            same = same and witness.etag(key) == etag
        return "" if same else f"not {outcome.state} afterwards: {seen}"

    @needs("keeps")
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_values_are_read_only_where_they_are_asked_for(
        self, storage: Any, make: Make, operation: str
    ) -> None:
        """An item whose value cannot be read is an error exactly where the value is fetched."""
        d = make()
        wrong = []
        for n, row in enumerate(rows(operation, present=True)):
            key = NonEmptySafeStrTuple("unreadable", str(n))
            self.plant_unreadable(storage, key)
            wrong += self._wrong_reads(d, key, row)
        assert not wrong, "\n".join(wrong)

    def _wrong_reads(self, d: AnyDict, key: NonEmptySafeStrTuple, row: Row) -> list[str]:
        etag = d.etag(key)
        call = row.call(current=etag, other=ETagValue(etag + "0"), value=self.value(2))
        outcome = oracle(Version(etag, "unreadable"), call, self.policy)
        got = attempt(lambda: call.on(d, key))
        if not outcome.fetches:
            wrong = mismatch(outcome, got, etag)
            if outcome.state and outcome.state.etag == etag and d.etag(key) != etag:
                wrong = wrong or f"the etag changed from {etag} to {d.etag(key)}"
        else:
            noticed = isinstance(got.error, Exception) and not isinstance(got.error, KeyError)
            wrong = "" if noticed else f"an unreadable value gave {got}"
        return [f"{call}: {wrong}"] if wrong else []


def current_etag(d: AnyDict, key: NonEmptySafeStrTuple) -> ETagValue:
    """Return the etag that conditional operations see."""
    etag = d.get_with_etag(key).actual_etag
    assert isinstance(etag, str), f"{key} is absent"
    return etag


def copied(etag: ETagValue) -> ETagValue:
    """Return an equal etag that is another object, as one that was stored and read back."""
    return ETagValue("".join(list(etag)))


CONDITIONAL = tuple(name for name in OPERATIONS if name != "get_with_etag")
WITH_RETRIEVE = tuple(name for name in CONDITIONAL if "discard" not in name)
BAD_KEYS: tuple[Any, ...] = ((), "", ("ok", 1.5), ("a/b",), "..", True, None, b"x", ("a", ""))


def accepted(call: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """Return the arguments that a call does not refuse with `TypeError` or `ValueError`."""
    got = {repr(argument): attempt(partial(call, argument)) for argument in arguments}
    return [each for each in got.items() if not isinstance(each[1].error, (TypeError, ValueError))]


class ConditionalArguments(DictFixtures):
    """What the conditional operations refuse, whatever is stored."""

    def _arguments(self, operation: str) -> dict[str, Any]:
        call = Call(operation, ANY_ETAG, ITEM_NOT_AVAILABLE, None, self.value(0))
        return call.arguments()

    def _error(self, operation: str, otherwise: type[Exception]) -> type[Exception]:
        return MutationPolicyError if operation in self.policy.refused else otherwise

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_refuses_bad_keys(self, d: AnyDict, operation: str) -> None:
        """What is not a key is an error, not an absent item."""
        arguments = self._arguments(operation)
        assert accepted(lambda key: getattr(d, operation)(key, **arguments), BAD_KEYS) == []

    @pytest.mark.parametrize("operation", WITH_RETRIEVE)
    def test_refuses_other_retrieve_values(self, d: AnyDict, operation: str) -> None:
        """Only the three modes say what is retrieved."""
        message = "write-once" if operation in self.policy.refused else "retrieve_value must be"
        for mode in (True, None, "always", ANY_ETAG):
            arguments = self._arguments(operation) | {"retrieve_value": mode}
            with pytest.raises(TypeError, match="^" + message):
                getattr(d, operation)("k", **arguments)

    @pytest.mark.parametrize("operation", CONDITIONAL)
    def test_refuses_other_conditions(self, d: AnyDict, operation: str) -> None:
        """Only the three conditions are conditions, for present and for absent items."""
        d["present"] = self.value(0)
        for condition, key in product((None, "any", True, ALWAYS_RETRIEVE), ("present", "absent")):
            arguments = self._arguments(operation) | {"condition": condition}
            with pytest.raises(self._error(operation, ValueError)):
                getattr(d, operation)(key, **arguments)
        assert "absent" not in d

    @pytest.mark.parametrize("joker", [KEEP_CURRENT, DELETE_CURRENT], ids=repr)
    def test_no_joker_is_a_default(self, d: AnyDict, joker: Any) -> None:
        """`setdefault_if` refuses jokers first, whatever else is wrong."""
        d["present"] = self.value(0)
        for key in ("present", "absent", ""):
            with pytest.raises(TypeError):
                d.setdefault_if(
                    key, default_value=joker, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
                )

    @pytest.mark.parametrize("operation", CONDITIONAL)
    def test_arguments_are_given_by_name(self, d: AnyDict, operation: str) -> None:
        """Everything after the key is keyword-only."""
        arguments = self._arguments(operation)
        with pytest.raises(TypeError):
            getattr(d, operation)("k", *arguments.values())
        assert "k" not in d

    @needs("typed", "keeps")
    @pytest.mark.parametrize("operation", sorted(VALUE_ARGUMENT))
    def test_refuses_values_of_another_class(self, make: Make, operation: str) -> None:
        """A value that would be stored must be what the dictionary is declared to hold."""
        d = make(base_class_for_values=str)
        arguments = self._arguments(operation) | {VALUE_ARGUMENT[operation]: 5}
        with pytest.raises(TypeError):
            getattr(d, operation)("k", **arguments)
        assert "k" not in d

    @needs("keeps")
    @pytest.mark.parametrize("operation", sorted(VALUE_ARGUMENT))
    def test_refuses_dictionaries_in_conditional_writes(
        self, d: AnyDict, make: Make, operation: str
    ) -> None:
        """A persistent dictionary is not a value."""
        arguments = self._arguments(operation) | {VALUE_ARGUMENT[operation]: make()}
        with pytest.raises(TypeError):
            getattr(d, operation)("k", **arguments)
        assert "k" not in d

    @needs("any_value", "keeps")
    def test_results_share_nothing_with_the_store(self, d: AnyDict) -> None:
        """Changing an object that came back, or went in, changes nothing that is stored."""
        value = {"list": [1]}
        arguments: dict[str, Any] = {
            "condition": ETAG_IS_THE_SAME,
            "expected_etag": ITEM_NOT_AVAILABLE,
        }
        written: Any = d.setdefault_if("k", default_value=value, **arguments).new_value
        read: Any = d.get_with_etag("k").new_value
        for each in (value, written, read):
            each["list"].append(2)
        assert d["k"] == {"list": [1]}
