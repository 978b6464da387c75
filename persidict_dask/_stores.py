"""Opening stores by URL, and references to stores that travel between processes."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from persidict import BasicS3Dict, FileDirDict, LocalDict, PersiDict, S3Dict, WriteOnceDict, shown
from persidict.file_dir_dict import folder_path
from persidict_dask._warn import warn_client
from persidict_dask._where import is_worker_process

Store: TypeAlias = PersiDict[Any]


def open_store(
    url: str | os.PathLike[str],
    *,
    serialization_format: str = "pkl",
    append_only: bool = False,
    write_once: bool = False,
    **params: Any,
) -> Store:
    """Open the dictionary at a URL: a path, `file:///...`, `s3://bucket/prefix` or `memory:`.

    `s3://` URLs take `?region=`, `endpoint_url=` and `cache_dir=`, a folder to cache values in.
    `memory:` is a new store in this process, of no use to other processes. With `write_once` the
    dictionary is append-only inside of a `WriteOnceDict`. Further parameters go to the dictionary;
    what cannot be pickled, such as a client, cannot go to workers. Raises `ValueError` for other
    URLs.
    """
    common = {
        "serialization_format": serialization_format,
        "append_only": append_only or write_once,
    }
    store = _reference(url, params | common)._made()
    return WriteOnceDict(wrapped_dict=store) if write_once else store


def results_store(url: str | os.PathLike[str]) -> Store | StoreRef:
    """Return a write-once store for results; opened when first needed if others may reach it.

    Modules that name their store by URL are imported on schedulers too, and must open nothing.
    """
    ref = _reference(url, {"append_only": True})
    if ref.cls is LocalDict:
        return WriteOnceDict(wrapped_dict=ref._made())
    return StoreRef(WriteOnceDict, (("wrapped_dict", ref),))


def reference(url: str | os.PathLike[str]) -> StoreRef:
    """Return the reference to the dictionary at a URL; opens nothing."""
    return _reference(url, {})


def _reference(url: str | os.PathLike[str], params: dict[str, Any]) -> StoreRef:
    cls, place = _located(os.fspath(url))
    twice = place.keys() & params.keys()
    if twice:
        raise TypeError(f"{sorted(twice)} is given by the URL {url!r} and as a parameter")
    all_params = place | params
    if cls is BasicS3Dict and (_CACHE in all_params or "base_dir" in all_params):
        cls = S3Dict
        # made absolute here and now: a worker may have another current directory
        folder = all_params.pop(_CACHE, None) or all_params["base_dir"]
        all_params["base_dir"] = folder_path(os.path.expanduser(os.fspath(folder)))
    outward = tuple((name, _outward(v)) for name, v in sorted(all_params.items()))
    return StoreRef(cls, outward, _relative(os.fspath(url)))


def _relative(url: str) -> str:
    """Return the path if its folder depends on the current directory; else nothing."""
    parts = _split(url)
    is_path = not parts.scheme and not parts.netloc
    return url if is_path and not os.path.isabs(os.path.expanduser(parts.path)) else ""


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    # one letter is a drive, and whatever has no scheme is a path, with "?" and "#" in it or not
    if "://" in url or parts.scheme in {"memory", "file"}:
        return parts
    return SplitResult("", "", url, "", "")


def _located(url: str) -> tuple[type[Store], dict[str, Any]]:
    """Return the class for a URL, and where its items are."""
    parts = _split(url)
    if parts.scheme == "s3":
        return BasicS3Dict, _in_bucket(url, parts)
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r}: only s3:// URLs take parameters")
    if parts.scheme == "memory" and not parts.netloc and not parts.path:
        return LocalDict, {}
    path = unquote(parts.path) if parts.scheme == "file" else os.path.expanduser(parts.path)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and os.path.isabs(path):
        return FileDirDict, {"base_dir": path}
    if not parts.scheme and not parts.netloc and path:
        # made absolute here and now: a worker may have another current directory
        return FileDirDict, {"base_dir": folder_path(path)}
    raise ValueError(
        f"{url!r} names no store: use a path, file:///path, s3://bucket/prefix or memory:"
    )


_CACHE = "cache_dir"
_S3_QUERY = (_CACHE, "endpoint_url", "region")


def _in_bucket(url: str, parts: SplitResult) -> dict[str, Any]:
    query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    names = [name for name, _ in query]
    bucket, path = _bucket_and_path(url, parts)
    if not bucket or parts.fragment or len(set(names)) < len(names):
        raise ValueError(f"{url!r} names no store: use s3://bucket/prefix?region=...")
    if unknown := set(names) - set(_S3_QUERY):
        raise ValueError(f"{url!r}: {sorted(unknown)} is none of {_S3_QUERY}")
    return {"bucket_name": bucket, "root_prefix": unquote(path.removeprefix("/")), **dict(query)}


def _bucket_and_path(url: str, parts: SplitResult) -> tuple[str, str]:
    """Return the two; the ARN of an access point contains slashes, too."""
    if not parts.netloc.startswith("arn:"):
        return parts.netloc, parts.path
    found = _ACCESS_POINT(parts.netloc + parts.path)
    if found is None:
        raise ValueError(f"{url!r}: use the name of the bucket, or the ARN of an access point")
    return found[1], found[2] or ""


_ACCESS_POINT = re.compile(
    r"(arn:[^:/]+:s3[^:/]*:[^:/]*:[^:/]*:(?:outpost[:/][^:/]+[:/])?accesspoint[:/][^:/]+)(/.*)?"
).fullmatch


@dataclass(frozen=True)
class _Options:
    """A mapping of options, such as a configuration, as something that can be compared."""

    pairs: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> _Options:
        return cls(tuple((name, _outward(value)) for name, value in sorted(options.items())))

    def __repr__(self) -> str:
        return shown.value(dict(self.pairs))


@dataclass(frozen=True)
class _MemoryPlace:
    """The data of a `LocalDict`, as far as it can be named elsewhere: by its process."""

    process: str
    number: int


class _Process:
    """What this process knows of stores."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.memory: dict[int, LocalDict[Any]] = {}  # what a reference names must stay
        self.opened: dict[StoreRef, Store] = {}
        self.settled: set[StoreRef] = set()  # which others have sent too, or that were warned of
        self.lock = threading.RLock()


