"""Sub-dictionaries are live views of the items below a prefix."""

import functools

import pytest

from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)

ETAGS = {"serialization_format": "etag", "base_class_for_values": str}


def mutable_cached(path, **kwargs):
    main = FileDirDict(base_dir=path, **kwargs)
    return MutableDictCached(
        main_dict=main, data_cache=LocalDict(**kwargs), etag_cache=LocalDict(**ETAGS)
    )


MAKERS = {
    "folder": lambda path, **kwargs: FileDirDict(base_dir=path, **kwargs),
    "unsigned": lambda path, **kwargs: FileDirDict(base_dir=path, digest_len=0, **kwargs),
    "local": lambda path, **kwargs: LocalDict(**kwargs),
    "cached": mutable_cached,
}


@pytest.fixture(params=MAKERS)
def make(request, tmp_path):
    return functools.partial(MAKERS[request.param], tmp_path)


@pytest.fixture
def tree(make):
    d = make()
    d["a"], d["a", "x"], d["a", "b", "y"], d["c", "z"] = 0, 1, 2, 3
    return d


def content(d):
    return {key.strings: value for key, value in d.items()}


def test_the_items_below_a_prefix_without_the_prefix(tree):
    sub = tree.get_subdict("a")
    assert content(sub) == {("x",): 1, ("b", "y"): 2}
    assert len(sub) == 2
    assert type(sub) is type(tree)


def test_the_item_at_the_prefix_itself_is_not_part(tree):
    sub = tree.get_subdict(("a", "x"))
    assert content(sub) == {}
    assert "x" not in sub


def test_an_unknown_prefix_is_an_empty_dict(tree):
    sub = tree.get_subdict("unknown")
    assert (len(sub), list(sub), sub.random_key()) == (0, [], None)


@pytest.mark.parametrize("prefix", [(), [], ((), [])])
def test_an_empty_prefix_is_the_whole(tree, prefix):
    assert content(tree.get_subdict(prefix)) == content(tree)


@pytest.mark.parametrize("prefix", ["a/b", ("a", ""), 1.5, None, "."])
def test_an_illegal_prefix_is_an_error(tree, prefix):
    with pytest.raises((TypeError, ValueError)):
        tree.get_subdict(prefix)


def test_nesting_is_the_longer_prefix(tree):
    nested = tree.get_subdict("a").get_subdict("b")
    assert content(nested) == content(tree.get_subdict(("a", "b"))) == {("y",): 2}


def test_writes_are_seen_both_ways(tree):
    sub = tree.get_subdict("a")
    sub["new"] = 4
    assert tree["a", "new"] == 4
    tree["a", "new"] = 5
    assert sub["new"] == 5
    del tree["a", "x"]
    assert "x" not in sub
    del sub["new"]
    assert ("a", "new") not in tree


def test_a_view_of_nothing_sees_what_comes_later(tree):
    early = tree.get_subdict(("later", "deeper"))
    tree["later", "deeper", "k"] = 1
    assert content(early) == {("k",): 1}
    early.get_subdict("sub")["j"] = 2
    assert tree["later", "deeper", "sub", "j"] == 2


def test_a_view_survives_the_clearing_of_its_parent(tree):
    sub = tree.get_subdict("a")
    tree.clear()
    assert content(sub) == {}
    sub["x"] = 9
    assert content(tree) == {("a", "x"): 9}


def test_clearing_a_view_leaves_the_rest(tree):
    tree.get_subdict("a").clear()
    assert content(tree) == {("a",): 0, ("c", "z"): 3}


def test_a_view_reports_the_timestamps_and_etags_of_its_parent(tree):
    sub = tree.get_subdict("a")
    assert sub.timestamp("x") == tree.timestamp(("a", "x"))
    assert sub.etag("x") == tree.etag(("a", "x"))


def test_a_view_inherits_the_settings(make):
    sub = make(base_class_for_values=int).get_subdict(("a", "b"))
    assert sub.base_class_for_values is int
    assert sub.serialization_format == "pkl"
    with pytest.raises(TypeError):
        sub["x"] = "text"


def test_subdicts_are_the_views_of_all_first_components(tree):
    assert sorted(tree.subdicts()) == ["a", "c"]
    assert content(tree.subdicts()["c"]) == {("z",): 3}


def test_a_view_of_an_append_only_dict_is_append_only(tmp_path):
    dicts = [FileDirDict(base_dir=tmp_path, append_only=True), LocalDict(append_only=True)]
    dicts.append(AppendOnlyDictCached(main_dict=dicts[0], data_cache=dicts[1]))
    dicts.append(WriteOnceDict(wrapped_dict=LocalDict(append_only=True)))
    for number, d in enumerate(dicts):
        sub = d.get_subdict("p")
        assert (sub.append_only, type(sub)) == (True, type(d))
        sub[f"k{number}"] = 1
        assert d["p", f"k{number}"] == 1


def test_a_view_of_a_write_once_dict_checks_with_the_same_probability():
    d = WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=0.25)
    assert d.get_subdict("a").p_consistency_checks == 0.25


def test_a_view_of_an_empty_dict_is_empty():
    d = EmptyDict(base_class_for_values=int, append_only=True)
    for prefix in ("a", ("a", "b"), (), None, 1):
        assert d.get_subdict(prefix).get_params() == d.get_params()
        assert type(d.get_subdict(prefix)) is EmptyDict


def test_a_view_of_a_folder_is_a_dict_over_the_folder_below(tmp_path):
    d = FileDirDict(base_dir=tmp_path, compression="zlib", digest_len=6)
    sub = d.get_subdict(("a", "b"))
    expected = d.get_params() | {"base_dir": str(tmp_path / "a_btaxlo" / "b_slvvf2")}
    assert sub.get_params().keys() == expected.keys()
    assert sub.get_params() | {"base_dir": ""} == expected | {"base_dir": ""}
    sub["k"] = 1
    assert type(d)(**sub.get_params())["k"] == d["a", "b", "k"] == 1


def test_making_a_view_creates_nothing(tmp_path):
    FileDirDict(base_dir=tmp_path).get_subdict(("a", "b")).get("k")
    assert list(tmp_path.iterdir()) == []
