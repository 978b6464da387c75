"""What a call is to those who write down its attempts: a key, and how people know it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persidict import NonEmptySafeStrTuple
from persidict_dask._digest import digest
from persidict_dask._names import name_of, safe_name
from persidict_dask._provenance import short_form


@dataclass(frozen=True)
class Subject:
    """One call: the same key in every process, for equal arguments of equal code."""

    key: NonEmptySafeStrTuple
    name: str
    arguments: Mapping[str, Any]
    label: str = ""  # in messages, if it is not the name

    @classmethod
    def of(cls, function: Any, args: Any, kwargs: Any) -> Subject:
        """Name a call by its content; raises `UnstableKeyError` if it has no stable one."""
        name = name_of(function)
        key = NonEmptySafeStrTuple(safe_name(name), digest(function, args, kwargs))
        return cls(key, name, _bound(function, args, kwargs))

    def forms(self) -> dict[str, str]:
        """Return the short forms of the arguments."""
        return {name: short_form(value) for name, value in self.arguments.items()}

    def __str__(self) -> str:
        given = ", ".join(f"{name}={form}" for name, form in self.forms().items())
        return f"{self.label or self.name}({given})"


def _bound(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # the call itself will tell what is wrong
        return {**{f"argument {i}": value for i, value in enumerate(args)}, **kwargs}
