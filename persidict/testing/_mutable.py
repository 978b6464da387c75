"""Overwriting and removing: dictionaries in which items may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persidict.jokers_and_status_flags import (
    ANY_ETAG,
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._fixtures import AnyDict, Make, needs, overwrite
from persidict.testing._reading import KEYS, Filled

_ANY: Any = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
WAYS_TO_REMOVE: dict[str, Callable[[AnyDict, Any], Any]] = {
    "del": lambda d, key: d.__delitem__(key),
    "discard": lambda d, key: d.discard(key),
    "pop": lambda d, key: d.pop(key),
    "popitem": lambda d, _: d.popitem(),
    "clear": lambda d, _: d.clear(),
    "DELETE_CURRENT": lambda d, key: d.__setitem__(key, DELETE_CURRENT),
    "discard_item_if": lambda d, key: d.discard_item_if(key, **_ANY),
    "set_item_if": lambda d, key: d.set_item_if(key, value=DELETE_CURRENT, **_ANY),
    "transform_item": lambda d, key: d.transform_item(key, transformer=lambda _: DELETE_CURRENT),
}


class Overwriting(Filled):
    """A later write takes the place of an earlier one."""

    def test_the_last_write_stays(self, d: AnyDict) -> None:
        """An item has the value that was written last, and is still one item."""
        etags = set()
        for n in range(5):
            d["k"] = self.value(n)
            etags.add(d.etag("k"))
            assert d["k"] == self.value(n)
        assert len(d) == 1
        assert len(etags) == 5

    def test_writing_the_same_value_again(self, d: AnyDict) -> None:
        """Repeating a write is no error and leaves the item readable."""
        d["k"] = self.value(1)
        d["k"] = self.value(1)
        assert d["k"] == self.value(1)
        assert d.etag("k") == d.get_with_etag("k").actual_etag

    def test_items_are_independent(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """Writing one item leaves value, etag and timestamp of the others alone."""
        first, *others = model
        before = [(filled[k], filled.etag(k), filled.timestamp(k)) for k in others]
        filled[first] = self.value(9)
        assert [(filled[k], filled.etag(k), filled.timestamp(k)) for k in others] == before

    @pytest.mark.parametrize("assign", ["[]=", "update"])
    def test_delete_current_deletes(self, d: AnyDict, assign: str) -> None:
        """`DELETE_CURRENT` removes the item, and is no error when it is absent."""
        d["k"] = self.value(1)
        for _ in range(2):
            if assign == "[]=":
                d["k"] = DELETE_CURRENT
            else:
                d.update({"k": DELETE_CURRENT, "l": KEEP_CURRENT})
            assert "k" not in d
            assert not d

    @needs("cross_handle")
    def test_handles_see_overwrites_and_removals(self, make: Make) -> None:
        """A change through one handle is what the other one reads, also when it had read before."""
        one, two = make(), make()
        for n in range(3):
            one["k"] = self.value(n)
            assert two["k"] == two.get("k") == next(two.values()) == self.value(n)
            assert two.get_with_etag("k").new_value == self.value(n)
            two["k"] = self.value(n + 10)
            assert one["k"] == self.value(n + 10)
        del two["k"]
        assert "k" not in one
        assert one.get("k") is None
        with pytest.raises(KeyError):
            one["k"]

    @needs("cross_handle", "fresh_etag")
    def test_handles_see_new_etags(self, make: Make) -> None:
        """The etag of an item is the same through every handle."""
        one, two = make(), make()
        for n in range(3):
            one["k"] = self.value(n)
            assert two.etag("k") == one.etag("k") == one.get_with_etag("k").actual_etag

    @needs("shared_by_formats", "any_value")
    def test_formats_do_not_see_each_other(self, make: Make) -> None:
        """Handles of different formats share a storage and no item."""
        one, two = (make(serialization_format=each) for each in ("json", "pkl"))
        one["k"], two["k"], two["only"] = self.value(1), self.value(2), self.value(3)
        assert dict(one.items()) == {("k",): self.value(1)}
        assert (one["k"], two["k"], two["only"]) == tuple(self.value(n) for n in (1, 2, 3))
        assert "only" not in one
        assert one.discard("only") is False
        assert one.setdefault("only", self.value(4)) == self.value(4)
        assert two["only"] == self.value(3)
        one.clear()
        assert not one
        assert two["k"] == self.value(2)
        assert len(two) == 2


class Removing(Filled):
    """`del`, `discard`, `pop`, `popitem`, `clear`."""

    def test_del(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """A removed item is gone from every reader and every listing."""
        for key in model:
            del filled[key]
            assert key not in filled
            assert filled.get(key) is None
            assert key not in set(filled)
            for read in (filled.__getitem__, filled.etag, filled.timestamp):
                with pytest.raises(KeyError):
                    read(key)
        assert not filled

    @pytest.mark.parametrize("way", WAYS_TO_REMOVE)
    def test_removed_items_have_no_etag(self, d: AnyDict, way: str) -> None:
        """However an item is removed, the first look finds no version of it."""
        d["k"] = self.value(1)
        assert d.etag("k")
        WAYS_TO_REMOVE[way](d, "k")
        with pytest.raises(KeyError):
            d.etag("k")

    @needs("reports_absence")
    def test_del_of_what_is_absent(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """`del` says so when there was nothing to remove."""
        with pytest.raises(KeyError) as caught:
            del filled["absent"]
        assert caught.value.args == (NonEmptySafeStrTuple("absent"),)
        assert dict(filled.items()) == model

    @pytest.mark.parametrize("method", ["discard", "delete_if_exists"])
    def test_discard(self, filled: AnyDict, model: dict[Any, Any], method: str) -> None:
        """`discard` tells whether there was something to remove."""
        discard = getattr(filled, method)
        assert discard("absent") is False
        for key in model:
            assert discard(key) is True
            assert discard(key) is False
            assert key not in filled
        assert not filled

    def test_pop(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """`pop` returns the value once, then the default or `KeyError`."""
        for key, value in model.items():
            assert filled.pop(key, "default") == value
            assert filled.pop(key, "default") == "default"
            assert filled.pop(key, None) is None
            with pytest.raises(KeyError) as caught:
                filled.pop(key)
            assert caught.value.args == (key,)
        assert not filled

    def test_pop_takes_one_default(self, d: AnyDict) -> None:
        """Two defaults are one too many, before anything else is looked at."""
        d["k"] = self.value(1)
        with pytest.raises(TypeError):
            d.pop("k", 1, 2)  # type: ignore[call-overload]
        assert d["k"] == self.value(1)

    def test_popitem(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """Each item comes out once, in the order of listing; then `KeyError`."""
        order = list(filled)
        popped = [filled.popitem() for _ in model]
        assert dict(popped) == model
        assert [key for key, _ in popped] == order
        with pytest.raises(KeyError):
            filled.popitem()

    def test_clear(self, filled: AnyDict) -> None:
        """Nothing is left, and the dictionary goes on."""
        filled.clear()
        assert not filled
        assert list(filled) == []
        filled.clear()
        filled["a", "b"] = self.value(1)
        assert len(filled) == 1

    @needs("unique_etags")
    def test_removed_items_can_be_written_again(self, d: AnyDict) -> None:
        """A key can be used again, and its new item is another version."""
        etags = set()
        for _ in range(3):
            d["k"] = self.value(1)
            etags.add(d.etag("k"))
            assert d.pop("k") == self.value(1)
        assert len(etags) == 3

    @needs("one_step")
    def test_removals_do_not_look_first(
        self, filled: AnyDict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No removal is a look with `in` and then an act."""

        def forbidden(self: Any, key: Any) -> bool:
            raise AssertionError(f"asked for {key}")

        monkeypatch.setattr(type(filled), "__contains__", forbidden)
        first, second, third, fourth = filled
        assert filled.discard(first)
        filled.pop(second)
        filled[third] = DELETE_CURRENT
        del filled[fourth]
        assert not filled.discard(first)
        assert filled.pop(first, None) is None
        with pytest.raises(KeyError):
            filled.popitem()

    @needs("cross_handle")
    def test_values_that_vanish_while_listed_are_skipped(self, make: Make) -> None:
        """An item that is removed between listing and reading is left out, without an error."""
        one, two = make(), make()
        for n in range(20):
            one["k", str(n)] = self.value(n)
        listing = one.items()
        seen = {next(listing)[0]}
        two.clear()
        seen |= {key for key, _ in listing}
        assert 1 <= len(seen) <= 20
        assert not one

    def test_items_can_be_removed_while_listed(self, filled: AnyDict) -> None:
        """A loop over the keys may remove them."""
        for key in filled:
            del filled[key]
        assert not filled


