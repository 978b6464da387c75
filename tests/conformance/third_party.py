"""Dictionaries as an outsider writes them: the classic methods, and nothing of the primitives."""

from __future__ import annotations

import copy
import hashlib
import pickle
import time
from collections.abc import Iterator
from typing import Any

from persidict import MutationPolicyError, PersiDict
from persidict.jokers_and_status_flags import EXECUTION_IS_COMPLETE
from persidict.safe_str_tuple import NonEmptySafeStrTuple, SafeStrTuple


class Shelf:
    """What all handles share: rows of a value and a time, and the latest time of all."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], tuple[Any, float]] = {}
        self.latest = 0.0

    def __repr__(self) -> str:
        return f"<Shelf {id(self):#x}>"

    def put(self, place: tuple[str, ...], value: Any) -> None:
        self.latest = max(time.time(), self.latest + 2e-6)
        self.rows[place] = (copy.deepcopy(value), self.latest)


class MinimalDict(PersiDict[Any]):
    """As little as a subclass may define; its etag is the base class's, made of the timestamp."""

    def __init__(
        self,
        *,
        shelf: Shelf | None = None,
        prefix: tuple[str, ...] = (),
        append_only: bool = False,
        base_class_for_values: type | None = None,
        serialization_format: str = "pkl",
    ) -> None:
        super().__init__(
            append_only=append_only,
            base_class_for_values=base_class_for_values,
            serialization_format=serialization_format,
        )
        self.shelf = shelf or Shelf()
        self.rows = self.shelf.rows
        self.prefix = prefix

    def get_params(self) -> dict[str, Any]:
        parameters = super().get_params() | {"shelf": self.shelf, "prefix": self.prefix}
        return dict(sorted(parameters.items()))

    def _place(self, key: Any) -> tuple[str, ...]:
        return self.prefix + NonEmptySafeStrTuple(key).strings

    def _row(self, key: Any) -> tuple[Any, float]:
        try:
            return self.rows[self._place(key)]
        except KeyError as absent:
            raise KeyError(NonEmptySafeStrTuple(key)) from absent

    def __contains__(self, key: Any) -> bool:
        return self._place(key) in self.rows

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def __getitem__(self, key: Any) -> Any:
        value = copy.deepcopy(self._row(key)[0])
        if self.base_class_for_values and not isinstance(value, self.base_class_for_values):
            raise TypeError(f"not a {self.base_class_for_values.__name__}: {value!r}")
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._process_setitem_args(key, value) is EXECUTION_IS_COMPLETE:
            return
        self.shelf.put(self._place(key), value)

    def __delitem__(self, key: Any) -> None:
        self._check_may_delete()
        self.rows.pop(self._place(key), None)

    def _check_may_delete(self) -> None:
        if self.append_only:
            raise MutationPolicyError("append-only")

    def timestamp(self, key: Any) -> float:
        return self._row(key)[1]

    def get_subdict(self, prefix_key: Any) -> MinimalDict:
        prefix = self.prefix + SafeStrTuple(prefix_key).strings
        return type(self)(**{**self.get_params(), "prefix": prefix})

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        if not isinstance(result_type, set):
            raise TypeError(f"result_type must be a set, not {type(result_type).__name__}")
        if not result_type or result_type - {"keys", "values", "timestamps"}:
            raise ValueError(f"unknown fields: {result_type}")
        return self._iterate([f for f in ("keys", "values", "timestamps") if f in result_type])

    def _iterate(self, fields: list[str]) -> Iterator[Any]:
        start = len(self.prefix)
        for place in list(self.rows):
            if place[:start] != self.prefix or len(place) == start or place not in self.rows:
                continue
            key = NonEmptySafeStrTuple(place[start:])
            row: dict[str, Any] = {"keys": key, "timestamps": self.rows[place][1]}
            if "values" in fields:
                row["values"] = self[key]
            picked = tuple(row[field] for field in fields)
            yield picked[0] if len(fields) == 1 else picked


class VersionedDict(MinimalDict):
    """The same with etags of its own, and a `del` that reports what is absent."""

    def etag(self, key: Any) -> Any:
        return f"version {self.timestamp(key)!r}"

    def __delitem__(self, key: Any) -> None:
        self._check_may_delete()
        self._row(key)
        super().__delitem__(key)


class HashedDict(MinimalDict):
    """Equal values have equal etags, as in S3: a value that comes back brings its etag back."""

    def etag(self, key: Any) -> Any:
        return self.etag_of(self._row(key)[0])

    @staticmethod
    def etag_of(value: Any) -> str:
        return hashlib.md5(pickle.dumps(value)).hexdigest()
