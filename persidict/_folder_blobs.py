"""Blobs as files of a folder: written whole or not at all, and one writer of a blob at a time."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from persidict import io_retry
from persidict._blobs import Blob, BlobStore, Listed
from persidict._buffers import Buffer
from persidict._fences import NO_ROOM, Overtaken, begun_anew, is_absent
from persidict._file_lock import lock_path, locked, removed
from persidict._file_system import (
    FileSystem,
    file_system_at,
    file_system_of,
    folder_of,
    with_links,
)
from persidict._files import (
    ChangedInPlace,
    dated_after,
    link,
    look,
    outlive,
    read_file,
    refuse_if_taken,
    stat_of,
    sync_directory,
    write_temp,
)
from persidict._folder_listing import entries_again, entries_of, leads_to_file
from persidict._foreign import is_apple_double
from persidict._leftovers import remove_if_stale
from persidict._retry import is_transient, pause, reopened, retried, short_pause
from persidict._temporary import ABSENT, discard, forget, remove_interrupted
from persidict._windows import add_long_path_prefix
from persidict._words import Guard, Stat, etag_of
from persidict.exceptions import BackendError, OutcomeUnknownError
from persidict.io_retry import not_again, repeated
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE, ETagIfExists
from persidict.safe_chars import contains_unsafe_chars

T = TypeVar("T")

_LONGEST_NAME = 255
_LONGEST_PATH = 4000  # bytes; Linux takes 4,095, and names of temporary files are longer
_SLASH = os.sep == "/"
_BATCH = 1000  # names that are listed ahead
_MOST_READS = 11  # more of a file that keeps changing while it is read
DEFAULT_LOCK_TIMEOUT = 60.0  # seconds


class FolderBlobs(BlobStore):
    """The files below a folder.

    A write goes to a temporary file and then over the target in one step, so readers see the old or
    the new bytes; they take no lock. "Only if absent" is a hard link, which fails if the name is
    taken. All other changes of a blob happen one at a time, under a lock of its own beside it, so
    that what a guard was compared with is what is replaced.

    Args:
        root: the folder.
        durable: write files, and the names in folders, through to the disk.
        exact: use locks; else guards are checks followed by acts, and others can come between.
        lock_timeout: seconds to wait for a lock before `LockTimeoutError`.
    """

    backend = "filesystem"
    stat_is_cheap = True
    has_visitors = True
    is_cache = False
    """True if an operation that fails is as good as done: then it is not repeated."""

    def __init__(
        self,
        root: str,
        *,
        durable: bool = True,
        exact: bool = True,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT,
    ) -> None:
        self.root = add_long_path_prefix(root)
        self._base = self.root if self.root.endswith(os.sep) else self.root + os.sep
        self._durable = durable
        self._exact = exact
        self._lock_timeout = lock_timeout

    @property
    def guards_are_exact(self) -> bool:
        return self._exact

    def has(self, name: str) -> bool:
        path = self.where(name)
        if io_retry.runner is None or self.is_cache:
            return look(path) is not None
        return repeated(look, path) is not None

    def stat(self, name: str) -> Stat | None:
        path = self.where(name)
        found = look(path) if io_retry.runner is None or self.is_cache else repeated(look, path)
        return None if found is None else stat_of(found, path)

    def read(self, name: str, unless: ETagIfExists = ITEM_NOT_AVAILABLE) -> Blob | None:
        path = self.where(name)
        if io_retry.runner is None or self.is_cache:
            return _read(path, unless)
        return repeated(_read, path, unless)

    def write(self, name: str, data: Buffer, guard: Guard | None) -> Stat | None:
        path = self.where(name)
        if io_retry.runner is None or self.is_cache:
            return self._write(path, data, guard)
        return repeated(self._write, path, data, guard)

    def _write(self, path: str, data: Buffer, guard: Guard | None) -> Stat | None:
        return begun_anew(self._written, path, data, guard)

    def _written(self, path: str, data: Buffer, guard: Guard | None) -> Stat | None:
        folder = folder_of(path)
        temp, new = retried(write_temp, folder, data, durable=self._durable)
        try:
            published = self._publish(temp, new, path, guard)
        except BaseException as error:
            _tell_if_published(temp, guard, error)
            discard(temp)
            raise
        if published is None:
            discard(temp)
            return None
        if self._durable:
            sync_directory(folder)
        return stat_of(published, path)

    def write_dated(self, name: str, data: Buffer, mtime_ns: int, *, over: bool = True) -> None:
        """Write, over whatever is there if `over`, with a time, in a single step."""
        path = self.where(name)
        temp, _ = retried(write_temp, folder_of(path), data, durable=False)
        try:
            os.utime(temp, ns=(mtime_ns, mtime_ns))
            if over or link(temp, path) is None:
                retried(os.replace, temp, path)
                forget(temp)
            else:
                discard(temp)
        except BaseException:
            discard(temp)
            raise

    def remove(self, name: str, guard: Guard | None) -> bool:
        path = self.where(name)
        if io_retry.runner is None or self.is_cache:
            return self._remove_found(path, guard)
        return repeated(self._remove_found, path, guard)

    def _remove_found(self, path: str, guard: Guard | None) -> bool:
        found = look(path)
        if found is None:
            return False
        try:
            removed = self._remove(path, guard)
        except OSError as error:
            _tell_unless_there(path, found, error)
            raise
        if removed and self._durable:
            sync_directory(folder_of(path))
        return removed

    def remove_all(self, names: Iterable[str]) -> None:
        paths = [self.where(name) for name in names]
        remove = self._remove if self.is_cache else partial(repeated, self._remove)
        for path in paths:
            remove(path, None)
        if self._durable:
            for folder in {folder_of(path) for path in paths}:
                sync_directory(folder)

    @property
    def file_system(self) -> FileSystem:
        return with_links(self.root)

    @property
    def oddities(self) -> str:
        return file_system_at(self.root).oddities

    def scan(self, suffix: str, *, stats: bool) -> Iterator[Listed]:
        """Yield names in batches; what killed processes have left over is removed on the way."""
        remove_interrupted()
        folders = [""]
        while folders:
            folder = folders.pop()
            for stems in _batches(self._stems(folder, suffix, folders)):
                listed = Listed(folder, stems, None)
                if stats:
                    listed = self._looked_at(listed, suffix)
                if listed.stems:
                    yield listed

    def _stems(self, folder: str, suffix: str, folders: list[str]) -> Iterator[str]:
        """Yield the names in a folder without the suffix; note the folders in it."""
        cut = -len(suffix) or None
        for entry in self._entries(self._base + folder):
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                remove_if_stale(entry)  # a fence, where there are no links
                if not contains_unsafe_chars(name):  # else it holds no keys
                    folders.append(f"{folder}{name}/")
            elif not name.endswith(suffix):
                remove_if_stale(entry)
            elif (entry.is_file(follow_symlinks=False) or leads_to_file(entry)) and not (
                name[0] == "." and is_apple_double(name, entry.path)
            ):
                yield name[:cut]

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield what is in a folder; nothing, and a warning, if it may not be read."""
        once = io_retry.runner is None or self.is_cache
        plain = once and file_system_at(self.root).exact_names
        try:
            yield from entries_of(folder) if plain else entries_again(folder, _BATCH, once=once)
        except PermissionError as error:
            if folder == self._base:
                raise
            warnings.warn(
                f"a folder is left out with all items in it: {error}", RuntimeWarning, stacklevel=2
            )

    def _looked_at(self, listed: Listed, suffix: str) -> Listed:
        folder, stems = listed.folder, listed.stems
        looks = [(stem, self.stat(folder + stem + suffix)) for stem in stems]
        found = [(stem, stat) for stem, stat in looks if stat is not None]
        return Listed(folder, [stem for stem, _ in found], [stat for _, stat in found])

    def child(self, prefix: str) -> FolderBlobs:
        if not prefix:
            return self
        below = FolderBlobs(
            self.where(prefix),
            durable=self._durable,
            exact=self._exact,
            lock_timeout=self._lock_timeout,
        )
        below.is_cache = self.is_cache
        return below

    def absence(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.where(name))

    def where(self, name: str) -> str:
        path = self._base + (name if _SLASH else name.replace("/", os.sep))
        if ".." in name and not os.path.normpath(path).startswith(self._base):
            raise ValueError(f"{name!r} is outside base_dir {self.root!r}")
        if len(name) > _LONGEST_NAME and max(map(len, name.split("/"))) > _LONGEST_NAME:
            raise ValueError(f"a key is too long for the name of a file: {name!r}")
        if len(path) > _LONGEST_PATH:
            raise ValueError(f"a key is too long for a path of {len(path):,} bytes: {name:.80}...")
        return path

    def prune(self) -> None:
        """Remove the directories that are empty, but not the folder itself."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            if folder != self.root:
                # another process may have filled it, or removed it, in this moment
                with suppress(OSError):
                    os.rmdir(folder)

    def _publish(
        self, temp: str, new: os.stat_result, path: str, guard: Guard | None
    ) -> os.stat_result | None:
        """Give the temporary file its name; `None` if the guard forbids it."""
        if guard is not None and guard.expected is ITEM_NOT_AVAILABLE:
            inserted = link(temp, path)
            if inserted:
                discard(temp)
            if inserted is not None:
                return new if inserted else None
        if not self._exact:
            return _replace(temp, new, path, guard)
        return locked(
            lock_path(path), self._lock_timeout, lambda at: _replace(at, new, path, guard), temp
        )

    def _remove(self, path: str, guard: Guard | None) -> bool:
        try:
            return begun_anew(self._removed, path, guard)
        except ABSENT:  # with its folder
            return False

    def _removed(self, path: str, guard: Guard | None) -> bool:
        if not self._exact:
            return _remove(path, guard)
        try:
            return removed(path, lock_path(path), self._lock_timeout, lambda: _may_go(path, guard))
        except OSError as error:
            # a lock needs an inode, and there may be one again when the file is gone
            if guard is not None or error.errno not in NO_ROOM:
                raise
            return _remove(path, None)


def _read(path: str, unless: ETagIfExists) -> Blob | None:
    try:
        return retried(read_file, path, unless)
    except ChangedInPlace:
        pass
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
    return _read_again(path, unless)


def _read_again(path: str, unless: ETagIfExists) -> Blob | None:
    for attempt in range(_MOST_READS):
        short_pause(attempt)
        with suppress(ChangedInPlace):
            return reopened(read_file, path, unless)
    raise BackendError(
        f"{path} kept changing in place while it was read",
        backend=FolderBlobs.backend,
        operation="read",
    )


def _replace(
    temp: str, new: os.stat_result, path: str, guard: Guard | None
) -> os.stat_result | None:
    before = look(path)
    if not _allows(guard, before, path):
        return None
    try:
        new = dated_after(temp, new, before)
        os.replace(temp, path)
    except OSError as error:
        _replace_again(error, temp, new, path)
    forget(temp)
    return new


def _replace_again(error: OSError, temp: str, new: os.stat_result, path: str) -> None:
    """Settle a failure: it may have been carried out, and its answer got lost."""
    if _is_published(error, temp, new, path):
        return
    if isinstance(error, FileNotFoundError):
        raise Overtaken from error
    refuse_if_taken(path)
    if not is_transient(error):
        raise error
    pause(0)
    try:
        retried(os.replace, temp, path)
    except OSError as again:
        if _is_published(again, temp, new, path):
            return
        if not isinstance(again, FileNotFoundError):
            raise
        raise OutcomeUnknownError(
            f"{path} was written, or was not: {error}, and then another writer came in between",
            backend=FolderBlobs.backend,
            operation="write",
        ) from error


def _is_published(error: OSError, temp: str, new: os.stat_result, path: str) -> bool:
    found = look(path)
    if found is None or stat_of(found, path) != stat_of(new, path):
        return False
    # without inodes, another version of the same moment and size looks the same
    is_known = file_system_of(found, path).real_inodes
    return is_known or (not isinstance(error, FileNotFoundError) and is_absent(temp))


def _remove(path: str, guard: Guard | None) -> bool:
    if not _may_go(path, guard):
        return False
    retried(os.unlink, path)
    return True


def _may_go(path: str, guard: Guard | None) -> bool:
    found = look(path)
    if found is None or not _allows(guard, found, path):
        return False
    outlive(found)
    return True


def _allows(guard: Guard | None, found: os.stat_result | None, path: str) -> bool:
    return guard is None or guard.holds(etag_of(None if found is None else stat_of(found, path)))


def _tell_if_published(temp: str, guard: Guard | None, error: BaseException) -> None:
    """Let a write not be repeated that is done, or a guarded one that may be.

    Until it is done, its bytes are at the temporary name, and at no other.
    """
    if io_retry.runner is None:
        return
    try:
        is_done = os.stat(temp).st_nlink > 1
    except FileNotFoundError:
        is_done = True
    except OSError:
        is_done = guard is not None
    if is_done:
        not_again(error, "the file was written, or may have been")


def _tell_unless_there(path: str, found: os.stat_result, error: OSError) -> None:
    """Let a removal not be repeated that may be done: it would find that there was nothing."""
    if io_retry.runner is None or isinstance(error, BackendError):
        return
    with suppress(OSError):
        now = look(path)
        if now is not None and stat_of(now, path) == stat_of(found, path):
            return
    not_again(error, "the file was removed, or may have been")


def _batches(stems: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(stems, _BATCH)):
        yield batch
