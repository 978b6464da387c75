"""Single files: read as one version, written under a temporary name, given times that only grow."""

from __future__ import annotations

import errno
import os
import stat as stat_modes
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from stat import S_ISREG

from persidict._blobs import Blob
from persidict._buffers import LARGE, Buffer, new_buffer
from persidict._file_system import (
    file_system_at,
    file_system_of,
    folder_of,
    hard_links_work,
    ordinary,
    refreshed,
)
from persidict._retry import reopened, retried
from persidict._temporary import (
    ABSENT,
    Temporary,
    discard,
    forget,
    new_temporary,
    remove_interrupted,
)
from persidict._windows import open_for_reading, open_new
from persidict._words import Item, Stat
from persidict.exceptions import BackendError
from persidict.jokers_and_status_flags import VALUE_NOT_RETRIEVED, ETagIfExists, ETagValue

_MOST_FOLDERS = 1000  # rounds against others who keep removing the folder as empty
_COARSEST = 2_000_000_000  # nanoseconds; the times of FAT
_TAKES_DESCRIPTORS = os.utime in os.supports_fd


class ChangedInPlace(Exception):  # noqa: N818  # a signal, not an error
    """The bytes that were read may belong to two versions."""


def stat_of(found: os.stat_result, path: str) -> Stat:
    """Return etag and timestamp of a file that was looked at."""
    if found.st_dev in ordinary or file_system_of(found, path).real_inodes:
        etag = f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"
    else:
        etag = f"{found.st_mtime_ns}:{found.st_size}"
    return Stat(ETagValue(etag), found.st_mtime)


def look(path: str) -> os.stat_result | None:
    """Look at a file; `None` if there is none."""
    try:
        found = retried(os.stat, path)
    except ABSENT:
        if file_system_at(folder_of(path)).exact_names:
            return None
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
    else:
        if found.st_dev in ordinary or file_system_of(found, path).exact_names:
            return found if S_ISREG(found.st_mode) or _is_file(found, path) else None
    closer = reopened(_look_closely, path)
    return closer if closer is not None and _is_file(closer, path) else None


def _look_closely(path: str) -> os.stat_result | None:
    """Look at a file as it is opened, which asks the server where `stat` asks a memory."""
    fds: list[int] = []
    try:
        return refreshed(fds[0]) if _open(path, fds) else None
    except PermissionError:  # it may be looked at all the same
        return os.stat(path)
    finally:
        for fd in fds:  # with no call in between
            os.close(fd)


def _open(path: str, fds: list[int]) -> bool:
    """Open a file for reading; `False` if there is none."""
    try:
        open_for_reading(path, fds)
    except OSError as error:
        return _open_again(error, path, fds)
    return True


def _open_again(error: OSError, path: str, fds: list[int]) -> bool:
    """Open a file in spite of an error, after a second look at its folder."""
    if error.errno == errno.ENXIO:
        refuse_if_taken(path)  # by a socket
    if not isinstance(error, ABSENT):
        raise error
    folder = folder_of(path)
    system = file_system_at(folder)
    if system.exact_names or system.is_fuse:  # FUSE asks its program each time
        return False
    try:
        refresh_names(folder)
        open_for_reading(path, fds)
    except ABSENT:
        return False
    return True


def refresh_names(folder: str) -> None:
    """Let the system ask the server which names are new in a folder, which may be new itself.

    Opening it is enough on NFS 4.2, not on NFS 3.
    """
    try:
        _begin_to_list(folder)
    except ABSENT:
        above = os.path.dirname(folder)
        if above == folder:
            raise
        refresh_names(above)
        _begin_to_list(folder)


def _begin_to_list(folder: str) -> None:
    with os.scandir(folder) as names:
        next(names, None)


def _is_file(found: os.stat_result, path: str) -> bool:
    """Tell files from folders, which are made for keys; anything else is an error."""
    if S_ISREG(found.st_mode):
        return True
    if stat_modes.S_ISDIR(found.st_mode):
        return False
    raise _taken(path, found)


def refuse_if_taken(path: str) -> None:
    """Raise if the name of an item is that of something else, under which nothing is stored."""
    try:
        found = os.lstat(path)
        if stat_modes.S_ISLNK(found.st_mode):
            with suppress(FileNotFoundError):
                found = os.stat(path)
    except ABSENT:
        return
    if not S_ISREG(found.st_mode):
        raise _taken(path, found)


