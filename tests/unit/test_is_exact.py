"""Whether conditional operations are exact, of every dictionary and through every wrapper."""

import pytest

from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)
from tests.conformance.third_party import MinimalDict, Shelf


def cached(main):
    return MutableDictCached(
        main_dict=main,
        data_cache=LocalDict(),
        etag_cache=LocalDict(serialization_format="etag", base_class_for_values=str),
    )


@pytest.mark.parametrize("exact", [True, False])
def test_a_wrapper_is_as_exact_as_what_it_wraps(tmp_path, exact):
    main = FileDirDict(base_dir=tmp_path, exact=exact)
    adding = FileDirDict(base_dir=tmp_path, exact=exact, append_only=True)
    wrappers = [
        cached(main),
        cached(cached(main)),
        WriteOnceDict(wrapped_dict=adding),
        AppendOnlyDictCached(main_dict=adding, data_cache=LocalDict(append_only=True)),
    ]
    for d in (main, adding, *wrappers):
        assert d.is_exact is exact
        assert d.get_subdict("a").is_exact is exact


def test_memory_is_exact():
    assert LocalDict().is_exact
    assert LocalDict().get_subdict("a").is_exact


def test_others_are_not():
    """Nothing is kept, or all there is are the classic methods."""
    assert not EmptyDict().is_exact
    assert not MinimalDict(shelf=Shelf()).is_exact
