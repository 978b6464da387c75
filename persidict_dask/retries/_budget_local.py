"""What a process has one of for all equal handles: found at once, and begun anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, Self

from persidict_dask.coordination._places import Handle, Place


class Local(Protocol):
    """What a process remembers."""

    def begin(self) -> None:
        """Forget everything, and let go of everything that another thread may hold."""


class Shared(Handle):
    """A handle that is a value: equal to all that mean the same, in every process."""

    @cached_property
    def _ident(self) -> Any:
        return type(self), _named(self._place), self.name, tuple(sorted(self._settings.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and self._ident == other._ident

    def __hash__(self) -> int:
        return hash(self._ident)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: Any) -> Self:
        return self


def _named(place: Place) -> Any:
    try:
        return place.ref
    except TypeError:  # it has parts that cannot be named, such as a client: it is one of a kind
        return id(place.store)


class _Locals:
    """They are kept: tasks come and go, and their handles with them."""

    def __init__(self) -> None:
        self._all: dict[Any, Any] = {}
        self._lock = threading.RLock()

    def of(self, ident: Any, make: Callable[[], Any]) -> Any:
        """Return the one for this, made when it is asked for first."""
        found = self._all.get(ident)
        if found is not None:
            return found
        with self._lock:
            if ident not in self._all:
                self._all[ident] = make()
            return self._all[ident]

    def begin(self) -> None:
        """Let all begin anew; handles keep what they have found."""
        self._lock = threading.RLock()
        for each in self._all.values():
            each.begin()


_locals = _Locals()
local_of = _locals.of
if hasattr(os, "register_at_fork"):
    # threads do not come along, and what the parent has earned and seen is the parent's
    os.register_at_fork(after_in_child=_locals.begin)
