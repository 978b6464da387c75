"""Errors of attempts as a record keeps them: for people, and for who raises them again."""

from __future__ import annotations

import base64
import pickle
import traceback
from typing import Any

_LONGEST = 4096
"""Bytes of a pickled error, and letters of a traceback, that are kept."""


def packed(error: Exception) -> dict[str, Any]:
    """Return an error as plain JSON: its text, its traceback, and itself if it can be pickled."""
    told = "".join(traceback.format_exception(error))
    text = traceback.format_exception_only(error)[0].strip()
    return {"text": text[:_LONGEST], "traceback": told[-_LONGEST:], "pickle": _pickled(error)}


def unpacked(told: dict[str, Any]) -> Exception:
    """Return the error; where it could not be pickled, one that says what it was."""
    if told["pickle"] is not None:
        try:
            error = pickle.loads(base64.b64decode(told["pickle"]))
        except Exception:  # its class is not to be had here, or makes none of what was kept
            error = None
        if isinstance(error, Exception):
            return error
    return RuntimeError(f"an earlier attempt has raised {told['text']}")


def _pickled(error: Exception) -> str | None:
    try:
        import cloudpickle

        data: bytes = cloudpickle.dumps(error)
    except Exception:
        return None
    return base64.b64encode(data).decode() if len(data) <= _LONGEST else None
