"""Write-once dicts: what a check compares, what is counted, and what is read for it."""

import os
import random

import numpy as np
import pytest

from persidict import FileDirDict, LocalDict, MutationPolicyError, WriteOnceDict
from tests.ids import stable


@pytest.fixture
def d(tmp_path):
    return WriteOnceDict(wrapped_dict=FileDirDict(base_dir=tmp_path, append_only=True))


def counts(d):
    return (
        d.consistency_checks_attempted,
        d.consistency_checks_passed,
        d.consistency_checks_failed,
    )


def test_counters_start_at_zero_and_are_read_only(d):
    assert counts(d) == (0, 0, 0)
    for name in ("attempted", "passed", "failed"):
        with pytest.raises(AttributeError):
            setattr(d, f"consistency_checks_{name}", 1)


def test_checks_are_counted(d):
    d.p_consistency_checks = 1
    d["a"] = 1
    assert counts(d) == (0, 0, 0)
    d["a"] = 1
    assert counts(d) == (1, 1, 0)
    with pytest.raises(MutationPolicyError, match="write-once"):
        d["a"] = 2
    assert counts(d) == (2, 1, 1)
    d.p_consistency_checks = 0
    d["a"] = 3
    assert counts(d) == (2, 1, 1)
    assert d["a"] == 1


EQUAL = [
    ({"x": 1, "y": 2}, {"y": 2, "x": 1}),
    ({"a", "b", "c"}, {"c", "b", "a"}),
    (np.arange(5), np.arange(5)),
    ([1, (2, None)], [1, (2, None)]),
    (float("nan"), float("nan")),
    ("text", "".join(["te", "xt"])),
]
DIFFERENT = [
    (1, 1.0),
    (1, True),
    ([1, 2], (1, 2)),
    ("1", 1),
    (np.arange(5), np.arange(5.0)),
    ({"x": 1}, {"x": 2}),
    (b"x", "x"),
    (None, False),
]


@pytest.mark.parametrize(("first", "second"), EQUAL, ids=stable)
def test_equal_content_passes_the_check(d, first, second):
    d.p_consistency_checks = 1
    d["a"] = first
    d["a"] = second
    assert counts(d) == (1, 1, 0)


@pytest.mark.parametrize(("first", "second"), DIFFERENT, ids=stable)
def test_different_content_fails_the_check_and_stays_as_it_was(d, first, second):
    d.p_consistency_checks = 1
    d["a"] = first
    with pytest.raises(MutationPolicyError, match="write-once"):
        d["a"] = second
    assert counts(d) == (1, 0, 1)
    assert type(d["a"]) is type(first)


class Counting(LocalDict):
    """An append-only dict that counts how its values are asked for."""

    def __init__(self, **kwargs):
        super().__init__(append_only=True, **kwargs)
        self.reads = self.inserts = 0

    def __getitem__(self, key):
        self.reads += 1
        return super().__getitem__(key)

    def __contains__(self, key):
        raise AssertionError

    def setdefault_if(self, key, **kwargs):
        self.inserts += 1
        return super().setdefault_if(key, **kwargs)


def test_a_new_value_is_inserted_in_one_step():
    wrapped = Counting()
    WriteOnceDict(wrapped_dict=wrapped, p_consistency_checks=1)["a"] = 1
    assert (wrapped.reads, wrapped.inserts) == (0, 1)


@pytest.mark.parametrize(
    ("p", "drawn", "reads"), [(0, 0.0, 0), (0.5, 0.6, 0), (0.5, 0.4, 1), (1, 0.9, 0)]
)
def test_a_repeat_reads_the_stored_value_only_for_a_check_that_was_drawn(
    monkeypatch, p, drawn, reads
):
    wrapped = Counting()
    d = WriteOnceDict(wrapped_dict=wrapped, p_consistency_checks=p)
    d["a"] = 1
    monkeypatch.setattr(random, "random", lambda: drawn)
    d["a"] = 1
    assert (wrapped.reads, wrapped.inserts) == (reads, 2)
    assert d.consistency_checks_attempted == (reads or p == 1)


@pytest.mark.parametrize(
    ("p", "drawn", "reads"), [(0, 0.0, 0), (0.5, 0.6, 0), (0.5, 0.4, 1), (1, 0.9, 1)]
)
def test_a_repeat_moves_the_bytes_of_the_stored_value_once_at_most(d, monkeypatch, p, drawn, reads):
    d.p_consistency_checks = p
    d["a"] = 1
    moved, original = [], os.read
    monkeypatch.setattr(os, "read", lambda fd, n: moved.append(n) or original(fd, n))
    monkeypatch.setattr(random, "random", lambda: drawn)
    d["a"] = 1
    assert len(moved) == reads


@pytest.mark.parametrize(("p", "draws"), [(0, 0), (0.5, 1), (1, 0)])
def test_the_draw_is_made_only_for_a_repeat_and_a_probability_between(monkeypatch, p, draws):
    d = WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=p)
    made = []
    monkeypatch.setattr(random, "random", lambda: made.append(1) or 0.9)
    d["a"] = 1
    assert made == []
    d["a"] = 1
    assert len(made) == draws


def test_the_check_compares_what_was_stored_by_somebody_else(tmp_path):
    one, two = (
        WriteOnceDict(
            wrapped_dict=FileDirDict(base_dir=tmp_path, append_only=True), p_consistency_checks=1
        )
        for _ in range(2)
    )
    one["a"] = {"x": [1, 2]}
    two["a"] = {"x": [1, 2]}
    assert counts(two) == (1, 1, 0)


def test_a_repeat_is_validated_like_any_value():
    d = WriteOnceDict(wrapped_dict=LocalDict(append_only=True, base_class_for_values=int))
    d["a"] = 1
    for value in ("text", LocalDict()):
        with pytest.raises(TypeError):
            d["a"] = value
