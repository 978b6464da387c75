"""The note beside each result: what made it, out of what, when and where."""

from __future__ import annotations

import functools
import platform
import reprlib
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from persidict_dask._origin import known_as

_LIBRARIES = ("persidict", "dask", "numpy", "pandas", "pyarrow", "scipy", "sklearn")
_LONGEST_FORM = 120


def provenance(
    function: Any,
    code: Any,
    arguments: Mapping[str, Any],
    digests: Mapping[str, str],
    seconds: float,
) -> dict[str, Any]:
    """Return what is known about a result, as plain JSON."""
    return {
        "function": function.__qualname__,
        "module": known_as(function.__module__),
        "source": function._options.source,
        "fingerprint": code.hexdigest,
        "code": dict(code.components),
        "globals": dict(code.values),
        "arguments": described(arguments, digests),
        "seconds": seconds,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "worker": _worker_name(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }


def described(arguments: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """Return digest and short form of each argument."""
    return {
        name: {"digest": digests.get(name), "value": short_form(value)}
        for name, value in arguments.items()
    }


def short_form(value: Any) -> str:
    """Describe a value in a line: its shape if it has one, else the beginning of its repr."""
    try:
        shape = getattr(value, "shape", None)
        text = f"shape {shape}" if isinstance(shape, tuple) else reprlib.repr(value)
    except Exception as error:  # the description is a courtesy; it must not cost the result
        text = f"no repr: {error}"
    text = text if len(text) <= _LONGEST_FORM else text[: _LONGEST_FORM - 3] + "..."
    return f"{type(value).__name__} {text}"


def _worker_name() -> str | None:
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:  # not on a worker
        return None


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in _LIBRARIES if name in sys.modules}


@functools.cache
def _version(module: str) -> str:
    try:
        return version("scikit-learn" if module == "sklearn" else module)
    except PackageNotFoundError:
        return "unknown"
