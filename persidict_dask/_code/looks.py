"""How mutable things of each kind are looked at, and made again of other parts."""

from __future__ import annotations

import copy
import copyreg
import functools
import os
import types
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any, Final

from persidict_dask._code.state import (
    MISSING,
    Kind,
    Look,
    look_inside_by,
    members,
    named,
    numbered,
    single,
)
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.graph import root_token
from persidict_dask._digest.objects import pickles_by_default
from persidict_dask._digest.walk import SCALARS, Walker
from persidict_dask._errors import UnstableKeyError

_POINTER: Final = tuple.__itemsize__
_FIXED: Final = frozenset(
    {
        *SCALARS, Data, tuple, frozenset, range, slice, property, staticmethod, classmethod,
        types.BuiltinFunctionType, types.ClassMethodDescriptorType, types.CodeType,
        types.GenericAlias, types.GetSetDescriptorType, types.MemberDescriptorType,
        types.MethodDescriptorType, types.MethodType, types.MethodWrapperType, types.ModuleType,
        types.UnionType, types.WrapperDescriptorType,
    }
)  # fmt: skip
"""Of these nothing changes but what is inside of them, which is met by itself."""

_UNSTABLE: Final = object()
_MOST_INSIDE: Final = 1000
_MOST_TRIES: Final = 1000


def kind_of(obj: Any) -> Callable[[], Kind] | None:
    """How an object is looked at part by part; `None` if its content has to be read as a whole."""
    kind = type(obj)
    if isinstance(obj, types.FunctionType):
        return lambda: _function(obj)
    if isinstance(obj, type):
        return lambda: _class(obj)
    if isinstance(obj, dict) and _is_plain_container(kind):
        return lambda: _mapping(obj)
    if kind is list or kind is set:
        return lambda: _items(obj)
    if kind is types.SimpleNamespace:
        return lambda: Kind(
            lambda: _spread(vars(obj)), lambda parts: kind(**parts), named, is_data=True
        )
    if says_the_same(obj):
        return lambda: Kind(lambda: said_by(obj), lambda _: obj, numbered)
    if _has_plain_state(kind):
        return lambda: _instance(obj)
    return None


def is_fixed(obj: Any) -> bool:
    """Is there nothing in an object itself that could change?"""
    return type(obj) in _FIXED


def content(token: Callable[[], bytes]) -> Kind:
    """How an object is looked at whose content has to be read as a whole."""
    known = [b""]

    def look() -> Look:
        try:
            now = token()
        except (UnstableKeyError, RuntimeError):  # put there by a run, or changed by one just now
            return (_UNSTABLE,)
        if now != known[0]:
            known[0] = now
        return (known[0],)

    return Kind(look, lambda parts: parts[0], single, is_whole=True)


def name_in(namespace: dict[str, Any], name: str) -> Kind:
    """How a global name is looked at."""
    return Kind(lambda: (namespace.get(name, MISSING),), lambda parts: parts.get(0), single)


def variable_of(name: str) -> Kind:
    """How a variable of the environment is looked at."""
    known: list[Any] = [None]

    def look() -> Look:
        now = os.environ.get(name)
        if now != known[0]:
            known[0] = now
        return (known[0],)

    return Kind(look, lambda parts: parts[0], single)


def _spread(pairs: dict[Any, Any]) -> Look:
    """Names and values in turn."""
    return _at_once(lambda: chain.from_iterable(pairs.items()))


def _at_once(read: Callable[[], Iterable[Any]]) -> Look:
    """Read what other threads may change meanwhile; that is rare, for no Python runs between."""
    for _ in range(_MOST_TRIES):
        with suppress(RuntimeError):
            return tuple(read())
    return tuple(read())


@dataclass(frozen=True, slots=True)
class _Own:
    """The name of an attribute of a mapping, which is no key of an item."""

    name: str


_own = functools.lru_cache(maxsize=1024)(_Own)


