"""Beside every result lies a note that says where it comes from."""

from __future__ import annotations

import json
import platform
import socket
import time
import uuid
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import persidict
from persidict import (
    FileDirDict,
)
from persidict_dask import persist


def watched_files(store, suffix):
    return [path for path in Path(store.base_dir).rglob("*") if path.name.endswith(suffix)]


def scale(values, by=2, *, label="x"):
    """Multiply."""
    return [by * value for value in values]


def notes_of(store):
    return [path for path in watched_files(store, "") if path.is_file() and path.suffix != ".pkl"]


def test_provenance_is_readable_json_beside_the_result(store):
    f = persist(store)(scale)
    f([1, 2], by=3)
    [note] = notes_of(store)
    [result] = watched_files(store, ".pkl")
    assert note.parent == result.parent
    assert note.stem == result.stem
    assert json.loads(note.read_text()) == f.provenance([1, 2], 3)
    assert "\n" in note.read_text()


def test_provenance_says_what_made_the_result_of_what_when_and_where(store):
    f = persist(store)(scale)
    before = time.time()
    f([1, 2], by=3)
    note = f.provenance([1, 2], by=3)
    assert (note["function"], note["module"]) == ("scale", scale.__module__)
    assert any("scale" in component for component in note["code"])
    assert set(note["arguments"]) == {"values", "by", "label"}
    assert "[1, 2]" in note["arguments"]["values"]["value"]
    assert int(note["arguments"]["by"]["digest"], 16)
    assert note["seconds"] >= 0
    created = datetime.fromisoformat(note["created"])
    assert created.utcoffset() == timedelta(0)
    assert before - 1 <= created.timestamp() <= time.time()
    assert note["host"] == socket.gethostname()
    assert note["python"] == platform.python_version()
    assert note["libraries"]["persidict"] == persidict.__version__
    assert note["libraries"]["numpy"] == np.__version__


def test_provenance_without_a_result_says_so(store):
    @persist(store, name="f")
    def f(x):
        return x

    f(1)
    with pytest.raises(KeyError, match="no result of f is stored for this call: explain") as caught:
        f.provenance(2)
    assert caught.value.__suppress_context__


def test_provenance_follows_a_refresh_and_stays_with_the_first_result(store):
    @persist(store, name="f", version="1")
    def f(x):
        store[f.key_of(x)] = "the other's"
        return "mine"

    f(1)
    with pytest.raises(KeyError, match="the stored result of f for this call has no note"):
        f.provenance(1)  # it is not ours to describe
    f.refresh(1)
    assert f.provenance(1)["arguments"]["x"]


def test_provenance_is_not_read_on_a_hit(store, runs):
    """Whatever has become of it, the result is found."""

    @persist(store)
    def f(x):
        runs.append(x)
        return x

    f(1)
    [note] = notes_of(store)
    note.write_bytes(b"\xff\x00 not JSON")
    assert f(1) == 1
    note.unlink()
    note.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f(1) == 1
    note.rmdir()
    assert f(1) == 1
    assert runs == [1]


class Unprintable:
    """Describing it fails."""

    def __init__(self, number):
        self.number = number

    def __persist_token__(self):
        return self.number

    def __repr__(self):
        raise ValueError("no repr")

    @property
    def shape(self):
        raise ValueError("no shape")


def test_an_argument_that_cannot_be_described_costs_no_result(store):
    f = persist(store)(lambda x: 1)
    assert f(Unprintable(1)) == f(Unprintable(1)) == 1
    assert f.provenance(Unprintable(1))["arguments"]["x"]["digest"]


def test_descriptions_are_short(store):
    f = persist(store)(lambda x: 1)
    for long in ("x" * 10**6, list(range(10**5)), np.arange(10**5)):
        f(long)
        assert len(f.provenance(long)["arguments"]["x"]["value"]) < 200


@pytest.mark.parametrize("text", ["\ud800", "ü€😀", "\x00", "a\nb"])
def test_any_text_can_be_described(store, text):
    f = persist(store)(lambda x: len(x))
    assert f(text) == f(text) == len(text)
    assert f.provenance(text)["arguments"]["x"]["value"]


def test_a_note_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch, runs):
    """The disk was full after the result: a warning."""

    @persist(tmp_path)
    def f(x):
        runs.append(x)
        return x

    plain = FileDirDict._write

    def full_for_notes(self, key, value, guard):
        if self.serialization_format != "pkl":
            raise OSError(28, "No space left on device")
        return plain(self, key, value, guard)

    monkeypatch.setattr(FileDirDict, "_write", full_for_notes)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert f(1) == 1
    assert f(1) == 1
    assert runs == [1]


def test_functions_of_one_name_are_told_apart_by_code(store):
    """Two functions that were both called `f` keep their results side by side."""
    name = uuid.uuid4().hex
    one, two = (persist(store, name=name)(f) for f in (lambda x: x + 1, lambda x: x - 1))
    assert (one(1), two(1), one(1), two(1)) == (2, 0, 2, 0)
