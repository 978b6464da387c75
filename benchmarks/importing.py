"""The time of an import beyond the start of the interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks._harness import Contender, Race, Target
from benchmarks._scale import Scale

PROGRAM = "from time import perf_counter as t; a = t(); import {}; print(t() - a)"


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield one race; each import happens in a fresh interpreter."""
    baseline = _contender("diskcache")
    others = [_contender(module) for module in ("shelve", "zict", "joblib", "numpy")]
    others.append(_contender("persidict", Target(seconds=0.15)))
    yield Race("import", baseline, others)


def _contender(module: str, target: Target | None = None) -> Contender:
    return Contender(f"import {module}", partial(import_seconds, module), target)


def import_seconds(module: str) -> float:
    """Return how long a fresh interpreter takes for the import alone."""
    command = [sys.executable, "-c", PROGRAM.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)
