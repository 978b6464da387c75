"""Tokens of instances that a rule of their kind knows: protocol, fields, enum members, stores."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.members import attributes_of_member
from persidict_dask._digest.named import by_library
from persidict_dask._digest.reduced import (
    attributes_token,
    cached_names,
    class_of,
    pickles_by_default,
    reduced,
    refuse,
    state_token,
)
from persidict_dask._digest.walk import Handler, Walker
from persidict_dask._digest.wrapped import known_by

__all__ = ["pickles_by_default", "reduced", "refuse"]  # for the handlers of libraries


def by_function(function: Callable[[Any], Any]) -> Handler:
    """Handler for a class with a registered function."""

    def handler(walker: Walker, obj: Any) -> bytes:
        return frame_all(
            b"registered", (walker.known_class(type(obj)), walker.token(function(obj)))
        )

    return handler


def by_protocol(walker: Walker, obj: Any) -> bytes:
    """The class says itself what its content is."""
    content = type(obj).__persist_token__(obj)
    return frame_all(b"protocol", (walker.known_class(type(obj)), walker.token(content)))


def definition(walker: Walker, obj: Any) -> bytes:
    """A function, class or module as a value."""
    return walker.definition(obj)


def built_in(walker: Walker, function: Any) -> bytes:
    """A built-in function, or a method of a built-in object together with that object."""
    holder = getattr(function, "__self__", None)
    if holder is None or isinstance(holder, (types.ModuleType, type)):
        return walker.definition(function)
    parts = (walker.token(function.__name__), walker.at(".__self__", holder))
    return frame_all(b"bound", parts)


def member(walker: Walker, obj: enum.Enum) -> bytes:
    """An enum member: its class, its name and its value."""
    more = attributes_of_member(walker, obj, vars(obj))
    parts = (
        class_of(walker, obj),
        walker.token(obj._name_),
        walker.at(".value", obj._value_),
        walker.attributes(b"attributes", more.items()) if more else b"",
    )
    return frame_all(b"enum", parts)


def fields(walker: Walker, obj: Any) -> bytes:
    """A dataclass: its fields, and attributes that were added beside them."""
    if not _pickles_as_fields(type(obj)):
        return reduced(walker, obj)
    known = by_library(walker, obj)
    if known is not None:
        return known
    names = {field.name for field in dataclasses.fields(obj)}
    values = [(name, getattr(obj, name)) for name in names if hasattr(obj, name)]
    more = {key: value for key, value in _own(obj).items() if key not in names}
    base = _builtin_part(walker, obj)
    state = attributes_token(walker, b"fields", [*values, *more.items()])
    return frame_all(b"dataclass", (class_of(walker, obj), base, state))


def _pickles_as_fields(cls: Any) -> bool:
    """Does the class leave it to `object`, `dataclasses` or a built-in base what is pickled?"""
    makers = (cls.__reduce_ex__, cls.__reduce__, cls.__getstate__)
    return all(getattr(maker, "__module__", None) in (None, "dataclasses") for maker in makers)


def named_tuple(walker: Walker, obj: Any) -> bytes:
    """A named tuple: its fields in order."""
    names = type(obj)._fields
    values = (walker.at(f".{name}", value) for name, value in zip(names, obj, strict=False))
    items = frame_all(b"items", values)
    state = walker.attributes(b"state", _own(obj).items())
    return frame_all(b"namedtuple", (class_of(walker, obj), walker.token(names), items, state))


def path(walker: Walker, obj: pathlib.PurePath) -> bytes:
    """A path: its class and text; the file it leads to is not read."""
    return frame_all(b"path", (walker.known_class(type(obj)), walker.token(str(obj))))


def set_with_state(walker: Walker, obj: Any) -> bytes:
    """A subclass of set or frozenset: `pickle` would write the members in the order of hashes."""
    members = walker.unordered(b"members", obj)
    state = state_token(walker, obj, obj.__getstate__())
    return frame_all(b"setlike", (class_of(walker, obj), members, state))


def reduces_as_builtin(cls: Any) -> bool:
    """Does the class leave it to `set` or `frozenset` how it is pickled?"""
    return cls.__reduce__ in (set.__reduce__, frozenset.__reduce__) and (
        cls.__reduce_ex__ is object.__reduce_ex__
    )


def store(walker: Walker, obj: Any) -> bytes:
    """A persistent dict, by reference: class and parameters, not its content."""
    if type(obj).__name__ == "LocalDict":
        raise refuse(obj, "it lives in the memory of this process only")
    params = obj.get_params()
    return frame_all(b"store", (walker.known_class(type(obj)), walker.token(params)))


def delayed(walker: Walker, obj: Any) -> bytes:
    """A function that Dask calls later counts as the function; a value is not known yet."""
    if not callable(obj._obj):
        return collection(walker, obj)
    return known_by("_obj", "_pure", "_nout")(walker, obj)


def serving(_: Walker, obj: Any) -> bytes:
    """Sessions and clients of a service hold connections and credentials."""
    raise refuse(obj, "it serves code, and is no data")


def collection(_: Walker, obj: Any) -> bytes:
    """Dask collections and futures have a recipe, not a content that is known here."""
    raise refuse(obj, "its value is not computed yet: pass it as a Dask argument, or compute it")


def error(walker: Walker, obj: BaseException) -> bytes:
    """An exception: arguments and attributes, not where it was raised.

    What `pickle` would take depends on whether somebody taught it to keep tracebacks.
    """
    state = walker.attributes(b"attributes", vars(obj).items())
    return frame_all(b"error", (class_of(walker, obj), walker.at(".args", obj.args), state))


def _own(obj: Any) -> dict[str, Any]:
    cls: Any = type(obj)
    hidden = cached_names(cls)
    return {key: value for key, value in getattr(obj, "__dict__", {}).items() if key not in hidden}


_BUILTINS: tuple[Any, ...] = (
    *(OrderedDict, dict, list, tuple, set, frozenset),
    *(str, bytes, int, float),
)


def _builtin_part(walker: Walker, obj: Any) -> bytes:
    """What a dataclass has from a built-in base: `class Row(dict)` has its pairs."""
    bases: tuple[Any, ...] = (
        OrderedDict,
        dict,
        list,
        tuple,
        set,
        frozenset,
        str,
        int,
        float,
        bytes,
    )
    for base in bases:
        if isinstance(obj, base):
            return walker.token(base(obj))
    return b""
