"""Reading, listing and inserting: what every dictionary does, whatever it forbids."""

from __future__ import annotations

import copy
import operator
import pickle
import random
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import islice
from typing import Any

import pytest

from persidict.jokers_and_status_flags import DELETE_CURRENT, KEEP_CURRENT
from persidict.persi_dict import PersiDict
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._fixtures import AnyDict, DictFixtures, Make, needs

KEYS = (("a",), ("a", "b"), ("c", "d", "e"), ("f",))


class Filled(DictFixtures):
    """Adds a dictionary that holds something."""

    @pytest.fixture
    def model(self) -> dict[Any, Any]:
        """Return what `filled` holds."""
        return {NonEmptySafeStrTuple(key): self.value(n) for n, key in enumerate(KEYS)}

    @pytest.fixture
    def filled(self, d: AnyDict, model: dict[Any, Any]) -> AnyDict:
        """Return a dictionary of a few items, written one by one."""
        for key, value in model.items():
            d[key] = value
        return d


class Reading(Filled):
    """Items, and listings of them."""

    @needs("keeps")
    def test_what_is_stored_comes_back(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """Each item is there, equal to what was stored and of the same type."""
        for key, value in model.items():
            assert key in filled
            assert filled[key] == value
            assert type(filled[key]) is type(value)
            assert filled.get(key) == filled.get(key, "default") == value

    @needs("keeps", "any_value")
    @pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 1.5, "text"], ids=repr)
    def test_false_values_are_values(self, d: AnyDict, value: Any) -> None:
        """An item that holds nothing much exists all the same."""
        d["k"] = value
        assert "k" in d
        assert d["k"] == d.get("k", "default") == d.setdefault("k", "default") == value
        assert type(d["k"]) is type(value)
        assert list(d.items()) == [(NonEmptySafeStrTuple("k"), value)]

    def test_what_is_absent(self, d: AnyDict) -> None:
        """An absent item raises `KeyError`, except where a default stands in for it."""
        for read in (d.__getitem__, d.timestamp, d.etag):
            with pytest.raises(KeyError):
                read(("no", "such", "key"))
        assert "absent" not in d
        assert d.get("absent") is None
        marker = object()
        assert d.get("absent", marker) is marker

    def test_emptiness(self, d: AnyDict) -> None:
        """An empty dictionary is false, and so is everything that is listed from it."""
        assert not d
        assert len(d) == 0
        assert list(d) == list(d.keys()) == list(d.values()) == list(d.items()) == []
        assert list(d.items_and_timestamps()) == []
        assert d.random_key() is None
        assert d.oldest_keys() == d.newest_keys() == d.oldest_values() == d.newest_values() == []

    @needs("keeps")
    def test_length_and_truth(self, filled: AnyDict) -> None:
        """`len` counts the items; one item makes it true."""
        assert len(filled) == len(KEYS)
        assert bool(filled) is True

    @needs("keeps")
    def test_listings_agree(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """Keys, values, items and timestamps tell the same, in the same order."""
        items = list(filled.items())
        stamps = [filled.timestamp(key) for key, _ in items]
        assert dict(items) == model
        assert list(filled) == list(filled.keys()) == [key for key, _ in items]
        assert list(filled.values()) == [value for _, value in items]
        assert list(filled.keys_and_timestamps()) == [
            (key, stamp) for (key, _), stamp in zip(items, stamps, strict=True)
        ]
        assert list(filled.values_and_timestamps()) == [
            (value, stamp) for (_, value), stamp in zip(items, stamps, strict=True)
        ]
        assert list(filled.items_and_timestamps()) == [
            (*item, stamp) for item, stamp in zip(items, stamps, strict=True)
        ]

    @needs("keeps")
    @pytest.mark.parametrize(
        "listing",
        ["__iter__", "keys", "values", "items", "keys_and_timestamps", "items_and_timestamps"],
    )
    def test_listings_are_iterators(self, filled: AnyDict, listing: str) -> None:
        """Each call gives a fresh iterator for one pass, not a view."""
        first, second = getattr(filled, listing)(), getattr(filled, listing)()
        assert isinstance(first, Iterator)
        assert iter(first) is first
        assert len(list(first)) == len(list(second)) == len(KEYS)
        assert list(first) == []

    @needs("keeps", "any_value")
    def test_nothing_is_shared_with_the_store(self, d: AnyDict) -> None:
        """Changing an object that went in or came out changes nothing that is stored."""
        value = {"list": [1]}
        d["k"] = value
        d["other"] = {"list": [1]}
        came_out = [value, d["k"], d.get("k"), next(v for k, v in d.items() if k == "k")]
        came_out += [d.setdefault("k", None), *d.oldest_values(max_n=2)]
        for each in came_out:
            each["list"].append(2)
        assert d["k"] == d["other"] == {"list": [1]}

    @needs("keeps")
    def test_random_key(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """Every key is drawn some time; the seed of the global generator decides."""
        random.seed(1)
        drawn = [filled.random_key() for _ in range(60)]
        random.seed(1)
        assert [filled.random_key() for _ in range(60)] == drawn
        assert {key for key in drawn if key is not None} == set(model)

    @needs("keeps")
    def test_text_of_a_dictionary(self, filled: AnyDict) -> None:
        """`repr` and `str` show how the object was made, and read nothing."""
        assert str(filled) == repr(filled)
        assert repr(filled).startswith(type(filled).__name__ + "(")
        shown = [f"{name}={value!r}" for name, value in filled.get_params().items()]
        assert repr(filled) == f"{type(filled).__name__}({', '.join(shown)})"

    @needs("keeps", "cross_handle")
    def test_handles_see_one_storage(self, make: Make, model: dict[Any, Any]) -> None:
        """What one handle writes, another one on the same storage reads and lists."""
        one, two = make(), make()
        for key, value in model.items():
            one[key] = value
        assert dict(two.items()) == model
        assert all(two[key] == value for key, value in model.items())
        assert len(two) == len(model)
        assert {key: two.timestamp(key) for key in model} == {
            key: one.timestamp(key) for key in model
        }


class Inserting(Filled):
    """Writing where nothing was, and what cannot be written at all."""

    @needs("keeps")
    def test_etags(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """An etag is a string, stable, of one item, and what conditional operations report."""
        etags = [filled.etag(key) for key in model]
        assert all(isinstance(etag, str) and etag for etag in etags)
        assert [filled.etag(key) for key in model] == etags
        assert [filled.get_with_etag(key).actual_etag for key in model] == etags
        filled["another"] = self.value(9)
        assert [filled.etag(key) for key in model] == etags

    def test_keep_current_changes_nothing(self, d: AnyDict) -> None:
        """`KEEP_CURRENT` is no error, whether there is an item or not."""
        d["absent"] = KEEP_CURRENT
        d.update({"absent": KEEP_CURRENT})
        assert not d

    @needs("keeps")
    def test_keep_current_keeps(self, d: AnyDict) -> None:
        """`KEEP_CURRENT` leaves value, etag and timestamp of an item alone."""
        d["k"] = self.value(1)
        before = (d["k"], d.etag("k"), d.timestamp("k"))
        d["k"] = KEEP_CURRENT
        assert (d["k"], d.etag("k"), d.timestamp("k")) == before

    @needs("keeps")
    def test_setdefault(self, d: AnyDict) -> None:
        """The first default is stored and returned as it is, later ones are not."""
        first = self.value(1)
        assert d.setdefault("k", first) is first
        etag = d.etag("k")
        assert d.setdefault("k", self.value(2)) == d["k"] == first
        assert d.etag("k") == etag

    @needs("keeps", "any_value")
    def test_setdefault_of_nothing(self, d: AnyDict) -> None:
        """Without a default, `None` is stored."""
        assert d.setdefault("k") is None
        assert d["k"] is None
        assert "k" in d

    @needs("keeps")
    @pytest.mark.parametrize("joker", [KEEP_CURRENT, DELETE_CURRENT], ids=repr)
    def test_setdefault_refuses_jokers(self, d: AnyDict, joker: Any) -> None:
        """A joker is no default, whether the key exists or not."""
        d["present"] = self.value(1)
        for key in ("present", "absent"):
            with pytest.raises(TypeError):
                d.setdefault(key, joker)
        assert list(d) == [("present",)]
        assert d["present"] == self.value(1)

    @needs("keeps")
    def test_update(self, d: AnyDict) -> None:
        """`update` takes what `dict.update` takes."""

        class Keyed:
            def keys(self) -> list[str]:
                return ["from_keys"]

            def __getitem__(_, key: str) -> Any:  # noqa: N805 - `self` is the suite
                return self.value(1)

        assert d.update({"from_mapping": self.value(2)}, from_keyword=self.value(3)) is None
        d.update([(NonEmptySafeStrTuple("from", "pairs"), self.value(4))])
        d.update(Keyed())
        d.update(other=self.value(5), self=self.value(6))
        d.update()
        wanted = {"from_keys": 1, "from_mapping": 2, "from_keyword": 3, "other": 5, "self": 6}
        assert len(d) == len(wanted) + 1
        assert all(d[key] == self.value(n) for key, n in wanted.items())
        assert d["from", "pairs"] == self.value(4)

    @needs("keeps")
    def test_update_with_operator(self, d: AnyDict) -> None:
        """`|=` takes mappings and keeps the object; there is no `|`."""
        same = d
        d |= {"a": self.value(1)}
        assert d is same
        assert d["a"] == self.value(1)
        for no_mapping in ([("b", self.value(2))], 5, None):
            with pytest.raises(TypeError):
                d |= no_mapping
        with pytest.raises(TypeError):
            operator.or_(d, {"b": self.value(2)})
        assert list(d) == [("a",)]

    def test_refuses_dictionaries_as_values(self, d: AnyDict, make: Make) -> None:
        """A persistent dictionary cannot be an item."""
        other = make()
        for write in (d.__setitem__, lambda key, value: d.update({key: value})):
            with pytest.raises(TypeError):
                write("k", other)
        assert not d

    @needs("keeps", "any_value")
    def test_values_that_cannot_be_stored(self, d: AnyDict) -> None:
        """What has no stored form is an error at once, and leaves nothing behind."""
        with pytest.raises(NoStoredFormError):
            d["k"] = {"deep": [NoStoredForm()]}
        assert "k" not in d
        assert list(d) == []
        d["k"] = self.value(1)
        assert d["k"] == self.value(1)


class NoStoredFormError(Exception):
    """Raised by an object that refuses to be stored."""


class NoStoredForm:
    """An object that can be neither pickled nor copied nor turned to JSON."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NoStoredFormError

    def __getstate__(self) -> Any:
        raise NoStoredFormError


class Objects(Filled):
    """A dictionary as a Python object."""

    def test_is_a_mapping(self, d: AnyDict) -> None:
        """The standard library knows it as a mutable mapping."""
        assert isinstance(d, PersiDict)
        assert isinstance(d, MutableMapping)
        assert issubclass(type(d), Mapping)
        d.__dict__["anything"] = 1
        assert d.anything == 1  # type: ignore[attr-defined]

    def test_is_not_hashable_nor_reversible(self, d: AnyDict) -> None:
        """Its content changes, and it has no order."""
        for refused in (hash, reversed):
            with pytest.raises(TypeError):
                refused(d)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_refuses_to_be_pickled(self, d: AnyDict, protocol: int) -> None:
        """A handle does not travel; its parameters do."""
        with pytest.raises(TypeError):
            pickle.dumps(d, protocol)
        with pytest.raises(TypeError):
            d.__setstate__({})

    def test_refuses_to_be_copied_deeply(self, d: AnyDict) -> None:
        """There is one storage, and no second one to copy it to."""
        with pytest.raises(TypeError):
            copy.deepcopy(d)

    @needs("reopens")
    def test_copies_are_handles(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """A copy is another object over the same storage."""
        twin = copy.copy(filled)
        assert twin is not filled
        assert type(twin) is type(filled)
        assert twin.get_params() == filled.get_params()
        if self.keeps:
            twin["new"] = self.value(9)
            assert filled["new"] == self.value(9)

    def test_parameters(self, d: AnyDict) -> None:
        """Parameters are sorted by name, and tell what the object is."""
        parameters = d.get_params()
        assert list(parameters) == sorted(parameters)
        for name in ("append_only", "base_class_for_values", "serialization_format"):
            assert parameters.get(name, getattr(d, name)) == getattr(d, name)
        assert d.serialization_format == self.serialization_format
        assert d.append_only is (self.policy.insert_only)
        with pytest.raises(AttributeError):
            d.append_only = not d.append_only  # type: ignore[misc]

    @needs("reopens")
    def test_parameters_reopen_the_storage(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """The class and its parameters lead to the same items."""
        twin = type(filled)(**filled.get_params())
        assert twin.get_params() == filled.get_params()
        if self.keeps:
            assert dict(twin.items()) == model

    @needs("keeps")
    def test_equality(self, filled: AnyDict, model: dict[Any, Any], make: Make) -> None:
        """It equals every mapping with the same items, and nothing else."""
        plain = {key.strings: value for key, value in model.items()}
        assert filled == filled
        assert filled == plain
        assert plain == filled
        assert (filled != plain) is False
        first = next(iter(plain))
        others: list[Any] = [
            {},
            plain | {first: self.value(9)},
            plain | {"more": self.value(9)},
            {key: value for key, value in plain.items() if key != first},
            {key: value for key, value in plain.items() if key != first} | {"x": plain[first]},
            {key: value for key, value in plain.items() if key != first} | {5: plain[first]},
        ]
        assert [other for other in others if filled == other or (filled != other) is False] == []
        assert filled != list(plain.items())
        assert filled != 5

    @needs("keeps", "cross_handle")
    def test_equality_of_handles(self, filled: AnyDict, make: Make) -> None:
        """Two handles on one storage are equal."""
        assert filled == make()
        assert (filled != make()) is False

    @needs("keeps")
    def test_lists_lazily(self, filled: AnyDict) -> None:
        """The first keys come without a full listing, and a half-used iterator does no harm."""
        assert len(list(islice(filled.keys(), 2))) == 2
        assert len(filled) == len(KEYS)
