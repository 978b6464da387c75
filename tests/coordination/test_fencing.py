"""Writes with tokens: an old holder is refused, and readers see plain values."""

from __future__ import annotations

import pytest

from persidict import KEEP_CURRENT, FileDirDict, LocalDict, MutationPolicyError
from persidict_dask import Lease, StaleTokenError, fenced_set
from persidict_dask.coordination import fence

KINDS = {
    "pkl": lambda path: FileDirDict(base_dir=str(path)),
    "json": lambda path: FileDirDict(base_dir=str(path), serialization_format="json"),
    "memory": lambda path: LocalDict(),
    "of a class": lambda path: FileDirDict(base_dir=str(path), base_class_for_values=object),
    "json of a class": lambda path: FileDirDict(
        base_dir=str(path), serialization_format="json", base_class_for_values=object
    ),
}


@pytest.fixture(params=KINDS)
def d(request, tmp_path):
    return KINDS[request.param](tmp_path)


@pytest.mark.parametrize("value", [5, "x", None, [1, 2], {"a": [1]}, 1.5, True])
def test_readers_see_the_plain_value(d, value):
    fenced_set(d, "k", value, token=3)
    assert d["k"] == value
    assert type(d["k"]) is type(value)
    assert fence(d, "k") == 3
    assert dict(d.items())[next(iter(d))] == value


def test_a_lower_token_is_refused(d):
    fenced_set(d, "k", "new", token=7)
    with pytest.raises(StaleTokenError, match="token 6 is stale: 7") as caught:
        fenced_set(d, "k", "old", token=6)
    assert (caught.value.token, caught.value.newest) == (6, 7)
    assert d["k"] == "new"


def test_the_same_and_higher_tokens_write(d):
    for value, token in [("a", 7), ("b", 7), ("c", 9)]:
        fenced_set(d, "k", value, token=token)
    assert (d["k"], fence(d, "k")) == ("c", 9)


def test_a_write_between_look_and_write_is_seen(d, monkeypatch):
    """The old holder has looked, is stopped, and goes on when the new one has written."""
    fenced_set(d, "k", "first", token=1)
    look, stopped = type(d).get_with_etag, []

    def slow(self, key):
        found = look(self, key)
        if not stopped:
            stopped.append(1)
            fenced_set(d, "k", "new", token=2)
        return found

    monkeypatch.setattr(type(d), "get_with_etag", slow)
    with pytest.raises(StaleTokenError):
        fenced_set(d, "k", "old", token=1)
    monkeypatch.undo()
    assert d["k"] == "new"


def test_equal_values_of_two_holders_are_two_versions(d):
    """Or else one who has seen the first would write over the second."""
    fenced_set(d, "k", "same", token=1)
    etag = d.etag("k")
    fenced_set(d, "k", "same", token=2)
    assert d.etag("k") != etag


def test_a_plain_write_forgets_the_token(d):
    fenced_set(d, "k", 1, token=5)
    d["k"] = 2
    assert fence(d, "k") == 0
    fenced_set(d, "k", 3, token=1)


def test_no_item_no_token(d):
    assert fence(d, "k") == 0


def test_tokens_of_leases(d):
    old, new = Lease(d, "l"), Lease(d, "l")
    with old:
        fenced_set(d, "k", "old", token=old.token)
    with new:
        fenced_set(d, "k", "new", token=new.token)
    with pytest.raises(StaleTokenError):
        fenced_set(d, "k", "old", token=old.token)


@pytest.mark.parametrize(("token", "error"), [(0, ValueError), ("1", TypeError), (True, TypeError)])
def test_a_token_is_a_positive_int(d, token, error):
    with pytest.raises(error, match="token"):
        fenced_set(d, "k", 1, token=token)
    assert "k" not in d


def test_a_joker_is_no_value(d):
    with pytest.raises(TypeError, match="no value"):
        fenced_set(d, "k", KEEP_CURRENT, token=1)


def test_values_of_another_class_than_the_store_takes(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path), base_class_for_values=int)
    fenced_set(d, "k", 5, token=1)
    with pytest.raises(TypeError, match="int"):
        fenced_set(d, "k", "x", token=2)
    assert d["k"] == 5


def test_text_has_no_place_for_a_token(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path), serialization_format="txt", base_class_for_values=str)
    with pytest.raises(TypeError, match="'pkl' or 'json'"):
        fenced_set(d, "k", "x", token=1)


def test_an_append_only_store_is_not_changed(tmp_path):
    d = FileDirDict(base_dir=str(tmp_path), append_only=True)
    fenced_set(d, "k", 1, token=1)
    with pytest.raises(MutationPolicyError):
        fenced_set(d, "k", 2, token=2)
