"""Safe string tuples: how they are built and how they behave as sequences."""

import collections
import copy
import pickle
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pytest

from persidict import NonEmptySafeStrTuple, SafeStrTuple
from tests.ids import stable

CLASSES = [SafeStrTuple, NonEmptySafeStrTuple]


class Duck:
    """A sequence by its methods only."""

    def __init__(self, *items):
        self.items = items

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)


class DuckMapping(Duck):
    """The same with keys, so no sequence."""

    def keys(self):
        return []


@Sequence.register
@Mapping.register
class Both(Duck):
    """Registered as a sequence and as a mapping, so a mapping."""


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("arguments", "strings"),
    [
        (("a",), ("a",)),
        (("a", "b"), ("a", "b")),
        ((["a", "b"], "c"), ("a", "b", "c")),
        (((("a",), ["b", ["c", ("d",)]]), "e"), ("a", "b", "c", "d", "e")),
        ((SafeStrTuple("a", "b"), "c"), ("a", "b", "c")),
        ((NonEmptySafeStrTuple("a"), [SafeStrTuple("b")]), ("a", "b")),
        ((collections.deque(["a", "b"]),), ("a", "b")),
        ((np.array(["a", "b"]),), ("a", "b")),
        ((np.array([["a", "b"], ["c", "d"]]),), ("a", "b", "c", "d")),
        ((collections.UserList(["a"]),), ("a",)),
        ((Duck("a", ["b"]),), ("a", "b")),
        (([], "a", ()), ("a",)),
        (("...", ".hidden", "a.b", "~t=1", "(x)-_"), ("...", ".hidden", "a.b", "~t=1", "(x)-_")),
        (("a" * 253,), ("a" * 253,)),
    ],
)
def test_arguments_are_flattened_from_left_to_right(cls, arguments, strings):
    assert cls(*arguments).strings == strings


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "argument",
    [True, None, 1.5, {"a"}, {"a": 1}, {"a": 1}.keys(), iter(["a"]), b"a", range(2), ["a", None]]
    + [
        (c for c in "a"),
        DuckMapping("a"),
        Both("a"),
        collections.UserDict(a=1),
        frozenset("a"),
        object(),
    ],
    ids=stable,
)
def test_what_is_no_sequence_of_strings_is_a_type_error(cls, argument):
    with pytest.raises(TypeError):
        cls(argument)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "component", ["", ".", "..", "a" * 254, "a b", "a/b", "ä", "a\n", "\0", "a\\b", "a:b", "*"]
)
def test_illegal_components_are_value_errors_at_any_depth(cls, component):
    for arguments in [(component,), ("fine", component), (["fine", [component]],)]:
        with pytest.raises(ValueError):
            cls(*arguments)


@pytest.mark.parametrize("cls", CLASSES)
def test_keyword_arguments_are_refused(cls):
    with pytest.raises(TypeError):
        cls("a", name="b")


@pytest.mark.parametrize("arguments", [(), ([],), ((), [[]]), (SafeStrTuple(),)])
def test_only_the_plain_class_may_be_empty(arguments):
    assert SafeStrTuple(*arguments).strings == ()
    with pytest.raises(ValueError):
        NonEmptySafeStrTuple(*arguments)


def test_the_non_empty_class_is_a_subclass():
    assert issubclass(NonEmptySafeStrTuple, SafeStrTuple)


@pytest.mark.parametrize("cls", CLASSES)
def test_it_is_a_hashable_sequence_but_no_tuple(cls):
    t = cls("a")
    assert isinstance(t, Sequence)
    assert isinstance(t, Hashable)
    assert not isinstance(t, tuple)


def test_strings_is_a_plain_tuple_and_str_chain_its_alias():
    t = SafeStrTuple("a", "b")
    assert type(t.strings) is tuple
    assert t.str_chain == t.strings == ("a", "b")
    with pytest.raises(AttributeError):
        t.str_chain = ("c",)


def test_indexing_as_in_a_tuple():
    t = SafeStrTuple("a", "b", "c")
    assert (t[0], t[-1]) == ("a", "c")
    with pytest.raises(IndexError):
        t[3]


