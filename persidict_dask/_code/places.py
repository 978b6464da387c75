"""What depends on where a program runs: names of modules, locations of files, the environment."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from persidict_dask._code.watch import Watches
from persidict_dask._digest.frame import frame, frame_all

INCIDENTAL: Final = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}
    | {"__path__", "__doc__"}
)
"""Globals that say what a module is called and where it is, which does not count."""


def variables_token(holder: Any, names: Iterable[str], watches: Watches | None) -> bytes:
    """Token of the variables with these names; empty if it is not the environment that is asked."""
    is_asked = holder is os.environ or holder is os.getenv
    if not is_asked and getattr(holder, "__self__", None) is not os.environ:
        return b""
    read = os.environ.get if watches is None else watches.variable
    return frame_all(b"variables", (_variable(name, read(name)) for name in names))


def _variable(name: str, content: str | None) -> bytes:
    text = b"" if content is None else b"=" + content.encode("utf-8", "surrogateescape")
    return frame(b"variable", name.encode("utf-8", "surrogateescape") + text)


def relative_location(value: Any, namespace: Mapping[str, Any]) -> bytes:
    """Token of a path beside the file of a module, as seen from there; empty for anything else.

    So a folder of code may be moved. A path counts that is inside of the folder that the top-level
    package or the script is in, or leads to it.
    """
    text = str(value) if isinstance(value, pathlib.PurePath) else value
    file = namespace.get("__file__")
    if not isinstance(text, str) or not isinstance(file, str) or not os.path.isabs(text):
        return b""
    if os.path.normpath(text) != text:  # a text is more than the place it leads to
        return b""
    here = os.path.dirname(os.path.abspath(file))
    depth = str(namespace.get("__package__") or "").count(".") + bool(namespace.get("__package__"))
    root = pathlib.Path(here).parents[depth - 1] if depth else pathlib.Path(here)
    there = pathlib.Path(os.path.normpath(text))
    is_above = len(there.parts) > 2 and there in (root, *root.parents)
    if not is_above and root not in there.parents:
        return b""
    kind = type(value).__name__.encode()
    return frame(b"beside", kind + b" " + os.path.relpath(there, here).encode())
