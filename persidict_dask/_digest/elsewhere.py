"""Tokens of objects that stand for data elsewhere: files of fsspec, shared memory, caches."""

from __future__ import annotations

import time
from typing import Any

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.objects import refuse
from persidict_dask._digest.walk import Handler, Walker

_VERSIONS = frozenset(
    {
        *("mtime", "modified", "last_modified", "lastmodified", "updated", "modification_time"),
        *("etag", "generation", "versionid", "version_id", "md5", "md5hash", "content_md5"),
        *("crc", "crc32c", "sha", "sha256", "checksum", "digest"),
    }
)
"""What file systems say of a file that is another one after each write; `-` is written as `_`."""


_STEP = 0.02  # seconds; 0.004 or 0.01 is usual


def _version(obj: Any, fs: Any, path: str) -> dict[str, Any]:
    """Size and version of a file, asked for anew."""
    fs.invalidate_cache(fs._parent(path))
    info = {key.lower().replace("-", "_"): value for key, value in fs.info(path).items()}
    found = {key: value for key, value in info.items() if key in _VERSIONS and value is not None}
    if not found:
        raise refuse(obj, "its file system tells no version of the file: pass what it holds")
    settle(found.get("mtime"))
    return {"size": info.get("size"), **found}


def settle(written: object) -> None:
    """Wait until a file that is written again has another time: clocks of files move in steps."""
    age = time.time() - written if isinstance(written, float) else _STEP
    if 0 <= age < _STEP:
        time.sleep(_STEP - age)


def _open_file(walker: Walker, file: Any) -> bytes:
    """A file that can be opened: where it is, how it is read, and which version is there."""
    if "r" not in file.mode:
        raise refuse(file, "it is there to be written")
    names = ("path", "mode", "compression", "encoding", "errors", "newline")
    settings = tuple(getattr(file, name, None) for name in names)
    return _file(walker, file, settings)


def _opened_file(walker: Walker, file: Any) -> bytes:
    if file.mode not in ("r", "rb"):
        raise refuse(file, "it is there to be written")
    return _file(walker, file, (file.path, file.mode, file.tell()))


def _file(walker: Walker, file: Any, settings: Any) -> bytes:
    parts = (
        walker.class_token(type(file)),
        walker.at(".fs", file.fs),
        walker.token(settings),
        walker.token(_version(file, file.fs, file.path)),
    )
    return frame_all(b"fsspec", parts)


def _mapping(walker: Walker, files: Any) -> bytes:
    """A folder seen as a mapping: its files and their versions."""
    versions = ((path, _version(files, files.fs, path)) for path in files.fs.find(files.root))
    parts = (
        walker.at(".fs", files.fs),
        walker.token(files.root),
        walker.mapping(b"files", versions),
    )
    return frame_all(b"fsspec", parts)


def _of_process(_: Walker, obj: Any) -> bytes:
    raise refuse(obj, "it lives in the memory of another process or of this one only")


def _by_reference(_: Walker, obj: Any) -> bytes:
    raise refuse(obj, "what is in it may change: pass what it holds")


def _memory(walker: Walker, shared: Any) -> bytes:
    return frame_all(b"SharedMemory", (walker.token(shared.buf),))


def _list(walker: Walker, shared: Any) -> bytes:
    return walker.sequence(b"ShareableList", shared)


FSSPEC_HANDLERS: dict[str, Handler] = {
    "OpenFile": _open_file,
    "AbstractBufferedFile": _opened_file,
    "LocalFileOpener": _opened_file,
    "FSMap": _mapping,
    "MemoryFileSystem": _of_process,
}
MULTIPROCESSING_HANDLERS: dict[str, Handler] = {
    "SharedMemory": _memory,
    "ShareableList": _list,
    "BaseProxy": _of_process,
}
CACHE_HANDLERS: dict[str, Handler] = dict.fromkeys(
    ("Cache", "FanoutCache", "Deque", "Index"), _by_reference
)
