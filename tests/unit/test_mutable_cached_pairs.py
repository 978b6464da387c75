"""A cached value and its etag are of one version, whoever else fills the same caches."""

import copy

import pytest

from persidict import (
    KEEP_CURRENT,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    NonEmptySafeStrTuple,
)
from persidict._words import Item, Stat

ETAGS = {"serialization_format": "etag", "base_class_for_values": str}


@pytest.fixture
def near():
    return MutableDictCached(
        main_dict=LocalDict(), data_cache=LocalDict(), etag_cache=LocalDict(**ETAGS)
    )


class Quoted:
    """Stored as the joker, without being obeyed as one."""

    def __deepcopy__(self, memo):
        return KEEP_CURRENT


def test_a_joker_as_a_value_is_cached_and_not_obeyed(near):
    near["k"] = 1
    near._main_dict["k"] = Quoted()
    assert [near["k"], near["k"]] == [KEEP_CURRENT, KEEP_CURRENT]


@pytest.mark.parametrize("other", [copy.copy, lambda d: d.get_subdict(())])
@pytest.mark.parametrize("moment", ["before the value", "before the etag"])
def test_a_slow_reader_does_not_undo_what_another_handle_has_cached(
    near, monkeypatch, other, moment
):
    theirs = other(near)
    near._main_dict["k"] = "old"
    slow = near._data_cache if moment == "before the value" else near._etag_cache
    write = slow._write

    def interrupted(*args):
        monkeypatch.setattr(slow, "_write", write)
        theirs["k"] = "new"
        written = write(*args)
        assert theirs["k"] == "new"
        return written

    monkeypatch.setattr(slow, "_write", interrupted)
    assert near["k"] == "old"
    assert [near["k"], theirs["k"], copy.copy(near)["k"]] == ["new"] * 3


def test_a_value_that_is_cached_while_another_is_looked_up_does_not_get_its_etag(near, monkeypatch):
    """The etag was read before, and another handle exchanges the value only then."""
    theirs, key = copy.copy(near), NonEmptySafeStrTuple("k")
    near["k"] = "value"
    before, read = theirs._cached_version(key), near._data_cache._checked_read

    def exchanged(*args):
        monkeypatch.undo()
        theirs._remember(key, Item("read long ago", Stat("of that", 0.0)), before)
        return read(*args)

    monkeypatch.setattr(near._data_cache, "_checked_read", exchanged)
    assert near["k"] == "value"
    assert copy.copy(near)["k"] == "value"


def test_a_value_that_is_exchanged_before_its_etag_is_written_does_not_get_it(near, monkeypatch):
    """Another handle is half way: it has taken the etag away, and written its value."""
    theirs, key = copy.copy(near), NonEmptySafeStrTuple("k")
    write = near._etag_cache._write

    def half_way(*args):
        monkeypatch.undo()
        theirs._etag_cache.discard(key)
        assert theirs._data_cache._write(key, "theirs", theirs._cached_version(key))
        return write(*args)

    monkeypatch.setattr(near._etag_cache, "_write", half_way)
    near["k"] = "value"
    assert [near["k"], copy.copy(near)["k"]] == ["value"] * 2


def test_a_cache_that_cannot_remove_is_no_error_of_the_dict(near, monkeypatch):
    near["k"] = 1

    def refuse(key):
        raise PermissionError

    monkeypatch.setattr(near._etag_cache, "discard", refuse)
    with pytest.warns(RuntimeWarning, match="not cached"):
        del near["k"]
    with pytest.warns(RuntimeWarning, match="not cached"), pytest.raises(KeyError):
        near["k"]


def test_a_removed_item_is_not_cached_again(tmp_path):
    parts = [FileDirDict(base_dir=tmp_path / name) for name in ("main", "data")]
    near = MutableDictCached(main_dict=parts[0], data_cache=parts[1], etag_cache=LocalDict(**ETAGS))
    near["k"] = 1
    del near["k"]
    assert [len(part) for part in (*parts, near._etag_cache)] == [0, 0, 0]
