"""Cheap looks that tell whether anything a fingerprint was made of has changed since."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from itertools import repeat
from operator import is_
from typing import Any

from persidict_dask._errors import UnstableKeyError

Look = Callable[[], tuple[Any, ...]]

MISSING = object()


class Watches:
    """Looks by identity, and for data that changes in place a second reading of its content."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._looks: dict[int, tuple[Look, tuple[Any, ...]]] = {}
        self._contents: dict[int, tuple[Callable[[], bytes], bytes]] = {}
        self._done: tuple[tuple[Look, tuple[Any, ...]], ...] = ()

    def name(self, namespace: dict[str, Any], name: str) -> None:
        """Watch what a name in a namespace stands for."""
        _, names = self._names.setdefault(id(namespace), (namespace, {}))
        names[name] = namespace.get(name, MISSING)

    def look(self, key: int, look: Look) -> None:
        """Watch the parts of an object by their identity."""
        if key not in self._looks:
            self._looks[key] = (look, look())

    def content(self, key: int, token: Callable[[], bytes]) -> None:
        """Watch the content of an object that can only be read again."""
        if key not in self._contents:
            self._contents[key] = (token, token())

    def close(self) -> None:
        """Nothing is added any more."""
        names = ((_name_look(*pair), tuple(pair[1].values())) for pair in self._names.values())
        self._done = (*names, *self._looks.values())

    def hold(self) -> bool:
        """Is everything as it was?"""
        for look, seen in self._done:
            now = look()
            if len(now) != len(seen) or not all(map(is_, now, seen)):
                return False
        try:
            return all(token() == seen for token, seen in self._contents.values())
        except UnstableKeyError:
            return False  # the whole walk knows the path to it


def _name_look(namespace: dict[str, Any], names: dict[str, Any]) -> Look:
    keys, get = tuple(names), namespace.get
    return lambda: tuple(map(get, keys, repeat(MISSING)))


def function_look(function: types.FunctionType) -> Look:
    """Code, defaults, attributes and closure; the function is not kept alive by the look."""
    found = weakref.ref(function)

    def look() -> tuple[Any, ...]:
        f = found()
        if f is None:
            return ()
        parts: tuple[Any, ...] = (f.__code__, f.__defaults__, f.__kwdefaults__)
        for pairs in (f.__kwdefaults__, f.__dict__):
            if pairs:
                parts += (*pairs, *pairs.values())
        return parts + tuple(map(cell_content, f.__closure__)) if f.__closure__ else parts

    return look


def cell_content(cell: types.CellType) -> Any:
    """What a cell holds; a variable may not be assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def class_look(cls: type) -> Look:
    """Members and bases of a class."""
    return lambda: (*cls.__bases__, *vars(cls).values())


def mapping_look(pairs: dict[Any, Any]) -> Look:
    """Keys and values of a dict, or of the attributes of an instance."""
    return lambda: (*pairs, *pairs.values())


def items_look(items: Any) -> Look:
    """Members of a list, set or deque."""
    return lambda: tuple(items)
