"""Where the folder of a `FileDirDict` is, and what is no name of a folder."""

import inspect
import os

import pytest

from persidict import FileDirDict, WriteOnceDict
from persidict.shown import value
from persidict_dask import StoreRef, open_store


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_folder_may_come_first(tmp_path):
    d = FileDirDict("x", serialization_format="json")
    d["a"] = 1
    assert d.base_dir == str(tmp_path / "x")
    assert FileDirDict(base_dir="x", serialization_format="json")["a"] == 1
    assert d.clone()["a"] == FileDirDict[int](**d.get_params())["a"] == 1


def test_a_mapping_is_no_folder(tmp_path):
    with pytest.raises(TypeError, match="base_dir must be a path"):
        FileDirDict({"a": 1})
    assert os.listdir(tmp_path) == []


def test_all_else_has_a_name():
    with pytest.raises(TypeError):
        FileDirDict("x", "json")
    first, *others = list(inspect.signature(FileDirDict).parameters.values())
    assert (first.name, first.kind) == ("base_dir", first.POSITIONAL_OR_KEYWORD)
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}


class Named(FileDirDict):
    """A subclass that passes the folder on by name."""

    def __init__(self, *, base_dir="mine", **kwargs):
        super().__init__(base_dir=base_dir, **kwargs)


def test_subclasses_by_keyword_go_on_working(tmp_path):
    d = Named(append_only=True)
    assert type(d.clone()) is Named
    assert type(d.get_subdict("a")) is Named
    assert type(StoreRef.of(WriteOnceDict(wrapped_dict=d)).open().clone()) is WriteOnceDict
    assert d.base_dir == str(tmp_path / "mine")


def test_paths_of_every_kind_are_taken_as_paths(tmp_path):
    (tmp_path / "there").mkdir()
    (entry,) = os.scandir(tmp_path)  # its text is "<DirEntry 'there'>"
    assert FileDirDict(entry).base_dir == str(tmp_path / "there")
    assert FileDirDict(b"there").base_dir == str(tmp_path / "there")
    assert os.listdir(tmp_path) == ["there"]


PLACES = [
    *("s3://bucket/x", "s3:/bucket/x", "s3:bucket/x", "s3:", "S3://bucket", "s3:///x", "S3:/x"),
    *("file:///x", "file:/x", "file:x", "FILE://x", "memory:", "memory://", "http://host/x"),
    *("https:/host/x", "gs://b/x", "gs:b", "gcs:/b", "az:/c", "abfs://c@a/x", "hdfs:/x", "ftp://h"),
    *("redis://h", "unknown+scheme://x", "r2:/x", "s3//bucket/x", "file//x"),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_elsewhere_is_no_folder(place, tmp_path):
    with pytest.raises(ValueError, match="open_store") as caught:
        FileDirDict(place)
    assert value(place) in str(caught.value)
    assert os.listdir(tmp_path) == []


TYPOS = [
    "s3:/bucket/x",
    "s3//b/x",
    "s3:bucket/x",
    "s3:",
    "S3:/b",
    "file:x",
    "http:/h",
    "gs:/b/x",
    "r2:/x",
]


@pytest.mark.parametrize("url", TYPOS)
@pytest.mark.parametrize("write_once", [False, True])
def test_a_misspelt_url_opens_no_folder(url, write_once, tmp_path):
    with pytest.raises(ValueError, match="s3://bucket") as caught:
        open_store(url, write_once=write_once)
    assert repr(url) in str(caught.value)
    assert os.listdir(tmp_path) == []


FOLDERS = [
    "C:/x",
    "c:\\x",
    "C:x",
    "a:b",
    "2025:01/x",
    "run 1:/x",
    "x/s3:/y",
    "./s3:/x",
    "s3",
    "s3/x",
    "data//x",
]


@pytest.mark.parametrize("name", FOLDERS)
def test_drives_and_other_names_with_a_colon_are_folders(name, tmp_path):
    for d in (FileDirDict(name), open_store(name)):
        assert d.base_dir == os.path.abspath(name)
        assert os.path.isdir(d.base_dir)
