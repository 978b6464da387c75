"""A type that pickles in a way of its own is tried once: is a copy's digest that of the object?"""

from __future__ import annotations

import io
import pickle
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from persidict_dask._digest.graph import root_token
from persidict_dask._digest.walk import Walker
from persidict_dask._errors import UnstableKeyError

_LARGEST: Final = 1 << 20  # bytes of a copy: above it the next object of the type is tried
_ITSELF: Final = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)

_passed: weakref.WeakSet[type] = weakref.WeakSet()
_running = threading.local()


def survives_pickle(walker: Walker, obj: Any, is_by_name: Callable[[Any], bool]) -> bool:
    """False if a copy that `pickle` makes has another digest; asked once for a type that has not.

    Code, and what `is_by_name`, stays what it is in the copy. What cannot be copied is not tried.
    """
    cls = type(obj)
    if cls in _passed or cls in _tried_now():
        return True
    with _trying(cls):
        try:
            copy = _copied(obj, is_by_name)
            # looked at first, because making a copy may change an object
            tokens = {root_token(type(walker)(walker.by_value), one) for one in (copy, obj)}
        except UnstableKeyError:
            return True  # the walk itself meets it, and knows the path
        except _TooLarge:
            return True
        except Exception:
            tokens = set()
    if len(tokens) < 2:
        _passed.add(cls)
    return len(tokens) < 2


def _tried_now() -> set[type]:
    found: set[type] = _running.__dict__.setdefault("types", set())
    return found


@contextmanager
def _trying(cls: type) -> Iterator[None]:
    """Other objects of the type, met inside of this one, are not tried."""
    _tried_now().add(cls)
    try:
        yield
    finally:
        _tried_now().discard(cls)


class _TooLarge(Exception):  # noqa: N818 - a signal, not an error
    pass


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > _LARGEST:
            raise _TooLarge
        return super().write(data)


def _copied(obj: Any, is_by_name: Callable[[Any], bool]) -> Any:
    kept: list[Any] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: Any) -> int | None:
            if part is obj or not (isinstance(part, _ITSELF) or is_by_name(part)):
                return None
            kept.append(part)
            return len(kept) - 1

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, at: int) -> Any:
            return kept[at]

    file = _Bounded()
    Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)
    file.seek(0)
    return Unpickler(file).load()
