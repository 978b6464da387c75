"""Progress bars, for those who watch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from persidict.extras import is_installed

T = TypeVar("T")


def watched(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items, behind a progress bar on a terminal or in a notebook; it vanishes after."""
    if not _is_watched() or not is_installed("rich"):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, total=total, transient=True, console=Console(stderr=True))


def _is_watched() -> bool:
    return "ipykernel" in sys.modules or sys.stderr.isatty()
