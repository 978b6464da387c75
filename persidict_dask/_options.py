"""What a persisted function was given besides function and store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from persidict_dask._names import name_of
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
    given: str = ""  # the name that was given, where that in the store is another

    def __reduce__(self) -> tuple[Any, ...]:
        """Only what was given travels: it goes with every task."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {f.name: given[f.name] for f in fields(self) if given[f.name] != f.default}
        return _made, (changed,)

    def label_of(self, function: Any) -> str:
        """Return what messages call the function: its given name, or its name as it is written."""
        return self.given or (self.name if self.is_named else name_of(function))

    @property
    def ignored_globals(self) -> tuple[str, ...]:
        """What of `ignore` names globals, as `module.name`."""
        return tuple(name for name in self.ignore if "." in name)


def _made(given: dict[str, Any]) -> Options:
    return Options(**given)
