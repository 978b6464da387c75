"""The five primitives on items that everything public is written on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic

from persidict._words import Guard, Item, Stat
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE, ETagIfExists, ValueType
from persidict.safe_str_tuple import NonEmptySafeStrTuple


class ItemPrimitives(ABC, Generic[ValueType]):
    """What a dictionary does to single items; absence is an answer and never an exception."""

    _append_only: bool
    _stat_is_cheap: bool = False

    @property
    def is_exact(self) -> bool:
        """True if conditional operations are exact: no writer can come between check and act."""
        return False

    @property
    def append_only(self) -> bool:
        """True if items can be added and never changed or removed."""
        return self._append_only

    def _can_expect(self, etag: ETagIfExists) -> bool:
        """True if the etag proves which version it is, so that a guard can name it."""
        return True

    @abstractmethod
    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        """Look at the item without reading its value."""

    @abstractmethod
    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        """Return value and version, which belong together; no value if the etag is `unless`."""

    @abstractmethod
    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        """Store the value and return its version; `None` if the guard did not hold."""

    @abstractmethod
    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        """Remove the item; `False` if it was absent or the guard did not hold."""

    @abstractmethod
    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        """Yield the keys lazily, with what a look tells about each if `stats` asks for it."""

    @abstractmethod
    def _check_value(self, value: Any) -> None:
        """Raise `TypeError` for what may not be stored or returned here."""
