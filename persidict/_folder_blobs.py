"""Blobs as files of a folder, written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat as stat_modes
from collections.abc import Iterator
from contextlib import suppress

from persidict._blobs import Blob, BlobStore
from persidict._retry import ATTEMPTS, pause, retried
from persidict._windows import add_long_path_prefix, open_for_reading
from persidict._words import Guard, Item, Stat, etag_of
from persidict.exceptions import BackendError
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ETagValue,
)

_LONGEST_NAME = 255
_MOST_FOLDERS = 1000  # rounds against others who keep removing the folder as empty
TEMP_PREFIX = ".__tmp__"
_ABSENT = (FileNotFoundError, NotADirectoryError)
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
)


class FolderBlobs(BlobStore):
    """The files below a folder.

    A write goes to a temporary file, through to the disk, and then over the target in one step, so
    readers see the old or the new bytes. "Only if absent" is atomic (a hard link). "Only over this
    etag" is a check followed by the act: another writer can come between the two.
    """

    backend = "filesystem"
    stat_is_cheap = True

    def __init__(self, root: str) -> None:
        self.root = add_long_path_prefix(root)
        self._base = self.root if self.root.endswith(os.sep) else self.root + os.sep

    def stat(self, name: str) -> Stat | None:
        path = self.where(name)
        try:
            found = retried(lambda: os.stat(path))
        except _ABSENT:
            return None
        return _stat_of(found) if stat_modes.S_ISREG(found.st_mode) else None

    def read(self, name: str, unless: ETagIfExists = ITEM_NOT_AVAILABLE) -> Blob | None:
        path = self.where(name)
        for attempt in range(ATTEMPTS):
            with suppress(_ChangedInPlace):
                return retried(lambda: _read_file(path, unless))
            pause(attempt)
        raise BackendError(
            f"{path} kept changing in place while it was read",
            backend=self.backend,
            operation="read",
        )

    def write(self, name: str, data: bytes, guard: Guard | None) -> Stat | None:
        path = self.where(name)
        temp, written = retried(lambda: _write_temp(os.path.dirname(path), data))
        try:
            done = self._publish(temp, name, guard)
        except BaseException:
            _unlink(temp)
            raise
        if not done:
            return None
        _sync_directory(os.path.dirname(path))
        return written

    def remove(self, name: str, guard: Guard | None) -> bool:
        path = self.where(name)
        if not self._allows(name, guard):
            return False
        try:
            retried(lambda: os.unlink(path))
        except (*_ABSENT, IsADirectoryError):
            return False
        return True

    def scan(self, suffix: str, *, stats: bool) -> Iterator[tuple[str, Stat | None]]:
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in _entries(self._base + folder):
                name = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name + "/")
                elif entry.name.endswith(suffix) and _is_file(entry):
                    stat = self.stat(name) if stats else None
                    if stat is not None or not stats:
                        yield name, stat

    def child(self, prefix: str) -> FolderBlobs:
        return FolderBlobs(self.where(prefix)) if prefix else self

    def absence(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.where(name))

    def where(self, name: str) -> str:
        path = self._base + (name if os.sep == "/" else name.replace("/", os.sep))
        if ".." in name and not os.path.normpath(path).startswith(self._base):
            raise ValueError(f"{name!r} is outside base_dir {self.root!r}")
        if len(name) > _LONGEST_NAME and max(map(len, name.split("/"))) > _LONGEST_NAME:
            raise ValueError(f"a key is too long for the name of a file: {name!r}")
        return path

    def prune(self) -> None:
        """Remove the directories that are empty, but not the folder itself."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            if folder != self.root:
                # somebody may have filled it, or removed it, in this moment
                with suppress(OSError):
                    os.rmdir(folder)

    def _allows(self, name: str, guard: Guard | None) -> bool:
        return guard is None or guard.holds(etag_of(self.stat(name)))

    def _publish(self, temp: str, name: str, guard: Guard | None) -> bool:
        """Give the temporary file its name; `False` if the guard forbids it."""
        path = self.where(name)
        if guard is not None and guard.expected is ITEM_NOT_AVAILABLE:
            return self._publish_new(temp, name)
        if not self._allows(name, guard):
            _unlink(temp)
            return False
        retried(lambda: os.replace(temp, path))
        return True

    def _publish_new(self, temp: str, name: str) -> bool:
        path = self.where(name)
        try:
            return retried(lambda: _link(temp, path)) or self._publish_without_links(temp, name)
        except FileExistsError:
            # a second name means that it was our own link, whose answer was lost
            return os.stat(temp).st_nlink > 1
        finally:
            _unlink(temp)

    def _publish_without_links(self, temp: str, name: str) -> bool:
        if self.stat(name) is not None:
            return False
        path = self.where(name)
        retried(lambda: os.replace(temp, path))
        return True


