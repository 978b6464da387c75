"""Opening of files and names of long paths, which Windows wants otherwise."""

from __future__ import annotations

import os

_LONG = "\\\\?\\"
_LONG_UNC = "\\\\?\\UNC\\"
_FOR_READING = (
    os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")),
)


def add_long_path_prefix(path: str) -> str:
    """Return the path with the prefix that lifts the limit of 260 characters on Windows."""
    if os.name != "nt" or path.startswith(_LONG):
        return path
    return _LONG_UNC + path[2:] if path.startswith("\\\\") else _LONG + path


def drop_long_path_prefix(path: str) -> str:
    """Return the path as users write it."""
    if os.name != "nt" or not path.startswith(_LONG):
        return path
    return "\\\\" + path[len(_LONG_UNC) :] if path.startswith(_LONG_UNC) else path[len(_LONG) :]


def open_for_reading(path: str, fds: list[int]) -> None:
    """Add a descriptor that does not stand in the way of writers who replace the file.

    Whatever has the name: for a FIFO, this does not wait for its other end.
    """
    if os.name == "nt":
        fds.append(_open_shared(path))
    else:
        fds.extend(map(os.open, (path,), _FOR_READING))


def open_into(fds: list[int], path: str, flags: int) -> None:
    """Open a file and add its descriptor, with no moment in between for an interrupt to lose it."""
    fds.extend(map(os.open, (path,), (flags,), (0o666,)))


def _open_shared(path: str) -> int:
    import ctypes
    import msvcrt

    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    create = kernel32.CreateFileW
    create.restype = ctypes.c_void_p
    generic_read, share_all, open_existing, normal = 0x80000000, 0x7, 3, 0x80
    handle = create(path, generic_read, share_all, None, open_existing, normal, None)
    if handle in (None, ctypes.c_void_p(-1).value):
        raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]
    return int(msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY))  # type: ignore[attr-defined,unused-ignore]
