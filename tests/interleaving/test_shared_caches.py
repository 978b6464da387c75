"""Several handles over one main dictionary and one cache, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations
from typing import Any

import pytest

from persidict.jokers_and_status_flags import ANY_ETAG, ITEM_NOT_AVAILABLE, NEVER_RETRIEVE
from persidict.testing import Interleaved
from persidict.testing._conditional import attempt

from ..conformance.backends import Storage

QUESTION: Any = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
ACTS: dict[str, Callable[[Any], Any]] = {
    "read": lambda d: d.get("k"),
    "read with etag": lambda d: d.get_with_etag("k"),
    "write": lambda d: d.update(k="mine"),
    "conditional write": lambda d: d.set_item_if("k", value="mine", **QUESTION),
    "insert": lambda d: d.setdefault("k", "mine"),
    "remove": lambda d: d.discard("k"),
    "conditional removal": lambda d: d.discard_item_if("k", **QUESTION),
    "etag": lambda d: attempt(lambda: d.etag("k")),
    "look": lambda d: d.get_item_if("k", **QUESTION, retrieve_value=NEVER_RETRIEVE),
}
RIVALS: dict[str, Callable[[Any], Any]] = {
    "write": lambda d: d.update(k="theirs"),
    "remove": lambda d: d.discard("k"),
    "write twice": lambda d: (d.update(k="first"), d.update(k="theirs")),
    "remove and write": lambda d: (d.discard("k"), d.update(k="theirs")),
}
PREPARATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda d, main: None,
    "cached": lambda d, main: d.update(k="old"),
    "not cached": lambda d, main: main.update(k="old"),
    "outdated": lambda d, main: (d.update(k="old"), main.update(k="newer")),
}


class DiedError(BaseException):
    """The process is gone at this point."""


def seams(d: Any) -> tuple[Any, ...]:
    return (d._main_dict._store, d._data_cache._store, d._etag_cache._store)


def runs(storage: Storage, act: str, rival: str, at_second: Callable[[Any], None]) -> Iterator[str]:
    """Yield what is wrong when the rival acts before step m and something happens before step n."""
    for name, prepare in PREPARATIONS.items():
        for first, second in combinations(range(1, 9), 2):
            main = storage.folder()
            main.clear()
            actor, other, witness = (storage.cached(storage.folder()) for _ in range(3))
            actor.clear()
            prepare(actor, main)
            wrong: list[str] = []

            def interfere(d: Any = other) -> None:
                RIVALS[rival](d)

            def look(d: Any = witness, main: Any = main, wrong: list[str] = wrong) -> None:
                if d.get("k") != main.get("k"):
                    wrong.append(f"{d.get('k')} is read of {main.get('k')}")
                at_second(d)

            steps = Interleaved(*seams(actor), before={first: interfere, second: look})
            with steps, suppress(DiedError):
                ACTS[act](actor)
            for d in (witness, storage.cached(storage.folder()), actor):
                if d.get("k") != main.get("k"):
                    wrong.append(f"{d.get('k')} is read of {main.get('k')} in the end")
            yield from (f"{act} ({name}), {rival} before {first}, {second}: {w}" for w in wrong)


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("act", ACTS)
def test_no_value_is_paired_with_the_etag_of_another(
    storage: Storage, act: str, rival: str
) -> None:
    """Wherever another handle writes, a reader gets what the main dictionary holds at that time."""
    assert list(runs(storage, act, rival, lambda d: None)) == []


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("act", ACTS)
def test_a_death_loses_no_more_than_the_cache_entry(storage: Storage, act: str, rival: str) -> None:
    """A handle that dies between two steps leaves nothing behind that is taken for the item."""

    def die(d: Any) -> None:
        raise DiedError

    assert list(runs(storage, act, rival, die)) == []
