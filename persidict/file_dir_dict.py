"""FileDirDict: a dictionary in a folder, one file for each item."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from persidict import shown
from persidict._codecs import DEFAULT_COMPRESSION
from persidict._file_system import FileSystem
from persidict._folder_blobs import DEFAULT_LOCK_TIMEOUT, FolderBlobs
from persidict._stored_dict import StoredDict
from persidict._windows import add_long_path_prefix, drop_long_path_prefix
from persidict.exceptions import BackendError
from persidict.io_retry import repeated
from persidict.jokers_and_status_flags import ValueType

__all__ = [
    "FILEDIRDICT_DEFAULT_BASE_DIR",
    "FileDirDict",
    "add_long_path_prefix",
    "drop_long_path_prefix",
]

FILEDIRDICT_DEFAULT_BASE_DIR = "__file_dir_dict__"
# Parameters that others who build the dict by its established ones need not know.
_EXTENSIONS = {
    "compression": DEFAULT_COMPRESSION,
    "durability": "full",
    "exact": True,
    "lock_timeout": DEFAULT_LOCK_TIMEOUT,
}


class FileDirDict(StoredDict[ValueType]):
    """A dictionary in a folder, shared by all threads and processes that open the folder.

    Single writes are atomic. Conditional operations are exact among the threads and processes of
    one host, and on network file systems whose `link`, `symlink` and `rename` are atomic: none
    overwrites an update that it has not seen. Readers take no lock.

    Args:
        base_dir: the folder; it is created if missing.
        serialization_format: "pkl", "json", a registered format, or any name for text.
        append_only: items can be added, never changed or removed.
        digest_len: characters of the digest after each component of a key in file names, which
            keeps keys apart on file systems that ignore case; 0 for none.
        base_class_for_values: what values must be instances of, or `None`.
        compression: of pkl files: "lz4" (with a checksum), `None`, "zlib", "gzip", "bz2", "lzma"
            or "xz". Any of them is recognised on reading.
        durability: "full" writes files and their names through to the disk before an operation
            returns; "relaxed" leaves that to the system: a crash of the machine, not of a process,
            may lose the last seconds. Atomic either way.
        exact: `False` compares and then acts, without locks: for folders on which locks cannot be
            made, such as those that a service copies between machines.
        lock_timeout: seconds to wait for a process that holds the lock of an item, which takes
            microseconds unless it was stopped; then `LockTimeoutError`.
    """

    def __init__(
        self,
        base_dir: Any = FILEDIRDICT_DEFAULT_BASE_DIR,
        *,
        serialization_format: str = "pkl",
        append_only: bool = False,
        digest_len: int = 4,
        base_class_for_values: type[ValueType] | None = None,
        compression: str | None = DEFAULT_COMPRESSION,
        durability: Literal["full", "relaxed"] = "full",
        exact: bool = True,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT,
    ) -> None:
        super().__init__(
            store=FolderBlobs(
                folder_path(base_dir),
                durable=_is_durable(durability),
                exact=bool(exact),
                lock_timeout=_checked_timeout(lock_timeout),
            ),
            digest_len=digest_len,
            compression=compression,
            append_only=append_only,
            base_class_for_values=base_class_for_values,
            serialization_format=serialization_format,
        )
        self.digest_len = digest_len
        self.compression = compression
        self.durability = durability
        self.exact = bool(exact)
        self.lock_timeout = lock_timeout
        _make_folder(self._store.root)

    _store: FolderBlobs

    @property
    def base_dir(self) -> str:
        """The absolute path of the folder."""
        return drop_long_path_prefix(self._store.root)

    @property
    def file_system(self) -> FileSystem:
        """What the file system of the folder can do; links are tried out, once in a process."""
        return self._store.file_system

    def __repr__(self) -> str:
        odd = self._store.oddities
        return super().__repr__() + (f" on {odd}" if odd else "")

    def get_params(self) -> dict[str, Any]:
        """Return the constructor arguments that give an equivalent dict over the same folder."""
        params = super().get_params() | {"base_dir": self.base_dir, "digest_len": self.digest_len}
        for name, default in _EXTENSIONS.items():
            if getattr(self, name) != default:
                params[name] = getattr(self, name)
        return dict(sorted(params.items()))


# A scheme and a slash; or the scheme of a place that is certainly no folder, also when the colon
# was forgotten. One letter is a drive.
_URL = re.compile(
    r"[a-z][a-z0-9+.-]+:/|(abfss?|az|file|ftp|gc?s|hdfs|https?|memory|s3[an]?)(:|//)",
    re.IGNORECASE,
)


def folder_path(base_dir: Any) -> str:
    """Return the absolute path of a folder; `ValueError` for a URL, or what was to become one."""
    if isinstance(base_dir, Mapping):  # the content, as `dict` takes it
        raise TypeError(f"base_dir must be a path, not a {type(base_dir).__name__}")
    is_path = isinstance(base_dir, bytes | os.PathLike)
    path: str = os.fsdecode(base_dir) if is_path else str(base_dir)
    if _URL.match(path):
        raise ValueError(
            f"{shown.value(path)} is no folder: persidict_dask.open_store() opens "
            "s3://bucket/prefix and file:///path; a folder of that name is ./ and the name"
        )
    return os.path.abspath(path)


def _is_durable(durability: str) -> bool:
    if durability not in ("full", "relaxed"):
        raise ValueError(f"durability must be 'full' or 'relaxed', not {durability!r}")
    return durability == "full"


def _checked_timeout(seconds: Any) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"lock_timeout must be a number of seconds, not {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"lock_timeout must not be negative, got {seconds!r}")
    return float(seconds)


def _make_folder(path: str) -> None:
    if os.path.isfile(path):
        raise ValueError(f"base_dir must be a folder, and {path!r} is a file")
    try:
        repeated(partial(os.makedirs, path, exist_ok=True))
    except OSError as error:
        raise BackendError(
            f"the folder {path!r} cannot be made: {error}", backend="filesystem", operation="init"
        ) from error
