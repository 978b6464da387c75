"""What a backend supplies to run the dictionary suites: fixtures, hooks and capabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import pytest

from persidict.persi_dict import PersiDict
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._oracle import MUTABLE, Policy

AnyDict: TypeAlias = PersiDict[Any]
Make: TypeAlias = Callable[..., AnyDict]
F = TypeVar("F", bound=Callable[..., Any])


class Lacks(str):
    """Something that a backend cannot do, with the reason in a sentence; false."""

    __slots__ = ()

    def __new__(cls, reason: str) -> Self:
        if len(reason.split()) < 3:
            raise ValueError("a backend that lacks a capability says why, in a sentence")
        return super().__new__(cls, reason)

    def __bool__(self) -> bool:
        return False


Capability: TypeAlias = bool | Lacks


def needs(*capabilities: str) -> Callable[[F], F]:
    """Mark a test of a suite as one for backends that have all these capabilities."""

    def mark(test: F) -> F:
        test.__dict__["needs"] = capabilities
        return test

    return mark


class Suite:
    """Tests, minus those for which the class lacks a capability: they are not collected."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in [name for name in dir(cls) if name.startswith("test_")]:
            # None was put there for a base class that lacks what this one may have
            test = next(t for t in _along_mro(cls, name) if t is not None)
            wanted = getattr(test, "needs", ())
            setattr(cls, name, test if all(getattr(cls, each) for each in wanted) else None)

    @classmethod
    def lacks(cls) -> dict[str, str]:
        """Return what the class lacks, with the reasons."""
        values = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("__")}
        return {name: str(value) for name, value in values.items() if isinstance(value, Lacks)}


def _along_mro(cls: type, name: str) -> Iterator[Any]:
    return (vars(base)[name] for base in cls.__mro__ if name in vars(base))


class DictFixtures(Suite):
    """The ground of the dictionary suites.

    A subclass supplies a fixture `storage`, which is a new and empty place, and a method `open`,
    which opens a handle on it. Two calls give two handles on one storage.
    """

    policy: ClassVar[Policy] = MUTABLE
    serialization_format: ClassVar[str] = "pkl"
    """What a handle reports that was opened without options."""

    keeps: ClassVar[Capability] = True
    """What was stored can be read again."""
    any_value: ClassVar[Capability] = True
    """Stores any Python object, not only strings."""
    cross_handle: ClassVar[Capability] = True
    """A second handle sees what the first one wrote."""
    shared: ClassVar[Capability] = True
    """A second process sees it too."""
    fresh_etag: ClassVar[Capability] = True
    """`etag()` is the etag of the item as it is now, whoever wrote it."""
    unique_etags: ClassVar[Capability] = True
    """A later version never has the etag of an earlier one, even if the values are equal."""
    has_subdicts: ClassVar[Capability] = True
    """`get_subdict` works."""
    shared_by_formats: ClassVar[Capability] = True
    """Handles of different formats on one storage see disjoint items."""
    reports_absence: ClassVar[Capability] = True
    """`del` of an absent key raises `KeyError`."""
    reopens: ClassVar[Capability] = True
    """`type(d)(**d.get_params())` opens the same storage again."""
    one_step: ClassVar[Capability] = True
    """Removals do not ask `in` first."""
    typed: ClassVar[Capability] = True
    """`open` takes `base_class_for_values`, and handles may differ in it."""

    def open(self, storage: Any, **options: Any) -> AnyDict:
        """Open a handle; options are those of `PersiDict`, each with its default."""
        raise NotImplementedError("supply a method `open`")

    @pytest.fixture
    def make(self, storage: Any) -> Make:
        """Return what opens handles on one storage."""
        return partial(self.open, storage)

    @pytest.fixture
    def d(self, make: Make) -> AnyDict:
        """Return a handle on an empty storage."""
        return make()

    def value(self, n: int) -> Any:
        """Return the n-th of the sample values; different numbers give different values."""
        if self.any_value:
            return {"n": n, "nested": [n, ("\u00e4", None)]}
        return f"text {n} \u00e4\r\n"

    def plant_unreadable(self, storage: Any, key: NonEmptySafeStrTuple) -> None:
        """Make `key` an item that exists and whose value cannot be read.

        With a way around the dictionary, damage the stored bytes instead.
        """
        self.open(storage)[key] = Unreadable()


class InSubdict(DictFixtures):
    """Put before a backend's fixtures: the same suite on a sub-dictionary of its dictionaries."""

    prefix: ClassVar[tuple[str, ...]] = ("sub", "dict")

    def open(self, storage: Any, **options: Any) -> AnyDict:
        """Open a handle on the items under the prefix, which has neighbours."""
        whole = super().open(storage)
        for neighbour in ("sub", ("sub", "other"), ("sub", "dict"), "beside", ("sub", "dict2")):
            if neighbour not in whole:
                whole[neighbour] = self.value(-1)
        return super().open(storage, **options).get_subdict(self.prefix)


class UnreadableError(Exception):
    """The value of an item was read although nothing asks for it."""


def _fail() -> Any:
    raise UnreadableError


class Unreadable(str):
    """A value that goes into a store, by pickle or by copy, and never comes out again.

    It is a string, so that a dictionary of strings takes it too.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _fail, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _Stored()


class _Stored(Unreadable):
    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _fail()


def overwrite(d: AnyDict, key: Any, value: Any) -> None:
    """Write until the clock of the store has moved on, so that the timestamps differ."""
    before = d.timestamp(key) if key in d else None
    d[key] = value
    while d.timestamp(key) == before:
        d[key] = value
