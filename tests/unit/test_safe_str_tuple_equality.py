"""Equality and hashing of safe string tuples."""

import pytest

from persidict import NonEmptySafeStrTuple, SafeStrTuple


class CaseBlind(SafeStrTuple):
    """A subclass with an equality of its own."""

    def __eq__(self, other):
        return [s.lower() for s in self] == [s.lower() for s in SafeStrTuple(other)]

    __hash__ = SafeStrTuple.__hash__


@pytest.mark.parametrize("other", ["a", ("a",), ["a"], [["a"]], NonEmptySafeStrTuple("a")])
def test_equal_to_whatever_the_constructor_makes_equal_on_both_sides(other):
    assert SafeStrTuple("a") == other
    assert other == SafeStrTuple("a")
    assert not SafeStrTuple("a") != other  # noqa: SIM202


@pytest.mark.parametrize("other", ["b", ("a", "b"), [], SafeStrTuple("b"), "A"])
def test_unequal_to_other_components(other):
    assert SafeStrTuple("a") != other
    assert other != SafeStrTuple("a")


@pytest.mark.parametrize("other", [1.5, None, "", "a/b", {"a": 1}, b"a", [None], object(), {"a"}])
def test_unequal_without_an_error_to_what_is_no_key(other):
    assert SafeStrTuple("a") != other
    assert not SafeStrTuple("a") == other  # noqa: SIM201
    assert SafeStrTuple("a").__eq__(other) is NotImplemented


def test_a_subclass_with_its_own_equality_decides_on_both_sides():
    assert SafeStrTuple("a") == CaseBlind("A")
    assert CaseBlind("A") == SafeStrTuple("a")
    assert not SafeStrTuple("a") != CaseBlind("A")  # noqa: SIM202
    assert not CaseBlind("A") != SafeStrTuple("a")  # noqa: SIM202


class Never(SafeStrTuple):
    """A subclass that equals nothing."""

    def __eq__(self, other):
        return False

    __hash__ = SafeStrTuple.__hash__


def test_of_two_own_equalities_the_other_operand_decides():
    assert Never("a") != SafeStrTuple("a")
    assert SafeStrTuple("a") != Never("a")
    assert NonEmptySafeStrTuple("a") != Never("a")


@pytest.mark.parametrize("cls", [SafeStrTuple, NonEmptySafeStrTuple])
def test_the_hash_is_that_of_the_plain_tuple(cls):
    assert hash(cls("a", "b")) == hash(("a", "b"))


def test_a_plain_tuple_finds_the_entry_of_a_plain_dict():
    assert {SafeStrTuple("a"): 1}[("a",)] == 1
    assert {("a", "b"): 1}[NonEmptySafeStrTuple("a", "b")] == 1


def test_a_bare_string_is_equal_but_hashes_differently():
    assert hash(SafeStrTuple("a")) != hash("a")
    assert "a" not in {SafeStrTuple("a"): 1}
