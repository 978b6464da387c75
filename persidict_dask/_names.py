"""Names of functions, as parts of keys."""

from __future__ import annotations

from typing import Any

from persidict import replace_unsafe_chars
from persidict_dask._digest import digest

MAIN = "__main__"
_LONGEST = 120


def name_of(function: Any) -> str:
    """Return module and qualified name of a function; of its class, if it is another object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{module_name(named.__module__)}.{named.__qualname__}"


def module_name(module: str) -> str:
    """Return the name of a module; children of multiprocessing run the script under another."""
    return MAIN if module == "__mp_main__" else module


def safe_name(name: str) -> str:
    """Return a component of keys; different names stay different."""
    safe = replace_unsafe_chars(name, "_")
    if safe == name and len(safe) <= _LONGEST and safe.strip("."):
        return safe
    # different names must stay different after the replacement and the cut
    return f"{safe[:_LONGEST]}~{digest(name)[:8]}"
