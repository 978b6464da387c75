"""PersiDict: the base class of all dictionaries, and everything they have in common."""

from __future__ import annotations

import heapq
import inspect
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from copy import deepcopy
from operator import itemgetter
from typing import Any, NoReturn, Self, TypeAlias, TypeVar, overload

from persidict import shown
from persidict._classic import ClassicPrimitives
from persidict._codecs import takes_any_value
from persidict._conditional import ConditionalOperations
from persidict._words import IF_ABSENT
from persidict.exceptions import AbsentKeyError, ConcurrencyConflictError, refusal
from persidict.jokers_and_status_flags import (
    CONTINUE_NORMAL_EXECUTION,
    DELETE_CURRENT,
    EXECUTION_IS_COMPLETE,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    DeleteCurrentFlag,
    ItemNotAvailableFlag,
    Joker,
    KeepCurrentFlag,
    StatusFlag,
    ValueType,
)
from persidict.safe_chars import contains_unsafe_chars
from persidict.safe_str_tuple import NonEmptySafeStrTuple, SafeStrTuple, item_key

PersiDictKey: TypeAlias = SafeStrTuple | Sequence[str] | str
NonEmptyPersiDictKey: TypeAlias = NonEmptySafeStrTuple | Sequence[str] | str
T = TypeVar("T")


class _NoDefault:
    """Where no default was given, which `None` cannot say."""

    def __repr__(self) -> str:
        return "<no default>"


NO_DEFAULT: Any = _NoDefault()
_SETDEFAULT_ROUNDS = 5
_FIELDS = ("keys", "values", "timestamps")


