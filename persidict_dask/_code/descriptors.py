"""What wraps functions in a class, or around a function: the functions inside count by value."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any, Final

from persidict_dask._code.pydantic import validated_token
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.reduced import reduced
from persidict_dask._digest.wrapped import VALIDATED

_WRAPPED: Final[dict[type, tuple[str, ...]]] = {
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    functools.cached_property: ("func",),
    functools._lru_cache_wrapper: ("__wrapped__",),
}
_OF_FUNCTIONS: Final = frozenset({"__doc__", "__module__", "__name__", "__qualname__"})


def descriptor_token(walker: CodeWalker, obj: Any) -> bytes:
    """Token of what wraps functions in a class or around a function; anything else has a name."""
    for kind, names in _WRAPPED.items():
        if isinstance(obj, kind):
            parts = (member_token(walker, getattr(obj, name)) for name in names)
            more = () if type(obj) is kind else _added(walker, obj, names)
            return frame_all(kind.__name__.encode(), (*parts, *more))
    if type(obj).__name__ == VALIDATED:
        is_known = hasattr(obj, "ns_resolver")  # from pydantic 2.10 on
        return validated_token(walker, obj) if is_known else reduced(walker, obj)
    return walker.library(obj)


def member_token(walker: CodeWalker, value: Any) -> bytes:
    """Token of what a class holds under a name."""
    if isinstance(value, functools.singledispatchmethod):  # the rest of it is caches
        variants = walker.mapping(b"variants", value.dispatcher.registry.items())
        return frame_all(b"dispatch", (member_token(walker, value.func), variants))
    if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return frame_all(b"slot", (walker.token(value.__name__), walker.token(value.__objclass__)))
    return walker.token(value)


def _added(walker: CodeWalker, obj: Any, names: tuple[str, ...]) -> Iterator[bytes]:
    """What a class derived from a kind of descriptor adds to it."""
    yield walker.class_token(type(obj))
    state = getattr(obj, "__dict__", {}).items()
    yield walker.attributes(
        b"state", [(k, v) for k, v in state if k not in names and k not in _OF_FUNCTIONS]
    )
