"""How dictionaries are shown: without reading a value, without end, and without secrets."""

import itertools
import re

import pytest

from persidict import EmptyDict, FileDirDict, LocalDict, WriteOnceDict
from persidict.shown import call
from persidict_dask import RetryPolicy, StoreRef, persist


def test_text_and_repr_read_nothing(any_dict, monkeypatch):
    any_dict["a"] = "the value"
    for method in ("_generic_iter", "__getitem__", "_read", "_scan"):
        monkeypatch.setattr(type(any_dict), method, lambda *args, **kwargs: 1 / 0)
    assert str(any_dict) == repr(any_dict) == f"{any_dict}"
    assert "the value" not in str(any_dict)


def test_the_text_of_an_empty_dict_is_its_repr():
    assert str(EmptyDict()) == repr(EmptyDict())


def test_the_place_of_a_dict_in_memory_is_shown_as_a_path():
    below = LocalDict().get_subdict(("a", "b"))
    assert re.search(r"<LocalBackend 0x\w+>", repr(LocalDict()))
    assert re.search(r"<LocalBackend 0x\w+/a/b>", repr(below))


def text_of(d):
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", d._repr_html_()))


def test_a_table_tells_kind_place_number_and_first_keys(tmp_path):
    d = FileDirDict(tmp_path / "place")
    for n in range(3):
        d["k", n] = "the value"
    shown = text_of(d)
    assert "FileDirDict" in shown
    assert str(tmp_path / "place") in shown
    assert re.search(r"\bitems 3\b", shown)
    for n in range(3):
        assert f"(&#x27;k&#x27;, &#x27;{n}&#x27;)" in shown
    assert "the value" not in shown


def test_a_table_of_every_dict_reads_no_value(any_dict, monkeypatch):
    any_dict["a"] = 1
    for method in ("__getitem__", "_read"):
        monkeypatch.setattr(type(any_dict), method, lambda *args, **kwargs: 1 / 0)
    assert "&#x27;a&#x27;" in any_dict._repr_html_()
    assert re.search(r"\bitems 1\b", text_of(any_dict))


class Endless(LocalDict):
    """A dict of more items than anybody could count."""

    asked = 0

    def keys(self):
        for n in itertools.count():
            self.asked = n + 1
            yield f"k{n}"


def test_a_table_stops_counting():
    d = Endless()
    assert "items 1,000+" in text_of(d)
    assert d.asked == 1000
    assert len(d._repr_html_()) < 3000


def test_a_table_of_a_long_key_stays_short():
    d = LocalDict()
    d[["k" * 200] * 50] = 1
    assert len(d._repr_html_()) < 3000


@pytest.mark.parametrize("error", [ConnectionError("<b>no way</b>"), RuntimeError(), KeyError("x")])
def test_a_table_is_shown_even_if_the_store_is_out_of_reach(error, monkeypatch, tmp_path):
    d = FileDirDict(tmp_path)

    def keys(self):
        raise error

    monkeypatch.setattr(FileDirDict, "keys", keys)
    shown = d._repr_html_()
    assert str(tmp_path) in shown
    assert type(error).__name__ in shown
    assert "<b>" not in shown


def test_secrets_among_parameters_are_not_shown():
    shown = call(
        "S3",
        {
            "put_args": {"SSECustomerKey": "hush", "StorageClass": "GLACIER", "SSEKMSKeyId": "id"},
            "config": {"proxies": {"https": "http://me:hush@proxy:1"}, "session_token": "hush"},
            "endpoint_url": "https://me:hush@localhost:9000/x",
        },
    )
    assert "hush" not in shown
    assert "GLACIER" in shown
    assert "'id'" in shown
    assert "@localhost:9000/x" in shown
    assert "@proxy:1" in shown


class Secretive(EmptyDict):
    """A dict with parameters that others must not see."""

    def get_params(self):
        secrets = {"put_args": {"SSECustomerKey": "hush"}, "endpoint_url": "http://me:hush@host"}
        return super().get_params() | secrets


def test_no_secret_of_a_store_is_shown_by_what_refers_to_it():
    store = Secretive()
    policy = RetryPolicy(state="s3://b/x?endpoint_url=http://me:hush@host")
    things = [
        store,
        store._repr_html_(),
        StoreRef.of(store),
        policy,
        persist(store)(Secretive.keys),
    ]
    things.append(WriteOnceDict(wrapped_dict=Secretive(append_only=True)))
    assert [thing for thing in things if "hush" in str(thing)] == []


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (RetryPolicy(), "RetryPolicy(attempts=3)"),
        (RetryPolicy(attempts=3), "RetryPolicy(attempts=3)"),
        (RetryPolicy(attempts=5, deadline=2), "RetryPolicy(attempts=5, deadline=2)"),
        (
            RetryPolicy(retry_on=OSError, fatal=(KeyError,), poison_after=1),
            "RetryPolicy(attempts=3, retry_on=OSError, fatal=(KeyError,), poison_after=1)",
        ),
    ],
)
def test_a_policy_shows_how_often_and_what_was_chosen(policy, text):
    assert repr(policy) == text
