"""Keys: flat, hashable sequences of strings that are safe in file and object names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache, total_ordering
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, overload
from uuid import UUID

from persidict.safe_chars import (
    SAFE_CHARS_SET,
    SAFE_STRING_MAX_LENGTH,
    contains_unsafe_chars,
    replace_unsafe_chars,
)


@total_ordering
class SafeStrTuple(Sequence[str], Hashable):
    """A key: one or more safe strings, or none of them for the empty prefix.

    Takes strings and (nested) sequences of strings, and flattens them from left to right. Whole
    numbers, days (`date`, not `datetime`) and UUIDs become strings: 2025 is the same as "2025".
    Raises `TypeError` for other types, `ValueError` for strings that are empty, too long,
    "." or "..", or hold characters outside of `get_safe_chars()`.

    Keys are ordered as tuples of strings. A subclass may have a constructor of its own, which
    calls `super().__init__()` with the components.
    """

    __slots__ = ("_hash", "_source", "_strings")
    _strings: tuple[str, ...]
    _hash: int
    _source: tuple[Callable[[str], tuple[str, ...]], str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs:
            raise TypeError(
                f"{type(self).__name__} takes no keyword arguments, got {sorted(kwargs)}"
            )
        self._strings = tuple(_flatten(args))

    @classmethod
    def _from_safe(cls, strings: tuple[str, ...]) -> Self:
        """Wrap strings that are known to be safe."""
        self = cls.__new__(cls)
        self._strings = strings
        return self

    if not TYPE_CHECKING:  # a checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            """Work out what was not needed so far."""
            if name == "_strings":
                parse, text = self._source
                self._strings = parse(text)
                return self._strings
            if name == "_hash":
                self._hash = hash(self._strings)
                return self._hash
            if name == "_source":
                raise AttributeError(
                    f"a {type(self).__name__} has no components before super().__init__()"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def strings(self) -> tuple[str, ...]:
        """The components as a plain tuple."""
        return self._strings

    @property
    def str_chain(self) -> tuple[str, ...]:
        """The components as a plain tuple; an older name."""
        return self._strings

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._strings[index]

    def __len__(self) -> int:
        return len(self._strings)

    def __iter__(self) -> Iterator[str]:
        return iter(self._strings)

    def __contains__(self, item: object) -> bool:
        return item in self._strings

    def __reversed__(self) -> SafeStrTuple:  # type: ignore[override]  # a key, not an iterator
        return SafeStrTuple._from_safe(self._strings[::-1])

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SafeStrTuple):
            theirs = type(other).__eq__
            # a subclass with an equality of its own decides, on whichever side it stands;
            # when it asks us through super(), the components decide
            if theirs is not SafeStrTuple.__eq__ and type(self).__eq__ is SafeStrTuple.__eq__:
                return theirs(other, self)
            return self._strings == other._strings
        try:
            return self._strings == SafeStrTuple(other)._strings
        except (TypeError, ValueError, RecursionError):
            return NotImplemented

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __lt__(self, other: SafeStrTuple) -> bool:
        return self._strings < other._strings if isinstance(other, SafeStrTuple) else NotImplemented

    def __add__(self, other: Any) -> SafeStrTuple:
        return SafeStrTuple(self, other)

    def __radd__(self, other: Any) -> SafeStrTuple:
        return SafeStrTuple(other, self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._strings!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) in (SafeStrTuple, NonEmptySafeStrTuple):
            return type(self), self._strings
        # a constructor of its own takes something else than the components
        return _rebuilt, (type(self), self._strings), self._own_state()

    def _own_state(self) -> Any:
        """Return what a subclass keeps besides the components."""
        state: Any = object.__getstate__(self)
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        own = {n: v for n, v in (slots or {}).items() if n not in SafeStrTuple.__slots__}
        return (attributes, own) if attributes or own else None


class NonEmptySafeStrTuple(SafeStrTuple):
    """The key of an item: at least one safe string; `ValueError` for an empty one."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self._strings:
            raise ValueError("the key of an item needs at least one component")


