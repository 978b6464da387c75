"""The dictionaries of the unit tests: every class, every wrapper, and one of somebody else."""

import copy
import functools
import itertools

import pytest

from persidict import (
    AppendOnlyDictCached,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    MutationPolicyError,
    NonEmptySafeStrTuple,
    PersiDict,
    WriteOnceDict,
)
from persidict.jokers_and_status_flags import EXECUTION_IS_COMPLETE

ETAGS = {"serialization_format": "etag", "base_class_for_values": str}


class Minimal(PersiDict):
    """A third party's dict: the abstract methods over a plain dict, and nothing more."""

    def __init__(
        self, *, append_only=False, base_class_for_values=None, serialization_format="pkl"
    ):
        super().__init__(
            append_only=append_only,
            base_class_for_values=base_class_for_values,
            serialization_format=serialization_format,
        )
        self.data = {}
        self.clock = itertools.count(1)

    def __contains__(self, key):
        return NonEmptySafeStrTuple(key) in self.data

    def __len__(self):
        return len(self.data)

    def timestamp(self, key):
        return self.data[NonEmptySafeStrTuple(key)][1]

    def __getitem__(self, key):
        return copy.deepcopy(self.data[NonEmptySafeStrTuple(key)][0])

    def __setitem__(self, key, value):
        key = NonEmptySafeStrTuple(key)
        if self._process_setitem_args(key, value) is not EXECUTION_IS_COMPLETE:
            self.data[key] = (copy.deepcopy(value), float(next(self.clock)))

    def __delitem__(self, key):
        if self.append_only:
            raise MutationPolicyError("append-only")
        del self.data[NonEmptySafeStrTuple(key)]

    def _generic_iter(self, result_type):
        for key, (value, timestamp) in list(self.data.items()):
            row = {"keys": key, "values": copy.deepcopy(value), "timestamps": timestamp}
            fields = tuple(row[name] for name in row if name in result_type)
            yield fields if len(fields) > 1 else fields[0]


class MinimalWithETag(Minimal):
    """The same with etags of its own."""

    def etag(self, key):
        return f"version-{self.timestamp(key):.0f}"


def folder(path, **kwargs):
    return FileDirDict(base_dir=path / "main", **kwargs)


def json_folder(path, **kwargs):
    return FileDirDict(base_dir=path / "main", serialization_format="json", **kwargs)


def local(path, **kwargs):
    return LocalDict(**kwargs)


def minimal(path, **kwargs):
    return Minimal(**kwargs)


def cached(main, path, **kwargs):
    data = LocalDict(**kwargs)
    return MutableDictCached(
        main_dict=main(path, **kwargs), data_cache=data, etag_cache=LocalDict(**ETAGS)
    )


def append_only_cached(main, path, **kwargs):
    kwargs["append_only"] = True
    return AppendOnlyDictCached(main_dict=main(path, **kwargs), data_cache=LocalDict(**kwargs))


def write_once(path, **kwargs):
    kwargs["append_only"] = True
    return WriteOnceDict(wrapped_dict=folder(path, **kwargs))


BASE = {
    "folder": folder,
    "json-folder": json_folder,
    "local": local,
    "third-party": minimal,
}
MUTABLE = BASE | {
    "cached-folder": functools.partial(cached, folder),
    "cached-third-party": functools.partial(cached, minimal),
    "cached-cached": functools.partial(cached, functools.partial(cached, folder)),
}
APPEND_ONLY = {name: functools.partial(make, append_only=True) for name, make in BASE.items()} | {
    "cached": functools.partial(append_only_cached, folder)
}


@pytest.fixture(params=MUTABLE)
def make(request, tmp_path):
    """A constructor of each mutable dict in turn; all it makes share nothing but `tmp_path`."""
    return functools.partial(MUTABLE[request.param], tmp_path)


@pytest.fixture
def mutable(make):
    """Each mutable dict in turn, empty."""
    return make()


@pytest.fixture(params=APPEND_ONLY)
def append_only(request, tmp_path):
    """Each append-only dict in turn, empty."""
    return APPEND_ONLY[request.param](tmp_path)


@pytest.fixture(params=[*MUTABLE, "append-only-cached", "write-once"])
def any_dict(request, tmp_path):
    """Each dict that keeps what it is given, mutable or not."""
    makers = MUTABLE | {
        "append-only-cached": APPEND_ONLY["cached"],
        "write-once": write_once,
    }
    return makers[request.param](tmp_path)


@pytest.fixture
def third_party():
    """The class of a minimal third-party dict."""
    return Minimal


@pytest.fixture
def third_party_with_etag():
    """The same with an etag method of its own."""
    return MinimalWithETag


@pytest.fixture
def d(tmp_path):
    """A folder dict with every default, in `tmp_path / "d"`."""
    return FileDirDict(base_dir=tmp_path / "d")
