"""What the file system of a folder can do, looked at once in a process: the capability probe."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from persidict._retry import retried
from persidict._temporary import discard, new_temporary

_SAYS_NOTHING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE}
)
_works: dict[tuple[Callable[[str, str], None], int], bool] = {}  # by trial and device


def symbolic_links_work(folder: str) -> bool:
    """Tell whether symbolic links can be made in a folder, found out by making one.

    True as long as nothing can be found out, as where no file can be made either.
    """
    return _works_in(folder, _symbolic_link)


def hard_links_work(folder: str) -> bool:
    """Tell the same of hard links."""
    return _works_in(folder, _hard_link)


def _symbolic_link(_: str, link: str) -> None:
    os.symlink("target", link)


def _hard_link(file: str, link: str) -> None:
    os.link(file, link)


def _works_in(folder: str, make: Callable[[str, str], None]) -> bool:
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return True
    if (make, device) not in _works:
        answer = _trial(folder, make)
        if answer is None:
            return True
        _works[make, device] = answer
    return _works[make, device]


def _trial(folder: str, make: Callable[[str, str], None]) -> bool | None:
    """Make a file and a link beside it; `None` if the outcome says nothing of links."""
    file, link = new_temporary(folder), new_temporary(folder)
    try:
        retried(lambda: os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)))
    except OSError:
        discard(file)
        return None
    try:
        retried(make, file, link)
    except OSError as error:
        return None if error.errno in _SAYS_NOTHING else False
    else:
        return True
    finally:
        discard(file)
        discard(link)
