"""Where handles keep their records: beside the items of a store, out of their way."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Self, TypeAlias

from persidict import LocalDict, NonEmptySafeStrTuple, PersiDict
from persidict_dask._maintenance import (
    check_carries_records,
    identity_of,
    payloads_beside,
    records_beside,
    truth_of,
)
from persidict_dask._stores import Store, StoreRef, reference

Somewhere: TypeAlias = "Store | StoreRef | str | os.PathLike[str]"


class Place:
    """A store that handles can rely on; one that is given by URL is opened when first needed."""

    def __init__(self, store: Somewhere) -> None:
        if isinstance(store, str | os.PathLike):
            store = _located(store)
        if not isinstance(store, PersiDict | StoreRef):
            raise TypeError(f"a store is a PersiDict or a URL, not {type(store).__name__}")
        self._store = store
        if isinstance(store, PersiDict):
            _check_exact(store)

    @cached_property
    def store(self) -> Store:
        """The store itself."""
        if isinstance(self._store, PersiDict):
            return self._store
        store = self._store.open()
        _check_exact(store)
        return store

    @property
    def ref(self) -> StoreRef:
        """The store by reference; opens nothing."""
        return self._store if isinstance(self._store, StoreRef) else StoreRef.of(self._store)

    @cached_property
    def identity(self) -> Any:
        """What is the same for all handles of this process on one place."""
        return identity_of(self.store)

    @cached_property
    def records(self) -> PersiDict[str]:
        """Texts, changed by swaps."""
        return _once(self, records_beside)

    @cached_property
    def payloads(self) -> PersiDict[bytes]:
        """Values too large for a record, each written once."""
        return _once(self, payloads_beside)

    @cached_property
    def is_near(self) -> bool:
        """True if looking costs no request to a server."""
        return not hasattr(truth_of(self.store), "bucket_name")


class Handle:
    """A name in a store. Picklable: what arrives is a handle that holds nothing.

    Args:
        store: a dictionary, or the URL of one.
        name: a string, the same for all who mean the same thing.
    """

    kind: ClassVar[str]

    def __init__(self, store: Somewhere, name: str, **settings: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name is a string, not {type(name).__name__}")
        self.name = name
        self._key = NonEmptySafeStrTuple(self.kind, name)
        self._place = Place(store)
        self._settings = settings

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self._place.ref, self.name, self._settings)

    def __dask_tokenize__(self) -> Any:
        # a default may be anything, and is no part of what is shared
        settings = tuple(sorted((n, v) for n, v in self._settings.items() if n != "default"))
        return (self.kind, self._place.ref.__dask_tokenize__(), self.name, settings)

    def __persist_token__(self) -> Any:
        return self.__dask_tokenize__()

    def __repr__(self) -> str:
        more = "".join(f", {name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({self.name!r}{more})"

    def __copy__(self) -> Self:
        return type(self)(self._place.store, self.name, **self._settings)


_opened: dict[Any, PersiDict[Any]] = {}


def _once(place: Place, beside: Callable[[Store], PersiDict[Any]]) -> PersiDict[Any]:
    """Open a dictionary beside a store once in this process, for all handles that arrive here."""
    if not isinstance(place.identity, StoreRef):  # one of a kind, or in memory
        return beside(place.store)
    what = (place.identity, beside)
    if what not in _opened:
        _opened[what] = beside(place.store)
    return _opened[what]


def _rebuilt(cls: type[Handle], ref: StoreRef, name: str, settings: dict[str, Any]) -> Handle:
    return cls(ref, name, **settings)


def _located(url: str | os.PathLike[str]) -> StoreRef:
    ref = reference(url)
    if issubclass(ref.cls, LocalDict):
        raise ValueError("'memory:' is another store each time: make a LocalDict and pass that")  # noqa: TRY004
    return ref


def _check_exact(store: Store) -> None:
    check_carries_records(store)
    if not truth_of(store).is_exact:
        raise ValueError(
            f"{type(store).__name__} is not exact: between its checks and its writes others can "
            "come, so that two could hold the same; use a dictionary whose is_exact is True"
        )


def positive(what: str, value: float) -> float:
    """Return a number that is more than zero, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is a number, not {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{what} must be positive and finite, not {value!r}")
    return value


def whole(what: str, value: int, least: int = 1) -> int:
    """Return an int that is not too small, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is an int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, not {value}")
    return value
