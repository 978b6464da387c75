"""What functions hold besides their code: all that counts where a version stands for the code."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

from persidict_dask._code.looks import cell_content
from persidict_dask._code.state import MISSING
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.definitions import Data
from persidict_dask._digest.frame import frame_all
from persidict_dask._origin import place


def data_token(walker: CodeWalker, data: Data) -> bytes:
    """Token of what a function holds; of functions in it the place, and what they hold."""
    parts = (
        walker.token(name) + walker.at(f".{name}", _stripped(walker, value))
        for name, value in _held(walker.before(data.function))
    )
    return frame_all(b"data", parts)


def holds_data(function: Any) -> bool:
    """Does a function hold anything besides its code?"""
    return next(_held(function), None) is not None


def _held(function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, functools.partial):
        names: tuple[str, ...] = ("func", "args", "keywords")
        yield from ((name, getattr(function, name)) for name in names)
    elif isinstance(function, types.MethodType):
        yield from (("func", function.__func__), ("self", function.__self__))
    elif isinstance(function, types.FunctionType):
        yield from ((f"default {at}", v) for at, v in enumerate(function.__defaults__ or ()))
        yield from sorted((function.__kwdefaults__ or {}).items())
        cells = map(cell_content, function.__closure__ or ())
        yield from zip(function.__code__.co_freevars, cells, strict=True)
        yield from sorted(vars(function).items())
    else:
        yield from sorted(getattr(function, "__dict__", {}).items())


def _stripped(walker: CodeWalker, value: Any) -> Any:
    """A value; of a function its data and of a class its place, for their code does not count."""
    if value is MISSING:
        return "missing"
    if isinstance(value, type):
        return place(value)
    if isinstance(value, (types.FunctionType, functools.partial, types.MethodType)):
        return place(value), walker.data_of(value)
    return value
