"""Arguments that an attempt uses up: another one would find them empty, and succeed with that."""

from __future__ import annotations

import inspect
import io
import types
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias

Marks: TypeAlias = tuple[tuple[Any, Any], ...]
"""Open files, each with its position at the beginning, or `None` where there is no way back."""

_FILE = io.IOBase.__mro__[1]  # without the machinery of abstract classes: each call is looked at
_YIELDING = ("builtins", "itertools", "_csv")  # modules whose iterators do nothing else
_IN_MEMORY = (io.BytesIO, io.StringIO)


class Given(NamedTuple):
    """The arguments of a call, also those that a `partial` holds."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, function: Any, args: Any, kwargs: Any) -> Given:
        """Return all arguments that the function gets in the end."""
        while isinstance(function, partial):
            args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
            function = function.func
        return cls(function, tuple(args), kwargs)

    def named(self) -> Iterator[tuple[str, Any]]:
        """Yield the arguments with the names that the function gives them."""
        try:
            bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        except (TypeError, ValueError):  # it is written in C, or the call was wrong
            yield from ((str(i), each) for i, each in enumerate(self.args, 1))
            yield from self.kwargs.items()
            return
        for name, parameter in bound.signature.parameters.items():
            value = bound.arguments.get(name)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                yield from ((name, each) for each in value or ())
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                yield from (value or {}).items()
            else:
                yield name, value


def marked(function: Any, args: Any, kwargs: Any) -> Marks:
    """Remember where the open files among the arguments are read from."""
    if isinstance(function, partial):
        _, args, kwargs = Given.of(function, args, kwargs)
    files = [each for each in (*args, *kwargs.values()) if isinstance(each, _FILE)]
    return tuple((each, _position(each)) for each in files if _is_input(each)) if files else ()


def used_up(function: Any, args: Any, kwargs: Any, marks: Marks) -> str:
    """Set files back to where they were; say which argument cannot be read again, if one cannot."""
    lost = [file for file, position in marks if not _is_set_back(file, position)]
    for name, value in Given.of(function, args, kwargs).named():
        if _is_used_iterator(value) or any(value is file for file in lost):
            return (
                f"the argument {name!r} is a {type(value).__name__}, which can be read only once: "
                "give a list, or make it in the function"
            )
    return ""


def _is_input(file: Any) -> bool:
    """True for files that are there to be read; those that are written belong to the function."""
    with suppress(Exception):
        return bool(file.readable() and (isinstance(file, _IN_MEMORY) or not file.writable()))
    return False


def _position(file: Any) -> Any:
    with suppress(Exception):
        return file.tell() if file.seekable() else None
    return None


def _is_set_back(file: Any, position: Any) -> bool:
    with suppress(Exception):  # the attempt may have closed it
        if position is not None:
            file.seek(position)
            return True
    return False


def _is_used_iterator(value: Any) -> bool:
    """True if what it yields is lost, as far as that can be seen.

    Iterators that can do more than yield, such as cursors of databases, may be set back by the
    function.
    """
    if isinstance(value, types.GeneratorType):
        return inspect.getgeneratorstate(value) != inspect.GEN_CREATED
    if isinstance(value, types.AsyncGeneratorType):
        return True
    kind = type(value)
    if not (hasattr(kind, "__next__") or hasattr(kind, "__anext__")):
        return False
    return kind.__module__ in _YIELDING or all(name.startswith("_") for name in dir(kind))
