"""`del`, `discard`, `pop` and `popitem`."""

import pytest

from persidict import ANY_ETAG, FileDirDict, LocalDict, MutationPolicyError, NonEmptySafeStrTuple


def test_deleting_removes_one_item(mutable):
    mutable["a"], mutable["b"] = 1, 2
    del mutable["a"]
    assert (list(mutable), mutable.get("a")) == (["b"], None)


def test_deleting_what_is_absent_is_a_key_error(mutable):
    with pytest.raises(KeyError):
        del mutable["a"]


@pytest.mark.parametrize("key", ["a", "absent"])
@pytest.mark.parametrize(
    "remove",
    [
        lambda d, k: d.__delitem__(k),
        lambda d, k: d.discard(k),
        lambda d, k: d.delete_if_exists(k),
        lambda d, k: d.pop(k),
        lambda d, k: d.pop(k, None),
        lambda d, k: d.popitem(),
        lambda d, k: d.clear(),
    ],
    ids=["del", "discard", "delete_if_exists", "pop", "pop-default", "popitem", "clear"],
)
def test_append_only_dicts_refuse_before_they_look(append_only, remove, key):
    append_only["a"] = 1
    with pytest.raises(MutationPolicyError, match="append-only"):
        remove(append_only, key)
    assert append_only["a"] == 1


@pytest.mark.parametrize("call", [lambda d: d.clear(), lambda d: d.popitem()])
def test_append_only_dicts_refuse_when_they_are_empty(append_only, call):
    with pytest.raises(MutationPolicyError):
        call(append_only)


@pytest.mark.parametrize(
    "remove",
    [lambda d: d.__delitem__("a/b"), lambda d: d.pop("a/b", 1), lambda d: d.discard("a/b")],
)
def test_illegal_keys_come_before_the_policy_or_are_the_policy(mutable, remove):
    with pytest.raises(ValueError):
        remove(mutable)


def test_pop_removes_and_returns(mutable):
    mutable["a"] = [1]
    assert mutable.pop("a") == [1]
    assert "a" not in mutable


def test_pop_of_an_absent_key_gives_the_default_or_a_key_error(mutable):
    assert mutable.pop("a", 1) == 1
    assert mutable.pop("a", None) is None
    with pytest.raises(KeyError) as caught:
        mutable.pop("a")
    assert type(caught.value.args[0]) is NonEmptySafeStrTuple


@pytest.mark.parametrize("value", [None, False, KeyError])
def test_pop_tells_a_stored_value_from_the_default(tmp_path, value):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = value
    assert d.pop("a", "default") is value


def test_pop_takes_one_default_and_says_so_first(mutable, append_only):
    for d, key in [(mutable, "a"), (append_only, "a"), (mutable, "a/b"), (mutable, 1)]:
        with pytest.raises(TypeError) as caught:
            d.pop(key, 1, 2)
        assert not isinstance(caught.value, MutationPolicyError)


def test_pop_ties_reading_and_deleting_by_the_etag(d, monkeypatch):
    d["a"] = 1
    calls = []
    original = FileDirDict.transform_item

    def spy(self, key, **kwargs):
        calls.append(key)
        return original(self, key, **kwargs)

    monkeypatch.setattr(FileDirDict, "transform_item", spy)
    assert d.pop("a") == 1
    assert calls == ["a"]


def test_pop_returns_the_value_that_it_removed_after_a_conflict(pauses):
    d = LocalDict()
    d["a"] = 1
    original = d.discard_item_if

    def late(key, **kwargs):
        d.discard_item_if = original
        d["a"] = 2
        return original(key, **kwargs)

    d.discard_item_if = late
    assert d.pop("a") == 2
    assert len(d) == 0


def test_popitem_gives_items_in_iteration_order_until_nothing_is_left(mutable):
    mutable["a"], mutable["b"], mutable["c"] = 1, 2, 3
    expected = list(mutable.items())
    assert [mutable.popitem() for _ in range(3)] == expected
    with pytest.raises(KeyError):
        mutable.popitem()


def test_popitem_skips_a_key_that_has_vanished(third_party):
    class Haunted(third_party):
        def _generic_iter(self, result_type):
            if result_type == {"keys"}:
                yield NonEmptySafeStrTuple("ghost")
            yield from super()._generic_iter(result_type)

    d = Haunted()
    d["a"] = 1
    assert d.popitem() == ("a", 1)
    with pytest.raises(KeyError):
        d.popitem()


@pytest.mark.parametrize("cls", [FileDirDict, LocalDict])
def test_removing_never_asks_whether_the_key_is_there(cls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    d = cls()
    for key in "abcdef":
        d[key] = key
    monkeypatch.setattr(cls, "__contains__", lambda *_: 1 / 0)
    what = {"condition": ANY_ETAG, "expected_etag": "x"}
    d.pop("a"), d.discard("b"), d.discard("b"), d.discard_item_if("c", **what)
    d.pop("a", None), d.popitem(), d.discard_if("absent", **what)
    assert len(d) == 2
