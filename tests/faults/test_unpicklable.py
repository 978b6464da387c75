"""A value that cannot be stored raises at once and leaves everything as it was."""

import threading

import pytest

from persidict import (
    ANY_ETAG,
    ITEM_NOT_AVAILABLE,
    AppendOnlyDictCached,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
ETAGS = {"serialization_format": "etag", "base_class_for_values": str}


def folder(path, **kwargs):
    return FileDirDict(base_dir=path / "main", **kwargs)


def mutable_cached(path):
    main, data = folder(path), FileDirDict(base_dir=path / "cache")
    return MutableDictCached(main_dict=main, data_cache=data, etag_cache=LocalDict(**ETAGS))


def append_only_cached(path):
    data = FileDirDict(base_dir=path / "cache", append_only=True)
    return AppendOnlyDictCached(main_dict=folder(path, append_only=True), data_cache=data)


MUTABLE = {
    "pkl": folder,
    "uncompressed": lambda path: folder(path, compression=None),
    "json": lambda path: folder(path, serialization_format="json"),
    "sub-dict": lambda path: folder(path).get_subdict(("p", "q")),
    "memory": lambda path: LocalDict(),
    "cached": mutable_cached,
}
APPEND_ONLY = {
    "append-only": lambda path: folder(path, append_only=True),
    "append-only-cached": append_only_cached,
    "write-once": lambda path: WriteOnceDict(wrapped_dict=folder(path, append_only=True)),
    "checked": lambda path: WriteOnceDict(
        wrapped_dict=folder(path, append_only=True), p_consistency_checks=1
    ),
}
WRITES = {
    "[]=": lambda d, v: d.__setitem__("a", v),
    "update": lambda d, v: d.update(a=v),
    "setdefault": lambda d, v: d.setdefault("a", v),
    "setdefault_if": lambda d, v: d.setdefault_if("a", default_value=v, **ANY),
    "set_item_if": lambda d, v: d.set_item_if("a", value=v, **ANY),
    "transform_item": lambda d, v: d.transform_item("a", transformer=lambda _: v),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


class Refusing:
    """A value that refuses to be stored in its own words, after others were stored."""

    def __reduce_ex__(self, protocol):
        raise ValueError("not me")

    def __deepcopy__(self, memo):
        raise ValueError("not me")


VALUES = {
    "lock": threading.Lock(),
    "nested": {"fine": [1] * 1000, "x": [threading.Lock()]},
    "refusing": [b"x" * 100_000, Refusing()],
}


def everything(path):
    """All files and folders, and how the dict's own looked (a cache may be refreshed)."""
    names = sorted(path.rglob("*"))
    return names, [p.stat().st_mtime_ns for p in names if "main" in p.parts]


@each_write
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("make", (MUTABLE | APPEND_ONLY).values(), ids=MUTABLE | APPEND_ONLY)
def test_it_raises_at_once_and_leaves_nothing_behind(tmp_path, pauses, make, value, write):
    d = make(tmp_path)
    before = everything(tmp_path)
    with pytest.raises((TypeError, ValueError)):
        write(d, value)
    assert pauses == []
    assert everything(tmp_path) == before
    assert (len(d), "a" in d) == (0, False)


@pytest.mark.parametrize("name", ["[]=", "update", "set_item_if", "transform_item"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("make", MUTABLE.values(), ids=MUTABLE)
def test_the_old_value_stays(tmp_path, pauses, make, value, name):
    d = make(tmp_path)
    d["a"] = "old"
    etag, before = d.etag("a"), everything(tmp_path)
    with pytest.raises((TypeError, ValueError)):
        WRITES[name](d, value)
    assert (d["a"], d.etag("a"), len(d)) == ("old", etag, 1)
    assert (everything(tmp_path), pauses) == (before, [])


@pytest.mark.parametrize("make", [MUTABLE["pkl"], MUTABLE["json"]])
def test_a_function_without_a_name_is_refused(tmp_path, make, pauses):
    d = make(tmp_path)
    with pytest.raises(Exception, match=r"lambda|pickle|local"):
        d["a"] = lambda: None
    assert (len(d), pauses) == (0, [])


def test_a_value_nested_too_deeply_is_refused_and_the_old_one_stays(tmp_path, pauses):
    d = folder(tmp_path)
    d["a"] = "old"
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        d["a"] = deep
    assert (d["a"], pauses) == ("old", [])
    while deep:
        deep = deep[0]
