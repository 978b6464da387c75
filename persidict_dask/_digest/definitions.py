"""Functions, classes and modules as values: the identity of their code, told from above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persidict_dask._digest.frame import frame
from persidict_dask._errors import UnstableKeyError


class Data:
    """What a function holds besides its code: defaults, closure, attributes."""

    def __init__(self, function: Any) -> None:
        self.function = function


_identify: list[Callable[[Any, tuple[str, ...]], str]] = []


def identify_code_by(function: Callable[[Any, tuple[str, ...]], str]) -> None:
    """Let `function(obj, by_value)` be the identity of the code of a function, class or module."""
    _identify[:] = [function]


def code_token(obj: Any, by_value: tuple[str, ...]) -> bytes:
    """Token of a function, class or module that is, or is a part of, a value."""
    try:
        return frame(b"code", _identify[0](obj, by_value).encode())
    except UnstableKeyError as error:
        error.enter()
        raise
