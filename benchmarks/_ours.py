"""persidict as a contender, imported where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persidict import FileDirDict

NAME = "persidict"


def folder_dict(folder: Path, **params: Any) -> FileDirDict[Any]:
    """Return a `FileDirDict` over the folder."""
    from persidict import FileDirDict

    return FileDirDict(base_dir=folder, **params)
