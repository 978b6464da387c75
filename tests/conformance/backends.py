"""Storages, and ways around the dictionaries to what they store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from persidict import (
    AppendOnlyDictCached,
    FileDirDict,
    LocalDict,
    MutableDictCached,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.safe_str_tuple_signing import sign_safe_str_tuple

from .third_party import MinimalDict, Shelf


class Storage:
    """A folder, and memory, with named places in both; new for every test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._trees: dict[str, Any] = {}
        self._shelves: dict[str, Shelf] = {}

    def folder(self, place: str = "main", **options: Any) -> FileDirDict[Any]:
        return FileDirDict(base_dir=self.path / place, **options)

    def local(self, place: str = "main", **options: Any) -> LocalDict[Any]:
        if place not in self._trees:
            self._trees[place] = LocalDict().get_params()["backend"]
        return LocalDict(backend=self._trees[place], **options)

    def minimal(
        self, place: str = "main", cls: type[MinimalDict] = MinimalDict, **options: Any
    ) -> MinimalDict:
        return cls(shelf=self._shelves.setdefault(place, Shelf()), **options)

    def cached(self, main: Any, data_format: str = "pkl") -> MutableDictCached[Any]:
        """Put folders in front of a dictionary, which every handle shares."""
        return MutableDictCached(
            main_dict=main,
            data_cache=self.folder("data", serialization_format=data_format),
            etag_cache=self.folder("etags", serialization_format="etag", base_class_for_values=str),
        )

    def privately_cached(self, main: Any) -> MutableDictCached[Any]:
        """Put memory in front of a dictionary, for this handle only."""
        return MutableDictCached(main_dict=main, data_cache=LocalDict(), etag_cache=LocalDict())

    def cached_append_only(self, main: Any, cache: Any) -> AppendOnlyDictCached[Any]:
        return AppendOnlyDictCached(main_dict=main, data_cache=cache)

    def file_of(self, d: FileDirDict[Any], key: Any) -> Path:
        """Return the file of an item, from the documented layout alone."""
        *folders, name = sign_safe_str_tuple(NonEmptySafeStrTuple(key), d.digest_len).strings
        return Path(d.base_dir, *folders, f"{name}.{d.serialization_format}")


def damage(file: Path) -> None:
    """Make the bytes of a file unreadable, and leave its size, time and inode as they were."""
    seen = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"\xff" * seen.st_size)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
