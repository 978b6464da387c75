"""A cache in front of a dictionary that others change, and deaths between its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import combinations_with_replacement
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
    "write": lambda main: main.update(k="theirs"),
    "remove": lambda main: main.discard("k"),
    "remove and write": lambda main: (main.discard("k"), main.update(k="theirs")),
}
PREPARATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda d, main: None,
    "cached": lambda d, main: d.update(k="old"),
    "not cached": lambda d, main: main.update(k="old"),
    "outdated": lambda d, main: (d.update(k="old"), main.update(k="newer")),
    "outdated by removal": lambda d, main: (d.update(k="old"), main.discard("k")),
}


class DiedError(BaseException):
    """The process is gone at this point."""


def die() -> None:
    raise DiedError


def seams(d: Any) -> tuple[Any, ...]:
    return (d._main_dict._store, d._data_cache._store, d._etag_cache._store)


def wrong_reads(storage: Storage, act: str, rival: str) -> Iterator[str]:
    """Yield what is wrong after the rival came before one step, and a death before another."""
    main = storage.folder()
    for name, prepare in PREPARATIONS.items():
        for first, death in combinations_with_replacement(range(1, 9), 2):
            d = storage.cached(storage.folder())
            d.clear()
            prepare(d, main)
            actions = {death: die} | {first: partial(RIVALS[rival], main)}
            with Interleaved(*seams(d), before=actions), suppress(DiedError):
                ACTS[act](d)
            for reader in (storage.cached(storage.folder()), d):
                if reader.get("k") != main.get("k"):
                    found = f"{reader.get('k')} is read of {main.get('k')}"
                    yield f"{found} ({name}, {first}, {death})"


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("act", ACTS)
def test_no_value_is_taken_for_that_of_another_version(
    storage: Storage, act: str, rival: str
) -> None:
    """Wherever others change the main dictionary, and wherever a process dies: reads are right."""
    assert list(wrong_reads(storage, act, rival)) == []
