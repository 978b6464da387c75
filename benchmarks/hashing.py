"""Content hashes of what calls are made of: arrays, frames, scalars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._scale import Scale


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield `digest` against the hashes of Dask and joblib, and against the raw one of bytes."""
    import xxhash

    array = np.random.default_rng(0).random(scale.array_mb * (1 << 17))
    raw = Contender("xxh3-128 of the bytes", timed(lambda: xxhash.xxh3_128_digest(array)))
    yield Race(
        f"hash of an array of {scale.array_mb} MB",
        raw,
        [
            *_peers(array),
            _ours(array, Target(ratio=1 / 0.8)),
            _ours(np.asfortranarray(array.reshape(-1, 128)), name="digest, Fortran order"),
        ],
    )
    frame = pd.DataFrame({"a": array[:100_000], "b": range(100_000), "c": ["x", "yy"] * 50_000})
    yield Race("hash of a frame of 100,000 rows", _tokenize(frame), [_joblib(frame), _ours(frame)])
    scalars = (1, 2.5, "fast", None, (1, 2))
    yield Race("hash of five scalars", _tokenize(scalars), [_joblib(scalars), _ours(scalars)])


def _peers(value: Any) -> list[Contender]:
    return [_tokenize(value), _joblib(value)]


def _tokenize(value: Any) -> Contender:
    from dask.base import tokenize

    return _hash("dask.tokenize", tokenize, value)


def _joblib(value: Any) -> Contender:
    import joblib

    return _hash("joblib.hash", joblib.hash, value)


def _ours(value: Any, target: Target | None = None, name: str = "digest") -> Contender:
    from persidict_dask import digest

    return _hash(f"persidict_dask.{name}", digest, value, target)


def _hash(
    name: str, function: Callable[[Any], Any], value: Any, target: Target | None = None
) -> Contender:
    return Contender(name, timed(lambda: function(value)), target)
