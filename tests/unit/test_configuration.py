"""Constructor parameters: defaults, validation, and the order in which they are validated."""

import inspect
import os
import pathlib

import pytest

import persidict
from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)
from persidict.file_dir_dict import FILEDIRDICT_DEFAULT_BASE_DIR
from tests.ids import stable

PLAIN = [LocalDict, EmptyDict, FileDirDict]
each_class = pytest.mark.parametrize("cls", PLAIN)


class Text(str):
    """A string class of the user."""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@each_class
def test_defaults(cls):
    d = cls()
    assert d.append_only is False
    assert d.base_class_for_values is None
    assert d.serialization_format == "pkl"


@each_class
@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"serialization_format": None}, TypeError),
        ({"serialization_format": 123}, TypeError),
        ({"serialization_format": ""}, ValueError),
        ({"serialization_format": "a/b"}, ValueError),
        ({"serialization_format": "a%"}, ValueError),
        ({"serialization_format": "a\0"}, ValueError),
        ({"serialization_format": "a b"}, ValueError),
        ({"base_class_for_values": 5}, TypeError),
        ({"base_class_for_values": "int"}, TypeError),
        ({"serialization_format": "csv"}, ValueError),
        ({"serialization_format": "csv", "base_class_for_values": int}, ValueError),
        ({"serialization_format": "PKL"}, ValueError),
    ],
    ids=stable,
)
def test_each_wrong_parameter_has_its_error(cls, kwargs, error):
    with pytest.raises(error):
        cls(**kwargs)


@each_class
@pytest.mark.parametrize(
    ("kwargs", "first"),
    [
        ({"serialization_format": "", "base_class_for_values": 5}, ValueError),
        ({"serialization_format": "a/b", "base_class_for_values": 5}, ValueError),
        ({"serialization_format": "csv", "base_class_for_values": 5}, TypeError),
        ({"serialization_format": None, "base_class_for_values": int}, TypeError),
    ],
    ids=stable,
)
def test_of_two_wrong_parameters_the_first_in_order_is_reported(cls, kwargs, first):
    with pytest.raises(first):
        cls(**kwargs)


@pytest.mark.parametrize("digest_len", [-1, "4"])
def test_the_common_checks_come_before_those_of_the_folder(digest_len):
    with pytest.raises(TypeError, match="serialization_format"):
        FileDirDict(serialization_format=None, digest_len=digest_len)
    with pytest.raises(ValueError, match="format"):
        FileDirDict(serialization_format="a/b", digest_len=digest_len)


@pytest.mark.parametrize(
    "kwargs",
    [{"serialization_format": "csv"}, {"base_class_for_values": 5}, {"digest_len": -1}],
    ids=stable,
)
def test_a_refused_folder_dict_creates_no_folder(kwargs):
    with pytest.raises((TypeError, ValueError)):
        FileDirDict(base_dir="new", **kwargs)
    assert not os.path.exists("new")


@each_class
@pytest.mark.parametrize("base", [str, Text])
@pytest.mark.parametrize("name", ["csv", "txt", "x.json", "md-1", "(odd)~=_"])
def test_any_other_format_is_text(cls, base, name):
    d = cls(serialization_format=name, base_class_for_values=base)
    assert d.serialization_format == name
    assert d.base_class_for_values is base


@each_class
@pytest.mark.parametrize("base", [int, str, dict, object, None])
@pytest.mark.parametrize("name", ["pkl", "json"])
def test_pickle_and_json_take_any_base_class(cls, base, name):
    d = cls(serialization_format=name, base_class_for_values=base)
    assert d.base_class_for_values is base


@each_class
@pytest.mark.parametrize(("given", "stored"), [(1, True), ("x", True), ([], False), (None, False)])
def test_append_only_is_converted_to_a_bool(cls, given, stored):
    assert cls(append_only=given).append_only is stored


def test_append_only_is_read_only(any_dict):
    with pytest.raises(AttributeError):
        any_dict.append_only = not any_dict.append_only


@pytest.mark.parametrize(
    "cls", [*PLAIN, WriteOnceDict, MutableDictCached, AppendOnlyDictCached], ids=stable
)
def test_parameters_are_keywords_only(cls):
    with pytest.raises(TypeError):
        cls(LocalDict(append_only=True))


@each_class
def test_unknown_parameters_are_refused(cls):
    with pytest.raises(TypeError):
        cls(no_such_parameter=1)


@pytest.mark.parametrize(
    "name",
    "EmptyDict LocalDict FileDirDict MutableDictCached AppendOnlyDictCached WriteOnceDict".split(),
)
def test_signatures_declare_every_parameter(name):
    parameters = inspect.signature(getattr(persidict, name).__init__).parameters.values()
    assert not [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    named = {p.kind for p in parameters if p.name not in ("self", "base_dir")}
    assert named == {inspect.Parameter.KEYWORD_ONLY}


def test_defaults_of_a_folder_dict():
    d = FileDirDict()
    assert FILEDIRDICT_DEFAULT_BASE_DIR == "__file_dir_dict__"
    assert d.base_dir == os.path.abspath("__file_dir_dict__")
    assert d.digest_len == 4


def test_a_negative_digest_length_is_a_value_error():
    with pytest.raises(ValueError):
        FileDirDict(digest_len=-1)


@pytest.mark.parametrize("digest_len", ["4", None, [4]])
def test_a_digest_length_that_is_no_number_is_a_type_error(digest_len):
    with pytest.raises(TypeError):
        FileDirDict(digest_len=digest_len)["a"] = 1


class Named:
    """Anything that has a text."""

    def __str__(self):
        return "named"


@pytest.mark.parametrize("base_dir", ["named", pathlib.Path("named"), Named()], ids=stable)
def test_base_dir_is_anything_with_a_text(base_dir, tmp_path):
    assert FileDirDict(base_dir=base_dir).base_dir == str(tmp_path / "named")


def test_base_dir_is_absolute_against_the_folder_of_its_making(tmp_path, monkeypatch):
    d = FileDirDict(base_dir="x/../here")
    d["a"] = 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert d.base_dir == str(tmp_path / "here")
    assert d["a"] == 1


def test_base_dir_is_created_with_its_parents(tmp_path):
    FileDirDict(base_dir=tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_file_in_place_of_base_dir_is_a_value_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError):
        FileDirDict(base_dir=tmp_path / "file")
