"""Classes of the project, member by member."""

from __future__ import annotations

import abc
import enum
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from persidict_dask._code.annotations import annotation_token, hints_token
from persidict_dask._code.descriptors import member_token
from persidict_dask._code.kinds import step
from persidict_dask._code.looks import LEFT_BY_USE
from persidict_dask._code.models import is_generated, models_of
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.walk import SCALARS
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import PYTHON

_INCIDENTAL: Final = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__doc__",
        "__module__",
        "__qualname__",
        "__firstlineno__",
        "__static_attributes__",
        # annotations count where something reads them
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__conditional_annotations__",
        # follows from other members, or is counted in its own way
        "__type_params__",
        "__slots__",
        "__orig_bases__",
        *LEFT_BY_USE,
    }
)
"""Members that do not count; docs/keys.md lists them. Everything else does."""

_PLAIN_METACLASSES: Final = (type, abc.ABCMeta, enum.EnumType)
_PLACEHOLDER: Final = "_no_init_or_replace_init"  # of a protocol, until a class of it is used


def class_token(walker: CodeWalker, cls: type) -> bytes:
    """Token of a class: of the project's, bases, fields, and members by name."""
    if not walker.is_by_value(cls):
        return walker.library(cls)
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        parts = (
            SCALARS[str](cls.__name__),  # a transport by value keeps no qualified name
            frame_all(b"bases", (walker.token(base) for base in cls.__bases__)),
            _metaclass(walker, cls, name),
            frame_all(b"members", _members(walker, cls, name)),
            frame_all(b"hidden", _hidden(walker, cls, name)),
        )
    except UnstableKeyError as error:
        error.anchor(name)
        raise
    return frame_all(b"definition", parts)


def _metaclass(walker: CodeWalker, cls: type, name: str) -> bytes:
    """A metaclass of somebody may read the annotations: only then they count."""
    kind, members = type(cls), walker.members(cls)
    is_plain = kind in _PLAIN_METACLASSES
    token = b"" if is_plain else walker.token(kind)
    hints = members.get("__annotations__")
    is_known = any(model.has_hints for model in models_of(cls, members))
    is_read = not is_plain or walker.counts_hints or _has_foreign_hook(walker, cls)
    if not hints or is_known or not is_read:
        return token
    with step(".__annotations__"):
        seen = hints_token(walker, hints)
    walker.name("annotations", name, cls, seen)
    return token + seen


def _has_foreign_hook(walker: CodeWalker, cls: type) -> bool:
    return any(
        "__init_subclass__" in walker.members(base) and walker.origin(base).kind != PYTHON
        for base in cls.__mro__[1:-1]
    )


def _members(walker: CodeWalker, cls: type, name: str) -> Iterator[bytes]:
    """Fields, slots and members; the names of all are what the class is as a component."""
    members = walker.members(cls)
    models = models_of(cls, members)
    for field, token in (part for model in models for part in model.parts(walker, cls, members)):
        walker.name("field", f"{name}.{field}", cls, token)
        yield SCALARS[str](field) + token
    own = {
        key: value
        for key, value in sorted(members.items())
        if key not in _INCIDENTAL
        and not _is_own_slot(cls, value)
        and not any(model.hides(cls, key, value) for model in models)
        and not _repeats(walker, cls, key, value)
    }
    slots = _slots(walker, cls)
    bases = tuple(base.__name__ for base in cls.__bases__)
    walker.name("class", name, cls, (bases, slots, tuple(own)))
    yield walker.token(tuple(slots)) + _written_bases(walker, members)
    for key, value in own.items():
        is_made = is_generated(members, key, value)
        token = b"generated 0:" if is_made else _member(walker, f"{name}.{key}", value)
        yield SCALARS[str](key) + token


def _member(walker: CodeWalker, name: str, value: Any) -> bytes:
    is_code = callable(value) or hasattr(type(value), "__get__")
    if not is_code:
        walker.name("attribute", name, value)
    try:
        return member_token(walker, value)
    except UnstableKeyError as error:
        error.anchor(name)
        raise


def _slots(walker: CodeWalker, cls: type) -> list[str]:
    """By name: the descriptors of slots do not survive a transport by value."""
    slots = walker.members(cls).get("__slots__", ())
    return [slots] if isinstance(slots, str) else sorted(slots)


def _is_own_slot(cls: type, value: Any) -> bool:
    return isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls


def _written_bases(walker: CodeWalker, members: Mapping[str, Any]) -> bytes:
    """What stands in the parentheses of a generic class: parameters of bases count, too."""
    return annotation_token(walker, members.get("__orig_bases__", ()))


# -- what is inherited --------------------------------------------------------------------------


def _repeats(walker: CodeWalker, cls: type, key: str, value: Any) -> bool:
    """Is a member what the class would inherit anyway? A transport by value leaves it out."""
    return _is_same(value, _next(walker, cls.__mro__[1:], key))


def _next(walker: CodeWalker, bases: tuple[type, ...], key: str) -> Any:
    for base in bases:
        found = walker.members(base).get(key, _NOTHING)
        if found is not _NOTHING and getattr(found, "__name__", "") != _PLACEHOLDER:
            return found
    return _NOTHING


def _is_same(value: Any, other: Any) -> bool:
    constant = _constant(value)
    return value is other or (constant is not None and constant == _constant(other))


def _constant(value: Any) -> bytes | None:
    """Token of what a compiler may share between two places."""
    scalar = SCALARS.get(type(value))
    if scalar is not None:
        return scalar(value)
    if type(value) not in (tuple, frozenset):
        return None
    tokens = [_constant(item) for item in value]
    known = [token for token in tokens if token is not None]
    ordered = known if type(value) is tuple else sorted(known)
    return frame_all(type(value).__name__.encode(), ordered) if len(known) == len(tokens) else None


def _hidden(walker: CodeWalker, cls: type, name: str) -> Iterator[bytes]:
    """What a base repeats is no part of it, but can hide what a class would have from another."""
    if len(cls.__bases__) == 1:
        return
    bases = cls.__mro__[1:]
    for key in sorted({key for base in bases[:-1] for key in walker.members(base)}):
        first = next(at for at, base in enumerate(bases) if key in walker.members(base))
        value = walker.members(bases[first])[key]
        is_by_value = walker.is_by_value(bases[first]) and key not in _INCIDENTAL
        if is_by_value and _repeats(walker, bases[first], key, value):
            other = _next(walker, bases[first + 1 :], key)
            if other is not _NOTHING and not _is_same(value, other):
                yield SCALARS[str](key) + _member(walker, f"{name}.{key}", value)


_NOTHING: Final = object()
