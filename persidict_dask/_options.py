"""What a persisted function was given besides function and store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from persidict_dask._trouble import OnStoreError
from persidict_dask.retries import RetryPolicy


@dataclass(frozen=True)
class Options:
    """What `persist` was given besides function and store; it travels with the function."""

    name: str
    version: str | None = None
    ignore: tuple[str, ...] = ()
    by_value: tuple[str, ...] = ()
    validate: Callable[[Any], bool] | None = None
    ttl: float | None = None
    verify: float = 0.0
    single_flight: bool = True
    retry: RetryPolicy | None = None
    enabled: bool = True
    is_named: bool = False
    on_store_error: OnStoreError = "warn"
    source: str = ""

    @property
    def ignored_globals(self) -> tuple[str, ...]:
        """What of `ignore` names globals, as `module.name`."""
        return tuple(name for name in self.ignore if "." in name)