def _rebuilt(cls: type[SafeStrTuple], strings: tuple[str, ...]) -> SafeStrTuple:
    return cls._from_safe(strings)


def item_key(key: Any) -> NonEmptySafeStrTuple:
    """Return `key` as the key of an item, or raise `TypeError` or `ValueError`."""
    kind = type(key)
    if kind is NonEmptySafeStrTuple:
        return key  # type: ignore[no-any-return]
    return _key_of(key) if kind is str else NonEmptySafeStrTuple(key)


@lru_cache(maxsize=16384)
def _key_of(text: str) -> NonEmptySafeStrTuple:
    return NonEmptySafeStrTuple(text)


def prefix_strings(prefix: Any) -> tuple[str, ...]:
    """Return the components of `prefix`, which may be empty, or raise as `item_key` does."""
    return SafeStrTuple(prefix).strings


def _flatten(parts: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield checked_component(part)
        elif isinstance(part, SafeStrTuple):
            yield from part._strings
        elif _is_sequence(part):
            yield from _flatten(part)
        else:
            yield checked_component(_spelled(part))


def _spelled(part: Any) -> str:
    """Return a number, a day or a UUID as a string: what can be written in one way only."""
    if type(part) is not bool and isinstance(part, Integral):
        return str(int(part))
    if isinstance(part, date) and not isinstance(part, datetime):
        return part.isoformat()
    if isinstance(part, UUID):
        return str(part)
    text = replace_unsafe_chars(str(part)[:41], "_")
    raise TypeError(
        "a key consists of strings, whole numbers, days (datetime.date), UUIDs and sequences of "
        f"them, not of a {type(part).__name__}: replace_unsafe_chars(str(...), '_') gives "
        f"{text[:40]!r}{'...' * (len(text) > 40)}"
    )


def checked_component(part: str) -> str:
    """Return `part` as a plain safe string, or raise `ValueError` saying what is wrong."""
    if not part:
        raise ValueError("a component of a key must not be empty")
    if part in {".", ".."}:
        raise ValueError(f"{part!r} cannot be a component of a key")
    if len(part) >= SAFE_STRING_MAX_LENGTH:
        raise ValueError(
            f"a component of a key has at most {SAFE_STRING_MAX_LENGTH - 1} characters, "
            f"not {len(part)}: {part[:20]!r}..."
        )
    if contains_unsafe_chars(part):
        unsafe = "".join(sorted(set(part) - SAFE_CHARS_SET))
        raise ValueError(
            f"{part!r} has characters that are not safe in a key: {unsafe!r}; "
            f"replace_unsafe_chars({part!r}, '_') gives {replace_unsafe_chars(part, '_')!r}"
        )
    return str.__str__(part)  # a subclass may show itself as something else


def _is_sequence(part: Any) -> bool:
    """Sequences, and what behaves like one (arrays, deques), but nothing with keys."""
    if isinstance(part, (Mapping, bytes, bytearray, memoryview, range)):
        return False
    if isinstance(part, Sequence):
        return True
    if getattr(part, "ndim", 1) == 0:  # an array without length, which has the methods all the same
        return False
    methods = ("__getitem__", "__len__", "__iter__")
    return not callable(getattr(part, "keys", None)) and all(
        callable(getattr(part, name, None)) for name in methods
    )


def key_from_safe(strings: tuple[str, ...]) -> NonEmptySafeStrTuple:
    """Wrap components that came from a validated listing."""
    return NonEmptySafeStrTuple._from_safe(strings)


def key_from_text(parse: Callable[[str], tuple[str, ...]], text: str) -> NonEmptySafeStrTuple:
    """Return a key whose components `parse` makes of `text` when somebody asks for them.

    The text must be known to be that of a key: most keys of a listing are only counted or passed
    on.
    """
    key: NonEmptySafeStrTuple = object.__new__(NonEmptySafeStrTuple)
    key._source = (parse, text)
    return key
