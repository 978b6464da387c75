"""Accessors that the project has registered with a library: `frame.mine` is code of the project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from persidict_dask._code.walk import CodeWalker

_OWNERS: Final = {
    "pandas": ("DataFrame", "Series", "Index"),
    "polars": ("DataFrame", "Series", "LazyFrame", "Expr"),
    "xarray": ("Dataset", "DataArray", "DataTree"),
}


def accessors_in(names: frozenset[str], walker: CodeWalker) -> Iterator[Any]:
    """Classes of the project that one of the names would lead to, on an object of a library."""
    for library, owners in _OWNERS.items():
        module = sys.modules.get(library)
        for owner in owners if module is not None else ():
            for name, value in sorted(_registered(getattr(module, owner, None))):
                if name in names and walker.is_by_value(value):
                    yield value


def _registered(owner: Any) -> Iterator[tuple[str, Any]]:
    """Name and class of each accessor, by the descriptors that the three libraries make."""
    for name, descriptor in list(vars(owner).items()) if isinstance(owner, type) else ():
        for attribute in ("_accessor", "_ns"):
            accessor = getattr(descriptor, attribute, None)
            if isinstance(accessor, type):
                yield name, accessor
