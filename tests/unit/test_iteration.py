"""Iteration while the content changes."""

import os

import pytest

from persidict import DamagedItemError, FileDirDict, LocalDict


def filled(d, n=10):
    for number in range(n):
        d[f"k{number}"] = number
    return d


VALUE_ITERATORS = {
    "values": lambda d: d.values(),
    "items": lambda d: d.items(),
    "values_and_timestamps": lambda d: d.values_and_timestamps(),
    "items_and_timestamps": lambda d: d.items_and_timestamps(),
}
ITERATORS = VALUE_ITERATORS | {
    "keys": lambda d: d.keys(),
    "keys_and_timestamps": lambda d: d.keys_and_timestamps(),
}
each_iterator = pytest.mark.parametrize("start", ITERATORS.values(), ids=ITERATORS)
each_value_iterator = pytest.mark.parametrize(
    "start", VALUE_ITERATORS.values(), ids=VALUE_ITERATORS
)


@each_value_iterator
def test_items_that_vanish_before_they_are_read_are_skipped(mutable, start):
    iterator = start(filled(mutable))
    next(iterator)
    mutable.clear()
    assert len(list(iterator)) < 10


@each_iterator
def test_deleting_while_iterating_is_no_error(mutable, start):
    filled(mutable)
    for _ in start(mutable):
        mutable.discard(mutable.random_key())
    assert len(mutable) <= 5


@each_iterator
def test_writing_while_iterating_is_no_error(mutable, start):
    filled(mutable)
    for number, _ in zip(range(20), start(mutable), strict=False):
        mutable[f"new{number}"] = mutable["k1"] = number
    assert len(mutable) >= 20


def test_deleting_each_key_as_it_comes_empties_the_dict(mutable):
    for key in filled(mutable):
        del mutable[key]
    assert len(mutable) == 0


@each_iterator
def test_an_iterator_over_nothing_is_over(any_dict, start):
    assert list(start(any_dict)) == []


@each_iterator
def test_nothing_is_read_before_the_first_item_is_asked_for(tmp_path, start, monkeypatch):
    d = filled(FileDirDict(base_dir=tmp_path))
    with monkeypatch.context() as patch:
        for name in ("scandir", "listdir", "open"):
            patch.setattr(os, name, lambda *a, **k: 1 / 0)
        iterator = start(d)
    assert len(list(iterator)) == 10


@each_value_iterator
def test_values_are_read_one_by_one(tmp_path, start):
    d = filled(FileDirDict(base_dir=tmp_path))
    iterator = start(d)
    next(iterator)
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(DamagedItemError):
        list(iterator)


@each_value_iterator
def test_a_damaged_item_that_is_still_there_is_an_error(tmp_path, start):
    d = filled(FileDirDict(base_dir=tmp_path))
    next(tmp_path.iterdir()).write_bytes(b"damaged")
    with pytest.raises(DamagedItemError):
        list(start(d))


@each_value_iterator
def test_an_item_of_the_wrong_type_is_an_error(tmp_path, start):
    FileDirDict(base_dir=tmp_path)["a"] = "text"
    with pytest.raises(TypeError):
        list(start(FileDirDict(base_dir=tmp_path, base_class_for_values=int)))


def test_value_and_timestamp_are_of_the_same_version(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d["a"] = d["b"] = "old"
    for file in tmp_path.iterdir():
        os.utime(file, (1, 1))
    iterator = d.items_and_timestamps()
    next(iterator)
    for key in ("a", "b"):
        d[key] = "new"
        os.utime(tmp_path / f"{key}.pkl", (2, 2))
    assert {(value, t) for _, value, t in iterator} <= {("old", 1.0), ("new", 2.0)}
    assert set(d.values_and_timestamps()) == {("new", 2.0)}


def test_order_is_stable_while_nothing_changes(any_dict):
    filled(any_dict)
    keys = list(any_dict)
    assert keys == list(any_dict) == list(any_dict.keys())
    assert [(key, any_dict[key]) for key in keys] == list(any_dict.items())


class Uncopied:
    """A value that must not be copied any more."""

    copies = 0

    def __deepcopy__(self, memo):
        type(self).copies += 1
        return self


def test_memory_copies_no_value_for_keys_only():
    d = LocalDict()
    d["a"] = Uncopied()
    before = Uncopied.copies
    assert list(d) == [key for key, _ in d.keys_and_timestamps()] == d.oldest_keys() == ["a"]
    assert ("a" in d, len(d), d.random_key()) == (True, 1, "a")
    assert (d.etag("a"), d.timestamp("a")) == (d.etag("a"), d.timestamp("a"))
    assert Uncopied.copies == before
