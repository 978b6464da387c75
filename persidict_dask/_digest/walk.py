"""The walk over a value: one token for each object, found by its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from persidict_dask._digest.definitions import code_token
from persidict_dask._digest.frame import Stream, frame
from persidict_dask._digest.table import Table
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import (
    LIBRARY,
    PROJECT,
    PROJECT_ORIGIN,
    Origin,
    find,
    module_of,
    origin_of,
    place,
)

SCALARS: dict[type, Callable[[Any], bytes]] = {}
"""Exact types that hold no other object: their token needs no walk."""

HANDLERS: Table[Walker] = Table()
"""Every other type: handlers import the walk, and never the reverse."""

_CHUNK = 4096  # tokens joined at a time, so that a long list is never held twice


class CycleFound(Exception):  # noqa: N818 - a signal of the walk to the graph, not an error
    """An object contains itself: it has to be seen as a graph."""


class Walker:
    """Gives tokens to objects; one for each key, because it remembers objects by identity."""

    is_code = False

    def __init__(self, by_value: tuple[str, ...] = (), instance: Any = None) -> None:
        self.by_value = by_value
        self.ignored: tuple[str, ...] = ()
        self._instance = instance
        self._class_by_name: type | None = None
        self._memo: dict[int, tuple[Any, bytes]] = {}
        self._active: set[int] = set()
        self._origins: dict[str, Origin] = {}
        self._constructors: dict[int, tuple[Any, bytes]] = {}
        self.stand_in: Callable[[Any], bytes] | None = None
        self.is_trial = False  # only whether there is a token is asked
        self.definitions: dict[int, Any] = {}  # of which the code counts, by id

    def token(self, obj: Any) -> bytes:
        """Token of an object, which depends on its content and type alone."""
        scalar = SCALARS.get(type(obj))
        if scalar is not None:
            return scalar(obj)
        if self.stand_in is not None:
            return self.stand_in(obj)
        return self._descend(obj)

    def at(self, segment: str, obj: Any) -> bytes:
        """Token of a part; `segment` is its step in the path of an error."""
        try:
            return self.token(obj)
        except UnstableKeyError as error:
            error.prepend(segment)
            raise

    def sequence(self, tag: bytes, items: Iterable[Any]) -> bytes:
        """Token of members in their order."""
        stream, tokens, done, scalar_of = Stream(), list[bytes](), 0, SCALARS.get
        try:
            for item in items:
                scalar = scalar_of(type(item))
                tokens.append(self.token(item) if scalar is None else scalar(item))
                if len(tokens) == _CHUNK:
                    stream.add(b"".join(tokens))
                    done += len(tokens)
                    tokens.clear()
        except UnstableKeyError as error:
            error.prepend(f"[{done + len(tokens)}]")
            raise
        stream.add(b"".join(tokens))
        return stream.token(tag)

    def unordered(self, tag: bytes, items: Iterable[Any]) -> bytes:
        """Token of members whose order does not count."""
        return self._joined(tag, sorted(self.at("{…}", item) for item in items))

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        """Token of pairs whose order does not count."""
        return self._joined(tag, sorted(self._pair(key, value) for key, value in pairs))

    def ordered_mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        """Token of pairs whose order does count."""
        return self._joined(tag, [self._pair(key, value) for key, value in pairs])

    def attributes(self, tag: bytes, names: Iterable[tuple[str, Any]]) -> bytes:
        """Token of named parts whose order does not count."""
        return self._joined(tag, sorted(self._attribute(name, value) for name, value in names))

    def remember(self, obj: Any, token: bytes) -> None:
        """Keep a token, and the object with it, so that its id is not given away."""
        self._memo[id(obj)] = (obj, token)

    def handle(self, obj: Any) -> bytes:
        """Token of an object from the tokens of its parts, without memory of it."""
        if self._instance is not None and obj is self._instance:
            if isinstance(obj, type):
                return frame(b"class", place(obj).encode())
            self._class_by_name = type(obj)
        return HANDLERS.handler_of(type(obj))(self, obj)

    def is_by_value(self, obj: Any) -> bool:
        """Is the code of this function, class or module taken by value?"""
        return self.origin(obj).kind == PROJECT

    def origin(self, obj: Any) -> Origin:
        """Where the code of a function, class or module comes from."""
        if isinstance(obj, type) and _is_of_no_module(obj):
            return PROJECT_ORIGIN
        module = module_of(obj)
        known = self._origins.get(module)
        if known is None:
            known = self._origins[module] = origin_of(module, self.by_value)
        return known

    def class_token(self, cls: type) -> bytes:
        """Token of the class of an instance: its name, and its code or the version of its library.

        The version of Python is part of each fingerprint already.
        """
        return self.known_class(cls) + self._version(cls)

    def known_class(self, cls: type) -> bytes:
        """The same for instances of which a handler knows all that counts: without versions."""
        is_project = self.is_by_value(cls)  # a transport by value keeps no qualified name
        label = f"{module_of(cls)}:{cls.__name__}" if is_project else place(cls)
        name = frame(b"class", label.encode())
        if cls is self._class_by_name:  # the first that the handler of the instance asks for
            self._class_by_name = None
            return name
        return name + self.token(cls) if is_project else name

    def constructor_token(self, function: Any) -> bytes:
        """Token of what would make a copy of an instance: its name, or its code where by value."""
        known = self._constructors.get(id(function))
        if known is not None:
            return known[1]
        if self.is_by_value(function) or not _is_what_it_says(function):
            return self.token(function)
        token = frame(b"constructor", place(function).encode()) + self._version(function)
        self._constructors[id(function)] = (function, token)
        return token

    def definition(self, obj: Any) -> bytes:
        """Token of a function, class or module: the identity of its code."""
        self.definitions[id(obj)] = obj
        return code_token(obj, self.by_value)

    def version(self, origin: Origin) -> bytes:
        """Token of the version of a library; that of Python counts elsewhere."""
        return frame(b"version", str(origin).encode()) if origin.kind == LIBRARY else b""

    def _version(self, obj: Any) -> bytes:
        return self.version(self.origin(obj))

    def _pair(self, key: Any, value: Any) -> bytes:
        head = self.at("{…}", key)
        try:
            return head + self.token(value)
        except UnstableKeyError as error:
            error.prepend(f"[{key!r:.80}]")
            raise

    def _attribute(self, name: str, value: Any) -> bytes:
        try:
            return SCALARS[str](name) + self.token(value)
        except UnstableKeyError as error:
            error.prepend(f".{name}")
            raise

    @staticmethod
    def _joined(tag: bytes, tokens: list[bytes]) -> bytes:
        stream = Stream()
        for at in range(0, len(tokens), _CHUNK):
            stream.add(b"".join(tokens[at : at + _CHUNK]))
        return stream.token(tag)

    def _descend(self, obj: Any) -> bytes:
        key = id(obj)
        known = self._memo.get(key)
        if known is not None:
            return known[1]
        if key in self._active:
            raise CycleFound
        self._active.add(key)
        try:
            token = self.handle(obj)
        finally:
            self._active.discard(key)
        if token[:1] == b"#":  # short tokens cost less to make again than to remember
            self._memo[key] = (obj, token)
        return token


def _is_of_no_module(cls: type) -> bool:
    """Does a class that was made by a call say that it stands where its metaclass was written?"""
    module = module_of(cls)
    is_apparent = module == "types" or (module == type(cls).__module__ and type(cls) is not type)
    return is_apparent and find(module, cls.__qualname__) is not cls


def _is_what_it_says(function: Any) -> bool:
    """Does the name of a function or class lead to it?"""
    name = getattr(function, "__qualname__", None)
    return isinstance(function, type) or (
        isinstance(name, str) and find(module_of(function), name) is function
    )


Handler: TypeAlias = Callable[[Walker, Any], bytes]
"""Gives the token of the objects of its types; asks the walk for those of their parts."""
