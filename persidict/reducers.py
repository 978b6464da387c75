"""A reducer that the pickle format asks first, for as long as a caller lends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Reducer: TypeAlias = Callable[[Any], Any]

_lent: ContextVar[Reducer | None] = ContextVar("_lent", default=None)


@contextmanager
def reducing(reducer: Reducer) -> Iterator[None]:
    """Let what is stored in this block in the format "pkl" be pickled with a reducer.

    It is what `pickle.Pickler.reducer_override` is: it gets each object, and returns what
    `__reduce__` would, or `NotImplemented` to leave the object as it is.
    """
    token = _lent.set(reducer)
    try:
        yield
    finally:
        _lent.reset(token)


def current_reducer() -> Reducer | None:
    """Return what is lent here and now."""
    return _lent.get()
