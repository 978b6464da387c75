"""EmptyDict: accepts everything and keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from persidict._item_dict import ItemDict
from persidict._words import Guard, Item, Stat
from persidict.exceptions import AbsentKeyError, refusal
from persidict.jokers_and_status_flags import (
    DELETE_CURRENT,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    ConditionalOperationResult,
    ETagConditionFlag,
    ETagIfExists,
    ETagValue,
    Joker,
    OperationResult,
    RetrieveValueFlag,
    ValueType,
)
from persidict.persi_dict import NO_DEFAULT, PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple, item_key


class EmptyDict(ItemDict[ValueType]):
    """A dictionary that is always empty: the off switch for persistence."""

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        return None

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        return None

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        return Stat(ETagValue("nothing"), 0.0)

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        return False

    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        return iter(())

    # Lookups do not even ask whether the key is a key.

    def __contains__(self, key: Any) -> bool:
        return False

    def __getitem__(self, key: Any) -> ValueType:
        raise AbsentKeyError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if value is not KEEP_CURRENT:
            super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        raise AbsentKeyError(key)

    def timestamp(self, key: Any) -> float:
        """Raise `KeyError`."""
        raise AbsentKeyError(key)

    def etag(self, key: Any) -> ETagValue:
        """Raise `KeyError`."""
        raise AbsentKeyError(key)

    def setdefault(self, key: Any, default: Any = None) -> ValueType:
        """Return the default, without storing it."""
        return default  # type: ignore[no-any-return]

    def discard(self, key: Any) -> bool:
        """Return `False`."""
        return False

    def pop(self, key: Any, /, default: Any = NO_DEFAULT) -> Any:
        """Return the default, or raise `KeyError`."""
        if default is NO_DEFAULT:
            raise AbsentKeyError(key)
        return default

    def popitem(self) -> tuple[NonEmptySafeStrTuple, ValueType]:
        """Raise `KeyError`."""
        raise KeyError("popitem(): the dictionary is empty")

    def clear(self) -> None:
        """Do nothing."""

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return another empty dictionary."""
        return type(self)(**self.get_params())

    # A write whose condition holds leaves the item absent, so results are those of a look.

    def set_item_if(
        self,
        key: Any,
        *,
        value: Any,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> ConditionalOperationResult[ValueType]:
        """Check the arguments and report an absent item."""
        result = self.get_item_if(
            key, condition=condition, expected_etag=expected_etag, retrieve_value=retrieve_value
        )
        if value is not KEEP_CURRENT and value is not DELETE_CURRENT:
            self._check_value(value)
        return result

    def setdefault_if(
        self,
        key: Any,
        *,
        default_value: Any,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> ConditionalOperationResult[ValueType]:
        """Check the arguments and report an absent item."""
        if isinstance(default_value, Joker):
            raise TypeError(f"default_value must be a value, not {default_value!r}")
        return self.get_item_if(
            key, condition=condition, expected_etag=expected_etag, retrieve_value=retrieve_value
        )

    def transform_item(
        self, key: Any, *, transformer: Any, n_retries: int | None = 6
    ) -> OperationResult[ValueType]:
        """Report an absent item, without calling the transformer."""
        item_key(key)
        return OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)

    def _process_joker(self, key: NonEmptySafeStrTuple, value: Any) -> Any:
        if value is DELETE_CURRENT and self.append_only:
            raise refusal("append-only", self, key)
        return super()._process_joker(key, value)
