"""Settings of a policy as people would write them: those of tenacity have no repr of their own."""

from __future__ import annotations

from typing import Any

from persidict import shown as store_settings


def shown(value: Any) -> str:
    """Return the repr of a setting."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple):
        inside = ", ".join(map(shown, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if not type(value).__module__.startswith("tenacity"):
        return store_settings.value(value)
    given = ", ".join(f"{name}={shown(each)}" for name, each in _settings(value).items())
    return f"{type(value).__name__}({given})"


def _settings(thing: Any) -> dict[str, Any]:
    return {
        name: each
        for name, each in vars(thing).items()
        if isinstance(each, type) or not callable(each)
    }
