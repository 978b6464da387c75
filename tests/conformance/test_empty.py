"""EmptyDict: takes everything, keeps nothing."""

from __future__ import annotations

from typing import Any

import pytest

from persidict import EmptyDict, MutationPolicyError
from persidict.jokers_and_status_flags import (
    ANY_ETAG,
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    OperationResult,
)
from persidict.testing import (
    KEEPS_NOTHING,
    ConditionalArguments,
    ConditionalTable,
    Inserting,
    Lacks,
    Objects,
    Reading,
    Subdicts,
    Types,
)
from persidict.testing._transform import Recorder
from tests.ids import stable

from .backends import Storage


class TestEmpty(
    Reading, Inserting, Objects, Types, Subdicts, ConditionalArguments, ConditionalTable
):
    policy = KEEPS_NOTHING
    keeps = Lacks("whatever is stored in it is gone at once")
    cross_handle = Lacks("there is nothing to see")
    shared = Lacks("there is nothing to share")
    fresh_etag = Lacks("no item has an etag")

    def open(self, storage: Storage, **options: Any) -> EmptyDict[Any]:
        return EmptyDict(**options)

    def test_takes_everything_and_keeps_nothing(self, d: EmptyDict[Any]) -> None:
        """A write is checked and forgotten."""
        d["k"] = self.value(1)
        d.update(a=1, b=2)
        assert not d
        assert "k" not in d
        assert d.setdefault("k", 5) == 5
        assert d.get("k", 6) == 6
        assert list(d.items_and_timestamps()) == []

    @pytest.mark.parametrize("key", [123, (), ("ok", 1), b"x", ""], ids=stable)
    def test_looks_take_any_key(self, d: EmptyDict[Any], key: Any) -> None:
        """Nothing is in it, whatever is asked for; errors carry the key as it was given."""
        assert key not in d
        assert d.get(key, 5) == 5
        assert d.setdefault(key, 5) == 5
        assert d.discard(key) is d.delete_if_exists(key) is False
        assert d.pop(key, 5) == 5
        for look in (d.__getitem__, d.__delitem__, d.etag, d.timestamp, d.pop):
            with pytest.raises(KeyError) as caught:
                look(key)
            assert caught.value.args == (key,)

    @pytest.mark.parametrize("append_only", [False, True])
    def test_removals_find_nothing(self, append_only: bool) -> None:
        """There is nothing to remove, and no policy forbids that."""
        d: EmptyDict[Any] = EmptyDict(append_only=append_only)
        d["a"] = KEEP_CURRENT
        d.clear()
        assert d.discard("a") is False
        assert d.pop("a", 5) == 5
        with pytest.raises(KeyError):
            d.popitem()
        assert d.get_subdict("a").append_only is append_only

    def test_deleting_is_refused_when_append_only(self) -> None:
        """Only `DELETE_CURRENT` is an error, as everywhere."""
        EmptyDict()["a"] = DELETE_CURRENT
        with pytest.raises(MutationPolicyError):
            EmptyDict(append_only=True)["a"] = DELETE_CURRENT

    def test_conditional_writes_check_the_value(self, d: EmptyDict[Any]) -> None:
        """A value that could not be stored is refused, although none is."""
        question: Any = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
        with pytest.raises(TypeError):
            EmptyDict(base_class_for_values=str).set_item_if("k", value=5, **question)
        with pytest.raises(TypeError):
            d.set_item_if("k", value=EmptyDict(), **question)
        result = d.set_item_if("k", value=5, **question)
        assert result.condition_was_satisfied is True
        assert result.value_was_mutated is False

    def test_transformers_are_not_called(self, d: EmptyDict[Any]) -> None:
        """There is nothing to transform."""
        recorder = Recorder(lambda _: 5)
        result = d.transform_item("k", transformer=recorder)
        assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
        assert recorder.given == []
