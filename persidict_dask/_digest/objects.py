"""Tokens of instances: protocol, fields, enum members, stores, and what `pickle` would take."""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import pathlib
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import Handler, Walker
from persidict_dask._errors import UnstableKeyError

_ADVICE = "leave it out with ignore=, give its class __persist_token__, or use register_digest"
_MISSING = object()


def refuse(obj: Any, because: str) -> UnstableKeyError:
    """The error for a value without stable content; the path is added on the way out."""
    cls = type(obj)
    name = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    return UnstableKeyError(f"a {name} has no stable content ({because}); {_ADVICE}")


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
    parts = (_class(walker, obj), walker.token(obj._name_), walker.at(".value", obj._value_))
    return frame_all(b"enum", parts)


def fields(walker: Walker, obj: Any) -> bytes:
    """A dataclass: its fields, and attributes that were added beside them."""
    if not _pickles_as_fields(type(obj)):
        return reduced(walker, obj)
    names = {field.name for field in dataclasses.fields(obj)}
    values = [(name, getattr(obj, name)) for name in names if hasattr(obj, name)]
    more = {key: value for key, value in _own(obj).items() if key not in names}
    base = _builtin_part(walker, obj)
    state = walker.attributes(b"fields", [*values, *more.items()])
    return frame_all(b"dataclass", (_class(walker, obj), base, state))


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
    return frame_all(b"namedtuple", (_class(walker, obj), walker.token(names), items, state))


def path(walker: Walker, obj: pathlib.PurePath) -> bytes:
    """A path: its class and text; the file it leads to is not read."""
    return frame_all(b"path", (walker.known_class(type(obj)), walker.token(str(obj))))


def set_with_state(walker: Walker, obj: Any) -> bytes:
    """A subclass of set or frozenset: `pickle` would write the members in the order of hashes."""
    members = walker.unordered(b"members", obj)
    state = _state(walker, obj, obj.__getstate__())
    return frame_all(b"setlike", (_class(walker, obj), members, state))


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


def collection(_: Walker, obj: Any) -> bytes:
    """Dask collections and futures have a recipe, not a content that is known here."""
    raise refuse(obj, "its value is not computed yet: pass it as a Dask argument, or compute it")


def error(walker: Walker, obj: BaseException) -> bytes:
    """An exception: arguments and attributes, not where it was raised.

    What `pickle` would take depends on whether somebody taught it to keep tracebacks.
    """
    state = walker.attributes(b"attributes", vars(obj).items())
    return frame_all(b"error", (_class(walker, obj), walker.at(".args", obj.args), state))


def reduced(walker: Walker, obj: Any) -> bytes:
    """Any other object: what `pickle` would take of it."""
    made = _reduce(obj)
    if isinstance(made, str):
        return frame_all(b"global", (_class(walker, obj), walker.token(made)))
    function, args, state, items, pairs = (*made, *(None,) * 5)[:5]
    make = _mapping_of(walker, obj)
    parts = (
        walker.constructor_token(function),
        frame_all(b"args", (_argument(walker, part) for part in args)),
        _state(walker, obj, state),
        walker.sequence(b"items", items) if items is not None else b"",
        make(b"pairs", pairs) if pairs is not None else b"",
    )
    return frame_all(b"object", parts)


def _mapping_of(walker: Walker, obj: Any) -> Callable[[bytes, Iterable[Any]], bytes]:
    return walker.ordered_mapping if isinstance(obj, OrderedDict) else walker.mapping


_ORDER_OF_HASHES = ("set_iterator", "dict_keyiterator")


def _reduce(obj: Any) -> Any:
    cls = type(obj)
    if cls is object:
        raise refuse(obj, "nothing but its identity tells it from others")
    if cls.__name__ in _ORDER_OF_HASHES:
        raise refuse(obj, "its order is that of the hash seed")
    try:
        special = copyreg.dispatch_table.get(cls)
        made = special(obj) if special else obj.__reduce_ex__(4)
    except UnstableKeyError:
        raise
    except Exception as error:
        raise refuse(obj, f"{type(error).__name__}: {error}") from error
    if not isinstance(made, (str, tuple)):
        raise refuse(obj, "its __reduce__ is not usable")
    return made


def _argument(walker: Walker, part: Any) -> bytes:
    """A class among the arguments of a constructor is the class of an instance."""
    return walker.class_token(part) if isinstance(part, type) else walker.token(part)


def _state(walker: Walker, obj: Any, state: Any) -> bytes:
    cls: Any = type(obj)
    if state is None:
        return b""
    if isinstance(state, tuple) and pickles_by_default(cls):
        state = {**(state[0] or {}), **state[1]}  # instance dict and slots
    if type(state) is dict and all(type(key) is str for key in state):
        hidden = _cached_names(cls)
        kept = [(key, value) for key, value in state.items() if key not in hidden]
        return walker.attributes(b"attributes", kept) if kept else b""
    return frame(b"state", walker.token(state))


def pickles_by_default(cls: Any) -> bool:
    """Does the class leave all of its pickling to `object`?"""
    return (
        cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls.__getstate__ is object.__getstate__
    )


@functools.lru_cache(maxsize=1024)
def _cached_names(cls: Any) -> frozenset[str]:
    """Cached properties are computed from the rest: whether they were asked for does not count."""
    members = (pair for base in cls.__mro__ for pair in vars(base).items())
    return frozenset(
        name for name, value in members if isinstance(value, functools.cached_property)
    )


def _own(obj: Any) -> dict[str, Any]:
    cls: Any = type(obj)
    hidden = _cached_names(cls)
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


def _class(walker: Walker, obj: Any) -> bytes:
    return walker.class_token(type(obj))
