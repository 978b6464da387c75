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
from ..conformance.third_party import HashedDict

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
    main = d._main_dict
    return (getattr(main, "_store", main), d._data_cache._store, d._etag_cache._store)


def in_folder(storage: Storage) -> Any:
    return storage.folder()


def hashed(storage: Storage) -> Any:
    return storage.minimal(cls=HashedDict)


def wrong_reads(
    storage: Storage, open_main: Callable[[Storage], Any], act: str, rival: str, *afterwards: str
) -> Iterator[str]:
    """Yield what is wrong after the rival came before one step, and a death before another."""
    main = open_main(storage)
    for name, prepare in PREPARATIONS.items():
        steps = 99
        for first, death in combinations_with_replacement(range(1, 9), 2):
            if first > steps or death > max(first, steps):
                continue  # nothing would happen there
            d = storage.cached(open_main(storage))
            d.clear()
            prepare(d, main)
            actions = {death: die} | {first: partial(RIVALS[rival], main)}
            with Interleaved(*seams(d), before=actions) as seam, suppress(DiedError):
                ACTS[act](d)
            if death == first:  # nobody died
                steps = len(seam.calls)
            for value in afterwards:
                main["k"] = value
            for reader in (storage.cached(open_main(storage)), d):
                if reader.get("k") != main.get("k"):
                    found = f"{reader.get('k')} is read of {main.get('k')}"
                    yield f"{found} ({name}, {first}, {death})"


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("act", ACTS)
def test_no_value_is_taken_for_that_of_another_version(
    storage: Storage, act: str, rival: str
) -> None:
    """Wherever others change the main dictionary, and wherever a process dies: reads are right."""
    assert list(wrong_reads(storage, in_folder, act, rival)) == []


@pytest.mark.parametrize("afterwards", ["old", "newer", "theirs", "mine"])
@pytest.mark.parametrize("act", ACTS)
def test_no_value_is_taken_for_one_that_comes_back(
    storage: Storage, act: str, afterwards: str
) -> None:
    """A value that was there before comes back with its etag, and the cache has not mixed them."""
    assert list(wrong_reads(storage, hashed, act, "write", afterwards)) == []
