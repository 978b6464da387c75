"""Kinds of keys of one's own: with a constructor that takes what suits them."""

import copy
import pickle

import pytest

from persidict import FileDirDict, NonEmptySafeStrTuple, SafeStrTuple


class Reading(NonEmptySafeStrTuple):
    """A key with a constructor of its own, which says what the components are."""

    def __init__(self, city, /, *, year, unit="C"):
        self.unit = unit
        super().__init__("reading", city, [str(year)])


class Place(SafeStrTuple):
    """The same on the class that may be empty, with slots."""

    __slots__ = ("depth",)

    def __init__(self, *parts, depth):
        super().__init__(*parts[:depth])
        self.depth = depth


class Nested(Reading):
    """A subclass of a subclass, with yet another constructor."""

    def __init__(self, year):
        super().__init__("oslo", year=year)


KEYS = [
    (Reading("berlin", year=2025), ("reading", "berlin", "2025")),
    (Place("a", "b", "c", depth=2), ("a", "b")),
    (Nested(1999), ("reading", "oslo", "1999")),
]
each = pytest.mark.parametrize(("key", "strings"), KEYS, ids=["Reading", "Place", "Nested"])


@each
def test_the_constructor_decides_on_the_components(key, strings):
    assert key.strings == strings
    assert key == strings
    assert hash(key) == hash(strings)
    assert repr(key) == f"{type(key).__name__}({strings!r})"


@each
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_keep_class_components_and_attributes(key, strings, protocol):
    hash(key)  # a hash of strings is good in one process only, and must stay there
    copied = pickle.loads(pickle.dumps(key, protocol))
    assert type(copied) is type(key)
    assert copied.strings == strings
    assert {name: getattr(copied, name, None) for name in ("unit", "depth")} == {
        name: getattr(key, name, None) for name in ("unit", "depth")
    }
    assert b"_hash" not in pickle.dumps(key, protocol)


@each
def test_what_is_made_of_them_is_plain(key, strings):
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert type(key + "x") is type("x" + key) is type(reversed(key)) is SafeStrTuple
    assert key + "x" == (*strings, "x")
    assert key[1:] == strings[1:]
    assert type(key[1:]) is tuple


@each
def test_they_address_items(tmp_path, key, strings):
    d = FileDirDict(tmp_path)
    d[key] = 1
    assert d[strings] == d[key] == 1


def test_the_plain_constructor_checks_for_them():
    with pytest.raises(ValueError):
        Reading("a/b", year=1)
    with pytest.raises(TypeError):
        Reading("a", year=1, no_such_argument=2)

    class Empty(NonEmptySafeStrTuple):
        def __init__(self):
            super().__init__()

    with pytest.raises(ValueError):
        Empty()


def test_components_that_are_not_set_yet_are_a_clear_error():
    class Early(SafeStrTuple):
        def __init__(self):
            len(self)

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        Early()


def test_plain_keys_pickle_as_they_always_did():
    """By class and components: others read them."""
    assert SafeStrTuple("a", "b").__reduce__()[:2] == (SafeStrTuple, ("a", "b"))
    assert NonEmptySafeStrTuple("a").__reduce__()[:2] == (NonEmptySafeStrTuple, ("a",))
