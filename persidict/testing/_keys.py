"""Keys: which spellings address one item, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from persidict.jokers_and_status_flags import DELETE_CURRENT, KEEP_CURRENT
from persidict.safe_chars import get_safe_chars
from persidict.safe_str_tuple import NonEmptySafeStrTuple, SafeStrTuple
from persidict.testing._conditional import BAD_KEYS, accepted
from persidict.testing._fixtures import AnyDict, DictFixtures, needs

READERS: dict[str, Callable[[AnyDict, Any], Any]] = {
    "in": lambda d, key: key in d,
    "[]": lambda d, key: d[key],
    "get": lambda d, key: d.get(key),
    "etag": lambda d, key: d.etag(key),
    "timestamp": lambda d, key: d.timestamp(key),
}
INSERTERS: dict[str, Callable[[AnyDict, Any, Any], Any]] = {
    "[]=": lambda d, value, key: d.__setitem__(key, value),
    "setdefault": lambda d, value, key: d.setdefault(key, value),
    "update": lambda d, value, key: d.update([(key, value)]),
}
REMOVERS: dict[str, Callable[[AnyDict, Any], Any]] = {
    "del": lambda d, key: d.__delitem__(key),
    "pop": lambda d, key: d.pop(key),
    "pop with default": lambda d, key: d.pop(key, None),
    "discard": lambda d, key: d.discard(key),
    "delete_if_exists": lambda d, key: d.delete_if_exists(key),
    "transform_item": lambda d, key: d.transform_item(key, transformer=lambda value: value),
}

SPELLINGS: tuple[Any, ...] = (
    ("a", "b"),
    ["a", "b"],
    [["a"], ("b",)],
    SafeStrTuple("a", "b"),
    NonEmptySafeStrTuple("a", "b"),
)

ODD_KEYS = (
    "...",
    ".hidden",
    "a.pkl",
    "a.json",
    "~t=1",
    "-",
    "()",
    "k_with",
    "a" * 200,
    "CON.x",
    ("d", "d", "d", "d", "d", "d"),
    "".join(sorted(get_safe_chars())),
)


class Keys(DictFixtures):
    """What is a key, and what is not."""

    @needs("keeps")
    def test_spellings_of_a_key(self, d: AnyDict) -> None:
        """Tuples, lists and key objects with the same components address the same item."""
        d["a", "b"] = self.value(1)
        for spelling in SPELLINGS:
            assert spelling in d
            assert d[spelling] == d.get(spelling) == self.value(1)
            assert d.timestamp(spelling) == d.timestamp(("a", "b"))
            assert d.get_with_etag(spelling) == d.get_with_etag(("a", "b"))
            assert d.setdefault(spelling, self.value(2)) == self.value(1)

    @needs("keeps")
    def test_odd_keys_are_kept(self, d: AnyDict) -> None:
        """Whatever is legal in a key comes back from a listing as it went in."""
        for key in ODD_KEYS:
            d[key] = self.value(1)
            assert d[key] == self.value(1)
        assert {*d} == {SafeStrTuple(key) for key in ODD_KEYS}
        assert len(d) == len(ODD_KEYS)

    @needs("keeps")
    def test_keys_of_different_lengths_and_cases(self, d: AnyDict) -> None:
        """A key and its extension are two items, and so are "a" and "A"."""
        keys = ["a", ("a", "b"), ("a", "b", "c"), "A", ("a", "B"), ("b", "a"), "a.a"]
        for n, key in enumerate(keys):
            d[key] = self.value(n)
        assert {key: d[key] for key in d} == {
            SafeStrTuple(key): self.value(n) for n, key in enumerate(keys)
        }

    @pytest.mark.parametrize("reader", READERS)
    def test_readers_refuse_bad_keys(self, d: AnyDict, reader: str) -> None:
        """What is not a key is an error and not merely absent."""
        assert accepted(lambda key: READERS[reader](d, key), BAD_KEYS) == []

    @pytest.mark.parametrize("inserter", INSERTERS)
    def test_inserters_refuse_bad_keys(self, d: AnyDict, inserter: str) -> None:
        """Nothing is stored under what is not a key, and nothing is kept or deleted either."""
        insert = INSERTERS[inserter]
        for value in (self.value(1), KEEP_CURRENT, DELETE_CURRENT):
            assert accepted(partial(insert, d, value), BAD_KEYS) == []
        assert not d

    @pytest.mark.parametrize("remover", REMOVERS)
    def test_removers_refuse_bad_keys(self, d: AnyDict, remover: str) -> None:
        """Nothing can be removed under what is not a key."""
        assert accepted(lambda key: REMOVERS[remover](d, key), BAD_KEYS) == []

    @pytest.mark.parametrize("reader", ["[]", "etag", "timestamp"])
    def test_key_errors_carry_the_key(self, d: AnyDict, reader: str) -> None:
        """`KeyError` tells which key is absent, as a key and not as a message."""
        for key in ("absent", ("a", "b")):
            with pytest.raises(KeyError) as caught:
                READERS[reader](d, key)
            assert caught.value.args == (NonEmptySafeStrTuple(key),)
            assert isinstance(caught.value.args[0], NonEmptySafeStrTuple)

    @needs("keeps")
    def test_listed_keys_are_keys(self, d: AnyDict) -> None:
        """What a listing yields can be used as a key, and equals the tuple of its parts."""
        d["a", "b"] = self.value(1)
        listed = [next(d.keys()), next(iter(d)), next(d.items())[0], d.random_key()]
        listed += [*d.oldest_keys(), *d.newest_keys(), next(d.keys_and_timestamps())[0]]
        for key in listed:
            assert isinstance(key, SafeStrTuple)
            assert key == ("a", "b")
            assert d[key] == self.value(1)
