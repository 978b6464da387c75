"""The checker accepts what can be explained, and nothing else."""

import pytest

from tests.histories.checker import OPEN, Op, Violation, check


def op(kind, start, end, result=None, *, value=None, condition="any", expected=None, key="k"):
    return Op(kind, key, value, condition, expected, start, end, result)


GOOD = {
    "one after the other": [
        op("set", 0, 1, value="a"),
        op("get", 2, 3, "a"),
        op("discard", 4, 5, True),
        op("get", 6, 7, None),
    ],
    "a read beside a write sees the old or the new": [
        op("set", 0, 1, value="a"),
        op("set", 2, 9, value="b"),
        op("get", 3, 4, "a"),
        op("get", 5, 6, "b"),
    ],
    "a write of a killed client shows much later": [
        op("set", 0, OPEN, value="a"),
        op("get", 1, 2, None),
        op("get", 50, 51, "a"),
    ],
    "a write of a killed client never shows": [
        op("set", 0, OPEN, value="a"),
        op("get", 1, 2, None),
        op("insert", 3, 4, True, value="b"),
    ],
    "one of two guarded writes": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("set_if", 2, 5, [True, "1", "2", "b"], value="b", condition="same", expected="1"),
        op("set_if", 3, 6, [False, "2", "2", "b"], value="c", condition="same", expected="1"),
    ],
    "gone in the meantime": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("discard", 2, 3, True),
        op("setdefault_if", 2, 5, [False, None, None, None], value="b"),
    ],
    "transforms": [
        op("transform", 0, 5, None, value="a"),
        op("transform", 1, 6, "a", value="b"),
        op("pop", 7, 8, "b"),
    ],
    "keys are independent": [
        op("set", 0, 1, value="a", key="x"),
        op("get", 2, 3, None, key="y"),
    ],
}
BAD = {
    "a stale read": [
        op("set", 0, 1, value="a"),
        op("set", 2, 3, value="b"),
        op("get", 4, 5, "a"),
    ],
    "a value of nobody": [op("get", 0, 1, "x")],
    "a lost update": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("set_if", 2, 5, [True, "1", "2", "b"], value="b", condition="same", expected="1"),
        op("set_if", 3, 6, [True, "1", "3", "c"], value="c", condition="same", expected="1"),
    ],
    "a lost transform": [
        op("transform", 0, 5, None, value="a"),
        op("transform", 1, 6, None, value="b"),
    ],
    "a plain write that was overwritten by an older guard": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("set_if", 2, 9, [True, "1", "2", "b"], value="b", condition="same", expected="1"),
        op("set", 3, 4, value="c"),
        op("get", 5, 6, "c"),
        op("get", 10, 11, "b"),
    ],
    "two winners of an insertion": [
        op("insert", 0, 5, True, value="a"),
        op("insert", 1, 6, True, value="b"),
    ],
    "two who removed one item": [
        op("set", 0, 1, value="a"),
        op("discard", 2, 5, True),
        op("pop", 3, 6, "a"),
    ],
    "a value that came back": [
        op("set", 0, 1, value="a"),
        op("del", 2, 3, True),
        op("get", 4, 5, "a"),
    ],
    "an etag beside the value of another version": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("set_if", 2, 3, [True, "1", "2", "b"], value="b", condition="same", expected="1"),
        op("get_if", 2, 4, [True, "1", "1", "b"]),
    ],
    "an etag that was used again": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("discard", 2, 3, True),
        op("set_if", 4, 5, [True, None, "1", "b"], value="b", condition="same"),
    ],
    "a condition that was judged wrongly": [
        op("set_if", 0, 1, [True, None, "1", "a"], value="a", condition="same"),
        op("get_if", 2, 3, [True, "1", "1", "a"], condition="changed", expected="1"),
    ],
    "a killed client whose write took effect twice": [
        op("set", 0, OPEN, value="a"),
        op("get", 1, 2, "a"),
        op("discard", 3, 4, True),
        op("get", 5, 6, "a"),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_what_can_be_explained_is_accepted(history):
    check(history)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_what_cannot_be_explained_is_refused(history):
    with pytest.raises(Violation):
        check(history)
