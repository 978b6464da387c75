"""Digests of objects, and of the arguments of a call by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persidict_dask._digest.frame import frame, hex_digest
from persidict_dask._digest.graph import root_token
from persidict_dask._digest.walk import SCALARS, Walker
from persidict_dask._errors import UnstableKeyError


def digest(*objects: Any) -> str:
    """Content hash of the objects: 40 hex characters, equal for equal content and type.

    Raises `UnstableKeyError` for content that would not be the same in another process.
    """
    walker: Walker | None = None
    tokens = []
    for at, obj in enumerate(objects):
        scalar = SCALARS.get(type(obj))
        if scalar is not None:
            tokens.append(scalar(obj))
        else:
            walker = walker or Walker()
            tokens.append(_named(walker, f"args[{at}]", obj))
    return hex_digest(frame(b"objects", b"".join(tokens)))


def digest_arguments(
    arguments: Mapping[str, Any],
    by_value: tuple[str, ...] = (),
    instance: Any = None,
    definitions: dict[int, Any] | None = None,
) -> dict[str, str]:
    """Digest of each argument of a call by its name, which begins the path of an error.

    Of the `instance` of a method the class counts by name: what the method reaches of its code is
    counted elsewhere. Functions and classes whose code counts are added to `definitions`.
    """
    walker = Walker(by_value, instance)
    if definitions is not None:
        walker.definitions = definitions
    return {name: hex_digest(_named(walker, name, value)) for name, value in arguments.items()}


def _named(walker: Walker, name: str, obj: Any) -> bytes:
    try:
        return root_token(walker, obj)
    except UnstableKeyError as error:
        error.prepend(name)
        raise
