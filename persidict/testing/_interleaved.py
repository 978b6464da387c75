"""Another writer between two steps: runs actions before chosen calls of primitives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from persidict._blobs import BlobStore

ITEM_PRIMITIVES = ("_stat", "_read", "_write", "_remove")
BLOB_PRIMITIVES = ("stat", "read", "write", "remove")


class Interleaved:
    """While entered, counts the primitive calls of dictionaries and blob stores.

    `before` maps the number of a call (from 1) to what runs just before it. Calls that are made
    by these actions, or by another primitive, are not counted: a primitive is one step.
    """

    def __init__(self, *targets: Any, before: Mapping[int, Callable[[], object]]) -> None:
        self._targets = targets
        self._actions = before
        self._busy = False
        self.calls: list[str] = []
        """The names of the primitives that were called, in order."""

    @property
    def happened(self) -> bool:
        """True if all the actions have run."""
        return len(self.calls) >= max(self._actions)

    def __enter__(self) -> Self:
        for target in self._targets:
            for name in _primitives(target):
                # an attribute of the instance hides the method of its class
                setattr(target, name, partial(self._call, name, getattr(target, name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for target in self._targets:
            for name in _primitives(target):
                delattr(target, name)

    def _call(self, name: str, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._busy:
            return primitive(*args, **kwargs)
        self._busy = True
        try:
            self.calls.append(name)
            if len(self.calls) in self._actions:
                self._actions[len(self.calls)]()
            return primitive(*args, **kwargs)
        finally:
            self._busy = False


def _primitives(target: Any) -> tuple[str, ...]:
    return BLOB_PRIMITIVES if isinstance(target, BlobStore) else ITEM_PRIMITIVES
