"""Which handler gives the token of a type: the user's, the type's own, a library's, or Python's."""

from __future__ import annotations

import dataclasses
import enum
import functools
import pathlib
import types
from collections.abc import Callable
from typing import Any

from persidict_dask._digest import (
    arrow,
    elsewhere,
    numba,
    numpy,
    objects,
    pandas,
    polars,
    reduced,
    torch,
    xarray,
    zarr,
)
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.python import EXACT
from persidict_dask._digest.walk import HANDLERS, SCALARS, Handler
from persidict_dask._digest.wrapped import VALIDATED, known_by
from persidict_dask._origin import module_of

_registered: dict[type, Callable[[Any], Any]] = {}

_LIBRARIES: dict[str, dict[str, Handler]] = {
    "numpy": {
        **numpy.HANDLERS,
        "ufunc": reduced.ufunc,
        "vectorize": known_by("pyfunc", "otypes", "signature", "excluded", "cache"),
    },
    "scipy": numpy.SCIPY_HANDLERS,
    "pandas": pandas.HANDLERS,
    "pyarrow": arrow.HANDLERS,
    "polars": polars.HANDLERS,
    "xarray": xarray.HANDLERS,
    "zarr": zarr.HANDLERS,
    "numba": numba.HANDLERS,
    "torch": torch.HANDLERS,
    "fsspec": elsewhere.FSSPEC_HANDLERS,
    "multiprocessing": elsewhere.MULTIPROCESSING_HANDLERS,
    "diskcache": elsewhere.CACHE_HANDLERS,
    "boto3": dict.fromkeys(("Session", "ServiceResource"), objects.serving),
    "botocore": dict.fromkeys(("Session", "BaseClient"), objects.serving),
    "persidict": {"PersiDict": objects.store},
    "toolz": {"curry": known_by("func", "args", "keywords")},
    "cytoolz": {"curry": known_by("func", "args", "keywords")},
    "pydantic": {VALIDATED: objects.definition},
    "dask": {
        "DelayedLeaf": objects.delayed,
        **dict.fromkeys(("DaskMethodsMixin", "Expr"), objects.collection),
    },
    "distributed": dict.fromkeys(("Future", "Variable", "Queue", "Client"), objects.collection),
}

_DEFINITIONS = (
    Data,
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
    HANDLERS.forget()


def _of_user(cls: type) -> Handler | None:
    for base in cls.__mro__:
        if base in _registered:
            return objects.by_function(_registered[base])
    return None


def _of_itself(cls: type) -> Handler | None:
    return objects.by_protocol if getattr(cls, "__persist_token__", None) is not None else None


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
    return reduced.reduced


HANDLERS.find_by(_of_user, _of_itself, EXACT.get, _of_library, _of_kind)
