"""Eight processes on one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from persidict import (
    ANY_ETAG,
    ITEM_NOT_AVAILABLE,
    FileDirDict,
    MutationPolicyError,
    WriteOnceDict,
)

from ..conformance.backends import Storage
from .processes import in_processes

PROCESSES = 8
KEYS = [("race", str(n)) for n in range(25)]
Insert = Callable[[Any, Any, Any], bool]


def setdefault_if(d: Any, key: Any, value: Any) -> bool:
    result = d.setdefault_if(
        key, default_value=value, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
    )
    assert result.new_value == d[key]
    return bool(result.value_was_mutated)


def setdefault(d: Any, key: Any, value: Any) -> bool:
    found = d.setdefault(key, value)
    assert found == d[key]
    return bool(found == value)


def assign(d: Any, key: Any, value: Any) -> bool:
    try:
        d[key] = value
    except MutationPolicyError:
        return False
    return True


def assign_and_look(d: Any, key: Any, value: Any) -> bool:
    d[key] = value
    return bool(d[key] == value)


def appending(storage: Storage) -> FileDirDict[Any]:
    return storage.folder(append_only=True)


def cached(storage: Storage) -> Any:
    return storage.cached_append_only(appending(storage), storage.folder("cache", append_only=True))


CONTESTS: dict[str, tuple[Callable[[Storage], Any], Insert]] = {
    "setdefault_if": (lambda storage: storage.folder(), setdefault_if),
    "setdefault": (lambda storage: storage.folder(), setdefault),
    "append-only": (appending, assign),
    "append-only setdefault_if": (appending, setdefault_if),
    "append-only behind a cache": (cached, assign),
    "write-once": (
        lambda storage: WriteOnceDict(wrapped_dict=appending(storage)),
        assign_and_look,
    ),
    "write-once behind a cache": (
        lambda storage: WriteOnceDict(wrapped_dict=cached(storage)),
        assign_and_look,
    ),
}


@pytest.mark.parametrize("contest", CONTESTS)
def test_one_process_inserts(storage: Storage, contest: str) -> None:
    """Of eight processes that insert one item, exactly one does, and all see its value."""
    open_dict, insert = CONTESTS[contest]

    def work(n: int) -> list[bool]:
        d = open_dict(storage)
        return [insert(d, key, f"by {n}") for key in KEYS]

    won = in_processes(work, PROCESSES)
    winners = {key: [n for n in range(PROCESSES) if won[n][i]] for i, key in enumerate(KEYS)}
    assert {key: len(who) for key, who in winners.items()} == dict.fromkeys(KEYS, 1)
    stored = dict(storage.folder().items())
    assert stored == {key: f"by {who[0]}" for key, who in winners.items()}


def test_one_process_inserts_where_something_is_removed(storage: Storage) -> None:
    """Every successful insertion and every successful removal take turns."""

    def work(n: int) -> int:
        d = storage.folder()
        balance = 0
        for _ in range(60):
            balance += setdefault_quietly(d, f"by {n}")
            balance -= d.discard("k")
        return balance

    assert sum(in_processes(work, PROCESSES)) == len(storage.folder())


def setdefault_quietly(d: Any, value: str) -> bool:
    result = d.setdefault_if(
        "k", default_value=value, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
    )
    return bool(result.value_was_mutated)


@pytest.mark.parametrize("serialization_format", ["pkl", "json"])
def test_plain_reads_and_writes(storage: Storage, serialization_format: str) -> None:
    """Eight processes that hammer one key see no error, no half value and no foreign key."""

    def work(n: int) -> list[str]:
        d = storage.folder(serialization_format=serialization_format)
        return [wrong for i in range(60) for wrong in hammer(d, n, i)]

    assert in_processes(work, PROCESSES) == [[]] * PROCESSES
    assert [key.strings for key in storage.folder(serialization_format=serialization_format)] == [
        ("k",)
    ]
    leftovers = [f.name for f in storage.path.rglob("*") if ".__" in f.name]
    assert leftovers == []


def hammer(d: FileDirDict[Any], n: int, i: int) -> Iterator[str]:
    """Write and read one item, and yield what nobody can have written."""
    d["k"] = {"by": n, "turn": i, "text": f"{n}:{i}" * (1 + 100 * n)}
    for value in (d["k"], d.get("k"), d.get_with_etag("k").new_value, *d.values()):
        whole = value["text"] == f"{value['by']}:{value['turn']}" * (1 + 100 * value["by"])
        if not whole or not 0 <= value["by"] < PROCESSES:
            yield str(value)
    if [key.strings for key in d] != [("k",)] or "k" not in d or len(d) != 1:
        yield f"foreign keys: {list(d)}"
