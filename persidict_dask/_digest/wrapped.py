"""Callables of libraries: what they are known by, and what of the project is inside of them."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.walk import SCALARS, Handler, Walker

_DEEPEST: Final = 8
_LARGEST: Final = 1000  # members of a container: caches hold data, and not code
_CODE: Final = (types.FunctionType, type, types.MethodType)
_NAMES_OF_WRAPPED: Final = ("__doc__", "__module__", "__name__", "__qualname__", "__annotations__")

VALIDATED: Final = "ValidateCallWrapper"
"""What pydantic puts around a function: code, and not data of the module it stands in."""


def known_by(*names: str) -> Handler:
    """Handler for a class whose instances are these attributes, and nothing else that counts."""

    def handler(walker: Walker, obj: Any) -> bytes:
        values = [(name, getattr(obj, name, None)) for name in names]
        parts = (walker.class_token(type(obj)), walker.attributes(b"attributes", values))
        return frame_all(b"callable", parts)

    return handler


def hidden_code(walker: Walker, obj: Any) -> bytes:
    """Token of the project's code inside of a callable, which `pickle` may know by a name only."""
    if not callable(obj) or walker.is_by_value(type(obj)):
        return b""
    found = _code_in(walker, obj, frozenset())
    tokens = sorted(SCALARS[str](path) + walker.at(path, code) for path, code in found)
    return frame_all(b"wraps", tokens) if tokens else b""


def transparent(walker: Walker, obj: Any) -> bytes | None:
    """Token of a proxy of a function, which cannot be pickled: of all that it refers to."""
    if not callable(obj) or not callable(getattr(obj, "__wrapped__", None)):
        return None
    parts = (
        _cleaned(part) if type(part) is dict else part
        for part in gc.get_referents(obj)
        if part is not type(obj)
    )
    return frame_all(b"proxy", (walker.class_token(type(obj)), walker.sequence(b"parts", parts)))


def _cleaned(names: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in names.items() if key not in _NAMES_OF_WRAPPED}


def _code_in(walker: Walker, obj: Any, above: frozenset[int]) -> Iterator[tuple[str, Any]]:
    """Functions, classes and callables of the project that an object holds, with their places."""
    if len(above) == _DEEPEST or id(obj) in above:
        return
    for step, part in _parts(obj):
        code = part if isinstance(part, _CODE) else type(part)
        if callable(part) and walker.is_by_value(code):
            yield step, part
        elif _may_hold_code(part):
            inside = _code_in(walker, part, above | {id(obj)})
            yield from ((step + path, code) for path, code in inside)


def _may_hold_code(part: Any) -> bool:
    if type(part) in (dict, list, tuple, set, frozenset):
        return len(part) <= _LARGEST
    return callable(part) and not isinstance(part, type)


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    """What an object refers to: by name where it has names, else in the order of its layout."""
    if isinstance(obj, dict):
        yield from ((f"[{key!r:.80}]", value) for key, value in obj.items())
    elif isinstance(obj, (set, frozenset)):
        yield from (("{…}", value) for value in obj)
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    else:
        named = dict(named_parts(obj))
        yield from ((f".{name}", part) for name, part in named.items())
        seen = {id(part) for part in (*named.values(), type(obj), getattr(obj, "__dict__", None))}
        parts = enumerate(gc.get_referents(obj))
        yield from ((f"[{at}]", part) for at, part in parts if id(part) not in seen)


def named_parts(obj: Any) -> Iterator[tuple[str, Any]]:
    """What is in the `__dict__` and in the slots of an object."""
    with suppress(AttributeError):
        yield from object.__getattribute__(obj, "__dict__").items()
    for base in type(obj).__mro__:
        for name, slot in vars(base).items():
            if isinstance(slot, types.MemberDescriptorType):
                with suppress(AttributeError):  # not set
                    yield name, slot.__get__(obj)


def _parts_of_function(f: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Not its globals: what those are read for is not seen from here."""
    yield from ((f".{name}", value) for name, value in vars(f).items())
    yield ".__defaults__", f.__defaults__ or ()
    yield ".__kwdefaults__", f.__kwdefaults__ or {}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            yield f".{name}", cell.cell_contents