_process = _Process()
if hasattr(os, "register_at_fork"):
    # a child has copies of what is in memory, which are not the stores of its parent
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]


@dataclass(frozen=True, repr=False)
class StoreRef:
    """A store by class and parameters: picklable, hashable, the same in every process.

    Unpickling one opens nothing. References to wrappers contain references to what they wrap.
    """

    cls: type[Store]
    params: tuple[tuple[str, Any], ...]
    relative: str = field(default="", compare=False)
    """The path that this process has made absolute; stays in this process."""

    @classmethod
    def of(cls, store: Store) -> StoreRef:
        """Return the reference to a store."""
        if not isinstance(store, PersiDict):
            raise TypeError(f"a store must be a PersiDict, not {type(store).__name__}")
        params = store.get_params()
        if isinstance(store, LocalDict):
            params |= {"backend": _remembered(store)}
        ref = cls(type(store), tuple((name, _outward(v)) for name, v in sorted(params.items())))
        hash(ref)  # raises TypeError now rather than on a worker
        return ref

    def open(self) -> Store:
        """Open the store; one process gets one object for equal references."""
        with _process.lock:
            if self not in _process.opened:
                _process.opened[self] = self._made()
            return _process.opened[self]

    def _made(self) -> Store:
        if self.relative and self not in _process.settled and is_worker_process():
            _process.settled.add(self)
            warn_client(
                f"{self.relative!r} is a relative path: on this worker it is the folder "
                f"{dict(self.params)['base_dir']!r}, and another one where the current directory "
                "is another. Give an absolute path"
            )
        return self.cls(**{name: _inward(value) for name, value in self.params})

    def __reduce__(self) -> Any:
        return _arrived, (self.cls, self.params)

    def __persist_token__(self) -> Any:
        return self.cls, self.params

    def __dask_tokenize__(self) -> str:
        from dask.base import tokenize

        # classes by name, because Dask has no stable token for them
        params = [(k, _name_of(v) if isinstance(v, type) else v) for k, v in self.params]
        return str(tokenize(_name_of(self.cls), params))

    def __repr__(self) -> str:
        return f"StoreRef({shown.call(self.cls.__name__, dict(self.params))})"


def _arrived(cls: type[Store], params: tuple[tuple[str, Any], ...]) -> StoreRef:
    ref = StoreRef(cls, params)
    _process.settled.add(ref)
    return ref


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _remembered(store: LocalDict[Any]) -> _MemoryPlace:
    number = hash(store.get_params()["backend"])
    _process.memory.setdefault(number, store)
    return _MemoryPlace(_process.name, number)


def _outward(value: Any) -> Any:
    if isinstance(value, PersiDict):
        return StoreRef.of(value)
    if isinstance(value, Mapping):
        return _Options.of(value)
    if type(value).__module__.partition(".")[0] in ("botocore", "boto3"):
        raise TypeError(
            f"a {type(value).__name__} cannot be sent to workers: give endpoint_url, region and "
            "config as a dict of options, and the credentials by the environment of the workers"
        )
    return value


def _inward(value: Any) -> Any:
    if isinstance(value, StoreRef):
        return value.open()
    if isinstance(value, _Options):
        return {name: _inward(each) for name, each in value.pairs}
    return _in_memory(value) if isinstance(value, _MemoryPlace) else value


def _in_memory(place: _MemoryPlace) -> Any:
    store = _process.memory.get(place.number) if place.process == _process.name else None
    if store is None:
        raise RuntimeError(
            "a store in memory exists only in the process that made it; "
            "use a folder or a bucket where work runs in other processes"
        )
    return store.get_params()["backend"]
