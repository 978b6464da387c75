"""Objects that loaded modules name: found by identity, whatever else is loaded."""

from __future__ import annotations

import dis
import enum
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.walk import Walker
from persidict_dask._digest.wrapped import hidden_code
from persidict_dask._origin import PROJECT, find, known_as, module_of, origin_of


class Name(NamedTuple):
    """Where an object stands: `random`, `_inst`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{known_as(self.module)}:{self.name}"


_NEVER: Final = frozenset(
    {
        *(str, bytes, int, float, bool, type(None), tuple, list, dict, set, frozenset, type),
        *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType),
    }
)
_CONTENT: Final = (str, bytes, bytearray, int, float, complex, tuple, list, dict, set, frozenset)


def by_library(walker: Walker, obj: Any) -> bytes | None:
    """What an installed module has made: module, name and version, and the code it was given."""
    name = made_by_library(obj, walker.by_value)
    if name is None:
        return None
    version = walker.version(origin_of(name.module, walker.by_value))
    return frame_all(b"named", (walker.token(str(name)), version, hidden_code(walker, obj)))


def made_by_library(obj: Any, by_value: tuple[str, ...]) -> Name | None:
    """The name under which the body of an installed module has made an object, or None.

    What functions of a module assign (`global _last`), or somebody else, is state.
    """
    if isinstance(obj, _CONTENT) or origin_of(module_of(type(obj)), by_value).kind == PROJECT:
        return None
    names = [
        name for name in _index.names_of(obj) if origin_of(name.module, by_value).kind != PROJECT
    ]
    if any(_binds(name).by_functions for name in names):
        return None
    return min(filter(_is_made_there, names), key=_preference(obj), default=None)


def name_of_sentinel(obj: Any) -> Name | None:
    """The name that the modules of the program have for an object that is nothing but itself."""
    found = [*_index.names_of(obj), *_index.open_names_of(obj)]
    return min(found, key=_preference(obj), default=None)


def leads_to(name: str, obj: Any) -> bool:
    """Does a name that an object gives for itself lead back to the object, as `pickle` asks?"""
    module = getattr(obj, "__module__", None)
    if isinstance(module, str):
        return find(known_as(module), name) is obj
    places = {known.module for known in _index.names_of(obj)}
    return any(find(module, name) is obj for module in places)


def _preference(obj: Any) -> Callable[[Name], tuple[Any, ...]]:
    top = module_of(type(obj)).partition(".")[0]

    def order(name: Name) -> tuple[Any, ...]:
        module = known_as(name.module)
        is_elsewhere = module.partition(".")[0] != top
        is_made = _is_made_there(name)
        hidden = name.name.startswith("_")
        return module == "__main__", not is_made, is_elsewhere, hidden, module.count("."), name

    return order


class _Index:
    """The names of all objects that are no plain data, in the modules that are loaded."""

    def __init__(self) -> None:
        self._names: dict[int, list[Name]] = {}
        self._modules: dict[str, Any] = {}
        self._open: list[str] = []
        self._stamp: tuple[Any, ...] = ()

    def names_of(self, obj: Any) -> Iterator[Name]:
        """Those that lead to the object now."""
        self._renew()
        known = self._names.get(id(obj), ())
        return (name for name in known if find(*name) is obj)

    def open_names_of(self, obj: Any) -> Iterator[Name]:
        """Names in modules that were not complete when they were indexed: a script goes on."""
        for module in self._open:
            for name, value in _named_in(module, sys.modules.get(module)):
                if value is obj:
                    yield Name(module, name)

    def _renew(self) -> None:
        """Look at modules that were loaded, or loaded anew, since the last time."""
        last = next(reversed(sys.modules))
        stamp = (len(sys.modules), last, sys.modules.get(last))
        if stamp == self._stamp:
            return
        self._open = []
        for module, loaded in list(sys.modules.items()):
            if _is_open(module, loaded):
                self._open.append(module)
            elif self._modules.get(module) is not loaded:
                self._modules[module] = loaded
                self._add(module, loaded)
        self._stamp = stamp

    def _add(self, module: str, loaded: Any) -> None:
        for name, value in _named_in(module, loaded):
            if type(value) not in _NEVER:
                self._names.setdefault(id(value), []).append(Name(module, name))


_index = _Index()


def _is_open(module: str, loaded: Any) -> bool:
    is_module = issubclass(type(loaded), types.ModuleType)
    spec = getattr(loaded, "__spec__", None) if is_module else None
    return known_as(module) == "__main__" or bool(getattr(spec, "_initializing", False))


def _named_in(module: str, loaded: Any) -> Iterator[tuple[str, Any]]:
    """The names of a module, and those in the classes that it defines; nothing is loaded by it."""
    if not issubclass(type(loaded), types.ModuleType):  # nothing is believed, or run
        return
    for name, value in list(object.__getattribute__(loaded, "__dict__").items()):
        yield name, value
        if issubclass(type(value), type) and vars(value).get("__module__") == module:
            yield from ((f"{name}.{key}", part) for key, part in list(vars(value).items()))
            if issubclass(type(value), enum.EnumType):
                members: list[enum.Enum] = list(value._member_map_.values())
                yield from ((f"{name}.{one._name_}._value_", one._value_) for one in members)


class _Bindings(NamedTuple):
    """Who binds a name of a module: its body, other than by an import, or its functions."""

    by_body: bool
    by_functions: bool


def _is_made_there(name: Name) -> bool:
    return _binds(name).by_body


def _binds(name: Name) -> _Bindings:
    bindings = _bindings(name.module)
    if bindings is None:  # a compiled module, or a session: nothing else can have made it
        return _Bindings(True, False)
    first = name.name.partition(".")[0]
    return _Bindings(first in bindings[0], first in bindings[1])


@functools.lru_cache(maxsize=1024)
def _bindings(module: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Names that the body of a module binds, and those that its functions do, if one can read."""
    loader = getattr(getattr(sys.modules.get(module), "__spec__", None), "loader", None)
    try:
        code = loader.get_code(module)  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError, SyntaxError, ValueError):
        return None
    if not isinstance(code, types.CodeType):
        return None
    return frozenset(_bound(code)), frozenset(_assigned(code))


def _bound(code: types.CodeType) -> Iterator[str]:
    before = ""
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL") and before not in _IMPORTS:
            yield step.argval
        if step.opname not in ("EXTENDED_ARG", "CACHE"):
            before = step.opname


_IMPORTS: Final = ("IMPORT_FROM", "IMPORT_NAME")
_STORE_GLOBAL: Final = dis.opmap["STORE_GLOBAL"]


def _assigned(code: types.CodeType) -> Iterator[str]:
    """Names that functions assign by `global`."""
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            if _STORE_GLOBAL in part.co_code[::2]:
                steps = dis.get_instructions(part)
                yield from (step.argval for step in steps if step.opname == "STORE_GLOBAL")
            yield from _assigned(part)
