"""What the file system of a folder can do, looked at once in a process: the capability probe."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, NamedTuple

from persidict._retry import retried
from persidict._temporary import ABSENT, discard, new_temporary

# Only this machine changes them, or their servers call back what they have lent to a machine before
# another changes it: what the system says of a name is true.
_EXACT = """
ext2 ext3 ext4 xfs btrfs bcachefs zfs f2fs jfs nilfs2 reiserfs tmpfs ramfs overlay ecryptfs
squashfs erofs iso9660 udf apfs hfs hfsplus ufs ntfs ntfs3 fuseblk vfat msdos exfat
ceph lustre gpfs gfs2 ocfs2
"""
# Files have no numbers there, and the system makes some up; another time, others.
_WITHOUT_INODES = "vfat msdos exfat fuseblk fuse vboxsf prl_fs cifs smb3 davfs"
# These pass on the numbers of another file system, or keep their own.
_FUSE_WITH_INODES = """
ceph ceph-fuse glusterfs juicefs lizardfs moosefs s3ql bindfs mergerfs gocryptfs fuse-overlayfs
"""
_SYSTEM_DISKS = {"darwin": ("/System/Volumes/Data", "apfs"), "win32": ("$SystemDrive\\", "ntfs")}
_SAYS_NOTHING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE}
)
_TRIALS: dict[str, Callable[[str, str], None]] = {
    "hard links": lambda file, link: os.link(file, link),  # noqa: PLW0108  # looked up when called
    "symbolic links": lambda _, link: os.symlink("target", link),
}


class FileSystem(NamedTuple):
    """What the file system of a folder can do."""

    kind: str
    """As the system names it, such as "ext4" or "nfs4"; empty where it does not."""
    exact_names: bool
    """True if a file that another machine has made is seen at once; else absence is checked."""
    real_inodes: bool
    """True if files have numbers of their own, which then are a part of their etags."""
    hard_links: bool | None = None
    """`None` if that cannot be found out, as in a folder that cannot be written."""
    symbolic_links: bool | None = None

    @property
    def is_fuse(self) -> bool:
        """True if a program serves it, which may know files by nothing but their names."""
        return self.kind.startswith("fuse.") or self.kind == "fuse"

    @property
    def oddities(self) -> str:
        """In a few words what is otherwise on a disk of this machine, as far as it is known."""
        odd = [] if self.exact_names else ["names are remembered"]
        odd += [] if self.real_inodes else ["made-up inodes"]
        return f"{self.kind}: {', '.join(odd)}" if self.kind and odd else ""


_log = logging.getLogger(__name__)

folder_of = lru_cache(maxsize=16384)(os.path.dirname)

ordinary: set[int] = set()
"""Devices that are known to have exact names and real inodes, for what has no time to ask more."""

_known: dict[int, FileSystem] = {}  # by device
_works: dict[tuple[str, int], bool] = {}  # by trial and device


def file_system_of(found: os.stat_result, path: str) -> FileSystem:
    """Return the file system of a file that was looked at."""
    try:
        return _known.get(found.st_dev) or _probed(folder_of(path), found.st_dev)
    except ABSENT:  # it has been removed since
        return file_system_at(folder_of(path))


@lru_cache(maxsize=16384)
def file_system_at(folder: str) -> FileSystem:
    """Return the file system of a folder, or that in which it would be made."""
    while True:
        try:
            device = os.stat(folder).st_dev
            return _known.get(device) or _probed(folder, device)
        except ABSENT:
            folder = os.path.dirname(folder)


def with_links(folder: str) -> FileSystem:
    """Return the file system of a folder, and whether links can be made there."""
    return file_system_at(folder)._replace(
        hard_links=_links_work(folder, "hard links"),
        symbolic_links=_links_work(folder, "symbolic links"),
    )


def hard_links_work(folder: str) -> bool:
    """Tell whether hard links can be made in a folder where one has failed, by making another.

    True if nothing can be found out, as where no file can be made either.
    """
    return _links_work(folder, "hard links", again=True) is not False


def _probed(folder: str, device: int) -> FileSystem:
    kind, options = _mount_of(folder)
    _known[device] = probed = FileSystem(
        kind,
        exact_names=kind in _EXACT.split(),
        real_inodes=_has_inodes(kind, options),
    )
    if probed.exact_names and probed.real_inodes:
        ordinary.add(device)
    if probed.oddities:
        _log.info("%s is on %s", folder, probed.oddities)
    return probed


def _has_inodes(kind: str, options: str) -> bool:
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") in _FUSE_WITH_INODES.split()
    # SMB servers may tell numbers of their own
    return kind not in _WITHOUT_INODES.split() or ",serverino" in options


def _mount_of(folder: str) -> tuple[str, str]:
    """Return kind and options of the mount that a folder is in; nothing if the system does not say.

    A failure that may pass, as without a free descriptor, is an error: the answer is kept.
    """
    if not hasattr(os, "O_PATH"):
        return _kind_of_system_disk(folder), ""
    fd = retried(os.open, folder, os.O_DIRECTORY | os.O_PATH)
    try:
        return _mount_behind(fd)
    except (*ABSENT, PermissionError, IndexError, StopIteration):
        return _kind_of_system_disk(folder), ""
    finally:
        os.close(fd)


def _mount_behind(fd: int) -> tuple[str, str]:
    with open(f"/proc/self/fdinfo/{fd}") as file:
        number = file.read().partition("mnt_id:")[2].split()[0]
    with open("/proc/self/mountinfo", errors="replace") as file:
        lines = (line.split() for line in file)
        fields = next(fields for fields in lines if fields[0] == number)
    kind, _, options = fields[fields.index("-") + 1 :][:3]
    return kind, options


def _kind_of_system_disk(folder: str) -> str:
    """Return what macOS and Windows themselves are on, a disk of the machine, if that is it."""
    root, kind = _SYSTEM_DISKS.get(sys.platform, ("", ""))
    with suppress(OSError):
        if os.stat(os.path.expandvars(root)).st_dev == os.stat(folder).st_dev:
            return kind
    return ""


def _links_work(folder: str, what: str, *, again: bool = False) -> bool | None:
    """Return an answer that is known already, or find it out; `None` if it cannot be."""
    try:
        trial = what, os.stat(folder).st_dev
    except OSError:
        return None
    known = _works.get(trial)
    if known is not None and not again:
        return known
    answer = _trial(folder, _TRIALS[what], is_patient=known is not False)
    if answer is not None:
        _works[trial] = answer
    if answer is False and known is not False:
        _log.info("%s is on a file system without %s", folder, what)
    return answer


def _trial(folder: str, make: Callable[[str, str], None], *, is_patient: bool) -> bool | None:
    """Make a file and a link beside it; `None` if the outcome says nothing of links."""
    file, link = new_temporary(folder), new_temporary(folder)
    try:
        retried(lambda: os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)))
        if is_patient:
            retried(make, file, link)
        else:
            make(file, link)
    except OSError as error:
        says_nothing = error.errno in _SAYS_NOTHING or not os.path.exists(file)
        return None if says_nothing else False
    else:
        return True
    finally:
        discard(file)
        discard(link)


def refreshed(fd: int) -> os.stat_result:
    """Return what the server says of an open file or folder, and not what the system remembers."""
    statx = _statx()
    if statx:
        statx(fd)
    return os.fstat(fd)


@cache
def _statx() -> Callable[[int], Any] | None:
    try:
        import ctypes

        call = ctypes.CDLL(None).statx
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    forced = 0x2000 | 0x1000  # AT_STATX_FORCE_SYNC | AT_EMPTY_PATH
    basic_stats = 0x7FF
    return lambda fd: call(fd, b"", forced, basic_stats, ctypes.create_string_buffer(256))
