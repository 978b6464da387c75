"""The two result dataclasses."""

import copy
import dataclasses
import pickle

import pytest

from persidict import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ConditionalOperationResult,
    OperationResult,
)

FIELDS = {
    OperationResult: ["resulting_etag", "new_value"],
    ConditionalOperationResult: [
        "condition_was_satisfied",
        "actual_etag",
        "resulting_etag",
        "new_value",
    ],
}
RESULTS = [OperationResult("e", 1), ConditionalOperationResult(True, "e", "f", 1)]

each_class = pytest.mark.parametrize("cls", FIELDS)
each_result = pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)


@each_class
def test_fields_and_their_order(cls):
    assert [field.name for field in dataclasses.fields(cls)] == FIELDS[cls]


@each_class
def test_constructed_by_position_or_by_name(cls):
    values = [True, "a", "b", 1][-len(FIELDS[cls]) :]
    assert cls(*values) == cls(**dict(zip(FIELDS[cls], values, strict=True)))


@each_result
def test_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.new_value = 2


@each_result
def test_equal_and_hashed_by_fields(result):
    same = dataclasses.replace(result)
    other = dataclasses.replace(result, new_value=2)
    assert result == same != other
    assert len({result, same, other}) == 2


@each_result
def test_a_value_without_hash_makes_the_result_unhashable_only(result):
    with_list = dataclasses.replace(result, new_value=[1])
    assert with_list == dataclasses.replace(result, new_value=[1])
    with pytest.raises(TypeError):
        hash(with_list)


@each_result
def test_results_can_be_copied_and_pickled(result):
    assert copy.deepcopy(result) == pickle.loads(pickle.dumps(result)) == result


@each_class
def test_results_are_generic(cls):
    assert cls[int].__origin__ is cls


def test_the_two_classes_never_compare_equal():
    assert OperationResult("e", 1) != ConditionalOperationResult(True, "e", "e", 1)


@pytest.mark.parametrize(
    ("before", "after", "mutated"),
    [
        (ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE, False),
        (ITEM_NOT_AVAILABLE, "e", True),
        ("e", ITEM_NOT_AVAILABLE, True),
        ("e", "f", True),
        ("e", "".join("e"), False),
    ],
)
@pytest.mark.parametrize("satisfied", [True, False])
def test_the_value_was_mutated_when_the_etags_differ(before, after, mutated, satisfied):
    result = ConditionalOperationResult(satisfied, before, after, VALUE_NOT_RETRIEVED)
    assert result.value_was_mutated is mutated


def test_value_was_mutated_is_read_only():
    with pytest.raises(AttributeError):
        RESULTS[1].value_was_mutated = False