_KINDS = (
    (stat_modes.S_ISDIR, "a folder"),
    (stat_modes.S_ISFIFO, "a FIFO"),
    (stat_modes.S_ISSOCK, "a socket"),
    (stat_modes.S_ISLNK, "a symbolic link that leads nowhere"),
)


def _taken(path: str, found: os.stat_result) -> BackendError:
    kind = next((what for is_one, what in _KINDS if is_one(found.st_mode)), "a device")
    return BackendError(
        f"{path} is {kind}, where an item would be a file: remove or rename it",
        backend="filesystem",
        operation="open",
    )


def read_file(path: str, unless: ETagIfExists) -> Blob | None:
    """Return bytes and version of a file, from one descriptor; no bytes if the etag is `unless`."""
    fds: list[int] = []
    try:
        try:
            open_for_reading(path, fds)
        except OSError as error:
            if not _open_again(error, path, fds):
                return None
        found = os.fstat(fds[0])
        if found.st_dev in ordinary:
            return _read_descriptor(fds[0], found, path, unless)
        system = file_system_of(found, path)
        if not system.exact_names:
            found = refreshed(fds[0])
        if not system.is_fuse:
            return _read_descriptor(fds[0], found, path, unless)
    finally:
        for fd in fds:
            os.close(fd)
    return _read_by_name(path, unless, found)


def _read_descriptor(
    fd: int, found: os.stat_result, path: str, unless: ETagIfExists
) -> Blob | None:
    if not S_ISREG(found.st_mode) and not _is_file(found, path):
        return None
    stat = stat_of(found, path)
    if stat.etag == unless:
        return Item(VALUE_NOT_RETRIEVED, stat)
    item: Blob = Item(_read_all(fd, found.st_size), stat)
    # We replace files and never write into them; others (an editor, a sync service) may.
    if _differ(os.fstat(fd), found):
        raise ChangedInPlace(item)
    return item


def _read_by_name(path: str, unless: ETagIfExists, before: os.stat_result) -> Blob | None:
    """Read a file where a program may tell of a descriptor what is true of the name.

    If it tells of the same version before the file is opened and after, that version is open. To
    rclone, a file that is read looks changed until it is closed.
    """
    fds: list[int] = []
    try:
        if not _open(path, fds):
            return None
        found = _unchanged(refreshed(fds[0]), before)
        return _read_descriptor(fds[0], found, path, unless)
    except ChangedInPlace as change:
        if not change.args:
            raise
        item: Blob = change.args[0]
    finally:
        for fd in fds:  # with no call in between
            os.close(fd)
    _unchanged(_look_closely(path), found)
    return item


def _unchanged(now: os.stat_result | None, before: os.stat_result) -> os.stat_result:
    if now is None or _differ(now, before):
        raise ChangedInPlace
    return now


def _differ(one: os.stat_result, other: os.stat_result) -> bool:
    return one.st_mtime_ns != other.st_mtime_ns or one.st_size != other.st_size


def _read_all(fd: int, size: int) -> Buffer:
    if size >= LARGE and hasattr(os, "readv"):
        return _read_large(fd, size)
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    parts = [data]  # one read moves at most 2 GiB
    while data := os.read(fd, 1 << 24):
        parts.append(data)
    return b"".join(parts)


def _read_large(fd: int, size: int) -> Buffer:
    buffer, done = new_buffer(size), 0
    with memoryview(buffer) as view:
        while done < size:  # one read moves at most 2 GiB
            count = os.readv(fd, [view[done:]])
            if not count:
                raise ChangedInPlace  # it has become shorter
            done += count
    return buffer


def write_temp(folder: str, data: Buffer, *, durable: bool) -> tuple[Temporary, os.stat_result]:
    """Write a new temporary file, through to the disk if it shall be `durable`."""
    remove_interrupted()
    temp = new_temporary(folder)
    fds: list[int] = []
    try:
        try:
            changed = _open_temp(temp, folder, fds)
            _write_all(fds[0], data)
            _set_time(fds[0], time.time_ns())
            if durable:
                os.fsync(fds[0])
                for above in changed:  # now that the new folders cannot be removed as empty
                    sync_directory(above)
            written = os.fstat(fds[0])
        finally:
            for fd in fds:  # with no call in between
                os.close(fd)
    except BaseException:
        discard(temp)
        if not fds:
            forget(temp)  # where nothing can be made, there is nothing to remove later
        raise
    return temp, written