def _mapping(obj: dict[Any, Any]) -> Kind:
    if type(obj) is dict:
        return Kind(lambda: _spread(obj), dict, named, is_data=True)

    def look() -> Look:
        seen = _spread(obj)
        for name, value in _attributes(obj):
            seen += _own(name), value
        return seen

    def made(parts: dict[Any, Any]) -> Any:
        other = copy.copy(obj)
        other.clear()
        for name, value in parts.items():
            if isinstance(name, _Own):
                setattr(other, name.name, value)
            else:
                other[name] = value
        return other

    return Kind(look, made, named, is_data=True)


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    """What a mapping of the standard library holds besides its items."""
    if isinstance(obj, defaultdict):
        yield "default_factory", obj.default_factory
    yield from list(getattr(obj, "__dict__", _EMPTY).items())


def _is_plain_container(kind: type) -> bool:
    """A dict, or one of the standard library's that only adds to how items are put in."""
    return kind is dict or (kind.__module__ == "collections" and kind.__name__ in _DICTS)


_DICTS: Final = ("OrderedDict", "defaultdict", "Counter")


def _items(obj: Any) -> Kind:
    kind = type(obj)
    if kind is set:
        return Kind(lambda: _at_once(lambda: obj), set, members, is_data=True)
    return Kind(lambda: tuple(obj), lambda parts: list(parts.values()), numbered, is_data=True)


def _instance(obj: Any) -> Kind:
    cls: Any = type(obj)
    slots = slots_of(cls)

    def look() -> Look:
        seen = "__class__", type(obj), *_spread(getattr(obj, "__dict__", _EMPTY))
        for name in slots:
            if hasattr(obj, name):
                seen += name, getattr(obj, name)
        return seen

    def made(parts: dict[Any, Any]) -> Any:
        if len(parts) == 1:  # it may be known by its identity
            return obj
        kind: Any = parts["__class__"]
        other = copyreg.__newobj__(kind)  # type: ignore[attr-defined]
        for name, value in parts.items():
            if name in slots:
                object.__setattr__(other, name, value)
            elif name != "__class__":
                vars(other)[name] = value  # whatever the class says of assigning it
        return other

    return Kind(look, made, named, is_data=True)


_EMPTY: Final[dict[Any, Any]] = {}


@functools.lru_cache(maxsize=1024)
def slots_of(cls: Any) -> tuple[str, ...]:
    """Names of the slots of a class and its bases; `copyreg` would leave a note in the class."""
    return tuple(name for base in cls.__mro__ for name in _slots_in(base))


def _slots_in(cls: type) -> Iterator[str]:
    slots = vars(cls).get("__slots__", ())
    for name in (slots,) if isinstance(slots, str) else slots:
        is_private = name.startswith("__") and not name.endswith("__")
        if name not in ("__dict__", "__weakref__"):
            yield f"_{cls.__name__.lstrip('_')}{name}" if is_private else name


LEFT_BY_USE: Final = frozenset(
    {
        "__slotnames__",
        "__schema_cache__",
        "__abstractmethods__",
        "_abc_impl",
        "__parameters__",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
    }
)
"""What is put into classes when they are used, and says nothing new of them."""


def _class(cls: type) -> Kind:
    members = vars(cls)

    def look() -> Look:
        seen = _at_once(lambda: chain.from_iterable(members.items()))
        if not LEFT_BY_USE.isdisjoint(members):
            pairs = zip(seen[::2], seen[1::2], strict=True)
            seen = tuple(chain.from_iterable(pair for pair in pairs if pair[0] not in LEFT_BY_USE))
        return ("__bases__", cls.__bases__, *seen)

    def made(parts: dict[str, Any]) -> Any:
        """The members; the bases are asked of the class."""
        left = {name: value for name, value in members.items() if name in LEFT_BY_USE}
        return {name: value for name, value in parts.items() if name != "__bases__"} | left

    return Kind(look, made, named, is_code=True)


