"""Sub-dictionaries: live views of the items under a prefix."""

from __future__ import annotations

from typing import Any

import pytest

from persidict.testing._fixtures import AnyDict, Make, needs
from persidict.testing._reading import Filled


class Subdicts(Filled):
    """`get_subdict` and `subdicts`."""

    @needs("has_subdicts", "keeps")
    def test_subdict_holds_what_is_under_the_prefix(self, filled: AnyDict) -> None:
        """Its keys are those of the parent under the prefix, without it."""
        sub = filled.get_subdict("a")
        assert type(sub) is type(filled)
        assert dict(sub.items()) == {("b",): self.value(1)}
        assert len(sub) == 1
        assert sub.timestamp("b") == filled.timestamp(("a", "b"))
        assert sub.etag("b") == filled.etag(("a", "b"))
        assert sub.get_with_etag("b") == filled.get_with_etag(("a", "b"))

    @needs("has_subdicts", "keeps")
    def test_subdict_is_a_live_view(self, d: AnyDict) -> None:
        """Writes are seen both ways, in whatever order parent and view were used."""
        sub = d.get_subdict(("x", "y"))
        assert not sub
        d["x", "y", "one"] = self.value(1)
        sub["two"] = self.value(2)
        assert {*sub} == {("one",), ("two",)}
        assert d["x", "y", "two"] == sub["two"] == self.value(2)
        assert d["x", "y", "one"] == sub["one"] == self.value(1)
        assert len(d) == 2

    @needs("has_subdicts", "keeps")
    def test_subdicts_nest(self, d: AnyDict) -> None:
        """A view of a view is the view of the longer prefix."""
        d["a", "b", "c"] = self.value(1)
        nested, direct = d.get_subdict("a").get_subdict("b"), d.get_subdict(["a", "b"])
        assert dict(nested.items()) == dict(direct.items()) == {("c",): self.value(1)}
        nested["d"] = self.value(2)
        assert direct["d"] == d["a", "b", "d"] == self.value(2)

    @needs("has_subdicts", "keeps")
    def test_subdict_of_the_empty_prefix(self, filled: AnyDict, model: dict[Any, Any]) -> None:
        """The view of everything equals the whole."""
        prefixes: tuple[Any, ...] = ((), [])
        for prefix in prefixes:
            assert dict(filled.get_subdict(prefix).items()) == model

    @needs("has_subdicts")
    def test_subdict_of_an_unknown_prefix(self, d: AnyDict) -> None:
        """Nobody under a prefix is no error."""
        sub = d.get_subdict(("no", "such"))
        assert not sub
        assert list(sub) == []
        assert len(sub) == 0
        assert sub.random_key() is None
        assert not d

    @needs("has_subdicts", "typed")
    def test_subdict_inherits_the_settings(self, make: Make) -> None:
        """What holds for the parent holds for the view."""
        d = make(base_class_for_values=str)
        sub = d.get_subdict("a")
        for name in ("append_only", "base_class_for_values", "serialization_format"):
            assert getattr(sub, name) == getattr(d, name)
        with pytest.raises(TypeError):
            sub["k"] = 5
        assert not d

    @needs("has_subdicts", "keeps")
    def test_all_subdicts(self, filled: AnyDict) -> None:
        """There is a view for the first component of every key."""
        views = filled.subdicts()
        assert set(views) == {"a", "c", "f"}
        assert {name: len(view) for name, view in views.items()} == {"a": 1, "c": 1, "f": 0}
        assert views["c"]["d", "e"] == self.value(2)

    @needs("has_subdicts")
    def test_no_subdicts(self, d: AnyDict) -> None:
        """An empty dictionary has no views to list."""
        assert d.subdicts() == {}

    @needs("has_subdicts", "keeps")
    @pytest.mark.parametrize("prefix", [5.0, "", "a/b", ("a", ""), None, b"a"], ids=repr)
    def test_bad_prefixes(self, d: AnyDict, prefix: Any) -> None:
        """What cannot begin a key is refused."""
        with pytest.raises((TypeError, ValueError)):
            d.get_subdict(prefix)


class MutableSubdicts(Filled):
    """Sub-dictionaries of dictionaries in which items may change."""

    @needs("has_subdicts")
    def test_clearing_a_subdict(self, filled: AnyDict) -> None:
        """Only the items under the prefix go, and the view stays connected."""
        sub = filled.get_subdict("a")
        sub.clear()
        assert not sub
        assert {*filled} == {("a",), ("c", "d", "e"), ("f",)}
        filled["a", "new"] = self.value(1)
        assert list(sub) == [("new",)]
        sub["back"] = self.value(2)
        assert filled["a", "back"] == self.value(2)

    @needs("has_subdicts")
    def test_removals_are_seen_both_ways(self, filled: AnyDict) -> None:
        """An item that is removed on one side is gone on the other."""
        sub = filled.get_subdict("c")
        del sub["d", "e"]
        assert ("c", "d", "e") not in filled
        filled["c", "d"] = self.value(1)
        assert sub.pop("d") == self.value(1)
        assert ("c", "d") not in filled
        assert not sub

    @needs("has_subdicts")
    def test_views_outlive_their_items(self, d: AnyDict) -> None:
        """However often everything under a prefix is removed, an old view sees what comes next."""
        sub = d.get_subdict(("a", "b"))
        for n in range(150):
            d["a", "b", "k"] = self.value(n)
            assert sub.discard("k") is True
        d.clear()
        d["a", "b", "k"] = self.value(1)
        assert sub["k"] == self.value(1)
