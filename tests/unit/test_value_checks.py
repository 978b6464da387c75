"""When a value's type is checked, and when a value is not looked at."""

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    WriteOnceDict,
)

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
WRITES = {
    "[]=": lambda d, v: d.__setitem__("a", v),
    "update": lambda d, v: d.update(a=v),
    "setdefault": lambda d, v: d.setdefault("a", v),
    "set_item_if": lambda d, v: d.set_item_if("a", value=v, **ANY),
    "setdefault_if": lambda d, v: d.setdefault_if("a", default_value=v, **ANY),
    "transform_item": lambda d, v: d.transform_item("a", transformer=lambda _: v),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@each_write
def test_a_value_of_another_type_is_refused_and_nothing_is_written(make, write):
    d = make(base_class_for_values=int)
    with pytest.raises(TypeError, match="int"):
        write(d, "text")
    assert len(d) == 0
    assert "a" not in d


@each_write
def test_a_refused_value_creates_no_file_and_no_folder(tmp_path, write):
    d = FileDirDict(base_dir=tmp_path, base_class_for_values=int).get_subdict("sub")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TypeError):
        write(d, "text")
    assert sorted(tmp_path.rglob("*")) == before


@each_write
def test_a_dict_is_never_stored_in_a_dict(mutable, write):
    for value in (LocalDict(), EmptyDict(), mutable):
        with pytest.raises(TypeError):
            write(mutable, value)
    assert len(mutable) == 0


@each_write
def test_instances_of_a_subclass_are_accepted(make, write):
    d = make(base_class_for_values=int)
    write(d, True)
    assert d["a"] is True


def test_a_refused_value_leaves_the_old_one(make):
    d = make(base_class_for_values=int)
    d["a"] = 1
    etag, timestamp = d.etag("a"), d.timestamp("a")
    with pytest.raises(TypeError):
        d["a"] = "text"
    assert (d["a"], d.etag("a"), d.timestamp("a")) == (1, etag, timestamp)


def test_the_key_is_checked_before_the_value(make):
    d = make(base_class_for_values=int)
    with pytest.raises(ValueError):
        d["a/b"] = "text"


def test_the_value_is_checked_before_the_policy(append_only):
    append_only["a"] = 1
    with pytest.raises(TypeError) as caught:
        append_only["a"] = LocalDict()
    assert not isinstance(caught.value, MutationPolicyError)


@pytest.fixture
def mismatched(tmp_path):
    """A folder with a text, seen by a dict of integers."""
    FileDirDict(base_dir=tmp_path)["a"] = "text"
    return FileDirDict(base_dir=tmp_path, base_class_for_values=int)


READS = {
    "[]": lambda d: d["a"],
    "get": lambda d: d.get("a"),
    "values": lambda d: list(d.values()),
    "items": lambda d: list(d.items()),
    "values_and_timestamps": lambda d: list(d.values_and_timestamps()),
    "oldest_values": lambda d: d.oldest_values(),
    "newest_values": lambda d: d.newest_values(),
    "get_with_etag": lambda d: d.get_with_etag("a"),
    "get_item_if": lambda d: d.get_item_if("a", **ANY),
    "setdefault": lambda d: d.setdefault("a", 1),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: v),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_stored_value_of_another_type_is_refused_naming_the_expected_class(mismatched, read):
    with pytest.raises(TypeError, match="int"):
        read(mismatched)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_mismatch_in_memory_is_found_in_the_same_way(read):
    d = LocalDict()
    d["a"] = "text"
    with pytest.raises(TypeError, match="int"):
        read(LocalDict(backend=d.get_params()["backend"], base_class_for_values=int))


def test_wrappers_check_what_they_read(tmp_path):
    FileDirDict(base_dir=tmp_path, append_only=True)["a"] = "text"
    main = FileDirDict(base_dir=tmp_path, append_only=True, base_class_for_values=int)
    with pytest.raises(TypeError, match="int"):
        WriteOnceDict(wrapped_dict=main)["a"]


def test_what_reads_no_value_checks_none(mismatched):
    d = mismatched
    assert (list(d), len(d), "a" in d) == (["a"], 1, True)
    assert list(d.keys_and_timestamps()) == [("a", d.timestamp("a"))]
    assert d.oldest_keys() == d.newest_keys() == [d.random_key()]
    never = d.get_item_if("a", retrieve_value=NEVER_RETRIEVE, **ANY)
    assert never.new_value is VALUE_NOT_RETRIEVED
    same = d.get_item_if("a", condition=ETAG_IS_THE_SAME, expected_etag=d.etag("a"))
    assert same.new_value is VALUE_NOT_RETRIEVED
    d["a"] = KEEP_CURRENT
    assert d.discard("a") is True


def test_always_retrieving_checks(mismatched):
    with pytest.raises(TypeError):
        mismatched.get_item_if("a", retrieve_value=ALWAYS_RETRIEVE, **ANY)


class Text(str):
    """A string class of the user."""


def test_a_text_format_gives_back_plain_strings_only(tmp_path):
    d = FileDirDict(base_dir=tmp_path, serialization_format="txt", base_class_for_values=Text)
    d["a"] = Text("x")
    with pytest.raises(TypeError, match="Text"):
        d["a"]