def _function(function: types.FunctionType) -> Kind:
    """Code, defaults, attributes and closure; the function is not kept alive by the look."""
    found = weakref.ref(function)
    variables = tuple(("cell", name) for name in function.__code__.co_freevars)
    known: dict[Any, Any] = {}  # names are told from others by identity, too

    def look() -> Look:
        f = found()
        if f is None:
            return ()
        cells = map(cell_content, f.__closure__ or ())
        seen: list[Any] = ["__code__", f.__code__, "__defaults__", f.__defaults__]
        seen += chain.from_iterable(zip(variables, cells, strict=True))
        for role, pairs in (("default", f.__kwdefaults__), ("attribute", f.__dict__)):
            for key, value in list((pairs or {}).items()):
                seen += known.setdefault((role, key), (role, key)), value
        return tuple(seen)

    def made(parts: dict[Any, Any]) -> Any:
        return _function_of(found(), parts, variables)

    return Kind(look, made, named, is_code=True)


def _function_of(
    f: types.FunctionType | None, parts: dict[Any, Any], variables: tuple[Any, ...]
) -> types.FunctionType:
    assert f is not None
    closure = tuple(_cell(parts.get(name, MISSING)) for name in variables)
    other = types.FunctionType(
        parts["__code__"], f.__globals__, f.__name__, parts["__defaults__"], closure
    )
    pairs = {key: value for key, value in parts.items() if isinstance(key, tuple)}
    other.__kwdefaults__ = {n: v for (role, n), v in pairs.items() if role == "default"} or None
    other.__dict__.update({n: v for (role, n), v in pairs.items() if role == "attribute"})
    other.__module__, other.__qualname__ = f.__module__, f.__qualname__
    return other


def cell_content(cell: types.CellType) -> Any:
    """What a cell holds; a variable may not be assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _cell(value: Any) -> types.CellType:
    return types.CellType() if value is MISSING else types.CellType(value)


def said_by(obj: Any) -> Look:
    """The parts that an object names as its content."""
    said = type(obj).__persist_token__(obj)
    return said if isinstance(said, tuple) else (said,)


def says_the_same(obj: Any) -> bool:
    """Does an object name the same parts as its content each time, so that they can be watched?"""
    if getattr(type(obj), "__persist_token__", None) is None:
        return False
    first, second = said_by(obj), said_by(obj)
    return len(first) == len(second) and all(map(is_, first, second))


def _has_plain_state(kind: type) -> bool:
    """Is all of an instance in attributes and slots, and does a copy do no harm when it ends?"""
    makes_itself = getattr(kind, "__new__", None) is not object.__new__
    if makes_itself or not pickles_by_default(kind) or hasattr(kind, "__del__"):
        return False
    slots = slots_of(kind)
    is_bare = kind.__basicsize__ <= object.__basicsize__ + (2 + len(slots)) * _POINTER
    return is_bare and (kind.__dictoffset__ != 0 or bool(slots))


def _looks_inside(value: Any) -> list[Callable[[], Look]]:
    """Looks at all that is mutable inside of a value and has parts, or a stable content."""
    found: dict[int, tuple[Any, Kind]] = {}
    waiting = [value]
    while waiting:
        obj = waiting.pop()
        if isinstance(obj, (tuple, frozenset)):
            waiting.extend(obj)
        elif id(obj) not in found and not is_fixed(obj) and not isinstance(obj, type):
            if len(found) == _MOST_INSIDE and _is_stable(value):
                return [_content_of(value).look]
            kind = kind_of(obj)
            if kind is not None:
                found[id(obj)] = (obj, kind())
                waiting.extend(found[id(obj)][1].look())
            elif _is_stable(obj):
                found[id(obj)] = (obj, _content_of(obj))
    return [kind.look for _, kind in found.values()]


def _content_of(obj: Any) -> Kind:
    return content(lambda: root_token(Walker(), obj))


def _is_stable(value: Any) -> bool:
    return _content_of(value).look() != (_UNSTABLE,)


look_inside_by(_looks_inside, _is_stable)
