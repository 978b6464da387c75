"""The retry policy of the persisted functions that have none of their own."""

from __future__ import annotations

from typing import Any

# One for each worker of this process, and one for each cluster that it is a client of.
_told: dict[object, Any] = {}


def default_policy() -> Any | None:
    """Return the policy that was installed here last, if any is installed."""
    return [*_told.values()][-1] if _told else None


def tell_policy(who: object, policy: Any | None) -> None:
    """Make it the default for as long as this worker or client says so."""
    _told.pop(who, None)
    if policy is not None:
        _told[who] = policy


def is_told(who: object, policy: Any | None) -> bool:
    """True if that is what this worker or client says now."""
    return _told.get(who) is policy
