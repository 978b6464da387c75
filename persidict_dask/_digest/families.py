"""The class of an instance that the handler of a library gives a token to."""

from __future__ import annotations

from typing import Any

from persidict_dask._digest.walk import Walker
from persidict_dask._origin import module_of


def class_in(walker: Walker, obj: Any, library: str) -> bytes:
    """Token of the class: of the library itself by name, a subclass of others by version too.

    A handler knows all that instances of its own library hold, but not what a subclass does.
    """
    cls = type(obj)
    ours = module_of(cls).partition(".")[0] == library
    return walker.known_class(cls) if ours else walker.class_token(cls)
