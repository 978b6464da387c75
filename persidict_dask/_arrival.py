"""Functions that come from another process: is the code here the code that the sender has?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from persidict_dask._code import Fingerprint
from persidict_dask._errors import UnstableKeyError
from persidict_dask._warn import warn_client


def expectation(function: Any) -> str | None:
    """Return the digits of the code that a function should have wherever it is sent by name.

    `None` if no key has them.
    """
    if function._expected is not None or not function._options.enabled:
        return function._expected  # type: ignore[no-any-return]
    owner = function._code.owner_of(*function._instance) if function._instance else None
    with suppress(UnstableKeyError):
        return function._code.digits(owner)  # type: ignore[no-any-return]
    return None


def agreed(sent: Fingerprint, find: Callable[[], Fingerprint]) -> Fingerprint:
    """Return the fingerprint that came with a function, if it is that of what runs here.

    The function has travelled, but not the modules that it uses. What was made differently
    on the way counts as it was sent.
    """
    try:
        here = find()
    except UnstableKeyError:
        return sent
    return here if _others(sent, here) else sent


def agrees(function: Any) -> bool:
    """True if a function has the code here that it was sent with."""
    with suppress(UnstableKeyError):
        return not is_other(function, function._code.of(), None)
    return True


def is_other(function: Any, code: Fingerprint, owner: type | None) -> bool:
    """True if the code is not what the sender has."""
    sent = function._code.sent(owner)
    if sent is not None:
        return bool(sent.hexdigest != code.hexdigest)
    if function._expected is None or (owner is not None and not function._instance):
        return False
    return not code.hexdigest.startswith(function._expected)


def _others(sent: Fingerprint, here: Fingerprint) -> list[str]:
    """Name what both know and what is not the same, of that which does not travel."""
    known = here.components
    return [
        name
        for name, seen in sent.components.items()
        if known.get(name, seen) != seen and not _travels(name)
    ]


def _travels(component: str) -> bool:
    _, _, name = component.partition(" ")
    return name.startswith("__main__.") or "<" in name


def warn_of_other_code(function: Any, code: Fingerprint, owner: type | None) -> None:
    """Say that the code that runs here is not what the sender has."""
    sent = function._code.sent(owner)
    others = [] if sent is None else _others(sent, code)
    what = f" ({', '.join(others)})" if others else ""
    warn_client(
        f"{function._options.name}: a worker has other code than the process that has sent the "
        f"call{what}: a module that was edited since the worker has imported it, or another "
        "version of a library. The worker runs what it has; the result is stored as that of the "
        "code of the worker, and not where the sender looks for it"
    )
