"""How mutable things of each kind are looked at, and made again of other parts."""

from __future__ import annotations

import copy
import copyreg
import types
import weakref
from collections.abc import Callable
from operator import is_
from typing import Any, Final

from persidict_dask._code.state import MISSING, Kind, Look, look_inside_by
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.objects import pickles_by_default
from persidict_dask._digest.walk import SCALARS
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
        return lambda: Kind(lambda: _spread(vars(obj)), lambda parts: kind(**parts), is_data=True)
    if says_the_same(obj):
        return lambda: Kind(lambda: said_by(obj), lambda _: obj, has_names=False)
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

    return Kind(look, lambda parts: parts[0], has_names=False, is_whole=True)


def name_in(namespace: dict[str, Any], name: str) -> Kind:
    """How a global name is looked at."""
    return Kind(
        lambda: (namespace.get(name, MISSING),), lambda parts: parts.get(0), has_names=False
    )


def _spread(pairs: dict[Any, Any]) -> Look:
    return (*pairs, *pairs.values())


def _mapping(obj: dict[Any, Any]) -> Kind:
    def made(parts: dict[Any, Any]) -> Any:
        if type(obj) is dict:
            return parts
        other = copy.copy(obj)
        other.clear()
        other.update(parts)
        return other

    return Kind(lambda: _spread(obj), made, is_data=True)


def _is_plain_container(kind: type) -> bool:
    """A dict, or one of the standard library's that only adds to how items are put in."""
    return kind is dict or (kind.__module__ == "collections" and kind.__name__ in _DICTS)


_DICTS: Final = ("OrderedDict", "defaultdict", "Counter")


def _items(obj: Any) -> Kind:
    kind = type(obj)
    if kind is set:
        return Kind(lambda: (*obj, *obj), set, is_data=True)
    return Kind(
        lambda: tuple(obj), lambda parts: list(parts.values()), has_names=False, is_data=True
    )


def _instance(obj: Any) -> Kind:
    def made(parts: dict[Any, Any]) -> Any:
        other = copyreg.__newobj__(type(obj))  # type: ignore[attr-defined]
        vars(other).update(parts)
        return other

    return Kind(lambda: _spread(vars(obj)), made, is_data=True)


def _class(cls: type) -> Kind:
    def look() -> Look:
        members = vars(cls)
        return ("__bases__", *members, cls.__bases__, *members.values())

    return Kind(look, lambda parts: parts, is_code=True)


def _function(function: types.FunctionType) -> Kind:
    """Code, defaults, attributes and closure; the function is not kept alive by the look."""
    found = weakref.ref(function)
    variables = tuple(("cell", name) for name in function.__code__.co_freevars)
    known: dict[Any, Any] = {}  # names are told from others by identity, too

    def look() -> Look:
        f = found()
        if f is None:
            return ()
        names: list[Any] = ["__code__", "__defaults__", *variables]
        values = [f.__code__, f.__defaults__, *map(cell_content, f.__closure__ or ())]
        for role, pairs in (("default", f.__kwdefaults__), ("attribute", f.__dict__)):
            if pairs:
                names += [known.setdefault((role, key), (role, key)) for key in pairs]
                values += pairs.values()
        return (*names, *values)

    def made(parts: dict[Any, Any]) -> Any:
        return _function_of(found(), parts, variables)

    return Kind(look, made, is_code=True)


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
    """Is all of an instance in its `__dict__`, and does a copy do no harm when it ends?"""
    is_bare = kind.__basicsize__ <= object.__basicsize__ + 2 * _POINTER
    has_end = hasattr(kind, "__del__")
    return pickles_by_default(kind) and kind.__dictoffset__ != 0 and is_bare and not has_end


def _looks_inside(value: Any) -> list[Callable[[], Look]]:
    """Looks at containers and instances inside of a value, as far as these are plain."""
    found: dict[int, tuple[Any, Callable[[], Look]]] = {}
    waiting = [value]
    while waiting and len(found) < _MOST_INSIDE:
        obj = waiting.pop()
        if isinstance(obj, (tuple, frozenset)):
            waiting.extend(obj)
        elif id(obj) not in found and not isinstance(obj, (types.FunctionType, type)):
            kind = None if is_fixed(obj) else kind_of(obj)
            if kind is not None:
                look = kind().look
                found[id(obj)] = (obj, look)
                waiting.extend(look())
    return [look for _, look in found.values()]


look_inside_by(_looks_inside)