def test_a_slice_is_a_plain_tuple():
    t = SafeStrTuple("a", "b", "c")
    assert t[1:] == ("b", "c")
    assert type(t[1:]) is type(t[:0]) is tuple


def test_len_iteration_membership_count_and_index_are_those_of_the_tuple():
    t = SafeStrTuple("a", "b", "a")
    assert (len(t), list(t), t.count("a"), t.index("b")) == (3, ["a", "b", "a"], 2, 1)
    assert "a" in t
    assert "c" not in t
    with pytest.raises(ValueError):
        t.index("c")


def test_reversed_gives_a_tuple_of_the_same_kind():
    assert isinstance(reversed(SafeStrTuple("a", "b")), SafeStrTuple)
    assert reversed(SafeStrTuple("a", "b")) == ("b", "a")


@pytest.mark.parametrize("cls", CLASSES)
def test_repr_names_class_and_components(cls):
    assert repr(cls("a", "b")) == f"{cls.__name__}(('a', 'b'))"
    assert repr(cls("a")) == f"{cls.__name__}(('a',))"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("other", ["b", ("b",), ["b"], SafeStrTuple("b"), [["b"], []]])
def test_addition_takes_what_the_constructor_takes_on_either_side(cls, other):
    assert (cls("a") + other).strings == ("a", "b")
    assert (other + cls("a")).strings == ("b", "a")


def test_sums_are_of_the_plain_class():
    a = NonEmptySafeStrTuple("a")
    assert type(a + a) is type(a + "b") is type("b" + a) is SafeStrTuple


def test_a_sum_is_checked_like_a_constructor():
    with pytest.raises(ValueError):
        SafeStrTuple("a") + "b/c"
    with pytest.raises(TypeError):
        SafeStrTuple("a") + 1.5


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_are_the_object_itself(cls):
    t = cls("a", "b")
    assert copy.copy(t) is t
    assert copy.deepcopy(t) is t
    assert copy.deepcopy([t])[0] is t


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_class_and_equality(cls, protocol):
    copied = pickle.loads(pickle.dumps(cls("a", "b"), protocol))
    assert type(copied) is cls
    assert copied == cls("a", "b")
    assert hash(copied) == hash(("a", "b"))


KEYS_IN_ORDER = ["a", ("a", "B"), ("a", "b"), ("a", "b", "a"), "a.", "aa", "b"]


@pytest.mark.parametrize("cls", CLASSES)
def test_keys_are_ordered_as_tuples_of_their_components(cls):
    keys = [cls(key) for key in KEYS_IN_ORDER]
    assert sorted([*keys[3:], *keys[:3]]) == keys
    assert max(keys) is keys[-1]
    for i, a in enumerate(keys):
        for j, b in enumerate(keys):
            assert (a < b, a <= b, a > b, a >= b) == (i < j, i <= j, i > j, i >= j)


def test_the_order_does_not_ask_for_the_class():
    assert SafeStrTuple() < NonEmptySafeStrTuple("a") < SafeStrTuple("b")
    assert SafeStrTuple("a") <= NonEmptySafeStrTuple("a") <= SafeStrTuple("a")


@pytest.mark.parametrize("other", ["b", ("b",), ["b"], 1, None])
def test_keys_have_no_order_among_other_things(other):
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(SafeStrTuple("a"), compare)(other) is NotImplemented
    with pytest.raises(TypeError):
        SafeStrTuple("a") < other


def test_keys_of_every_dict_can_be_sorted(any_dict):
    for key in ("b", ("a", "b"), "a"):
        any_dict[key] = 1
    assert sorted(any_dict) == ["a", ("a", "b"), "b"]
    assert [key for key, _ in sorted(any_dict.items())] == ["a", ("a", "b"), "b"]


def test_it_cannot_be_changed():
    t = SafeStrTuple("a")
    with pytest.raises(TypeError):
        t[0] = "b"
    with pytest.raises(TypeError):
        del t[0]


def test_later_changes_of_the_source_are_not_seen():
    source = ["a"]
    t = SafeStrTuple(source)
    source.append("b")
    assert t.strings == ("a",)
