"""S3Dict: a dictionary in an S3 bucket behind a cache in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from persidict._cache_limit import CacheLimit
from persidict._cache_place import folder_for
from persidict._folder_cached import FolderCachedAppendOnlyDict, FolderCachedDict
from persidict._wrapped_dict import WrappedDict
from persidict.basic_s3_dict import BasicS3Dict
from persidict.file_dir_dict import FileDirDict
from persidict.jokers_and_status_flags import (
    ConditionalOperationResult,
    ETagConditionFlag,
    ETagIfExists,
    OperationResult,
    TransformingFunction,
    ValueType,
)
from persidict.persi_dict import PersiDict, PersiDictKey

_CHECKED_FORMATS = ("pkl", "json")  # a file that a crash has cut off cannot be read as a value


class S3Dict_FileDirCached(WrappedDict[ValueType]):  # noqa: N801  # the established name
    """A dictionary in an S3 bucket; values come from a folder while the bucket has no newer ones.

    Every read asks the bucket, and moves the value only if it has changed; `items()` asks by the
    listing alone. An append-only dictionary does not even ask for what is cached. Only `etag` may
    be answered from the cache although others have written since. Any number of processes may
    share the folder: a value is never taken for another version, also if they are killed.

    Args:
        bucket_name: see `BasicS3Dict`, also for the arguments that are not listed here.
        base_dir: the folder of the cache. It belongs to the bucket and prefix that it was opened
            for first; for another one, a folder beside it is taken.
        digest_len: characters of the digest in file names of the cache.
        max_cache_bytes: limit for the cached values, roughly; what has not been used for longest
            goes. `None`: no limit.
    """

    def __init__(
        self,
        *,
        bucket_name: str = "my_bucket",
        region: str | None = None,
        root_prefix: str = "",
        base_dir: Any = "__s3_dict__",
        serialization_format: str = "pkl",
        digest_len: int = 8,
        append_only: bool = False,
        base_class_for_values: type[ValueType] | None = None,
        endpoint_url: str | None = None,
        config: Any = None,
        session: Any = None,
        client: Any = None,
        put_args: Mapping[str, Any] | None = None,
        max_cache_bytes: int | None = None,
    ) -> None:
        limit = _checked_limit(max_cache_bytes)
        common: dict[str, Any] = {
            "serialization_format": serialization_format,
            "append_only": append_only,
            "base_class_for_values": base_class_for_values,
        }
        main: BasicS3Dict[ValueType] = BasicS3Dict(
            bucket_name=bucket_name,
            region=region,
            root_prefix=root_prefix,
            endpoint_url=endpoint_url,
            config=config,
            session=session,
            client=client,
            put_args=put_args,
            **common,
        )
        is_checked = serialization_format in _CHECKED_FORMATS
        folder: dict[str, Any] = {
            "base_dir": folder_for(os.path.abspath(str(base_dir)), main._place),
            "digest_len": digest_len,
            "durability": "relaxed" if is_checked else "full",
        }
        cache: FileDirDict[ValueType] = FileDirDict(**folder, **common)
        self._cached = _behind(main, cache, folder)
        self._data_cache._store.is_cache = True
        if limit is not None:
            self._cached.limit = CacheLimit(cache.base_dir, self._suffixes(), limit)
        super().__init__(main)
        self.digest_len = digest_len
        if not append_only:
            self.etag_serialization_format = f"{serialization_format}_etag"

    _cached: FolderCachedDict[ValueType] | FolderCachedAppendOnlyDict[ValueType]

    @property
    def _inner(self) -> PersiDict[ValueType]:
        return self._cached

    @property
    def _main_dict(self) -> BasicS3Dict[ValueType]:
        return self._cached._main_dict  # type: ignore[return-value]

    @property
    def _data_cache(self) -> FileDirDict[ValueType]:
        return self._cached._data_cache  # type: ignore[return-value]

    @property
    def _etag_cache(self) -> FileDirDict[str]:
        return self._cached._etag_cache  # type: ignore[union-attr, return-value]

    @property
    def base_dir(self) -> str:
        """The absolute path of the folder of the cache."""
        return self._data_cache.base_dir

    @property
    def base_url(self) -> str:
        """The place in the bucket as a URL."""
        return self._main_dict.base_url

    @property
    def root_prefix(self) -> str:
        """What the names of all objects begin with; nothing, or it ends in "/"."""
        return self._main_dict.root_prefix

    @property
    def s3_client(self) -> Any:
        """The client of boto3."""
        return self._main_dict.s3_client

    @property
    def max_cache_bytes(self) -> int | None:
        """The limit for the cached values."""
        return self._cached.limit.most_bytes if self._cached.limit else None

    def _suffixes(self) -> tuple[str, ...]:
        caches = (self._data_cache, getattr(self._cached, "_etag_cache", None))
        return tuple(f".{cache.serialization_format}" for cache in caches if cache is not None)

    def get_params(self) -> dict[str, Any]:
        """Return the constructor arguments that give an equivalent dict."""
        mine = {"base_dir": self.base_dir, "digest_len": self.digest_len}
        limit = self.max_cache_bytes
        more = {"max_cache_bytes": limit} if limit is not None else {}
        return dict(sorted((self._main_dict.get_params() | mine | more).items()))

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return a live view of the items under the prefix, in the bucket and in the cache."""
        sub = type(self).__new__(type(self))
        sub.__dict__.update(self.__dict__)
        sub._cached = self._cached.get_subdict(prefix_key)
        return sub

    # What the cached dictionary does in another way than by the primitives.

    def __getitem__(self, key: Any) -> ValueType:
        return self._inner[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._inner[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._inner[key]

    def clear(self) -> None:
        """Remove all items, and what is cached; not atomic."""
        self._inner.clear()

    def discard_item_if(
        self, key: Any, *, condition: ETagConditionFlag, expected_etag: ETagIfExists
    ) -> ConditionalOperationResult[ValueType]:
        """Remove the item if it is there and the condition holds; the value is never read."""
        return self._inner.discard_item_if(key, condition=condition, expected_etag=expected_etag)

    def transform_item(
        self,
        key: Any,
        *,
        transformer: TransformingFunction[ValueType],
        n_retries: int | None = 6,
    ) -> OperationResult[ValueType]:
        """Replace the item by what `transformer` makes of it, and lose nobody's update."""
        return self._inner.transform_item(key, transformer=transformer, n_retries=n_retries)


S3Dict = S3Dict_FileDirCached


def _behind(
    main: BasicS3Dict[ValueType], cache: FileDirDict[ValueType], folder: dict[str, Any]
) -> FolderCachedDict[ValueType] | FolderCachedAppendOnlyDict[ValueType]:
    if main.append_only:
        return FolderCachedAppendOnlyDict(main_dict=main, data_cache=cache)
    etags: FileDirDict[str] = FileDirDict(
        **folder,
        serialization_format=f"{main.serialization_format}_etag",
        base_class_for_values=str,
    )
    etags._store.is_cache = True
    return FolderCachedDict(main_dict=main, data_cache=cache, etag_cache=etags)


def _checked_limit(most_bytes: Any) -> int | None:
    if most_bytes is None:
        return None
    if isinstance(most_bytes, bool) or not isinstance(most_bytes, int):
        raise TypeError(f"max_cache_bytes must be a number of bytes or None, not {most_bytes!r}")
    if most_bytes <= 0:
        raise ValueError(f"max_cache_bytes must be positive, got {most_bytes}")
    return most_bytes
