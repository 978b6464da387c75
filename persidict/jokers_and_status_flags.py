"""Singleton flags, and the results of conditional operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NewType,
    Protocol,
    Self,
    TypeAlias,
    runtime_checkable,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # checkers bring their own

    ValueType = TypeVar("ValueType", default=Any)
else:
    from typing import TypeVar

    ValueType = TypeVar("ValueType")  # with a default from Python 3.13
ETagValue = NewType("ETagValue", str)


class _Singleton:
    """A class with one instance, which copying, pickling and jsonpickle all preserve."""

    _instance: Any = None

    def __new__(cls) -> Self:
        if type(cls._instance) is not cls:
            cls._instance = super().__new__(cls)
        instance: Self = cls._instance
        return instance

    def get_params(self) -> dict[str, Any]:
        """Return no parameters: the class alone identifies the flag."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({{}})"

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Joker(_Singleton):
    """A stand-in for a value that tells what to do with the item instead."""


class KeepCurrentFlag(Joker):
    """Assigned in place of a value: leave the item as it is, present or absent."""


class DeleteCurrentFlag(Joker):
    """Assigned in place of a value: remove the item if it is there."""


class ItemNotAvailableFlag(_Singleton):
    """Stands for the etag or the value of an item that does not exist."""


class ValueNotRetrievedFlag(_Singleton):
    """Stands for a value that exists and was not fetched."""


class ETagConditionFlag(_Singleton):
    """How the expected and the actual etag must relate for an operation to go ahead."""


class AnyETagFlag(ETagConditionFlag):
    """Satisfied always."""


class ETagIsTheSameFlag(ETagConditionFlag):
    """Satisfied if the item is still the expected version (or still absent)."""


class ETagHasChangedFlag(ETagConditionFlag):
    """Satisfied if the item is another version than the expected one."""


class RetrieveValueFlag(_Singleton):
    """When to fetch an existing value into a result."""


class AlwaysRetrieveFlag(RetrieveValueFlag):
    """Fetch the existing value."""


class NeverRetrieveFlag(RetrieveValueFlag):
    """Do not fetch it; stored bytes are not even read."""


class IfETagChangedRetrieveFlag(RetrieveValueFlag):
    """Fetch it only if the caller does not hold this version already."""


class StatusFlag(_Singleton):
    """Whether an assignment is done with, for authors of dictionary classes."""


class ContinueNormalExecutionFlag(StatusFlag):
    """The value is a regular one and remains to be written."""


class ExecutionIsCompleteFlag(StatusFlag):
    """A joker was dealt with; nothing is left to do."""


KEEP_CURRENT = KeepCurrentFlag()
DELETE_CURRENT = DeleteCurrentFlag()
ITEM_NOT_AVAILABLE = ItemNotAvailableFlag()
VALUE_NOT_RETRIEVED = ValueNotRetrievedFlag()
ANY_ETAG = AnyETagFlag()
ETAG_IS_THE_SAME = ETagIsTheSameFlag()
ETAG_HAS_CHANGED = ETagHasChangedFlag()
ALWAYS_RETRIEVE = AlwaysRetrieveFlag()
NEVER_RETRIEVE = NeverRetrieveFlag()
IF_ETAG_CHANGED = IfETagChangedRetrieveFlag()
CONTINUE_NORMAL_EXECUTION = ContinueNormalExecutionFlag()
EXECUTION_IS_COMPLETE = ExecutionIsCompleteFlag()

ETagIfExists: TypeAlias = ETagValue | ItemNotAvailableFlag


@runtime_checkable
class TransformingFunction(Protocol[ValueType]):
    """Maps the current value (or `ITEM_NOT_AVAILABLE`) to the next one, or to a joker."""

    def __call__(
        self, current: ValueType | ItemNotAvailableFlag, /
    ) -> ValueType | KeepCurrentFlag | DeleteCurrentFlag:
        """Return the next value, `KEEP_CURRENT` or `DELETE_CURRENT`."""
        ...


@dataclass(frozen=True)
class OperationResult(Generic[ValueType]):
    """What an item is after an unconditional operation."""

    resulting_etag: ETagIfExists
    new_value: ValueType | ItemNotAvailableFlag


@dataclass(frozen=True)
class ConditionalOperationResult(Generic[ValueType]):
    """Whether the condition held, and what the item was before and is after."""

    condition_was_satisfied: bool
    actual_etag: ETagIfExists
    resulting_etag: ETagIfExists
    new_value: ValueType | ItemNotAvailableFlag | ValueNotRetrievedFlag

    @property
    def value_was_mutated(self) -> bool:
        """True if the operation changed the item's etag."""
        return self.resulting_etag != self.actual_etag
