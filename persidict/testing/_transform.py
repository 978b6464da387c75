"""`transform_item`: read, compute and write back, and lose nobody's update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persidict.exceptions import ConcurrencyConflictError
from persidict.jokers_and_status_flags import (
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    OperationResult,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._fixtures import AnyDict, DictFixtures, Make, needs


class Recorder:
    """A transformer that notes what it was given."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.given: list[Any] = []
        self._answer = answer

    def __call__(self, current: Any, /) -> Any:
        """Note the value, and return the answer."""
        self.given.append(current)
        return self._answer(current)


class TransformingAnyPolicy(DictFixtures):
    """What holds also where items never change."""

    @pytest.fixture
    def no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Do not sleep between the attempts; return the list of the pauses that were due."""
        pauses: list[float] = []
        monkeypatch.setattr("time.sleep", pauses.append)
        return pauses

    def test_keeps_what_is_absent(self, d: AnyDict) -> None:
        """`KEEP_CURRENT` for an absent item is nothing at all."""
        recorder = Recorder(lambda _: KEEP_CURRENT)
        result = d.transform_item("k", transformer=recorder)
        assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
        assert recorder.given == [ITEM_NOT_AVAILABLE]
        assert not d

    def test_keeps_what_is_present(self, d: AnyDict) -> None:
        """`KEEP_CURRENT` returns the item as it is."""
        d["k"] = self.value(1)
        etag = d.get_with_etag("k").actual_etag
        recorder = Recorder(lambda _: KEEP_CURRENT)
        result = d.transform_item("k", transformer=recorder)
        assert result == OperationResult(etag, self.value(1))
        assert recorder.given == [self.value(1)]
        assert d.get_with_etag("k").actual_etag == etag

    @pytest.mark.parametrize("error", [KeyError("k"), ValueError(), KeyboardInterrupt()], ids=repr)
    def test_errors_of_the_transformer_pass(self, d: AnyDict, error: BaseException) -> None:
        """An exception of the transformer is the caller's, and nothing is written."""

        def fail(current: Any, /) -> Any:
            raise error

        d["k"] = self.value(1)
        with pytest.raises(type(error)) as caught:
            d.transform_item("k", transformer=fail)
        assert caught.value is error
        assert d["k"] == self.value(1)

    @pytest.mark.parametrize("retries", ["many", [], object(), "2.5"], ids=lambda x: str(x)[:7])
    def test_the_number_of_retries_is_a_number(self, d: AnyDict, retries: Any) -> None:
        """Something else is refused before anything is read."""
        recorder = Recorder(lambda _: KEEP_CURRENT)
        with pytest.raises(TypeError):
            d.transform_item("k", transformer=recorder, n_retries=retries)
        with pytest.raises(ValueError):
            d.transform_item("k", transformer=recorder, n_retries=-1)
        assert recorder.given == []

    @pytest.mark.parametrize("retries", [0, 1, None, "3", 2.7], ids=repr)
    def test_what_is_a_number_of_retries(self, d: AnyDict, retries: Any) -> None:
        """Whatever `int` takes, and `None` for no end."""
        recorder = Recorder(lambda _: KEEP_CURRENT)
        d.transform_item("k", transformer=recorder, n_retries=retries)
        assert len(recorder.given) == 1


class Inserts(DictFixtures):
    """Inserting through `transform_item`."""

    def test_inserts(self, d: AnyDict) -> None:
        """A value for an absent item is stored."""
        recorder = Recorder(lambda _: self.value(1))
        result = d.transform_item("k", transformer=recorder)
        assert result == OperationResult(d.etag("k"), self.value(1))
        assert recorder.given == [ITEM_NOT_AVAILABLE]
        assert d["k"] == self.value(1)

    def test_deleting_what_is_absent(self, d: AnyDict) -> None:
        """`DELETE_CURRENT` for an absent item is nothing at all."""
        result = d.transform_item("k", transformer=lambda _: DELETE_CURRENT)
        assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
        assert not d


