"""Equality of dicts: by parameters when these say enough, by content otherwise."""

import numpy as np
import pytest

from persidict import EmptyDict, FileDirDict, LocalDict
from tests.ids import stable


def filled(d, **items):
    d.update(items)
    return d


def test_a_dict_equals_itself_without_reading(d):
    d["a"] = float("nan")
    assert d == d
    assert not d != d  # noqa: SIM202


def test_a_dict_equals_itself_whatever_its_parameters_say():
    class Restless(LocalDict):
        def get_params(self):
            return {"unequal": object()}

    d = Restless()
    d["a"] = float("nan")
    assert d == d


def test_sub_dicts_of_one_memory_are_compared_by_content():
    d = LocalDict()
    d["a", "x"], d["b", "x"] = 1, 2
    assert d.get_subdict("a") != d.get_subdict("b")
    d["b", "x"] = 1
    assert d.get_subdict("a") == d.get_subdict("b")


@pytest.mark.parametrize("other", [1, None, "text", [("a", 1)], {"a"}, object()], ids=stable)
def test_what_is_no_mapping_is_not_equal(mutable, other):
    mutable["a"] = 1
    assert mutable != other
    assert not mutable == other  # noqa: SIM201
    assert mutable.__eq__(other) is NotImplemented


def test_equal_parameters_are_enough(tmp_path):
    one, two = (FileDirDict(base_dir=tmp_path) for _ in range(2))
    one["a"] = 1
    next(tmp_path.glob("*.pkl")).write_bytes(b"damaged")
    assert one == two


def test_handles_on_one_memory_are_equal():
    d = filled(LocalDict(), a=float("nan"))
    assert LocalDict(backend=d.get_params()["backend"]) == d


def test_equal_content_is_equal_across_backends_and_formats(mutable, tmp_path):
    others = [
        LocalDict(),
        FileDirDict(base_dir=tmp_path / "1"),
        FileDirDict(base_dir=tmp_path / "2", serialization_format="json", digest_len=0),
        {},
    ]
    for d in [mutable, *others]:
        filled(d, a=[1, 2], b={"x": None})
    assert all(mutable == other and other == mutable for other in others)
    assert not any(mutable != other for other in others)


def test_keys_of_plain_dicts_are_compared_as_keys(mutable):
    mutable["a"], mutable["b", "c"] = 1, 2
    assert mutable == {"a": 1, ("b", "c"): 2}
    assert mutable == {("a",): 1, ("b", "c"): 2}


@pytest.mark.parametrize(
    "other",
    [{}, {"a": 2}, {"b": 1}, {"a": 1, "b": 2}, {"a/b": 1}, {1: 1}, {None: 1}, {(): 1}],
    ids=stable,
)
def test_other_content_is_not_equal(mutable, other):
    mutable["a"] = 1
    assert mutable != other
    assert other != mutable
    assert not mutable == other  # noqa: SIM201


def test_empty_dicts_are_equal(mutable):
    for other in (EmptyDict(), LocalDict(), {}):
        assert mutable == other
        assert other == mutable


def test_dicts_of_the_same_class_over_other_storage_are_compared_by_content(tmp_path):
    one = filled(FileDirDict(base_dir=tmp_path / "1"), a=1)
    two = filled(FileDirDict(base_dir=tmp_path / "2"), a=1)
    assert one == two
    two["a"] = 2
    assert one != two


class Prickly:
    """A value whose comparison fails."""

    def __init__(self, error):
        self.error = error

    def __eq__(self, other):
        raise self.error

    __hash__ = None


@pytest.mark.parametrize("error", [KeyError, TypeError, AttributeError, ValueError])
def test_values_that_cannot_be_compared_are_not_equal(mutable, error):
    mutable["a"] = 1
    assert mutable != {"a": Prickly(error)}


def test_arrays_with_no_single_truth_are_not_equal(d):
    d["a"] = np.arange(3)
    assert d != {"a": np.arange(3)}
