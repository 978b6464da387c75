"""Files that desktops, synchronisers and file servers leave among items, under names of keys."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from persidict.safe_str_tuple_signing import unsign_component

_log = logging.getLogger(__name__)

# The version that lost: of Syncthing, ownCloud and Nextcloud. The copies that Dropbox, Google
# Drive, iCloud and Box make have spaces in their names, as no key has.
_CONFLICT = re.compile(
    r".*(\.sync-conflict-\d{8}-\d{6}-[A-Z2-7]{7}|_conflict-\d{8}-\d{6})", re.DOTALL
).fullmatch
# Earlier versions and wastebaskets: of Syncthing, Resilio, Dropbox, NetApp, ZFS, desktops, Jupyter.
_FOLDER = re.compile(
    r"\.(stversions|stfolder|sync|dropbox\.cache|snapshot|zfs|Trash-\d+|ipynb_checkpoints)"
).fullmatch
_APPLE = "._"  # before the name of a file: what macOS has to say of it and can keep nowhere else
_APPLE_MAGIC = b"\x00\x05\x16\x07"


def is_foreign(stem: str, digest_len: int) -> bool:
    """True for the name of a file, without its suffix, that is surely not one of an item.

    With digests, a name without one that begins with the name of an item is a copy, which no key
    finds. Without, only names count that no user would choose.
    """
    if unsign_component(stem, digest_len) != stem:
        return False
    is_copy = _is_conflict(stem) or _begins_as_item(stem, digest_len)
    if is_copy:
        _warn_of(stem)
    return is_copy or (digest_len > 0 and stem.startswith(_APPLE))


def is_foreign_folder(name: str, digest_len: int) -> bool:
    """The same for a folder; without digests any name may be that of a key."""
    is_known = digest_len > 0 and _FOLDER(name) is not None
    return is_known and unsign_component(name, digest_len) == name


def is_apple_double(name: str, path: str) -> bool:
    """True for a companion of macOS, known by its first bytes."""
    if not name.startswith(_APPLE):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) == _APPLE_MAGIC
    except OSError:
        return False


def _is_conflict(stem: str) -> bool:
    return "conflict-" in stem and _CONFLICT(stem) is not None


def _begins_as_item(stem: str, digest_len: int) -> bool:
    if not digest_len:
        return False
    ends = re.finditer(rf"_[a-z2-7=]{{{digest_len}}}(?=[-(.~])", stem)
    names = (stem[: found.end()] for found in ends)
    return any(unsign_component(name, digest_len) != name for name in names)


@lru_cache(maxsize=1024)  # once
def _warn_of(stem: str) -> None:
    _log.warning(
        "%r is a copy that another program has made of an item, maybe of a version that was "
        "written on another machine: it is passed over",
        stem,
    )