class _ChangedInPlace(Exception):  # noqa: N818  # a signal, not an error
    """The bytes that were read may belong to two versions."""


def _stat_of(found: os.stat_result) -> Stat:
    etag = f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"
    return Stat(ETagValue(etag), found.st_mtime)


def _read_file(path: str, unless: ETagIfExists) -> Blob | None:
    try:
        fd = open_for_reading(path)
    except _ABSENT:
        return None
    try:
        return _read_descriptor(fd, unless)
    finally:
        os.close(fd)


def _read_descriptor(fd: int, unless: ETagIfExists) -> Blob | None:
    found = os.fstat(fd)
    if not stat_modes.S_ISREG(found.st_mode):
        return None
    stat = _stat_of(found)
    if stat.etag == unless:
        return Item(VALUE_NOT_RETRIEVED, stat)
    data = _read_all(fd, found.st_size)
    # We replace files and never write into them; others (an editor, a sync service) may.
    if _stat_of(os.fstat(fd)) != stat:
        raise _ChangedInPlace
    return Item(data, stat)


def _read_all(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    parts = [data]  # one read moves at most 2 GiB
    while data := os.read(fd, 1 << 24):
        parts.append(data)
    return b"".join(parts)


def _write_temp(folder: str, data: bytes) -> tuple[str, Stat]:
    temp, fd = _open_temp(folder)
    try:
        try:
            _write_all(fd, data)
            os.fsync(fd)
            written = _stat_of(os.fstat(fd))
        finally:
            os.close(fd)
    except BaseException:
        _unlink(temp)
        raise
    return temp, written


def _open_temp(folder: str) -> tuple[str, int]:
    """Create a temporary file; the umask decides its mode, and missing folders are made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    changed: set[str] = set()
    for _ in range(_MOST_FOLDERS):
        temp = os.path.join(folder, TEMP_PREFIX + secrets.token_hex(8))
        try:
            fd = os.open(temp, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        except FileNotFoundError:
            _make_folder(folder, changed)
            continue
        # only now, when nobody can remove the new folders as empty: syncing takes its time
        for above in changed:
            _sync_directory(above)
        return temp, fd
    raise FileNotFoundError(errno.ENOENT, "the folder keeps disappearing", folder)


def _make_folder(folder: str, changed: set[str]) -> None:
    """Make a folder and those above it, and note in which folders there is a new name."""
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folder(above, changed)
    # whoever clears the dictionary removes empty folders, also while we make others in them
    with suppress(FileExistsError, FileNotFoundError):
        os.mkdir(folder)
    changed.add(above)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _link(source: str, target: str) -> bool:
    """Give a file a second name; `False` where there is no such thing."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return False
    return True


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _sync_directory(folder: str) -> None:
    """Make the new name durable, where the system can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing if it vanished or may not be read."""
    try:
        entries = os.scandir(folder)
    except (*_ABSENT, PermissionError):
        return
    with entries:
        yield from entries
