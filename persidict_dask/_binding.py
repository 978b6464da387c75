"""The arguments of a call by name, so that equal calls are equal however they are spelled."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from persidict_dask._digest import SCALARS


class Binding:
    """Binds arguments to the names of what is really called, whatever a decorator looks like.

    By the signature that a decorator shows, calls that differ could look equal.

    Args:
        function: the plain function.
        ignored: names of arguments that are left out, also where they are among `*args` and
            `**kwargs` of a decorator that shows them.
    """

    def __init__(self, function: Any, ignored: Iterable[str] = ()) -> None:
        self._name = getattr(function, "__qualname__", type(function).__name__)
        self._ignored = frozenset(ignored)
        self._signature = _signature(function, follow_wrapped=False)
        names = [each.name for each in self._signature.parameters.values()]
        self._hidden = self._ignored - set(names)
        self._shown = _signature(function, follow_wrapped=True) if self._hidden else None
        self.first = names[0] if names else None
        self.defaults = {
            each.name: each.default
            for each in self._signature.parameters.values()
            if each.default is not each.empty and type(each.default) not in SCALARS
        }

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that count, by name."""
        if self._shown is not None:
            args, kwargs = self._without_hidden(self._shown, args, kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None
        bound.apply_defaults()
        arguments: dict[str, Any] = bound.arguments
        for name in self._ignored:
            arguments.pop(name, None)
        return arguments

    def _without_hidden(
        self, shown: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        places = [
            each.name
            for each in shown.parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        dropped = {at for at, name in enumerate(places) if name in self._hidden}
        kept = (value for at, value in enumerate(args) if at not in dropped)
        return tuple(kept), {k: v for k, v in kwargs.items() if k not in self._hidden}


def takes(function: Any, name: str) -> bool:
    """May a function be called with an argument of this name?"""
    parameters = _signature(function, follow_wrapped=False).parameters.values()
    shown = _signature(function, follow_wrapped=True).parameters
    return name in shown or any(
        each.name == name or each.kind is each.VAR_KEYWORD for each in parameters
    )


def _signature(function: Any, *, follow_wrapped: bool) -> inspect.Signature:
    """The signature; of built-in functions that have none, whatever they are called with."""
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except ValueError:
        return inspect.signature(lambda *args, **kwargs: None)
