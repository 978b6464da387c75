"""The walk over code: it goes into what is the project's, and notes and watches what it saw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from types import FunctionType
from typing import Any, Final

from persidict_dask._code.inert import is_inert
from persidict_dask._code.looks import is_fixed
from persidict_dask._code.places import relative_location
from persidict_dask._code.reads import names_in
from persidict_dask._code.state import MISSING, Fixed
from persidict_dask._code.uses import READ, WRITTEN, use_by_kind
from persidict_dask._code.watch import Watches
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.frame import frame
from persidict_dask._digest.graph import root_token
from persidict_dask._digest.named import by_library
from persidict_dask._digest.table import Table
from persidict_dask._digest.walk import Walker
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import (
    LIBRARY,
    PROJECT,
    Origin,
    compiled_version,
    module_of,
    origin_of,
    place,
)

DEFINITIONS: Table[CodeWalker] = Table()
"""Functions, classes, modules and the like: what gives their tokens imports the walk."""

_STRUCTURE: Final = ("__bases__", "__code__", "__defaults__")
"""Parts of functions and classes that every use of them reads."""
_READERS: Final = frozenset(
    {
        *("attr.fields", "attr.fields_dict", "attrs.fields", "attrs.fields_dict"),
        *("cattrs.structure", "dacite.from_dict", "dataclasses.fields"),
        *("inspect.get_annotations", "inspect.getfullargspec", "inspect.signature"),
        *("msgspec.convert", "msgspec.json.decode", "msgspec.msgpack.decode"),
        *("pydantic.TypeAdapter", "pydantic.type_adapter.TypeAdapter", "typing.get_type_hints"),
        *("attr._make.fields", "attr._make.fields_dict", "dacite.core.from_dict"),
        *("msgspec._core.convert", "msgspec._json_utils.decode"),
    }
)
"""Functions that read annotations of the functions and classes they are given."""
_COMPUTED: Final = frozenset({"dir", "getmembers", "vars"})
"""Names by which code may read attributes that it does not name."""


class CodeWalker(Walker):
    """A walk that goes into the code of the project and notes what it saw."""

    is_code = True

    def __init__(
        self,
        by_value: tuple[str, ...] = (),
        ignored: tuple[str, ...] = (),
        watches: Watches | None = None,
    ) -> None:
        super().__init__(by_value)
        self.ignored = ignored
        self.watches = watches
        self.versions: dict[str, str] = {}
        self.named: dict[str, tuple[Any, Any]] = {}
        self.more_by_value: set[str] = set()
        self.more_ignored: set[str] = set()
        self.uses: list[tuple[Any, int]] = []
        self.assigned: set[Any] = set()
        self.read = set(_STRUCTURE)
        self.stored: set[str] = set()
        self.is_dynamic = False
        self.reads_hints = False
        self.counts_hints = False
        self.hidden: frozenset[type] = frozenset()
        self.label = ""
        self.namespace: Mapping[str, Any] = {}
        self.is_global = False
        self._members: dict[type, Mapping[str, Any]] = {}
        self._data: dict[int, Data] = {}
        self._quiet = False

    def name(self, kind: str, name: str, obj: Any, content: Any = MISSING) -> None:
        """Note a component; another object of the same name gets a number."""
        label, count = f"{kind} {name}", 1
        while label in self.named and self.named[label][0] is not obj:
            count += 1
            label = f"{kind} {name} #{count}"
        self.named[label] = (obj, obj if content is MISSING else content)

    def forget(self, obj: Any) -> None:
        """An object is no component after all."""
        self.named = {label: pair for label, pair in self.named.items() if pair[0] is not obj}

    def handle(self, obj: Any) -> bytes:
        """Token of an object as it was before runs changed it; changes to it are watched."""
        if is_inert(obj):
            return self._inert(obj)
        self._settings_of(obj)
        if isinstance(obj, PurePath) and (located := relative_location(obj, self.namespace)):
            return located
        if self.watches is None or self._quiet or is_fixed(obj):
            return super().handle(obj)
        before = self.watches.thing(obj, self._label(obj), is_global=self.is_global)
        if before is None:
            return self._content(obj, self.watches)
        if isinstance(obj, type):
            self._members[obj] = vars(obj) if before is obj else before
            return self._class(obj)
        if before is not obj and not isinstance(obj, FunctionType):
            named = by_library(self, obj)  # by identity, which a copy has not
            if named is not None:
                return named
        return super().handle(before)

    def _label(self, obj: Any) -> str:
        """What an object is called in warnings; nothing if the function itself is meant."""
        is_class = isinstance(obj, type) and not self.label
        return f"{obj.__module__}.{obj.__qualname__}" if is_class else self.label

    def _class(self, cls: type) -> bytes:
        outer = self.namespace
        self.namespace = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        try:
            return super().handle(cls)
        finally:
            self.namespace = outer

    def _inert(self, obj: Any) -> bytes:
        """Of what serves code only the type counts; of a class of the project, attributes too."""
        token = self.known_class(type(obj))
        if not self.is_by_value(type(obj)):
            return frame(b"inert", token)
        own = getattr(obj, "__dict__", {})
        self.uses.append((own, WRITTEN))  # by the library that is served
        before = self.before(own).items()
        assigned = _assigned_in(type(obj), self.is_by_value)
        named = [pair for pair in before if isinstance(pair[0], str)]
        counted = [pair for pair in named if pair[0][0] != "_" or pair[0] in assigned]
        return frame(b"inert", token + self.attributes(b"attributes", counted))

    def members(self, cls: type) -> Mapping[str, Any]:
        """What a class holds, as it was before runs changed it."""
        return self._members.get(cls) or vars(cls)

    def _content(self, obj: Any, watches: Watches) -> bytes:
        """Token of an object whose parts cannot be watched one by one."""
        settings = self.by_value, self.ignored

        def token() -> bytes:
            return root_token(CodeWalker(*settings), obj)

        before = watches.content(obj, token, self.label, is_global=self.is_global)
        inside = self._named_inside(obj, is_seen=isinstance(before, bytes))
        return frame(b"content", before if isinstance(before, bytes) else inside)

    def _named_inside(self, obj: Any, *, is_seen: bool) -> bytes:
        """Note what is inside of an object; its token, which need not be what was seen before."""
        self._quiet = True
        try:
            return super().handle(obj)
        except (UnstableKeyError, RuntimeError):  # a run has put it there, or changes it just now
            if is_seen:
                return b""
            raise
        finally:
            self._quiet = False

    def _settings_of(self, obj: Any) -> None:
        """The settings of a persisted function count wherever it is reached."""
        settings = getattr(type(obj), "__persist_settings__", None)
        if settings is not None:
            by_value, ignored = settings(obj)
            self.more_by_value.update(by_value)
            self.more_ignored.update(ignored)

    def known_class(self, cls: type) -> bytes:
        """Of the project's classes the code counts, and not the module it stands in."""
        if self.is_by_value(cls):
            return frame(b"class", cls.__name__.encode()) + self.token(cls)
        return frame(b"class", place(cls).encode())

    def definition(self, obj: Any) -> bytes:
        """Token of a function, class, descriptor or module."""
        return DEFINITIONS.handler_of(type(obj))(self, obj)

    def library(self, obj: Any, name: str = "") -> bytes:
        """Token of what is known by name and version, or by the file it was compiled to."""
        module = module_of(obj)
        self.uses_library(f"{module}.{name}" if name else place(obj).replace(":", "."))
        origin = origin_of(module, self.by_value)
        if origin.kind == PROJECT:
            origin = Origin(PROJECT, module, compiled_version(module))
        self.versions[origin.name] = origin.version
        return frame(b"library", f"{origin} {place(obj)} {name}".encode())

    def uses_library(self, name: str) -> None:
        """Note a function of a library that reads annotations."""
        self.reads_hints |= name in _READERS

    def version(self, origin: Origin) -> bytes:
        """Token of the version of a library, which is noted."""
        if origin.kind == LIBRARY:
            self.versions[origin.name] = origin.version
        return super().version(origin)

    def before(self, obj: Any) -> Any:
        """Watch an object; return it as it was before runs changed it."""
        if self.watches is None or is_fixed(obj):
            return obj
        return self.watches.thing(obj, self.label, is_global=self.is_global) or obj

    def data_of(self, function: Any) -> Data:
        """The data of a function, the same object each time."""
        return self._data.setdefault(id(function), Data(function))

    def watch(self, obj: Any) -> None:
        """Watch an object of which parts count."""
        if self.watches is not None and not is_fixed(obj) and self.is_by_value(obj):
            self.watches.thing(obj, self.label, is_global=self.is_global)

    @contextmanager
    def by_parts(self, cls: type) -> Iterator[None]:
        """Let cells that hold a class for `super()` say nothing of it."""
        self.hidden = frozenset(cls.__mro__)
        try:
            yield
        finally:
            self.hidden = frozenset()

    @contextmanager
    def reading(
        self, label: str, namespace: Mapping[str, Any] | None, *, is_global: bool
    ) -> Iterator[None]:
        """Let what is met meanwhile be known by this name, and stand in this module."""
        outer = self.label, self.is_global, self.namespace
        self.label, self.is_global = label, is_global
        self.namespace = self.namespace if namespace is None else namespace
        try:
            yield
        finally:
            self.label, self.is_global, self.namespace = outer

    def is_ignored(self, label: str) -> bool:
        """Is that a global that does not count?"""
        return label in self.ignored

    def use(self, value: Any, use: int, name: str | None) -> None:
        """Note what the code does with a value that it reads, and takes an attribute of."""
        is_project = self.is_by_value(type(value))
        self.uses.append((value, use_by_kind(value, use, name, is_project=is_project)))

    def close(self) -> dict[Any, Fixed]:
        """Nothing is met any more; return keys of what has to be seen as it is now, if any."""
        assert self.watches is not None
        return self.watches.close(self._written())

    def _written(self) -> dict[Any, frozenset[str]]:
        """Keys of the watched things that the code may change, with parts that it only reads.

        Who holds an object may change all of it. Functions and classes are held by all that call
        them: of these it is the attributes that are assigned anywhere.
        """
        assert self.watches is not None
        if self.is_dynamic:
            return dict.fromkeys(self.watches.keys(), frozenset())
        values: list[Any] = []
        for value, use in self.uses:
            if use < READ:
                values += self.watches.below(value, use)
        definitions = set(self.watches.definitions())
        for key in definitions:  # what they hold is changed by what they do
            values += self.watches.parts_of(key)
        values += self.watches.active(self.is_by_value)
        found = {*self.watches.reachable(values)} - definitions | self.assigned
        written = dict.fromkeys(found & self.watches.keys(), frozenset[str]())
        if self.stored:
            written |= {key: self._fixed(key) for key in definitions - self.assigned}
        return written

    def _fixed(self, key: Any) -> frozenset[str]:
        """Names of the parts of a function or class that the code reads and does not assign."""
        assert self.watches is not None
        read = self.read
        if not _COMPUTED.isdisjoint(read):
            read = {*read, *self.watches.names_in(key)}
        return frozenset(read - self.stored)


def _assigned_in(cls: type, is_counted: Callable[[type], bool]) -> frozenset[str]:
    """Names of attributes in the methods of those bases of a class that count."""
    methods = (part for base in cls.__mro__ if is_counted(base) for part in vars(base).values())
    codes = (part.__code__ for part in methods if isinstance(part, FunctionType))
    return frozenset(name for code in codes for name in names_in(code))
