"""Annotations that are read at run time: what they hold counts by value."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import SCALARS
from persidict_dask._origin import module_of, place

_OF_VARIABLES: Final = ("__bound__", "__default__")
_SWITCHES: Final = ("__covariant__", "__contravariant__", "__infer_variance__")
_HINTS: Final = frozenset({"annotation", "type", "return_type", "json_schema_input_type"})
_TYPING: Final = ("typing", "typing_extensions")
_OF_RECORDS: Final = ("__dataclass_fields__", "__attrs_attrs__", "_fields")


def annotation_token(walker: CodeWalker, hint: Any, above: tuple[Any, ...] = ()) -> bytes:
    """Token of an annotation, part by part: no part of it is made anew to be asked.

    `above` are the classes and aliases whose annotations lead here.
    """
    if isinstance(hint, (typing.ForwardRef, str)):
        return frame(b"forward", str(getattr(hint, "__forward_arg__", hint)).encode())
    if isinstance(hint, (list, tuple)):  # the parameters of a callable
        return frame_all(b"hints", (annotation_token(walker, part, above) for part in hint))
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        metadata = (value_token(walker, part) for part in hint.__metadata__)
        return frame_all(
            b"annotated", (annotation_token(walker, hint.__origin__, above), *metadata)
        )
    if origin is typing.Literal:
        return frame_all(b"literal", map(walker.token, typing.get_args(hint)))
    if origin is not None and origin is not hint:  # bare `Generic` is its own
        parts = (annotation_token(walker, part, above) for part in typing.get_args(hint))
        return frame_all(b"generic", (annotation_token(walker, origin, above), *parts))
    if isinstance(hint, type):
        return walker.token(hint) + _types(walker, hint, above)
    return _named(walker, hint, above)


def hints_token(walker: CodeWalker, hints: Mapping[str, Any]) -> bytes:
    """Token of annotations by name."""
    return frame_all(
        b"hints", (SCALARS[str](name) + annotation_token(walker, h) for name, h in hints.items())
    )


def _types(walker: CodeWalker, cls: Any, above: tuple[Any, ...]) -> bytes:
    """Types of fields that do not count by themselves: who reads an annotation reads them, too."""
    if cls in above or not any(hasattr(cls, name) for name in _OF_RECORDS):
        return b""
    bases = [base for base in reversed(cls.__mro__) if walker.is_by_value(base)]
    hints = {k: v for b in bases for k, v in vars(b).get("__annotations__", {}).items()}
    tokens = (
        SCALARS[str](name) + annotation_token(walker, hint, (*above, cls))
        for name, hint in hints.items()
    )
    return frame_all(b"types", tokens)


def _named(walker: CodeWalker, hint: Any, above: tuple[Any, ...]) -> bytes:
    if hasattr(hint, "__supertype__"):  # a NewType
        return _frame(b"newtype", hint, annotation_token(walker, hint.__supertype__, above))
    if hasattr(hint, "__value__") and module_of(type(hint)) in _TYPING:  # `type X = ...`
        if any(one is hint for one in above):
            return _frame(b"alias", hint)
        return _frame(b"alias", hint, annotation_token(walker, hint.__value__, (*above, hint)))
    if module_of(type(hint)) not in _TYPING:
        return walker.token(hint)
    if hasattr(hint, "__name__") and hasattr(hint, "__covariant__"):
        return _frame(b"variable", hint, *_variable(walker, hint))
    return frame(b"typing", repr(hint).encode())


def _variable(walker: CodeWalker, hint: Any) -> Iterator[bytes]:
    yield walker.token([getattr(hint, name, None) for name in _SWITCHES])
    yield from (annotation_token(walker, part) for part in getattr(hint, "__constraints__", ()))
    yield from (annotation_token(walker, getattr(hint, name, None)) for name in _OF_VARIABLES)


def _frame(tag: bytes, hint: Any, *parts: bytes) -> bytes:
    return frame_all(tag, (SCALARS[str](hint.__name__), *parts))


def value_token(walker: CodeWalker, value: Any) -> bytes:
    """Token of a value that may be the description of a field."""
    if place(type(value)) in _DESCRIPTIONS:
        return described(walker, value)
    return walker.token(value)


_DESCRIPTIONS: Final = frozenset({"pydantic.fields:FieldInfo", "msgspec:Meta"})


def described(walker: CodeWalker, obj: Any, without: tuple[str, ...] = ()) -> bytes:
    """Token of what describes a field or a method of a model: its public attributes."""
    names = getattr(type(obj), "__slots__", None) or dir(obj)
    shown = sorted(name for name in names if name[0] != "_" and name not in without)
    return frame_all(b"described", (_described(walker, name, obj) for name in shown))


def _described(walker: CodeWalker, name: str, obj: Any) -> bytes:
    value = getattr(obj, name, None)
    if name in _HINTS:
        return SCALARS[str](name) + annotation_token(walker, value)
    return SCALARS[str](name) + walker.at(f".{name}", value)