class Types(Filled):
    """`base_class_for_values`."""

    @needs("typed", "keeps")
    def test_values_of_another_class_are_not_stored(self, make: Make) -> None:
        """A wrong value is a `TypeError`, and the item stays what it was."""
        d = make(base_class_for_values=str)
        d["k"] = "text"
        writes: list[Any] = [
            lambda: d.__setitem__("k", 5),
            lambda: d.__setitem__("new", 5),
            lambda: d.update(new=5),
            lambda: d.setdefault("new", 5),
            lambda: d.transform_item("new", transformer=lambda _: 5),
        ]
        for write in writes:
            with pytest.raises(TypeError):
                write()
        assert dict(d.items()) == {("k",): "text"}
        assert d.setdefault("k", 5) == "text"

    @needs("typed", "any_value", "keeps")
    def test_instances_of_subclasses_are_values(self, make: Make) -> None:
        """`isinstance` decides."""
        d = make(base_class_for_values=int)
        d["k"] = True
        assert d["k"] is True

    @needs("typed", "any_value", "keeps", "cross_handle")
    def test_values_of_another_class_are_not_returned(self, make: Make) -> None:
        """A stored value of another class is a `TypeError` where it is read, and only there."""
        make()["k"] = "text"
        d = make(base_class_for_values=int)
        reads: list[Any] = [
            lambda: d["k"],
            lambda: d.get("k"),
            lambda: list(d.values()),
            lambda: list(d.items_and_timestamps()),
            lambda: d.get_with_etag("k"),
            lambda: d.setdefault("k", 1),
            lambda: d.transform_item("k", transformer=lambda value: value),
            d.newest_values,
        ]
        for read in reads:
            with pytest.raises(TypeError):
                read()
        assert "k" in d
        assert len(d) == 1
        assert d.random_key() == "k"
        assert list(d.keys_and_timestamps()) == [(NonEmptySafeStrTuple("k"), d.timestamp("k"))]
        assert d.etag("k")

    @needs("typed")
    def test_declared_class_is_kept(self, make: Make) -> None:
        """A handle tells what it holds; something that is no class is refused."""
        assert make(base_class_for_values=str).base_class_for_values is str
        with pytest.raises(TypeError):
            make(base_class_for_values="str")


