"""A uniformly distributed key in one pass, reproducible by seeding."""

import collections
import random

import pytest

from persidict import FileDirDict, LocalDict


def filled(d, n=5):
    for number in range(n):
        d[f"k{number}"] = number
    return d


def test_an_empty_dict_has_none(any_dict):
    assert any_dict.random_key() is None


def test_a_single_key_is_found(any_dict):
    any_dict["a", "b"] = 1
    assert any_dict.random_key() == ("a", "b")


def test_seeding_reproduces_the_sequence(any_dict):
    filled(any_dict)
    random.seed(7)
    first = [any_dict.random_key() for _ in range(20)]
    random.seed(7)
    assert [any_dict.random_key() for _ in range(20)] == first
    assert len(set(first)) > 1


@pytest.mark.parametrize("make", [LocalDict, FileDirDict])
def test_every_key_has_the_same_chance(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    d = filled(make(), 4)
    random.seed(1)
    counts = collections.Counter(d.random_key() for _ in range(1200))
    assert len(counts) == 4
    assert all(230 < count < 370 for count in counts.values())


def test_every_key_of_a_tree_has_the_same_chance_however_deep(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    for key in [("a", "b", "c", "1"), ("a", "b", "c", "2"), ("x",), ("y", "z")]:
        d[key] = 1
    random.seed(2)
    counts = collections.Counter(d.random_key() for _ in range(1200))
    assert all(230 < counts[key] < 370 for key in d)


def test_one_pass_over_keys_and_no_counting(third_party):
    passes = []

    class Counting(third_party):
        def _generic_iter(self, result_type):
            passes.append(result_type)
            yield from super()._generic_iter(result_type)

        def __len__(self):
            raise AssertionError

    assert filled(Counting()).random_key()[0].startswith("k")
    assert passes == [{"keys"}]


def test_no_value_is_read(tmp_path):
    d = filled(FileDirDict(base_dir=tmp_path))
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    assert d.random_key() in d
