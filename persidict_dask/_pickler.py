"""Who is pickling: pickle goes by name, cloudpickle takes along the code of `__main__`."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from persidict_dask._names import MAIN
from persidict_dask._origin import known_as


def goes_by_name(module: str) -> bool:
    """True if the pickler that is at work leaves the code of a module where it is.

    To be asked by `__reduce__`. A pickler in C has no frame; next is what has called it, and of
    cloudpickle that is a function of its own. Other libraries come with copies of it.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _name_in(frame).startswith("persidict_dask."):
        frame = frame.f_back
    if frame is None or _name_in(frame).rpartition(".")[2] != "cloudpickle":
        return True
    return known_as(module) != MAIN and not _is_registered(module, frame.f_globals)


def _name_in(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _is_registered(module: str, cloudpickle: dict[str, Any]) -> bool:
    """True if the user wants a module, or a package around it, to be taken along."""
    names = cloudpickle["list_registry_pickle_by_value"]()
    return any(f"{module}.".startswith(f"{name}.") for name in names)
