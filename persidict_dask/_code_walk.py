"""The walk over code: functions, classes and modules of the project, and all that they read."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import types
from operator import is_
from typing import TYPE_CHECKING, Any, Final

from persidict_dask import _code_classes
from persidict_dask._code_flow import flow_token
from persidict_dask._code_origin import (
    PROJECT,
    Origin,
    compiled_version,
    find,
    module_of,
    origin_of,
    place,
)
from persidict_dask._code_reads import Import, Read, reads_of
from persidict_dask._code_watch import (
    MISSING,
    Watches,
    cell_content,
    class_look,
    function_look,
    items_look,
    mapping_look,
)
from persidict_dask._digest_frame import frame, frame_all
from persidict_dask._digest_objects import pickles_by_default
from persidict_dask._digest_walk import SCALARS, Walker
from persidict_dask._errors import UnstableKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INERT: Final = frozenset(
    {
        "_thread.lock",
        "_thread.RLock",
        "_thread._local",
        "logging.Logger",
        "logging.LoggerAdapter",
        "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary",
        "_weakrefset.WeakSet",
    }
)
"""Globals of these types serve code without being data of it: their type is all that counts."""


class CodeWalker(Walker):
    """A walk that goes into the code of the project and notes what it saw."""

    def __init__(self, by_value: tuple[str, ...] = (), watches: Watches | None = None) -> None:
        super().__init__()
        self.by_value = by_value
        self.versions: dict[str, str] = {}
        self.named: dict[str, tuple[Any, Any]] = {}
        self._watches = watches
        self._quiet = False

    def is_by_value(self, obj: Any) -> bool:
        """Is the code of this function, class or module taken by value?"""
        return origin_of(module_of(obj), self.by_value).kind == PROJECT

    def name(self, kind: str, name: str, obj: Any, content: Any = MISSING) -> None:
        """Note a component; another object of the same name gets a number."""
        label, count = f"{kind} {name}", 1
        while label in self.named and self.named[label][0] is not obj:
            count += 1
            label = f"{kind} {name} #{count}"
        self.named[label] = (obj, obj if content is MISSING else content)

    def handle(self, obj: Any) -> bytes:
        """Token of an object; changes to it are watched."""
        if any(f"{base.__module__}.{base.__qualname__}" in _INERT for base in type(obj).__mro__):
            return frame(b"inert", place(type(obj)).encode())
        if self._watches is None or self._quiet:
            return super().handle(obj)
        self._quiet = not self._watch(obj, self._watches)
        try:
            return super().handle(obj)
        finally:
            self._quiet = False

    def class_token(self, cls: type) -> bytes:
        """Of the project's classes the code counts, and not the module it stands in."""
        if self.is_by_value(cls):
            return frame(b"class", cls.__qualname__.encode()) + self.token(cls)
        return frame(b"class", place(cls).encode())

    def constructor_token(self, function: Any) -> bytes:
        """Of the project's functions the code counts."""
        if self.is_by_value(function):
            return self.token(function)
        return frame(b"constructor", place(function).encode())

    def definition(self, obj: Any) -> bytes:
        """Token of a function, class, descriptor or module."""
        if isinstance(obj, types.FunctionType):
            return self._function(obj)
        if isinstance(obj, type):
            by_value = self.is_by_value(obj)
            return _code_classes.class_token(self, obj) if by_value else self.library(obj)
        if isinstance(obj, types.ModuleType):
            return self._module(obj)
        if isinstance(obj, types.CodeType):
            return flow_token(obj)
        return _code_classes.descriptor_token(self, obj) or self.library(obj)

    def library(self, obj: Any, name: str = "") -> bytes:
        """Token of what is known by name and version, or by the file it was compiled to."""
        module = module_of(obj)
        origin = origin_of(module)
        if origin.kind == PROJECT:
            origin = Origin(PROJECT, module, compiled_version(module))
        self.versions[origin.name] = origin.version
        return frame(b"library", f"{origin} {place(obj)} {name}".encode())

    def _function(self, f: types.FunctionType) -> bytes:
        if not self.is_by_value(f):
            return self._library_function(f)
        name = f"{module_of(f)}.{f.__qualname__}"
        self.name("function", name, f.__code__)
        parts = (
            flow_token(f.__code__),
            frame_all(b"defaults", self._defaults(f, name)),
            frame_all(b"cells", self._cells(f, name)),
            frame_all(b"reads", (self._read(read, f) for read in reads_of(f.__code__))),
            frame_all(b"attributes", self._attributes(f, name)),
        )
        return frame_all(b"function", parts)

    def _library_function(self, f: types.FunctionType) -> bytes:
        """By name; but what a decorator of a library made holds something of the project."""
        if find(module_of(f), f.__qualname__) is f:
            return self.library(f)
        wrapped = vars(f).get("__wrapped__")
        parts = (
            self.library(f, f.__code__.co_qualname),
            frame_all(b"defaults", self._defaults(f, f.__qualname__)),
            frame_all(b"cells", self._cells(f, f.__qualname__)),
            b"" if wrapped is None else self.token(wrapped),
        )
        return frame_all(b"wrapper", parts)

    def _defaults(self, f: types.FunctionType, name: str) -> Iterator[bytes]:
        count = f.__code__.co_argcount
        defaults = f.__defaults__ or ()
        names = f.__code__.co_varnames[count - len(defaults) : count]
        pairs = [*zip(names, defaults, strict=False), *sorted((f.__kwdefaults__ or {}).items())]
        for parameter, value in pairs:
            yield self._value("default", f"{name}.{parameter}", value)

    def _attributes(self, f: types.FunctionType, name: str) -> Iterator[bytes]:
        for key, value in sorted(vars(f).items()):
            yield SCALARS[str](key) + self._value("attribute", f"{name}.{key}", value)

    def _cells(self, f: types.FunctionType, name: str) -> Iterator[bytes]:
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            value = cell_content(cell)
            if not isinstance(value, types.ModuleType):  # of a module only what is read counts
                yield self._value("closure", f"{name}.{variable}", value)

    def _read(self, read: Read, f: types.FunctionType) -> bytes:
        label = str(read).encode()
        if read.binding is not None:
            return frame(b"read", label) + self._imported(read, read.binding, f)
        if read.is_free:
            value = self._free(f, read.name)
            is_seen = not isinstance(value, types.ModuleType)
            return b"" if is_seen else frame(b"read", label) + self._followed(value, read.chain)
        return frame(b"read", label) + self._global(f.__globals__, read)

    def _free(self, f: types.FunctionType, name: str) -> Any:
        cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        return cell_content(cells[name])

    def _global(self, namespace: dict[str, Any], read: Read) -> bytes:
        if self._watches is not None:
            self._watches.name(namespace, read.name)
        value = namespace.get(read.name, MISSING)
        if value is MISSING:
            is_built_in = hasattr(builtins, read.name)
            return b"builtin 0:" if is_built_in else b"missing 0:"
        if isinstance(value, types.ModuleType):
            return self._followed(value, read.chain)
        module = namespace.get("__name__", "__main__")
        return self._value("global", f"{module}.{read.name}", value)

    def _followed(self, value: Any, chain: tuple[str, ...]) -> bytes:
        """Token of the first thing on a chain of attributes that is not a module."""
        for at, name in enumerate(chain):
            if not self.is_by_value(value):
                return self.library(value, ".".join(chain[at:]))
            if self._watches is not None:
                self._watches.name(vars(value), name)
            module, value = value, getattr(value, name, MISSING)
            if not isinstance(value, types.ModuleType):
                return self._value("global", f"{module.__name__}.{name}", value)
        return self.token(value)

    def _imported(self, read: Read, binding: Import, f: types.FunctionType) -> bytes:
        module = "." * binding.level + binding.module
        if binding.level:
            module = importlib.util.resolve_name(module, f.__globals__["__package__"])
        origin = origin_of(module, self.by_value)
        if origin.kind != PROJECT:  # not imported for its version alone
            self.versions[origin.name] = origin.version
            return frame(b"library", f"{origin} {module} {binding.attribute} {read}".encode())
        chain = read.chain if binding.attribute is None else (binding.attribute, *read.chain)
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            return b"missing 0:"
        if binding.binds_top:
            loaded = importlib.import_module(module.partition(".")[0])
        if binding.attribute and not hasattr(loaded, binding.attribute):
            with contextlib.suppress(ImportError):  # a submodule that nobody has imported so far
                importlib.import_module(f"{module}.{binding.attribute}")
        return self._followed(loaded, chain)

    def _value(self, kind: str, name: str, value: Any) -> bytes:
        if value is MISSING:
            return b"missing 0:"
        if not isinstance(value, (types.FunctionType, type, types.ModuleType)):
            self.name(kind, name, value)
        try:
            return self.token(value)
        except UnstableKeyError as error:
            error.anchor(name)
            raise

    def _module(self, module: types.ModuleType) -> bytes:
        """A module used as a value: everything in it may be meant."""
        if not self.is_by_value(module):
            return self.library(module)
        names = sorted(name for name in vars(module) if not name.startswith("__"))
        reads = (self._global(vars(module), Read(name, ())) for name in names)
        return frame_all(b"module", (self.token(names), *reads))

    def _watch(self, obj: Any, watches: Watches) -> bool:
        """Watch an object; False when its parts need no watching any more."""
        kind = type(obj)
        if isinstance(obj, types.FunctionType):
            watches.look(id(obj), function_look(obj))
        elif isinstance(obj, type):
            watches.look(id(obj), class_look(obj))
        elif kind is dict:
            watches.look(id(obj), mapping_look(obj))
        elif kind in (list, set):
            watches.look(id(obj), items_look(obj))
        elif kind in _FIXED or (kind.__module__ == "builtins" and kind not in _BUFFERS):
            pass
        elif _says_the_same(obj):
            watches.look(id(obj), lambda: _said_by(obj))
        elif _has_plain_state(kind):
            watches.look(id(obj), mapping_look(vars(obj)))
        else:
            watches.content(id(obj), lambda: CodeWalker(self.by_value).root(obj))
            return False
        return True


_POINTER: Final = tuple.__itemsize__
_BUFFERS: Final = (bytearray, memoryview)
_FIXED: Final = frozenset({types.MethodType, *SCALARS, types.SimpleNamespace})


def _said_by(obj: Any) -> tuple[Any, ...]:
    content = type(obj).__persist_token__(obj)
    return content if isinstance(content, tuple) else (content,)


def _says_the_same(obj: Any) -> bool:
    """Does an object name the same parts as its content each time, so that they can be watched?"""
    if getattr(type(obj), "__persist_token__", None) is None:
        return False
    first, second = _said_by(obj), _said_by(obj)
    return len(first) == len(second) and all(map(is_, first, second))


def _has_plain_state(kind: type) -> bool:
    """Is all of an instance in its `__dict__`?"""
    is_bare = kind.__basicsize__ <= object.__basicsize__ + 2 * _POINTER
    return pickles_by_default(kind) and kind.__dictoffset__ != 0 and is_bare
