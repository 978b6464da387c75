"""One call of a persisted function, and its place in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persidict import NonEmptySafeStrTuple
from persidict_dask._code import Fingerprint


@dataclass(frozen=True)
class Call:
    """A call, with what its key is made of."""

    key: NonEmptySafeStrTuple
    args: Any
    kwargs: Any
    arguments: dict[str, Any]
    digests: dict[str, str]
    code: Fingerprint
    owner: type | None
    reached: dict[int, Any]  # functions and classes that the arguments bring along, by id