class Transforming(TransformingAnyPolicy, Inserts):
    """`transform_item` where items may change."""

    def test_replaces(self, d: AnyDict) -> None:
        """The transformer's answer takes the place of the value."""
        d["k"] = self.value(1)
        before = d.etag("k")
        recorder = Recorder(lambda _: self.value(2))
        result = d.transform_item("k", transformer=recorder)
        assert recorder.given == [self.value(1)]
        assert result == OperationResult(d.etag("k"), self.value(2))
        assert d["k"] == self.value(2)
        assert d.etag("k") != before

    def test_deletes(self, d: AnyDict) -> None:
        """`DELETE_CURRENT` removes the item."""
        d["k"] = self.value(1)
        result = d.transform_item("k", transformer=lambda _: DELETE_CURRENT)
        assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
        assert "k" not in d
        assert d.get("k") is None

    @needs("any_value")
    def test_transformers_cannot_change_the_store_in_passing(self, d: AnyDict) -> None:
        """What the transformer gets is its own, and what comes back is the caller's."""

        def spoil(current: Any, /) -> Any:
            current["list"].append(2)
            return KEEP_CURRENT

        d["k"] = {"list": [1]}
        d.transform_item("k", transformer=spoil)
        assert d["k"] == {"list": [1]}
        result = d.transform_item("k", transformer=lambda _: {"list": [5]})
        assert isinstance(result.new_value, dict)
        result.new_value["list"].append(6)
        assert d["k"] == {"list": [5]}

    @needs("cross_handle")
    def test_tries_again_with_what_the_other_wrote(
        self, make: Make, no_pauses: list[float]
    ) -> None:
        """After a conflict the transformer sees the value that came in between."""
        d, other = make(), make()
        d["k"] = self.value(0)

        def interfere(current: Any) -> Any:
            if len(recorder.given) <= 3:
                other["k"] = self.value(len(recorder.given))
            return self.value(100)

        recorder = Recorder(interfere)
        result = d.transform_item("k", transformer=recorder)
        assert recorder.given == [self.value(n) for n in range(4)]
        assert result == OperationResult(d.get_with_etag("k").actual_etag, self.value(100))
        assert other["k"] == self.value(100)
        bounds = [(0.01 * 1.75**n, 0.2 * 1.75**n) for n in range(3)]
        assert len(no_pauses) == 3
        assert all(low <= p <= high for p, (low, high) in zip(no_pauses, bounds, strict=True))

    @needs("cross_handle")
    @pytest.mark.parametrize("answer", ["value", "delete"])
    @pytest.mark.parametrize("retries", [0, 2])
    def test_gives_up(self, make: Make, no_pauses: list[float], retries: int, answer: str) -> None:
        """After so many retries the conflict is an error, and the other's value stays."""
        d, other = make(), make()
        d["k"] = self.value(0)

        def interfere(current: Any) -> Any:
            other["k"] = self.value(len(recorder.given))
            return self.value(100) if answer == "value" else DELETE_CURRENT

        recorder = Recorder(interfere)
        with pytest.raises(ConcurrencyConflictError) as caught:
            d.transform_item("k", transformer=recorder, n_retries=retries)
        assert caught.value.attempts == len(recorder.given) == retries + 1
        assert caught.value.key == NonEmptySafeStrTuple("k")
        assert recorder.given == [self.value(n) for n in range(retries + 1)]
        assert d["k"] == other["k"] == self.value(retries + 1)
        assert len(no_pauses) == retries

    @needs("cross_handle")
    def test_notices_removal_and_insertion(self, make: Make, no_pauses: list[float]) -> None:
        """An item that vanishes or appears under the transformer's hands is a conflict."""
        d, other = make(), make()
        d["k"] = self.value(0)
        steps: list[Any] = [lambda: other.discard("k"), lambda: other.update(k=self.value(1))]

        def interfere(current: Any) -> Any:
            if steps:
                steps.pop(0)()
            return self.value(100)

        recorder = Recorder(interfere)
        d.transform_item("k", transformer=recorder)
        assert recorder.given == [self.value(0), ITEM_NOT_AVAILABLE, self.value(1)]
        assert d["k"] == self.value(100)