def _open_temp(temp: str, folder: str, fds: list[int]) -> Iterable[str]:
    """Create a temporary file, and missing folders; return the folders that were changed, too."""
    try:
        open_new(temp, fds)
    except FileNotFoundError:
        return _open_in_new_folder(temp, folder, fds)
    return ()


def _open_in_new_folder(temp: str, folder: str, fds: list[int]) -> set[str]:
    changed: set[str] = set()
    for _ in range(_MOST_FOLDERS):
        _make_folder(folder, changed)
        with suppress(FileNotFoundError):
            open_new(temp, fds)
            return changed
    raise FileNotFoundError(errno.ENOENT, "the folder keeps disappearing", folder)


def _make_folder(folder: str, changed: set[str]) -> None:
    """Make a folder and those above it, and note in which folders there is a new name."""
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folder(above, changed)
    # a process that clears the dictionary removes empty folders, also while we make others in them
    with suppress(FileExistsError, FileNotFoundError):
        os.mkdir(folder)
    changed.add(above)


def _write_all(fd: int, data: Buffer) -> None:
    written = os.write(fd, data)
    while written < len(data):  # one write moves at most 2 GiB
        written += os.write(fd, memoryview(data)[written:])


def dated_after(
    temp: str, written: os.stat_result, before: os.stat_result | None
) -> os.stat_result:
    """Give the temporary file a later time than the version it replaces, and look at the result.

    So no two versions of an item share an etag, whatever the clock does and whichever inodes are
    used again. Where times are kept in coarse steps, this waits for the next one.
    """
    if before is None or written.st_mtime_ns > before.st_mtime_ns:
        return written
    for moment in _times_after(before.st_mtime_ns):
        _set_time(temp, moment)
        written = os.stat(temp)
        if written.st_mtime_ns > before.st_mtime_ns:
            break
    return written


def _times_after(before: int) -> Iterator[int]:
    yield max(time.time_ns(), before + 1)
    deadline = time.monotonic_ns() + _COARSEST
    while time.monotonic_ns() < deadline:
        time.sleep(0.01)
        yield time.time_ns()
    yield before + _COARSEST


def outlive(found: os.stat_result) -> None:
    """Wait until a version that comes after this one's removal is sure to get a later time.

    At once, but for a young file on a file system that keeps times in coarse steps.
    """
    if found.st_mtime_ns % 1_000_000:
        return
    deadline = time.monotonic_ns() + _COARSEST
    while time.time_ns() < found.st_mtime_ns + _COARSEST and time.monotonic_ns() < deadline:
        time.sleep(0.01)


def _set_time(file: str | int, moment: int) -> None:
    if _TAKES_DESCRIPTORS or isinstance(file, str):
        os.utime(file, ns=(moment, moment))


def link(source: str, target: str) -> bool | None:
    """Give a file a second name; `False` if the name is taken, `None` where links do not exist."""
    try:
        return retried(_link, source, target)
    except OSError as error:
        # a second name means that it was our own link, whose answer was lost
        if os.stat(source).st_nlink > 1:
            return True
        if isinstance(error, FileExistsError):
            refuse_if_taken(target)
            return False
        raise


def _link(source: str, target: str) -> bool | None:
    try:
        os.link(source, target)
    except (FileExistsError, *ABSENT):
        raise
    except OSError:
        # some file systems say "not permitted" or "failed" where there are no links at all
        if os.stat(source).st_nlink > 1 or hard_links_work(folder_of(target)):
            raise
        return None
    return True


def sync_directory(folder: str) -> None:
    """Make the names in a folder durable, where the system can."""
    fds: list[int] = []
    with suppress(OSError):
        try:
            open_for_reading(folder, fds)
            os.fsync(fds[0])
        finally:
            for fd in fds:  # with no call in between
                os.close(fd)
