"""Classes and descriptors of the project, member by member."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import types
from collections.abc import Iterator
from typing import Any, Final

from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import module_of

_PLAIN_METACLASSES: Final = (type, abc.ABCMeta, enum.EnumType)
_OF_DATACLASS: Final = "__create_fn__.<locals>."  # what generated methods are called in there
_OF_NAMED_TUPLE: Final = "namedtuple_"  # the module that `__new__` says it is from
_SLOTS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
_UNSET: Final = type(dataclasses.MISSING)
_FIELD_PARTS: Final = (
    "name",
    "default",
    "default_factory",
    "init",
    "repr",
    "hash",
    "compare",
    "kw_only",
)


def class_token(walker: CodeWalker, cls: type) -> bytes:
    """Token of a class: of the project's, bases, fields, and members by name."""
    if not walker.is_by_value(cls):
        return walker.library(cls)
    name = f"{cls.__module__}.{cls.__qualname__}"
    walker.name("class", name, cls, _outline(cls))
    try:
        parts = (
            walker.token(cls.__qualname__),
            frame_all(b"bases", (walker.token(base) for base in cls.__bases__)),
            walker.token(_slots(cls)),
            _metaclass(walker, cls),
            frame_all(b"fields", _fields(walker, cls)),
            frame_all(b"members", _members(walker, cls, name)),
        )
    except UnstableKeyError as error:
        error.anchor(name)
        raise
    return frame_all(b"definition", parts)


def _outline(cls: type) -> tuple[Any, ...]:
    """What of a class is no component of its own: its bases, fields and the names of members."""
    bases = tuple(base.__qualname__ for base in cls.__bases__)
    members = tuple(
        k for k, value in sorted(vars(cls).items()) if not _is_incidental(cls, k, value)
    )
    fields = tuple(f"{field!r:.200}" for field in vars(cls).get("__dataclass_fields__", ()))
    return bases, _slots(cls), members, fields, str(vars(cls).get("__dataclass_params__"))


def _slots(cls: type) -> list[str] | None:
    """By name: the descriptors of slots do not survive a transport by value."""
    slots = vars(cls).get("__slots__")
    return sorted([slots] if isinstance(slots, str) else slots) if slots is not None else None


def descriptor_token(walker: CodeWalker, obj: Any) -> bytes:
    """Token of what wraps functions in a class or around a function; anything else has a name."""
    tag = type(obj).__name__.encode()
    if isinstance(obj, property):
        return frame_all(tag, (walker.token(part) for part in (obj.fget, obj.fset, obj.fdel)))
    if isinstance(obj, (staticmethod, classmethod)):
        return frame_all(tag, (walker.token(obj.__func__),))
    if isinstance(obj, functools.cached_property):
        return frame_all(tag, (walker.token(obj.func),))
    if isinstance(obj, functools._lru_cache_wrapper):
        return frame_all(tag, (walker.token(obj.__wrapped__),))
    return walker.library(obj)


def _metaclass(walker: CodeWalker, cls: type) -> bytes:
    """A metaclass of somebody may read the annotations: only then they count."""
    kind = type(cls)
    if kind in _PLAIN_METACLASSES and not _has_foreign_hook(cls):
        return b""
    annotations = vars(cls).get("__annotations__")
    texts = [(k, str(v)) for k, v in annotations.items()] if isinstance(annotations, dict) else []
    return walker.token(kind) + walker.token(texts)


def _has_foreign_hook(cls: type) -> bool:
    return any("__init_subclass__" in vars(base) for base in cls.__mro__[1:-1])


def _fields(walker: CodeWalker, cls: type) -> Iterator[bytes]:
    """Fields of a dataclass or named tuple: what their generated methods are made from."""
    fields = vars(cls).get("__dataclass_fields__", {})
    for field in fields.values():
        for part in _FIELD_PARTS:
            value = getattr(field, part)
            is_set = not isinstance(value, _UNSET)  # a transport by value makes another marker
            yield walker.at(f".{field.name}", value) if is_set else b"unset 0:"
        yield walker.token((str(field._field_type), dict(field.metadata)))
    if fields:
        yield walker.token(repr(vars(cls).get("__dataclass_params__")))
    if "_fields" in vars(cls) and issubclass(cls, tuple):
        yield walker.token((vars(cls)["_fields"], getattr(cls, "_field_defaults", {})))


def _members(walker: CodeWalker, cls: type, name: str) -> Iterator[bytes]:
    if issubclass(cls, enum.Enum):
        yield from _enum_members(walker, cls)
    for key, value in sorted(walker.members(cls).items()):
        if not _is_incidental(cls, key, value):
            yield walker.token(key)
            yield (
                walker.token("slot")
                if isinstance(value, _SLOTS)
                else _member(walker, f"{name}.{key}", value)
            )


def _member(walker: CodeWalker, name: str, value: Any) -> bytes:
    is_code = callable(value) or hasattr(type(value), "__get__")
    if not is_code:
        walker.name("attribute", name, value)
    try:
        return walker.token(value)
    except UnstableKeyError as error:
        error.anchor(name)
        raise


def _enum_members(walker: CodeWalker, cls: type[enum.Enum]) -> Iterator[bytes]:
    for key, member in cls.__members__.items():
        yield walker.token(key)
        yield walker.at(f".{key}", member._value_)


def _is_incidental(cls: type, key: str, value: Any) -> bool:
    """Left by the machinery of classes, or made from what is already seen."""
    if issubclass(cls, enum.Enum) and (isinstance(value, (cls, enum.property)) or key[0] == "_"):
        return not isinstance(value, _FUNCTIONS) or _is_generated(value)
    if key.startswith("__") and key.endswith("__"):
        is_code = isinstance(value, _FUNCTIONS) or (value is None and key == "__hash__")
        return not is_code or _is_generated(value)
    if key == "_abc_impl" or isinstance(value, _SLOTS):
        return True
    return "_fields" in vars(cls) and issubclass(cls, tuple) and _is_of_named_tuple(key, value)


_FUNCTIONS: Final = (types.FunctionType, staticmethod, classmethod, property)
_NAMED_TUPLE: Final = frozenset(
    {"_fields", "_field_defaults", "_make", "_replace", "_asdict", "_tuplegetter"}
)


def _is_generated(value: Any) -> bool:
    """Was a method made from the fields of a dataclass or named tuple?

    By names that survive a transport by value; the name of the file does not.
    """
    function = getattr(value, "__func__", value)
    inner = getattr(function, "__wrapped__", function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return False
    is_lambda = code.co_name == "<lambda>"
    return code.co_qualname.startswith(_OF_DATACLASS) or (
        is_lambda and module_of(inner).startswith(_OF_NAMED_TUPLE)
    )


def _is_of_named_tuple(key: str, value: Any) -> bool:
    return key in _NAMED_TUPLE or type(value).__name__ == "_tuplegetter"
