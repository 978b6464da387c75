"""The walk over code: it goes into what is the project's, and notes and watches what it saw."""

from __future__ import annotations

import types
from operator import is_
from typing import Any, Final

from persidict_dask._code.watch import (
    MISSING,
    Watches,
    class_look,
    function_look,
    items_look,
    mapping_look,
)
from persidict_dask._digest.frame import frame
from persidict_dask._digest.graph import root_token
from persidict_dask._digest.objects import pickles_by_default
from persidict_dask._digest.table import Table
from persidict_dask._digest.walk import SCALARS, Walker
from persidict_dask._origin import (
    PROJECT,
    Origin,
    compiled_version,
    module_of,
    origin_of,
    place,
)

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

DEFINITIONS: Table[CodeWalker] = Table()
"""Functions, classes, modules and the like: what gives their tokens imports the walk."""


class CodeWalker(Walker):
    """A walk that goes into the code of the project and notes what it saw."""

    def __init__(self, by_value: tuple[str, ...] = (), watches: Watches | None = None) -> None:
        super().__init__(by_value)
        self.versions: dict[str, str] = {}
        self.named: dict[str, tuple[Any, Any]] = {}
        self.watches = watches
        self._quiet = False

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
        if self.watches is None or self._quiet:
            return super().handle(obj)
        self._quiet = not self._watch(obj, self.watches)
        try:
            return super().handle(obj)
        finally:
            self._quiet = False

    def known_class(self, cls: type) -> bytes:
        """Of the project's classes the code counts, and not the module it stands in."""
        if self.is_by_value(cls):
            return frame(b"class", cls.__qualname__.encode()) + self.token(cls)
        return frame(b"class", place(cls).encode())

    def definition(self, obj: Any) -> bytes:
        """Token of a function, class, descriptor or module."""
        return DEFINITIONS.handler_of(type(obj))(self, obj)

    def library(self, obj: Any, name: str = "") -> bytes:
        """Token of what is known by name and version, or by the file it was compiled to."""
        module = module_of(obj)
        origin = origin_of(module)
        if origin.kind == PROJECT:
            origin = Origin(PROJECT, module, compiled_version(module))
        self.versions[origin.name] = origin.version
        return frame(b"library", f"{origin} {place(obj)} {name}".encode())

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
            watches.content(id(obj), lambda: root_token(CodeWalker(self.by_value), obj))
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
