"""Whether Dask calls a function only to see what kind of result it gives."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Final

_CALLERS: Final = {
    "compute_meta": "dask.array.utils",
    "apply_infer_dtype": "dask.array.core",
    "apply_along_axis": "dask.array.routines",
    "emulate": "dask.dataframe.",
    "_meta": "dask.dataframe.",
    "_meta_chunk": "dask.dataframe.",
    "_meta_apply_transform": "dask.dataframe.",
}
"""Functions that call with empty or made-up arguments, and what their modules begin with."""
_MODULES: Final = {"dask.array.utils", "dask.dataframe"}


def is_inferring() -> bool:
    """True if the caller's caller, or anything above it, is such a function of Dask."""
    if sys.modules.keys().isdisjoint(_MODULES):
        return False
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        module = _CALLERS.get(frame.f_code.co_name)
        if module is not None and str(frame.f_globals.get("__name__")).startswith(module):
            return True
        frame = frame.f_back
    return False
