"""The oldest and the newest keys and values."""

import os

import pytest

from persidict import FileDirDict


@pytest.fixture
def aged(third_party):
    """Five items with distinct timestamps: `c` the oldest, then `a`, `e`, `b`, `d`."""
    d = third_party()
    for key in "caebd":
        d[key] = key.upper()
    return d


@pytest.mark.parametrize("max_n", [None, 5, 6, 100])
def test_all_of_them_from_either_end(aged, max_n):
    assert aged.oldest_keys(max_n=max_n) == ["c", "a", "e", "b", "d"]
    assert aged.newest_keys(max_n=max_n) == ["d", "b", "e", "a", "c"]
    assert aged.oldest_values(max_n=max_n) == ["C", "A", "E", "B", "D"]
    assert aged.newest_values(max_n=max_n) == ["D", "B", "E", "A", "C"]


@pytest.mark.parametrize(("max_n", "oldest", "newest"), [(1, "c", "d"), (3, "cae", "dbe")])
def test_some_of_them(aged, max_n, oldest, newest):
    assert aged.oldest_keys(max_n=max_n) == list(oldest)
    assert aged.newest_keys(max_n=max_n) == list(newest)
    assert aged.oldest_values(max_n=max_n) == list(oldest.upper())
    assert aged.newest_values(max_n=max_n) == list(newest.upper())


METHODS = ["oldest_keys", "newest_keys", "oldest_values", "newest_values"]


@pytest.mark.parametrize("name", METHODS)
def test_the_default_is_all_of_them(aged, name):
    assert len(getattr(aged, name)()) == 5


@pytest.mark.parametrize("name", METHODS)
def test_the_result_is_a_list_and_max_n_a_keyword(any_dict, name):
    any_dict["a"] = 1
    assert type(getattr(any_dict, name)()) is list
    with pytest.raises(TypeError):
        getattr(any_dict, name)(1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("max_n", [0, -1])
def test_none_of_them_without_touching_the_store(tmp_path, monkeypatch, name, max_n):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    for function in ("scandir", "listdir", "walk", "stat"):
        monkeypatch.setattr(os, function, lambda *a, **k: 1 / 0)
    assert getattr(d, name)(max_n=max_n) == []


@pytest.mark.parametrize("name", METHODS)
def test_none_of_an_empty_dict(any_dict, name):
    assert getattr(any_dict, name)() == getattr(any_dict, name)(max_n=3) == []


def test_an_overwritten_item_is_the_newest(aged):
    aged["c"] = "again"
    assert aged.newest_keys(max_n=1) == ["c"]
    assert aged.oldest_keys(max_n=1) == ["a"]


def test_files_are_ordered_by_their_time(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    for second, key in enumerate(["b", "a", "c"]):
        d["sub", key] = second
        os.utime(tmp_path / "sub" / f"{key}.pkl", (second, second))
    assert [key[-1] for key in d.oldest_keys()] == ["b", "a", "c"]
    assert d.newest_values(max_n=2) == [2, 1]


@pytest.mark.parametrize("name", ["oldest_keys", "newest_keys"])
@pytest.mark.parametrize("max_n", [None, 2])
def test_keys_are_found_in_one_pass_without_values(third_party, name, max_n):
    asked = []

    class Asked(third_party):
        def _generic_iter(self, result_type):
            asked.append(result_type)
            return super()._generic_iter(result_type)

    d = Asked()
    d["a"] = 1
    assert getattr(d, name)(max_n=max_n) == ["a"]
    assert asked == [{"keys", "timestamps"}]
