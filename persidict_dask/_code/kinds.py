"""Kinds of classes that are made from a description: what of them counts, and what repeats it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from persidict_dask._code.walk import CodeWalker
from persidict_dask._errors import UnstableKeyError

Members = Mapping[str, Any]
Parts = Iterator[tuple[str, bytes]]
"""Names of fields and their tokens, in their order."""


class Model(NamedTuple):
    """A kind of class that a library makes from a description."""

    fits: Callable[[type, Members], bool]
    hides: Callable[[type, str, Any], bool]
    parts: Callable[[CodeWalker, type, Members], Parts]
    has_hints: bool = False  # the parts tell the annotations


def holds(name: str) -> Callable[[type, Members], bool]:
    """A class is of the kind if it has a member of this name itself."""
    return lambda _, members: name in members


def hides(*names: str) -> Callable[[type, str, Any], bool]:
    """Members of these names repeat what the parts say."""
    return lambda _, key, value: key in names


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """A step in the path of an error from here."""
    try:
        yield
    except UnstableKeyError as error:
        error.prepend(name)
        raise
