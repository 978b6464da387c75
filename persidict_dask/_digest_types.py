"""Which handler gives the token of a type: the user's, the type's own, a library's, or Python's."""

from __future__ import annotations

import dataclasses
import enum
import functools
import pathlib
import types
from typing import TYPE_CHECKING, Any

from persidict_dask import _digest_arrow, _digest_numpy, _digest_pandas
from persidict_dask import _digest_objects as objects
from persidict_dask._code_origin import module_of
from persidict_dask._digest_python import EXACT
from persidict_dask._digest_walk import SCALARS

if TYPE_CHECKING:
    from collections.abc import Callable

    from persidict_dask._digest_walk import Walker

    Handler = Callable[[Walker, Any], bytes]

_registered: dict[type, Callable[[Any], Any]] = {}
_handlers: dict[type, Handler] = {}
_HANDLERS_KEPT = 4096

_LIBRARIES: dict[str, dict[str, Handler]] = {
    "numpy": _digest_numpy.HANDLERS,
    "scipy": _digest_numpy.SPARSE_HANDLERS,
    "pandas": _digest_pandas.HANDLERS,
    "pyarrow": _digest_arrow.HANDLERS,
    "persidict": {"PersiDict": objects.store},
    "dask": dict.fromkeys(("DaskMethodsMixin", "Expr"), objects.collection),
    "distributed": dict.fromkeys(("Future", "Variable", "Queue", "Client"), objects.collection),
}

_DEFINITIONS = (
    types.FunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.ModuleType,
    types.CodeType,
    type,
    property,
    staticmethod,
    classmethod,
    functools.cached_property,
    functools._lru_cache_wrapper,
)


def register_digest(cls: type, function: Callable[[Any], Any]) -> None:
    """Let `function(obj)`, something digestible, stand for the content of instances of `cls`."""
    if cls in SCALARS:
        raise TypeError(f"the digest of {cls.__name__} is fixed")
    _registered[cls] = function
    _handlers.clear()


def handler_of(cls: type) -> Handler:
    """The handler of a type, found once for each."""
    handler = _handlers.get(cls)
    if handler is None:
        if len(_handlers) >= _HANDLERS_KEPT:  # classes made in a loop are not kept alive
            _handlers.clear()
        handler = _handlers[cls] = _find(cls)
    return handler


def _find(cls: type) -> Handler:
    for base in cls.__mro__:
        if base in _registered:
            return objects.by_function(_registered[base])
    if getattr(cls, "__persist_token__", None) is not None:
        return objects.by_protocol
    if cls in EXACT:
        return EXACT[cls]
    return _of_library(cls) or _of_kind(cls)


def _of_library(cls: type) -> Handler | None:
    """By the names of the type and its bases: nothing is imported for it."""
    for base in cls.__mro__:
        handlers = _LIBRARIES.get(module_of(base).partition(".")[0], {})
        if base.__name__ in handlers:
            return handlers[base.__name__]
    return None


def _of_kind(cls: type) -> Handler:
    if issubclass(cls, _DEFINITIONS) or cls.__name__ == "cython_function_or_method":
        return objects.definition
    if issubclass(cls, (types.BuiltinFunctionType, types.MethodWrapperType)):
        return objects.built_in
    if issubclass(cls, BaseException):
        return objects.error
    if issubclass(cls, enum.Enum):
        return objects.member
    if dataclasses.is_dataclass(cls):
        return objects.fields
    if issubclass(cls, pathlib.PurePath):
        return objects.path
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return objects.named_tuple
    if issubclass(cls, (set, frozenset)) and objects.reduces_as_builtin(cls):
        return objects.set_with_state
    return objects.reduced
