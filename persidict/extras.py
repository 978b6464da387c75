"""Optional libraries: whether they are there, and errors that name the extra which brings them."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed(library: str) -> bool:
    """True if a library can be imported; asked without importing it."""
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # something hides it
        return False


def require(user: str, *libraries: str, extra: str) -> None:
    """Raise `ModuleNotFoundError` that names the extra unless all the libraries are there."""
    missing = [library for library in libraries if not is_installed(library)]
    if missing:
        raise ModuleNotFoundError(
            f"{user} needs {', '.join(missing)}: pip install 'persidict[{extra}]'", name=missing[0]
        )
