"""WriteOnceDict: the first value of each key stays; writing it again is no error."""

from __future__ import annotations

import random
from typing import Any, NoReturn, Self

from persidict._wrapped_dict import WrappedDict, checked_dict
from persidict.exceptions import refusal
from persidict.file_dir_dict import FileDirDict
from persidict.jokers_and_status_flags import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    CONTINUE_NORMAL_EXECUTION,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    ETagConditionFlag,
    ETagIfExists,
    KeepCurrentFlag,
    RetrieveValueFlag,
    ValueType,
)
from persidict.persi_dict import PersiDict, PersiDictKey
from persidict.safe_str_tuple import item_key


class WriteOnceDict(WrappedDict[ValueType]):
    """A dictionary for results that are the same whenever they are computed.

    Assigning to a key that exists leaves the first value and is no error. With a probability the
    two values are compared by content, and a difference raises `MutationPolicyError`.

    Args:
        wrapped_dict: an append-only dictionary; `None` for a `FileDirDict` in the default folder.
        p_consistency_checks: the probability of a comparison, `None` for 0.
    """

    def __init__(
        self,
        *,
        wrapped_dict: PersiDict[ValueType] | None = None,
        p_consistency_checks: float | KeepCurrentFlag | None = None,
    ) -> None:
        wrapped = FileDirDict(append_only=True) if wrapped_dict is None else wrapped_dict
        if not checked_dict("wrapped_dict", wrapped).append_only:
            raise ValueError("wrapped_dict must be append-only")
        super().__init__(wrapped)
        self._wrapped_dict = wrapped
        if isinstance(p_consistency_checks, KeepCurrentFlag):
            raise ValueError("there is no current p_consistency_checks to keep")  # noqa: TRY004
        self.p_consistency_checks = p_consistency_checks
        self._attempted = 0
        self._passed = 0

    @property
    def _inner(self) -> PersiDict[ValueType]:
        return self._wrapped_dict

    def get_params(self) -> dict[str, Any]:
        """Return the wrapped dictionary and the probability of checks."""
        return {
            "p_consistency_checks": self.p_consistency_checks,
            "wrapped_dict": self._wrapped_dict,
        }

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return a write-once dictionary around the wrapped one's sub-dictionary."""
        return type(self)(
            wrapped_dict=self._wrapped_dict.get_subdict(prefix_key),
            p_consistency_checks=self.p_consistency_checks,
        )

    @property
    def p_consistency_checks(self) -> float:
        """The probability with which a repeated write is compared with what is stored."""
        return self._p_consistency_checks

    @p_consistency_checks.setter
    def p_consistency_checks(self, probability: float | KeepCurrentFlag | None) -> None:
        if isinstance(probability, KeepCurrentFlag):
            return
        p = 0.0 if probability is None else float(probability)
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_consistency_checks must be in [0, 1], got {probability}")
        self._p_consistency_checks = p

    @property
    def consistency_checks_attempted(self) -> int:
        """How many repeated writes this object has compared."""
        return self._attempted

    @property
    def consistency_checks_passed(self) -> int:
        """How many of them were equal to what is stored."""
        return self._passed

    @property
    def consistency_checks_failed(self) -> int:
        """How many of them differed."""
        return self._attempted - self._passed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also spares a recursion before _wrapped_dict is set
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._wrapped_dict, name)

    def __getitem__(self, key: Any) -> ValueType:
        return self._wrapped_dict[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        key = item_key(key)
        if self._process_joker(key, value) is not CONTINUE_NORMAL_EXECUTION:
            return
        p = self.p_consistency_checks
        result = self._wrapped_dict.setdefault_if(
            key,
            default_value=value,
            condition=ANY_ETAG,
            expected_etag=ITEM_NOT_AVAILABLE,
            retrieve_value=ALWAYS_RETRIEVE if p >= 1 else NEVER_RETRIEVE,
        )
        if result.value_was_mutated:
            return
        if p >= 1:
            self._compare(key, result.new_value, value)
        elif p > 0 and random.random() < p:
            self._compare(key, self._wrapped_dict[key], value)

    def __delitem__(self, key: Any) -> NoReturn:
        raise refusal("write-once", self, key)

    def set_item_if(
        self,
        key: Any,
        *,
        value: Any,
        condition: ETagConditionFlag,
        expected_etag: ETagIfExists,
        retrieve_value: RetrieveValueFlag = IF_ETAG_CHANGED,
    ) -> NoReturn:
        """Raise `MutationPolicyError`."""
        raise refusal("write-once", self, key)

    def _compare(self, key: Any, stored: Any, value: Any) -> None:
        import joblib

        self._attempted += 1
        if joblib.hash(stored) != joblib.hash(value):
            raise refusal("write-once", self, key)
        self._passed += 1
