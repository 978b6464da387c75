"""What may stand in a key besides strings, and what errors say of the rest."""

import datetime as dt
import enum
import fractions
import pathlib
import uuid

import numpy as np
import pandas as pd
import pytest

from persidict import (
    FileDirDict,
    LocalDict,
    NonEmptySafeStrTuple,
    SafeStrTuple,
    replace_unsafe_chars,
)
from tests.ids import stable

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize("cls", [SafeStrTuple, NonEmptySafeStrTuple])
@pytest.mark.parametrize(
    ("part", "text"),
    [
        (2025, "2025"),
        (0, "0"),
        (-3, "-3"),
        (np.int64(7), "7"),
        (np.uint8(255), "255"),
        (Level.LOW, "1"),
        (dt.date(2025, 1, 31), "2025-01-31"),
        (UUID, str(UUID)),
    ],
    ids=stable,
)
def test_whole_numbers_days_and_uuids_become_strings(cls, part, text):
    assert cls(part).strings == (text,)
    assert cls("a", [part, "b"]).strings == ("a", text, "b")
    assert all(type(each) is str for each in cls(part))


def test_an_array_of_numbers_is_a_sequence_of_parts():
    assert SafeStrTuple(np.array([1, 2])) == ("1", "2")


def test_a_number_addresses_the_item_of_its_string(mutable):
    mutable["berlin", 2025] = 1
    mutable[7] = 2
    assert mutable["berlin", "2025"] == mutable["berlin", np.int64(2025)] == 1
    assert mutable["7"] == mutable.pop(7) == 2
    assert ("berlin", 2025) in mutable
    assert set(mutable) == {("berlin", "2025")}


@pytest.mark.parametrize("make", [LocalDict, lambda: FileDirDict("d")])
def test_prefixes_take_the_same_parts(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    d = make()
    d[2025, dt.date(2025, 1, 31)] = 1
    assert dict(d.get_subdict(2025).items()) == {("2025-01-31",): 1}


@pytest.mark.parametrize(
    "part",
    [
        True,
        np.True_,
        None,
        1.0,
        np.float64(1),
        1j,
        fractions.Fraction(1, 2),
        dt.time(1),
        dt.timedelta(1),
        pathlib.PurePosixPath("a"),
        b"a",
        bytearray(b"a"),
        memoryview(b"a"),
        range(2),
        np.array(3),
        object(),
    ],
    ids=stable,
)
def test_what_has_no_single_spelling_is_a_type_error_that_helps(part):
    for arguments in [(part,), ("a", [part])]:
        with pytest.raises(TypeError, match=r"UUIDs.*replace_unsafe_chars") as caught:
            SafeStrTuple(*arguments)
        assert type(part).__name__ in str(caught.value)
        advice = replace_unsafe_chars(str(part), "_")
        assert repr(advice[:40]) in str(caught.value)
        assert SafeStrTuple(advice)  # that will do


@pytest.mark.parametrize(
    "moment",
    [dt.datetime(2025, 1, 31), pd.Timestamp("2025-01-31"), np.datetime64("2025-01-31T00:00")],
    ids=stable,
)
def test_a_moment_is_never_taken_for_its_day(moment):
    with pytest.raises(TypeError, match=r"datetime\.date.*gives '2025-01-31"):
        SafeStrTuple(moment)


@pytest.mark.parametrize(
    ("text", "unsafe", "safe"),
    [
        ("a b", " ", "a_b"),
        ("São", "ã", "S_o"),
        ("a/b:c", "/:", "a_b_c"),
        ("2025-01-31T10:00", ":", "2025-01-31T10_00"),
    ],
)
def test_an_unsafe_string_shows_how_it_can_be_made_safe(text, unsafe, safe):
    with pytest.raises(ValueError, match="replace_unsafe_chars") as caught:
        SafeStrTuple("a", text)
    assert repr(text) in str(caught.value)
    assert repr(unsafe) in str(caught.value)
    assert repr(safe) in str(caught.value)


def test_a_number_of_too_many_digits_is_a_value_error():
    with pytest.raises(ValueError):
        SafeStrTuple(10**300)
    with pytest.raises(ValueError):
        SafeStrTuple(10**5000)  # more than Python makes a string of