class Times(Filled):
    """Timestamps, and the oldest and newest items."""

    def test_timestamps(self, d: AnyDict) -> None:
        """A timestamp is a float, stable, and larger after a later write."""
        d["k"] = self.value(1)
        first = d.timestamp("k")
        assert isinstance(first, float)
        assert d.timestamp("k") == first
        overwrite(d, "k", self.value(2))
        assert d.timestamp("k") > first

    def test_oldest_and_newest(self, filled: AnyDict) -> None:
        """They are sorted by the time of the last write."""
        order = [("c", "d", "e"), ("a",), ("f",), ("a", "b")]
        for n, key in enumerate(order):
            latest = max(stamp for _, stamp in filled.keys_and_timestamps())
            while filled.timestamp(key) <= latest:
                filled[key] = self.value(n)
        assert filled.oldest_keys() == order
        assert filled.newest_keys() == order[::-1]
        assert isinstance(filled.oldest_keys(), list)
        assert filled.oldest_keys(max_n=2) == order[:2]
        assert filled.newest_keys(max_n=3) == order[:0:-1]
        assert filled.newest_keys(max_n=99) == filled.oldest_keys(max_n=99)[::-1]
        assert filled.oldest_values() == [self.value(n) for n in range(4)]
        assert filled.newest_values(max_n=1) == [self.value(3)]

    @pytest.mark.parametrize("number", [0, -1, -100])
    def test_none_of_the_oldest(self, filled: AnyDict, number: int) -> None:
        """A number that is not positive asks for nothing."""
        for method in ("oldest_keys", "newest_keys", "oldest_values", "newest_values"):
            assert getattr(filled, method)(max_n=number) == []

    def test_all_keys_are_among_the_oldest(self, filled: AnyDict) -> None:
        """Items written at the same time are all there."""
        assert (
            set(filled.oldest_keys())
            == set(filled.newest_keys())
            == {NonEmptySafeStrTuple(key) for key in KEYS}
        )
