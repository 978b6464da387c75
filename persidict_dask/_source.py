"""Where a definition stands: its script, module or notebook, as people tell them apart."""

from __future__ import annotations

import inspect
import os
import sys
import types
import uuid
from typing import Any

_SESSION = uuid.uuid4().hex[:16]  # a forked child is still a part of it


def source_of(obj: Any) -> str:
    """Return the file or notebook in which a function or class was written; "" if nobody knows.

    All cells of a notebook are one. A session whose notebook has no name is known by itself.
    """
    plain = inspect.unwrap(obj)
    if not isinstance(plain, type):
        return _source(plain) if isinstance(plain, types.FunctionType) else ""
    methods = [member for member in vars(obj).values() if isinstance(member, types.FunctionType)]
    # not what libraries have put there, such as the methods of named tuples
    own = [m for m in methods if m.__globals__.get("__name__") == plain.__module__]
    return _source(own[0]) if own else ""


def source_of_main() -> str:
    """Return what runs as `__main__` here."""
    namespace = vars(sys.modules["__main__"])
    file = namespace.get("__file__")
    return os.path.realpath(file) if file else _notebook(namespace)


def _source(function: types.FunctionType) -> str:
    file = function.__code__.co_filename
    if not os.path.isabs(file) or "ipykernel_" in file:
        # a cell of a notebook, a line of a console, or what cloudpickle has brought
        file = function.__globals__.get("__file__") or ""
    return os.path.realpath(file) if file else _notebook(function.__globals__)


def _notebook(namespace: dict[str, Any]) -> str:
    name = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return f"notebook {name}" if name else f"session {_SESSION}"
