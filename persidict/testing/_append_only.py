"""Dictionaries in which items never change: append-only and write-once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persidict.exceptions import MutationPolicyError
from persidict.jokers_and_status_flags import DELETE_CURRENT, KEEP_CURRENT
from persidict.testing._fixtures import AnyDict, Make, needs
from persidict.testing._reading import Filled
from persidict.testing._transform import Inserts, Recorder, TransformingAnyPolicy

REMOVALS: dict[str, Callable[[AnyDict, Any], Any]] = {
    "del": lambda d, key: d.__delitem__(key),
    "discard": lambda d, key: d.discard(key),
    "delete_if_exists": lambda d, key: d.delete_if_exists(key),
    "pop": lambda d, key: d.pop(key),
    "pop with default": lambda d, key: d.pop(key, None),
    "popitem": lambda d, _: d.popitem(),
    "clear": lambda d, _: d.clear(),
    "DELETE_CURRENT": lambda d, key: d.__setitem__(key, DELETE_CURRENT),
    "update with DELETE_CURRENT": lambda d, key: d.update([(key, DELETE_CURRENT)]),
}


class Lasting(Filled):
    """What is stored stays, under either policy."""

    @pytest.mark.parametrize("removal", REMOVALS)
    @pytest.mark.parametrize("key", ["absent", ("a",)], ids=repr)
    def test_nothing_is_removed(
        self, filled: AnyDict, model: dict[Any, Any], removal: str, key: Any
    ) -> None:
        """Every removal is refused, also of what is absent."""
        with pytest.raises(MutationPolicyError):
            REMOVALS[removal](filled, key)
        assert dict(filled.items()) == model

    @pytest.mark.parametrize("removal", ["pop", "discard", "popitem", "clear", "del"])
    def test_nothing_is_removed_from_nothing(self, d: AnyDict, removal: str) -> None:
        """An empty dictionary refuses removals as well."""
        with pytest.raises(MutationPolicyError) as caught:
            REMOVALS[removal](d, "absent")
        assert caught.value.policy in ("append-only", "write-once")
        assert isinstance(caught.value, TypeError)

    def test_timestamps_stay(self, d: AnyDict) -> None:
        """An item keeps the time of its only write."""
        d["k"] = self.value(1)
        stamp = d.timestamp("k")
        d.setdefault("k", self.value(2))
        assert isinstance(stamp, float)
        assert d.timestamp("k") == stamp
        assert d.oldest_keys() == d.newest_keys(max_n=3) == [("k",)]
        assert d.oldest_values() == [self.value(1)]

    @needs("cross_handle")
    def test_the_first_of_two_handles_wins(self, make: Make) -> None:
        """An item that one handle has inserted cannot be replaced through another one."""
        one, two = make(), make()
        assert "k" not in two
        one["k"] = self.value(1)
        if self.policy.name == "write-once":
            two["k"] = self.value(2)
        else:
            with pytest.raises(MutationPolicyError):
                two["k"] = self.value(2)
        assert one["k"] == two["k"] == self.value(1)
        assert two.setdefault("k", self.value(3)) == self.value(1)

    @needs("has_subdicts")
    def test_views_keep_the_policy(self, filled: AnyDict) -> None:
        """Nothing can be removed through a sub-dictionary."""
        sub = filled.get_subdict("a")
        assert sub.append_only is True
        for removal in ("del", "discard", "clear", "DELETE_CURRENT"):
            with pytest.raises(MutationPolicyError):
                REMOVALS[removal](sub, "b")
        assert filled["a", "b"] == sub["b"] == self.value(1)


class AppendOnly(Lasting):
    """Items are inserted once, and a second write is an error."""

    def test_nothing_is_overwritten(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """A write to an existing item is refused; the item stays, with its etag."""
        for key, value in model.items():
            etag = filled.etag(key)
            for again in (value, self.value(9)):
                for write in (filled.__setitem__, lambda k, v: filled.update([(k, v)])):
                    with pytest.raises(MutationPolicyError) as caught:
                        write(key, again)
                    assert caught.value.policy == "append-only"
            assert filled[key] == value
            assert filled.etag(key) == etag

    def test_update_goes_as_far_as_it_can(self, d: AnyDict) -> None:
        """`update` is not atomic: what came before the refused item is stored."""
        d["b"] = self.value(0)
        with pytest.raises(MutationPolicyError):
            d.update({"a": self.value(1), "b": self.value(2), "c": self.value(3)})
        assert dict(d.items()) == {("a",): self.value(1), ("b",): self.value(0)}


class AppendOnlyTransforming(TransformingAnyPolicy, Inserts):
    """`transform_item` of append-only dictionaries that have no cache in front."""

    @pytest.mark.parametrize("answer", ["value", "delete"])
    def test_transforming_does_not_change_items(self, d: AnyDict, answer: str) -> None:
        """Neither a new value nor a removal is possible for an item that exists."""
        d["k"] = self.value(1)
        with pytest.raises(MutationPolicyError):
            d.transform_item(
                "k", transformer=lambda _: self.value(2) if answer == "value" else DELETE_CURRENT
            )
        assert d["k"] == self.value(1)


class CachedTransforming(Filled):
    """`transform_item` of append-only dictionaries that have a cache in front."""

    @pytest.mark.parametrize("key", ["absent", ("a",)], ids=repr)
    @pytest.mark.parametrize("answer", [KEEP_CURRENT, DELETE_CURRENT, 5], ids=repr)
    def test_transforming_is_refused(
        self, filled: AnyDict, model: dict[Any, Any], key: Any, answer: Any
    ) -> None:
        """It is refused for every item, and the transformer is not asked."""
        recorder = Recorder(lambda _: answer)
        with pytest.raises(MutationPolicyError):
            filled.transform_item(key, transformer=recorder)
        assert recorder.given == []
        assert dict(filled.items()) == model


class WriteOnce(Lasting, TransformingAnyPolicy):
    """Items are inserted once, and a second write is ignored."""

    def test_the_first_write_stays(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """A write to an existing item is no error and changes nothing."""
        etags = {key: filled.etag(key) for key in model}
        for key in model:
            filled[key] = self.value(9)
            filled.update([(key, self.value(8))])
        filled |= {("a", "b"): self.value(7), "new": self.value(6)}
        assert dict(filled.items()) == model | {("new",): self.value(6)}
        assert {key: filled.etag(key) for key in model} == etags

    @pytest.mark.parametrize("present", [False, True])
    def test_transforming_writes_nothing(self, d: AnyDict, present: bool) -> None:
        """A new value is refused, for absent items too: it would go through `set_item_if`."""
        if present:
            d["k"] = self.value(1)
        with pytest.raises(MutationPolicyError):
            d.transform_item("k", transformer=lambda _: self.value(2))
        assert d.get("k") == (self.value(1) if present else None)
