"""Two interferences: an item that is changed and comes back, with the etag that it had before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any

import pytest

from persidict import VALUE_NOT_RETRIEVED
from persidict.jokers_and_status_flags import ANY_ETAG, ITEM_NOT_AVAILABLE, Joker
from persidict.testing import Interleaved, Version, oracle
from persidict.testing._oracle import Call, satisfied
from persidict.testing._table import rows

from ..conformance.backends import Storage
from ..conformance.third_party import HashedDict

BACK_AND_FORTH: dict[str, Callable[[Any], Any]] = {
    "other value": lambda d: d.update(k="other"),
    "removal": lambda d: d.discard("k"),
}

# `setdefault_if` inserts as soon as the item is gone, and takes no second step.
CASES = [
    *product(("set_item_if", "discard_item_if", "discard_if"), BACK_AND_FORTH),
    ("setdefault_if", "other value"),
]


def outcomes(storage: Storage, operation: str, change: str) -> Iterator[tuple[Call, Any, Any]]:
    """Yield call, result and final item, for a change before one step, undone before another."""
    d, rival = (storage.minimal(cls=HashedDict) for _ in range(2))
    for row in rows(operation, present=True):
        for there, back in combinations(range(1, 7), 2):
            rival["k"] = "old"
            other = rival.etag("k")
            rival["k"] = "value"
            call = row.call(current=rival.etag("k"), other=other, value="mine")
            actions: dict[int, Callable[[], Any]] = {
                there: lambda: BACK_AND_FORTH[change](rival),
                back: lambda: rival.update(k="value"),
            }
            with Interleaved(d, before=actions) as steps:
                result = call.on(d, "k")
            if steps.happened:
                yield call, result, rival.get_with_etag("k")


@pytest.mark.parametrize(("operation", "change"), CASES)
def test_results_agree_with_themselves(storage: Storage, operation: str, change: str) -> None:
    """A condition is never reported unmet beside an etag that satisfies it, or the reverse."""
    seen = list(outcomes(storage, operation, change))
    wrong = [
        (call, result)
        for call, result, _ in seen
        if result.condition_was_satisfied
        is not satisfied(call.condition, call.expected, result.actual_etag)
        # the flag is that of the first look if the item vanished while its value was fetched
        and result.actual_etag is not ITEM_NOT_AVAILABLE
    ]
    assert seen
    assert wrong == []


@pytest.mark.parametrize(("operation", "change"), CASES)
def test_results_are_those_of_a_version_that_was_there(
    storage: Storage, operation: str, change: str
) -> None:
    """What is reported belongs together: one etag, and the value of that etag."""
    values = {HashedDict.etag_of(value): value for value in ("value", "other", "mine")}
    for call, result, final in outcomes(storage, operation, change):
        unguarded = call.condition is ANY_ETAG and not isinstance(call.value, Joker)
        if result.actual_etag is not ITEM_NOT_AVAILABLE and not unguarded:
            before = Version(result.actual_etag, values[result.actual_etag])
            wanted = oracle(before, call).result
            assert wanted is not None
            assert result.new_value == wanted.new_value
            assert result.condition_was_satisfied is wanted.condition_was_satisfied
        if result.new_value is not VALUE_NOT_RETRIEVED and result.value_was_mutated:
            expected = HashedDict.etag_of(result.new_value)
            assert result.resulting_etag in (expected, ITEM_NOT_AVAILABLE)
        assert final.new_value in ("value", "mine", ITEM_NOT_AVAILABLE)
