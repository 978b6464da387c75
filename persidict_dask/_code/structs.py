"""What attrs and msgspec make of classes: fields as they were described, without machinery."""

from __future__ import annotations

import contextlib
import sys
import types
import typing
from typing import Any, Final

from persidict_dask._code.annotations import annotation_token, described
from persidict_dask._code.kinds import Members, Model, Parts, hides, holds, step
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._origin import module_of

# -- attrs --------------------------------------------------------------------------------------


_BY_ATTRS: Final = frozenset(
    {
        "__init__",
        "__attrs_init__",
        "__repr__",
        "__str__",
        "__eq__",
        "__ne__",
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__hash__",
        "__setattr__",
        "__delattr__",
        "__getstate__",
        "__setstate__",
    }
)


def is_of_attrs(key: str, function: types.FunctionType) -> bool:
    """Was a method of a class made by attrs: in its own modules, or compiled outside of a class?"""
    is_own = module_of(function).startswith("attr.") or function.__code__.co_qualname == key
    return key in _BY_ATTRS and is_own


def _attrs_parts(walker: CodeWalker, _: type, members: Members) -> Parts:
    for field in members["__attrs_attrs__"]:
        with step(f".{field.name}"):
            token = described(walker, field, without=("type",))
        yield field.name, token


# -- msgspec ------------------------------------------------------------------------------------


def _msgspec_parts(walker: CodeWalker, cls: Any, _: Members) -> Parts:
    hints = _hints(cls)
    defaults = cls.__struct_defaults__
    names = cls.__struct_fields__
    first = len(names) - len(defaults)
    for at, name in enumerate(names):
        with step(f".{name}"):
            default = _msgspec_default(walker, defaults[at - first]) if at >= first else b""
            hint = annotation_token(walker, hints[name])
        label = walker.token(cls.__struct_encode_fields__[at])
        yield name, frame_all(b"field", (label, hint, default))
    config = cls.__struct_config__
    options = (name for name in dir(config) if not name.startswith("_"))
    values = [(name, getattr(config, name)) for name in options]
    yield "options", walker.attributes(b"options", [*values, ("positional", cls.__match_args__)])


def _msgspec_default(walker: CodeWalker, default: Any) -> bytes:
    factory = getattr(default, "factory", None)
    if type(default).__name__ == "Factory" and factory is not None:
        return frame_all(b"factory", (walker.token(factory),))
    return b"unset 0:" if default is sys.modules["msgspec"].NODEFAULT else walker.token(default)


def _hints(cls: Any) -> dict[str, Any]:
    """Annotations with names resolved, as far as that is possible."""
    with contextlib.suppress(Exception):  # whatever the text of an annotation raises
        return typing.get_type_hints(cls, include_extras=True)
    bases = reversed(cls.__mro__)
    return {k: v for base in bases for k, v in vars(base).get("__annotations__", {}).items()}


ATTRS = Model(
    holds("__attrs_attrs__"),
    hides("__attrs_attrs__", "__attrs_types_resolved__"),
    _attrs_parts,
)
MSGSPEC = Model(
    lambda cls, _: hasattr(type(cls), "__struct_fields__"),
    hides("__match_args__"),
    _msgspec_parts,
    has_hints=True,
)
