"""The conditional operations and `transform_item`, written once for all dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from persidict._primitives import ItemPrimitives
from persidict._retry import medium_pause, short_pause
from persidict._words import IF_ABSENT, Guard, Item, Stat, etag_of
from persidict.exceptions import ConcurrencyConflictError, refusal
from persidict.jokers_and_status_flags import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    ConditionalOperationResult,
    DeleteCurrentFlag,
    ETagConditionFlag,
    ETagIfExists,
    Joker,
    KeepCurrentFlag,
    OperationResult,
    RetrieveValueFlag,
    TransformingFunction,
    ValueType,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple, item_key

# A look and a guarded act that keep missing each other: far more often than contention explains.
_MOST_ROUNDS = 1000
_ROUNDS_AT_ONCE = 3  # before others are waited for


class ConditionalOperations(ItemPrimitives[ValueType]):
    """Operations that happen only over the version of the item which the caller expects.

    Conditions that do not hold and keys that are absent are results, never exceptions.
    """

    def get_with_etag(self, key: Any) -> ConditionalOperationResult[ValueType]:
        """Return the value together with its etag, in one consistent step."""
        return self.get_item_if(
            key,
            condition=ANY_ETAG,
            expected_etag=ITEM_NOT_AVAILABLE,
            retrieve_value=ALWAYS_RETRIEVE,
        )

    def get_item_if(
        self,
        key: Any,
        *,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> ConditionalOperationResult[ValueType]:
        """Compare the item's etag with the expected one, and fetch the value if asked to."""
        _check_flags(condition, retrieve_value)
        item = self._look(item_key(key), expected_etag, retrieve_value)
        return _seen(_met(condition, expected_etag, item), item)

    def set_item_if(
        self,
        key: Any,
        *,
        value: ValueType | KeepCurrentFlag | DeleteCurrentFlag,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> ConditionalOperationResult[ValueType]:
        """Write the value (or obey the joker) if the condition holds.

        Raises `MutationPolicyError` if the dict is append-only and the condition holds for an item
        that is there.
        """
        _check_flags(condition, retrieve_value)
        key = item_key(key)
        if value is KEEP_CURRENT:
            return self.get_item_if(
                key,
                condition=condition,
                expected_etag=expected_etag,
                retrieve_value=retrieve_value,
            )
        if value is DELETE_CURRENT:
            return self._delete_if(key, condition, expected_etag, retrieve_value)
        self._check_value(value)
        if condition is ETAG_IS_THE_SAME and not self._forbids_change_of(expected_etag):
            return self._replace(key, value, expected_etag, retrieve_value)
        return self._look_and_write(key, value, condition, expected_etag, retrieve_value)

    def setdefault_if(
        self,
        key: Any,
        *,
        default_value: ValueType,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> ConditionalOperationResult[ValueType]:
        """Insert the default if the item is absent and the condition holds for an absent item.

        An existing item is never changed. At most one of several concurrent callers inserts.
        """
        if isinstance(default_value, Joker):
            raise TypeError(f"default_value must be a value, not {default_value!r}")
        _check_flags(condition, retrieve_value)
        key = item_key(key)
        if _met(condition, expected_etag, None):
            self._check_value(default_value)
            written = self._write(key, default_value, IF_ABSENT)
            if written is not None:
                return _written(ITEM_NOT_AVAILABLE, written, default_value)
        item = self._look(key, expected_etag, retrieve_value)
        return _seen(item is not None and _met(condition, expected_etag, item), item)

    def discard_item_if(
        self, key: Any, *, condition: ETagConditionFlag, expected_etag: ETagIfExists
    ) -> ConditionalOperationResult[ValueType]:
        """Remove the item if it is there and the condition holds; the value is never read.

        Raises `MutationPolicyError` if the dict is append-only and the item would be removed.
        """
        _check_flags(condition, NEVER_RETRIEVE)
        return self._look_and_remove(item_key(key), condition, expected_etag)

    def discard_if(
        self, key: Any, *, condition: ETagConditionFlag, expected_etag: ETagIfExists
    ) -> ConditionalOperationResult[ValueType]:
        """Remove the item conditionally: another name of `discard_item_if`."""
        return self.discard_item_if(key, condition=condition, expected_etag=expected_etag)

    def transform_item(
        self,
        key: Any,
        *,
        transformer: TransformingFunction[ValueType],
        n_retries: int | None = 6,
    ) -> OperationResult[ValueType]:
        """Replace the item by what `transformer` makes of it, and lose nobody's update.

        The transformer gets the current value or `ITEM_NOT_AVAILABLE`, and returns a value or a
        joker. When another writer comes first, it is called again, after a pause, up to
        `n_retries` times (`None`: for ever); then `ConcurrencyConflictError` is raised.
        """
        key = item_key(key)
        last_attempt = _checked_retries(n_retries)
        found = self.get_with_etag(key)
        for attempt in count():
            value = transformer(found.new_value)  # type: ignore[arg-type]  # it was retrieved
            if value is KEEP_CURRENT:
                return _outcome(found)
            result = self._exchange(key, value, found.resulting_etag)
            if result.condition_was_satisfied:
                return _outcome(result)
            etag = found.resulting_etag
            if attempt == last_attempt or (last_attempt is None and not self._can_expect(etag)):
                raise self._conflict(key, attempt + 1, etag)
            self._let_others(attempt)
            found = self._again(key, value, result)
        raise AssertionError("unreachable")

    def _exchange(
        self, key: NonEmptySafeStrTuple, value: Any, expected: ETagIfExists
    ) -> ConditionalOperationResult[ValueType]:
        if value is DELETE_CURRENT:
            return self.discard_item_if(key, condition=ETAG_IS_THE_SAME, expected_etag=expected)
        return self.set_item_if(
            key,
            value=value,
            condition=ETAG_IS_THE_SAME,
            expected_etag=expected,
            retrieve_value=ALWAYS_RETRIEVE,
        )

    def _let_others(self, attempt: int) -> None:
        """Pause after a conflict: the longer, the dearer an attempt is in this store."""
        if self._stat_is_cheap:
            short_pause(attempt)
        else:
            medium_pause(attempt)

    def _again(
        self,
        key: NonEmptySafeStrTuple,
        value: Any,
        failed: ConditionalOperationResult[ValueType],
    ) -> ConditionalOperationResult[ValueType]:
        """Return the item as it is after the pause; a failed write may have told already."""
        if value is DELETE_CURRENT:
            return self.get_with_etag(key)
        # during the pause others go on: what was seen before it is outdated, mostly
        item = self._checked_read(key, failed.actual_etag)
        return failed if item and item.value is VALUE_NOT_RETRIEVED else _seen(False, item)

    def _refuse_change(self, key: Any = None) -> None:
        if self.append_only:
            raise refusal("append-only", self, key)

    def _forbids_change_of(self, expected: ETagIfExists) -> bool:
        return self.append_only and expected is not ITEM_NOT_AVAILABLE

    def _checked_read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        item = self._read(key, unless)
        if item is not None and item.value is not VALUE_NOT_RETRIEVED:
            self._check_value(item.value)
        return item

    def _look(
        self, key: NonEmptySafeStrTuple, expected: ETagIfExists, retrieve: RetrieveValueFlag
    ) -> Item[ValueType] | None:
        """Look at the item once, with its value as far as the caller wants it."""
        if retrieve is NEVER_RETRIEVE:
            return _unread(self._stat(key))
        unless = expected if retrieve is IF_ETAG_CHANGED else ITEM_NOT_AVAILABLE
        return self._checked_read(key, unless)

    def _replace(
        self,
        key: NonEmptySafeStrTuple,
        value: Any,
        expected: ETagIfExists,
        retrieve: RetrieveValueFlag,
    ) -> ConditionalOperationResult[ValueType]:
        """Write over the expected version: the condition is the guard, nothing is looked up."""
        for _ in self._rounds(key):
            written = self._write(key, value, Guard(expected))
            if written is not None:
                return _written(expected, written, value)
            item = self._look(key, expected, retrieve)
            # it may have become the expected version again by now
            if item is None or not self._is_met(ETAG_IS_THE_SAME, expected, item):
                return _seen(False, item)
        raise AssertionError("unreachable")

    def _look_and_write(
        self,
        key: NonEmptySafeStrTuple,
        value: Any,
        condition: ETagConditionFlag,
        expected: ETagIfExists,
        retrieve: RetrieveValueFlag,
    ) -> ConditionalOperationResult[ValueType]:
        """Write over what a look has shown to satisfy the condition."""
        for _ in self._rounds(key):
            stat = self._stat(key)
            if not self._is_met(condition, expected, _unread(stat)):
                item = self._fetched(key, stat, expected, retrieve)
                if item is None or not self._is_met(condition, expected, item):
                    return _seen(False, item)
                continue
            if stat is not None:
                self._refuse_change(key)
            # with a guard, what is reported as the etag before is what was replaced
            unguarded = condition is ANY_ETAG and not (self.append_only or self._can_guard())
            guard = None if unguarded else self._guard_over(key, condition, etag_of(stat))
            written = self._write(key, value, guard)
            if written is not None:
                return _written(etag_of(stat), written, value)
        raise AssertionError("unreachable")

    def _can_guard(self) -> bool:
        """True if a guard is obeyed, or is as good as free."""
        return self._stat_is_cheap or self.is_exact

    def _delete_if(
        self,
        key: NonEmptySafeStrTuple,
        condition: ETagConditionFlag,
        expected: ETagIfExists,
        retrieve: RetrieveValueFlag,
    ) -> ConditionalOperationResult[ValueType]:
        """Remove as `discard_item_if` does, and fetch what stays if the caller wants it."""
        for _ in self._rounds(key):
            if self._removed_at_once(key, condition, expected):
                return _deleted(expected)
            item = self._seen_before_removal(key, condition, expected, retrieve)
            if not self._is_met(condition, expected, item):
                return _seen(False, item)
            self._refuse_change(key)
            if item is None:
                return _seen(True, None)
            if self._remove(key, self._guard_over(key, condition, item.stat.etag)):
                return _deleted(item.stat.etag)
        raise AssertionError("unreachable")

    def _seen_before_removal(
        self,
        key: NonEmptySafeStrTuple,
        condition: ETagConditionFlag,
        expected: ETagIfExists,
        retrieve: RetrieveValueFlag,
    ) -> Item[ValueType] | None:
        """Return the item, with its value if the caller wants it and the condition is unmet."""
        if condition is ETAG_IS_THE_SAME and not self.append_only:
            return self._look(key, expected, retrieve)  # it was unmet a moment ago
        stat = self._stat(key)
        met = self._is_met(condition, expected, _unread(stat))
        return _unread(stat) if met else self._fetched(key, stat, expected, retrieve)

    def _look_and_remove(
        self, key: NonEmptySafeStrTuple, condition: ETagConditionFlag, expected: ETagIfExists
    ) -> ConditionalOperationResult[ValueType]:
        """Remove what satisfies the condition: at once if that is a guard, else after a look."""
        if self._removed_at_once(key, condition, expected):
            return _deleted(expected)
        for attempt in self._rounds(key):
            stat = self._stat(key)
            item = _unread(stat)
            met = self._is_met(condition, expected, item)
            if stat is None or not met:
                # gone between look and removal: the condition held for another state
                return _seen(met and attempt == 0, item)
            self._refuse_change(key)
            if self._remove(key, self._guard_over(key, condition, stat.etag)):
                return _deleted(stat.etag)
        raise AssertionError("unreachable")

    def _removed_at_once(
        self, key: NonEmptySafeStrTuple, condition: ETagConditionFlag, expected: ETagIfExists
    ) -> bool:
        if condition is not ETAG_IS_THE_SAME or expected is ITEM_NOT_AVAILABLE or self.append_only:
            return False
        return self._remove(key, Guard(expected))

    def _is_met(
        self, condition: ETagConditionFlag, expected: ETagIfExists, item: Item[ValueType] | None
    ) -> bool:
        """True if the condition holds, and a change can be made to depend on that."""
        if condition is ETAG_IS_THE_SAME and not self._can_expect(expected):
            return False
        return _met(condition, expected, item)

    def _guard_over(
        self, key: NonEmptySafeStrTuple, condition: ETagConditionFlag, etag: ETagIfExists
    ) -> Guard | None:
        """Return the guard for a change of what was seen; `None` if any version may be changed."""
        if self._can_expect(etag):
            return Guard(etag)
        if condition is ANY_ETAG:
            return None
        raise self._conflict(key, 1, etag)

    def _conflict(
        self, key: NonEmptySafeStrTuple, attempts: int, etag: ETagIfExists
    ) -> ConcurrencyConflictError:
        error = ConcurrencyConflictError(key, attempts)
        if not self._can_expect(etag):
            error.add_note(
                f"or it was not: no change can depend on the etag {etag!r} of the server"
            )
        return error

    def _rounds(self, key: NonEmptySafeStrTuple) -> Iterator[int]:
        for attempt in range(_MOST_ROUNDS):
            if attempt >= _ROUNDS_AT_ONCE:
                self._let_others(attempt - _ROUNDS_AT_ONCE)
            yield attempt
        raise ConcurrencyConflictError(key, _MOST_ROUNDS)

    def _fetched(
        self,
        key: NonEmptySafeStrTuple,
        stat: Stat | None,
        expected: ETagIfExists,
        retrieve: RetrieveValueFlag,
    ) -> Item[ValueType] | None:
        """Return the item of a look, with its value if the caller wants it."""
        unwanted = retrieve is IF_ETAG_CHANGED and expected == etag_of(stat)
        if stat is None or retrieve is NEVER_RETRIEVE or unwanted:
            return _unread(stat)
        return self._checked_read(key)


def _check_flags(condition: ETagConditionFlag, retrieve_value: RetrieveValueFlag) -> None:
    if retrieve_value not in (ALWAYS_RETRIEVE, NEVER_RETRIEVE, IF_ETAG_CHANGED):
        raise TypeError(
            "retrieve_value must be ALWAYS_RETRIEVE, NEVER_RETRIEVE or IF_ETAG_CHANGED, "
            f"not {retrieve_value!r}"
        )
    if condition not in (ANY_ETAG, ETAG_IS_THE_SAME, ETAG_HAS_CHANGED):
        raise ValueError(
            f"condition must be ANY_ETAG, ETAG_IS_THE_SAME or ETAG_HAS_CHANGED, not {condition!r}"
        )


def _checked_retries(n_retries: int | None) -> int | None:
    if n_retries is None:
        return None
    try:
        retries = int(n_retries)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"n_retries must be a number or None, not {n_retries!r}") from error
    if retries < 0:
        raise ValueError(f"n_retries must not be negative, got {retries}")
    return retries


def _met(
    condition: ETagConditionFlag, expected: ETagIfExists, item: Item[ValueType] | None
) -> bool:
    if condition is ANY_ETAG:
        return True
    same = bool(expected == (ITEM_NOT_AVAILABLE if item is None else item.stat.etag))
    return same if condition is ETAG_IS_THE_SAME else not same


def _unread(stat: Stat | None) -> Item[Any] | None:
    return None if stat is None else Item(VALUE_NOT_RETRIEVED, stat)


def _seen(satisfied: bool, item: Item[ValueType] | None) -> ConditionalOperationResult[ValueType]:
    """The result of an operation that changed nothing."""
    if item is None:
        return ConditionalOperationResult(
            satisfied, ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE
        )
    return ConditionalOperationResult(satisfied, item.stat.etag, item.stat.etag, item.value)


def _written(
    before: ETagIfExists, after: Stat, value: ValueType
) -> ConditionalOperationResult[ValueType]:
    return ConditionalOperationResult(True, before, after.etag, value)


def _deleted(before: ETagIfExists) -> ConditionalOperationResult[Any]:
    return ConditionalOperationResult(True, before, ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)


def _outcome(result: ConditionalOperationResult[ValueType]) -> OperationResult[ValueType]:
    return OperationResult(result.resulting_etag, result.new_value)  # type: ignore[arg-type]