class PersiDict(
    ConditionalOperations[ValueType],
    ClassicPrimitives[ValueType],
    MutableMapping[NonEmptySafeStrTuple, ValueType],
):
    """A dictionary that outlives the process, or stands in for one that does.

    Keys are sequences of safe strings. Iterators are lazy and reflect the store at the time they
    get there. Besides `dict`'s methods there are etags, conditional operations and timestamps.

    A subclass provides `__contains__`, `__getitem__`, `__setitem__`, `__delitem__`, `__len__`,
    `timestamp`, `_generic_iter` and preferably `etag`; all else follows.

    Args:
        append_only: items can be added, never changed or removed.
        base_class_for_values: what stored and returned values must be instances of, or `None`.
        serialization_format: the storage format, which is also the file extension.
    """

    __hash__ = None  # type: ignore[assignment]  # the content changes

    def __init__(
        self,
        *,
        append_only: bool = False,
        base_class_for_values: type[ValueType] | None = None,
        serialization_format: str = "pkl",
    ) -> None:
        _check_format(serialization_format)
        _check_base_class(base_class_for_values, serialization_format)
        self._append_only = bool(append_only)
        self.base_class_for_values: type | None = base_class_for_values
        self.serialization_format = serialization_format

    # -- what a subclass provides ---------------------------------------------------------------

    @abstractmethod
    def __contains__(self, key: Any) -> bool: ...

    @abstractmethod
    def __len__(self) -> int: ...

    # -- parameters -----------------------------------------------------------------------------

    def get_params(self) -> dict[str, Any]:
        """Return the constructor arguments that give an equivalent dict over the same storage."""
        return {
            "append_only": self.append_only,
            "base_class_for_values": self.base_class_for_values,
            "serialization_format": self.serialization_format,
        }

    def clone(self, **overrides: Any) -> Self:
        """Return a dict built from a deep copy of the parameters, some of them replaced."""
        kept: dict[str, Any] = {
            name: value if isinstance(value, PersiDict) else deepcopy(value)
            for name, value in self.get_params().items()
            if name not in overrides
        }
        return type(self)(**kept, **overrides)

    @classmethod
    def get_default_params(cls) -> dict[str, Any]:
        """Return the declared defaults of the constructor, sorted by name."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {
            p.name: p.default
            for p in sorted(parameters, key=lambda p: p.name)
            if p.default is not p.empty
        }

    def __copy__(self) -> Self:
        return type(self)(**self.get_params())

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or deep-copied: send "
            "persidict_dask.StoreRef.of(it) and open() that, or make another one by clone()"
        )

    def __setstate__(self, state: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be unpickled")

    def __repr__(self) -> str:
        return shown.call(type(self).__name__, self.get_params())

    def _repr_html_(self) -> str:
        return shown.table(type(self).__name__, self.get_params(), _keys_later(self))

    # -- values and jokers ----------------------------------------------------------------------

    def _check_value(self, value: Any) -> None:
        if isinstance(value, PersiDict):
            raise TypeError("a PersiDict cannot be stored as a value")
        expected = self.base_class_for_values
        if expected is not None and not isinstance(value, expected):
            raise TypeError(
                f"a value must be of type {expected.__name__}, not {type(value).__name__}"
            )

    def _process_setitem_args(self, key: Any, value: Any) -> StatusFlag:
        """Deal with jokers and bad values; for the beginning of a subclass's `__setitem__`."""
        status = self._process_joker(item_key(key), value)
        if status is CONTINUE_NORMAL_EXECUTION and self.append_only and key in self:
            raise refusal("append-only", self, item_key(key))
        return status

    def _process_joker(self, key: NonEmptySafeStrTuple, value: Any) -> StatusFlag:
        if value is KEEP_CURRENT:
            return EXECUTION_IS_COMPLETE
        if value is DELETE_CURRENT:
            self.discard(key)
            return EXECUTION_IS_COMPLETE
        self._check_value(value)
        return CONTINUE_NORMAL_EXECUTION

    # -- the methods of dict --------------------------------------------------------------------

    def __bool__(self) -> bool:
        return next(iter(self.keys()), None) is not None

    def __iter__(self) -> Iterator[NonEmptySafeStrTuple]:
        return self._generic_iter({"keys"})

    def keys(self) -> Iterator[NonEmptySafeStrTuple]:  # type: ignore[override]  # not a view
        """Iterate over the keys, once."""
        return self._generic_iter({"keys"})

    def values(self) -> Iterator[ValueType]:  # type: ignore[override]  # not a view
        """Iterate over the values, once; items that vanish meanwhile are left out."""
        return self._generic_iter({"values"})

    def items(self) -> Iterator[tuple[NonEmptySafeStrTuple, ValueType]]:  # type: ignore[override]
        """Iterate over (key, value), once; items that vanish meanwhile are left out."""
        return self._generic_iter({"keys", "values"})

    def keys_and_timestamps(self) -> Iterator[tuple[NonEmptySafeStrTuple, float]]:
        """Iterate over (key, timestamp)."""
        return self._generic_iter({"keys", "timestamps"})

    def values_and_timestamps(self) -> Iterator[tuple[ValueType, float]]:
        """Iterate over (value, timestamp)."""
        return self._generic_iter({"values", "timestamps"})

    def items_and_timestamps(self) -> Iterator[tuple[NonEmptySafeStrTuple, ValueType, float]]:
        """Iterate over (key, value, timestamp)."""
        return self._generic_iter({"keys", "values", "timestamps"})

    @overload
    def get(self, key: Any, default: None = None) -> ValueType | None: ...
    @overload
    def get(self, key: Any, default: ValueType) -> ValueType: ...
    @overload
    def get(self, key: Any, default: T) -> ValueType | T: ...
    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value, or the default if the item is absent; bad keys still raise."""
        try:
            return self[key]
        except KeyError:
            return default

    def setdefault(self, key: Any, default: Any = None) -> ValueType:
        """Return the value; if the item is absent, insert the default first.

        Insertion is atomic where the store's "only if absent" is. A joker raises `TypeError`; an
        unfit default raises only if it would have to be stored.
        """
        if isinstance(default, Joker):
            raise TypeError(f"default must be a value, not {default!r}")
        key = item_key(key)
        for _ in range(_SETDEFAULT_ROUNDS):
            if self._inserted(key, default):
                return default  # type: ignore[no-any-return]
            with suppress(KeyError):  # which may be answered from a cache
                return self[key]
        raise ConcurrencyConflictError(key, _SETDEFAULT_ROUNDS)

    def _inserted(self, key: NonEmptySafeStrTuple, default: Any) -> bool:
        try:
            self._check_value(default)
        except TypeError:
            if self._stat(key) is None:
                raise
            return False
        return self._write(key, default, IF_ABSENT) is not None

    @overload
    def pop(self, key: Any, /) -> ValueType: ...
    @overload
    def pop(self, key: Any, /, default: ValueType) -> ValueType: ...
    @overload
    def pop(self, key: Any, /, default: T) -> ValueType | T: ...
    def pop(self, key: Any, /, default: Any = NO_DEFAULT) -> Any:
        """Remove the item and return its value, which no other caller gets as well.

        Raises `ConcurrencyConflictError`, with nothing removed, when others change the item
        during each of seven attempts.
        """
        self._refuse_change(key)
        key = item_key(key)
        value = self._popped(key)
        if value is not ITEM_NOT_AVAILABLE:
            return value
        if default is NO_DEFAULT:
            raise self._absence(key)
        return default

    def popitem(self) -> tuple[NonEmptySafeStrTuple, ValueType]:
        """Remove some item and return (key, value); `KeyError` if there is none."""
        self._refuse_change()
        for key in self.keys():
            value = self._popped(key)
            if not isinstance(value, ItemNotAvailableFlag):
                return key, value
        raise KeyError("popitem(): the dictionary is empty")

    def _popped(self, key: NonEmptySafeStrTuple) -> ValueType | ItemNotAvailableFlag:
        taken: Any = ITEM_NOT_AVAILABLE

        def take(current: Any, /) -> KeepCurrentFlag | DeleteCurrentFlag:
            nonlocal taken
            taken = current
            return KEEP_CURRENT if current is ITEM_NOT_AVAILABLE else DELETE_CURRENT

        self.transform_item(key, transformer=take)
        return taken  # type: ignore[no-any-return]

    def __ior__(self, other: Any) -> Self:
        if not isinstance(other, Mapping):
            raise TypeError(f"|= takes a mapping, not {type(other).__name__}")
        self.update(other)
        return self

    def clear(self) -> None:
        """Remove all items; not atomic."""
        self._refuse_change()
        for key in list(self.keys()):
            self._remove(item_key(key), None)

    def discard(self, key: Any) -> bool:
        """Remove the item if it is there, in one go, and tell whether it was."""
        self._refuse_change(key)
        return self._remove(item_key(key), None)

    def delete_if_exists(self, key: Any) -> bool:
        """Remove the item if it is there: an older name of `discard`."""
        return self.discard(key)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        if isinstance(other, PersiDict) and type(self) is type(other):
            with suppress(ValueError):  # parameters that refuse to be compared
                if self.get_params() == other.get_params():
                    return True
        return self._has_content_of(other)

    def _has_content_of(self, other: Mapping[Any, Any]) -> bool:
        try:
            return len(self) == len(other) and all(
                bool(self[key] == value) for key, value in other.items()
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            return False

    # -- beyond dict ----------------------------------------------------------------------------

    def get_subdict(self, prefix_key: PersiDictKey) -> PersiDict[ValueType]:
        """Return a live view of the items under the prefix, with the prefix cut off their keys."""
        raise NotImplementedError(f"{type(self).__name__} has no sub-dictionaries")

    def subdicts(self) -> dict[str, PersiDict[ValueType]]:
        """Return the sub-dictionary of each first component of a key."""
        return {name: self.get_subdict(name) for name in {key[0]: None for key in self.keys()}}

    def random_key(self) -> NonEmptySafeStrTuple | None:
        """Return a uniformly distributed key, or `None`; one pass, constant memory."""
        chosen = None
        for seen, key in enumerate(self.keys(), start=1):
            if random.randrange(seen) == 0:
                chosen = key
        return chosen

    def oldest_keys(self, *, max_n: int | None = None) -> list[NonEmptySafeStrTuple]:
        """Return up to `max_n` keys, those first that were written first."""
        if max_n is None:
            return [key for key, _ in sorted(self.keys_and_timestamps(), key=itemgetter(1))]
        return self._extreme_keys(heapq.nsmallest, max_n)

    def newest_keys(self, *, max_n: int | None = None) -> list[NonEmptySafeStrTuple]:
        """Return up to `max_n` keys, those first that were written last."""
        if max_n is None:
            return self.oldest_keys()[::-1]
        return self._extreme_keys(heapq.nlargest, max_n)

    def _extreme_keys(self, extremes: Any, max_n: int) -> list[NonEmptySafeStrTuple]:
        if max_n <= 0:
            return []
        return [k for k, _ in extremes(max_n, self.keys_and_timestamps(), key=itemgetter(1))]

    def oldest_values(self, *, max_n: int | None = None) -> list[ValueType]:
        """Return the values of `oldest_keys`; items that vanish meanwhile are left out."""
        return self._values_of(self.oldest_keys(max_n=max_n))

    def newest_values(self, *, max_n: int | None = None) -> list[ValueType]:
        """Return the values of `newest_keys`; items that vanish meanwhile are left out."""
        return self._values_of(self.newest_keys(max_n=max_n))

    def _values_of(self, keys: list[NonEmptySafeStrTuple]) -> list[ValueType]:
        values = []
        for key in keys:
            with suppress(KeyError):
                values.append(self[key])
        return values

    def _absence(self, key: NonEmptySafeStrTuple) -> KeyError:
        """Return the error for an item that is not there."""
        return AbsentKeyError(key)


def _keys_later(d: PersiDict[Any]) -> Iterator[NonEmptySafeStrTuple]:
    """Iterate over the keys, and ask for them no earlier than that."""
    yield from d.keys()


def checked_fields(result_type: Any) -> tuple[str, ...]:
    """Return what an iteration shall yield, in the order key, value, timestamp."""
    if not isinstance(result_type, set):
        raise TypeError(f"result_type must be a set, not {type(result_type).__name__}")
    if not result_type or not result_type.issubset(_FIELDS):
        raise ValueError(f"result_type must be a non-empty subset of {_FIELDS}: {result_type}")
    return tuple(field for field in _FIELDS if field in result_type)


def _check_format(serialization_format: Any) -> None:
    is_empty = hasattr(serialization_format, "__len__") and len(serialization_format) == 0
    if is_empty:
        raise ValueError("serialization_format must not be empty")
    if not isinstance(serialization_format, str):
        raise TypeError(
            f"serialization_format must be a string, not {type(serialization_format).__name__}"
        )
    if contains_unsafe_chars(serialization_format) or serialization_format in (".", ".."):
        raise ValueError(
            f"serialization_format cannot be {serialization_format!r}: it is a file extension"
        )


def _check_base_class(base_class: Any, serialization_format: str) -> None:
    if base_class is not None and not isinstance(base_class, type):
        raise TypeError(f"base_class_for_values must be a type or None, not {base_class!r}")
    if takes_any_value(serialization_format):
        return
    if base_class is None or not issubclass(base_class, str):
        raise ValueError(
            f"{serialization_format!r} stores text: base_class_for_values must be str or a "
            "subclass of it. For other values use 'pkl' or 'json', or register_format()"
        )
