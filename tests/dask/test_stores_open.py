"""`open_store`: which dictionary a URL opens, and which URLs are refused."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from persidict import FileDirDict, LocalDict, MutationPolicyError, WriteOnceDict
from persidict_dask import open_store, persist


def opened(url, **params):
    """The folder of the opened dictionary, which works."""
    store = open_store(url, **params)
    store["a"] = 1
    assert open_store(url, **params)["a"] == 1
    return Path(store.base_dir)


PATHS = ["plain", "with space", "50%41", "what?", "a#b", "a&b=c", "ü€", "a:b", "a%3Fb", "[x]",
         "x;y", "C:", "s3", "memory", "http:", "~", "-rf"]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_taken_as_it_is(tmp_path, name):
    for url in (tmp_path / name, str(tmp_path / name), f"{tmp_path}/{name}/"):
        assert opened(url) == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", PATHS)
def test_a_file_url_is_unquoted(tmp_path, name):
    assert opened(f"file://{tmp_path}/{quote(name)}") == tmp_path / name


@pytest.mark.parametrize("start", ["file://localhost", "file:", "FILE://"])
def test_other_spellings_of_file_urls(tmp_path, start):
    assert opened(f"{start}{tmp_path}/x") == tmp_path / "x"


def test_a_relative_path_is_made_absolute_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    f = persist("results")(lambda x: x)
    assert opened("here/../there") == tmp_path / "there"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    f(1)
    assert (tmp_path / "results").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert opened("~/results") == opened(Path("~/results")) == tmp_path / "results"
    assert opened("~x y/z".replace("~x", f"{tmp_path}/~x")) == tmp_path / "~x y" / "z"


def test_path_likes_are_paths(tmp_path):
    class Place(os.PathLike):
        def __fspath__(self):
            return str(tmp_path / "like")

    assert opened(Place()) == tmp_path / "like"


def test_memory_is_a_new_store_each_time():
    first, second = open_store("memory:"), open_store("memory:")
    first["a"] = 1
    assert type(first) is LocalDict
    assert "a" not in second


BAD = ["", "http://host/path", "ftp://host/x", "gs://bucket/x", "file://host/x", "file://",
       "file:", "file:relative/path", "memory:name", "memory://name", "memory:?x=1", "s4://bucket",
       "file:///a?digest_len=3", "file:///a#part", "file://~/x"]  # fmt: skip


@pytest.mark.parametrize("url", BAD)
@pytest.mark.parametrize("use", [open_store, persist], ids=["open", "persist"])
def test_other_urls_are_refused_by_name(tmp_path, monkeypatch, url, use):
    """At once, and nothing is made in the current directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"store|parameters") as caught:
        use(url)
    assert repr(url) in str(caught.value) or url.partition("?")[0] in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", [None, 5, b"bytes", ["list"], {}])
def test_what_is_no_text_or_path_is_a_type_error(url):
    with pytest.raises(TypeError):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "s3://bucket/p?nonsense=1",
        "s3://bucket/p?region",
        "s3://bucket/p?region=a&region=b",
        "s3://bucket/p#fragment",
    ],
)
def test_urls_of_buckets_that_say_too_little_or_too_much(url):
    with pytest.raises(ValueError, match=r"s3|query"):
        open_store(url)


@pytest.mark.parametrize(
    "params",
    [{"region": "eu-west-1"}, {"bucket_name": "b"}, {"root_prefix": "x"}, {"cache_dir": "y"}],
)
def test_what_the_url_of_a_bucket_says_is_not_said_again(params):
    with pytest.raises(TypeError, match=next(iter(params))):
        open_store("s3://bucket/prefix?region=us-east-1&cache_dir=x", **params)


def test_formats_and_further_parameters_reach_the_dictionary(tmp_path):
    store = open_store(
        tmp_path, serialization_format="json", digest_len=0, base_class_for_values=int
    )
    params = store.get_params()
    assert (params["serialization_format"], params["digest_len"]) == ("json", 0)
    with pytest.raises(TypeError):
        store["a"] = "text"


@pytest.mark.parametrize("wrong", [{"nonsense": 1}, {"digest_len": -1}])
def test_wrong_parameters_are_the_errors_of_the_dictionary(tmp_path, wrong):
    with pytest.raises((TypeError, ValueError)):
        open_store(tmp_path / "x", **wrong)
    assert not (tmp_path / "x").exists()


def test_the_folder_is_named_once(tmp_path):
    """A second name for the place is refused, not preferred."""
    with pytest.raises(TypeError, match="base_dir"):
        open_store(tmp_path / "a", base_dir=str(tmp_path / "b"))


def test_append_only(tmp_path):
    store = open_store(tmp_path, append_only=True)
    assert type(store) is FileDirDict
    store["a"] = 1
    with pytest.raises(MutationPolicyError):
        store["a"] = 2


@pytest.mark.parametrize("url", ["folder", "memory:"])
def test_write_once_keeps_the_first_value(tmp_path, url):
    store = open_store(tmp_path if url == "folder" else url, write_once=True)
    assert type(store) is WriteOnceDict
    store["a"] = 1
    store["a"] = 2
    assert store["a"] == 1
    assert store.append_only
    with pytest.raises(MutationPolicyError):
        del store["a"]


def test_persist_opens_urls_write_once(tmp_path):
    f = persist(tmp_path)(lambda x: x)
    assert type(f.store) is WriteOnceDict
    assert type(persist("memory:")(lambda x: x).store) is WriteOnceDict


def test_functions_of_one_url_share_their_store(tmp_path):
    one, two = (persist(tmp_path, name=name)(lambda x: x) for name in "ab")
    assert one.store is two.store


def test_persist_by_url_opens_when_it_is_used(tmp_path):
    f = persist(tmp_path / "later")(lambda x: x)
    f.key_of(1), repr(f), f.stats()
    assert not (tmp_path / "later").exists()
    f(1)
    assert (tmp_path / "later").exists()
