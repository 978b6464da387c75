"""The table of handlers: filled from above, so that a walk need not know who handles what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

W = TypeVar("W")

_KEPT: Final = 4096


class Table(Generic[W]):
    """Handlers of the objects that a walk `W` meets, each found once for a type."""

    def __init__(self) -> None:
        self._finders: tuple[Callable[[type], Callable[[W, Any], bytes] | None], ...] = ()
        self._found: dict[type, Callable[[W, Any], bytes]] = {}

    def find_by(self, *finders: Callable[[type], Callable[[W, Any], bytes] | None]) -> None:
        """Ask these for the handler of a type, in this order; the last one knows any type."""
        self._finders = finders
        self.forget()

    def forget(self) -> None:
        """The finders are asked again."""
        self._found.clear()

    def handler_of(self, cls: type) -> Callable[[W, Any], bytes]:
        """The handler of a type, found once for each."""
        handler = self._found.get(cls)
        if handler is None:
            if len(self._found) >= _KEPT:  # classes made in a loop are not kept alive
                self._found.clear()
            handler = self._found[cls] = self._find(cls)
        return handler

    def _find(self, cls: type) -> Callable[[W, Any], bytes]:
        answers = (find(cls) for find in self._finders)
        return next(handler for handler in answers if handler is not None)
