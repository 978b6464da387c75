"""The tables that cut across all dicts: policies, who reads values, timestamps."""

import os
import time

import pytest

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    AppendOnlyDictCached,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    WriteOnceDict,
)
from tests.ids import stable

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
UNMET = {"condition": ETAG_IS_THE_SAME, "expected_etag": "stale"}


def base(path):
    return FileDirDict(base_dir=path, append_only=True)


def cached(path):
    return AppendOnlyDictCached(main_dict=base(path), data_cache=LocalDict(append_only=True))


def write_once(path):
    return WriteOnceDict(wrapped_dict=base(path))


CALLS = {
    "new key": lambda d: d.__setitem__("new", 1),
    "existing key": lambda d: d.__setitem__("a", 2),
    "KEEP_CURRENT": lambda d: d.__setitem__("a", KEEP_CURRENT),
    "DELETE_CURRENT": lambda d: d.__setitem__("a", DELETE_CURRENT),
    "del": lambda d: d.__delitem__("a"),
    "discard": lambda d: d.discard("absent"),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("absent", 1),
    "popitem": lambda d: d.popitem(),
    "setdefault_if": lambda d: d.setdefault_if("new", default_value=1, **ANY),
    "discard_item_if present met": lambda d: d.discard_item_if("a", **ANY),
    "discard_item_if present unmet": lambda d: d.discard_item_if("a", **UNMET),
    "discard_item_if absent": lambda d: d.discard_item_if("absent", **ANY),
    "transform_item new": lambda d: d.transform_item("new", transformer=lambda v: 1),
    "transform_item keep": lambda d: d.transform_item("a", transformer=lambda v: KEEP_CURRENT),
    "transform_item change": lambda d: d.transform_item("a", transformer=lambda v: 2),
}
TABLE = """
new key                       ok    ok    ok
existing key                  error error ok
KEEP_CURRENT                  ok    ok    ok
DELETE_CURRENT                error error error
del                           error error error
discard                       error error error
clear                         error error error
pop                           error error error
popitem                       error error error
setdefault_if                 ok    ok    ok
discard_item_if present met   error error error
discard_item_if present unmet ok    error ok
discard_item_if absent        ok    error ok
transform_item new            ok    error error
transform_item keep           ok    error ok
transform_item change         error error error
"""
ROWS = [(row[:30].strip(), *row[30:].split()) for row in TABLE.strip().splitlines()]
CASES = [
    (name, make, outcome)
    for name, *outcomes in ROWS
    for make, outcome in zip((base, cached, write_once), outcomes, strict=True)
]


@pytest.mark.parametrize(("name", "make", "outcome"), CASES, ids=stable)
def test_what_append_only_dicts_allow(tmp_path, name, make, outcome):
    d = make(tmp_path)
    d["a"] = 1
    if outcome == "ok":
        CALLS[name](d)
    else:
        with pytest.raises(MutationPolicyError):
            CALLS[name](d)
    assert d["a"] == 1


def test_the_table_is_complete():
    assert [name for name, *_ in ROWS] == list(CALLS)


@pytest.fixture
def damaged(tmp_path):
    """A folder dict of one item that cannot be decoded."""
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    (tmp_path / "a.pkl").write_bytes(b"damaged")
    return d


READ_NOTHING = {
    "etag": lambda d: d.etag("a"),
    "timestamp": lambda d: d.timestamp("a"),
    "in": lambda d: "a" in d,
    "len": len,
    "keys": list,
    "keys_and_timestamps": lambda d: list(d.keys_and_timestamps()),
    "random_key": lambda d: d.random_key(),
    "oldest_keys": lambda d: d.oldest_keys(),
    "bool": bool,
    "subdicts": lambda d: d.subdicts(),
    "never": lambda d: d.get_item_if("a", retrieve_value=NEVER_RETRIEVE, **ANY),
    "equal etags": lambda d: d.get_item_if("a", condition=ANY_ETAG, expected_etag=d.etag("a")),
    "discard_item_if": lambda d: d.discard_item_if("a", **ANY),
    "discard": lambda d: d.discard("a"),
    "del": lambda d: d.__delitem__("a"),
    "clear": lambda d: d.clear(),
    "set_item_if": lambda d: d.set_item_if("a", value=1, **ANY),
    "[]=": lambda d: d.__setitem__("a", 1),
    "KEEP_CURRENT": lambda d: d.__setitem__("a", KEEP_CURRENT),
}


@pytest.mark.parametrize("call", READ_NOTHING.values(), ids=READ_NOTHING)
def test_what_reads_no_value_works_on_a_damaged_item(damaged, call):
    call(damaged)


@pytest.mark.parametrize("call", READ_NOTHING.values(), ids=READ_NOTHING)
def test_what_reads_no_value_asks_for_no_membership(damaged, call, monkeypatch):
    if call is not READ_NOTHING["in"]:
        monkeypatch.setattr(FileDirDict, "__contains__", lambda *_: 1 / 0)
    call(damaged)


class Counted:
    """A value that counts how often it is decoded."""

    decoded = 0

    def __setstate__(self, state):
        type(self).decoded += 1

    def __getstate__(self):
        return (1,)


@pytest.mark.parametrize("call", [lambda d: d.pop("a"), lambda d: d.popitem()])
def test_popping_reads_the_value_once(tmp_path, call):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = Counted()
    Counted.decoded = 0
    call(d)
    assert Counted.decoded == 1


def test_timestamps_are_floats_that_stay_and_then_grow(any_dict):
    before = time.time()
    any_dict["a"] = 1
    first = any_dict.timestamp("a")
    assert type(first) is float
    assert first == any_dict.timestamp("a")
    any_dict["a"] = KEEP_CURRENT
    assert any_dict.timestamp("a") == first
    assert first < 1000 or before - 1 <= first <= time.time() + 1


def test_a_later_overwrite_has_a_later_timestamp(make):
    d = make()
    d["a"] = 1
    first = d.timestamp("a")
    while time.time() < first + 0.01:
        os.sched_yield()
    d["a"] = 2
    assert d.timestamp("a") > first
