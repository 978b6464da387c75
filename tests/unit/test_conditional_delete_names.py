"""The conditional delete has two names; the library itself calls the first."""

import inspect

import pytest

import persidict
from persidict import DELETE_CURRENT, ITEM_NOT_AVAILABLE, LocalDict

CLASSES = [getattr(persidict, name) for name in persidict.__all__]
DICTS = [c for c in CLASSES if isinstance(c, type) and issubclass(c, persidict.PersiDict)]


@pytest.mark.parametrize("cls", DICTS)
def test_both_names_take_the_same_arguments(cls):
    one, other = map(inspect.signature, (cls.discard_item_if, cls.discard_if))
    assert list(one.parameters.values()) == list(other.parameters.values())


@pytest.mark.parametrize("cls", DICTS)
def test_the_alias_stands_in_the_base_class_only(cls):
    assert cls.discard_if is persidict.PersiDict.discard_if


class Own(LocalDict):
    """A dict with its own conditional delete."""

    def discard_item_if(self, key, *, condition, expected_etag):
        return (key, condition, expected_etag)


def test_the_alias_calls_what_a_subclass_overrides():
    asked = Own().discard_if("a", condition=1, expected_etag=2)
    assert asked == ("a", 1, 2)


def test_the_library_calls_the_primary_name_only(mutable, monkeypatch):
    monkeypatch.setattr(persidict.PersiDict, "discard_if", lambda *a, **k: 1 / 0)
    mutable["a"] = mutable["b"] = mutable["c"] = 1
    assert mutable.pop("a") == 1
    mutable.transform_item("b", transformer=lambda v: DELETE_CURRENT)
    assert mutable.popitem() == ("c", 1)
    assert mutable.get("c", ITEM_NOT_AVAILABLE) is ITEM_NOT_AVAILABLE
