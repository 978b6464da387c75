"""Another writer while our bytes are on their way to the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persidict import (
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    MutationPolicyError,
)

from ..conformance.backends import Storage


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[str]]:
    """Return what registers an action for the first time that anything waits for the disk."""

    def register(action: Callable[[], Any]) -> list[str]:
        happened: list[str] = []

        def fsync(fd: int) -> None:
            if not happened:
                happened.append("fsync")
                action()

        monkeypatch.setattr("os.fsync", fsync)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        return happened

    return register


@pytest.mark.parametrize("change", ["write", "remove"])
def test_replacing_a_version_that_is_gone_by_then(
    storage: Storage, meanwhile: Any, change: str
) -> None:
    """The other writer's change stays, and the caller is told."""
    d, rival = storage.folder(), storage.folder()
    d["k"] = "old"
    act = {"write": lambda: rival.update(k="theirs"), "remove": lambda: rival.discard("k")}
    happened = meanwhile(act[change])
    result = d.set_item_if("k", value="mine", condition=ETAG_IS_THE_SAME, expected_etag=d.etag("k"))
    assert happened
    assert result.condition_was_satisfied is False
    assert rival.get("k") == ("theirs" if change == "write" else None)
    assert result.new_value == ("theirs" if change == "write" else ITEM_NOT_AVAILABLE)


def test_replacing_any_other_version(storage: Storage, meanwhile: Any) -> None:
    """What is reported as the version before is the one that was replaced."""
    d, rival = storage.folder(), storage.folder()
    d["k"] = "old"
    happened = meanwhile(lambda: rival.update(k="theirs"))
    result = d.set_item_if(
        "k", value="mine", condition=ETAG_HAS_CHANGED, expected_etag=ITEM_NOT_AVAILABLE
    )
    assert happened
    assert result.condition_was_satisfied is True
    assert result.resulting_etag == rival.etag("k")
    assert rival["k"] == "mine"


@pytest.mark.parametrize("way", ["setdefault", "setdefault_if", "assign"])
def test_inserting_what_is_there_by_then(storage: Storage, meanwhile: Any, way: str) -> None:
    """The first one that is there stays."""
    d = storage.folder(append_only=way == "assign")
    rival = storage.folder()
    happened = meanwhile(lambda: rival.update(k="theirs"))
    question: Any = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
    if way == "setdefault":
        assert d.setdefault("k", "mine") == "theirs"
    elif way == "setdefault_if":
        assert d.setdefault_if("k", default_value="mine", **question).new_value == "theirs"
    else:
        with pytest.raises(MutationPolicyError):
            d["k"] = "mine"
    assert happened
    assert rival["k"] == "theirs"
    assert [file.name for file in storage.path.rglob(".__*")] == []


def test_transforming_loses_no_update(storage: Storage, meanwhile: Any) -> None:
    """The transformer is called again with what the other writer left."""
    d, rival = storage.folder(), storage.folder()
    d["n"] = 1
    happened = meanwhile(lambda: rival.update(n=10))
    result = d.transform_item("n", transformer=lambda n: n + 1)
    assert happened
    assert result.new_value == d["n"] == 11
