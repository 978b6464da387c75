"""A dictionary over a blob store and a codec: keys to names, values to bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Self

from persidict._blobs import Blob, BlobStore
from persidict._codecs import codec_for
from persidict._item_dict import ItemDict
from persidict._words import Guard, Item, Stat, etag_of
from persidict.exceptions import DamagedItemError
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ValueType,
)
from persidict.persi_dict import PersiDictKey
from persidict.safe_chars import SAFE_STRING_MAX_LENGTH
from persidict.safe_str_tuple import (
    NonEmptySafeStrTuple,
    checked_component,
    key_from_safe,
    prefix_strings,
)
from persidict.safe_str_tuple_signing import (
    checked_digest_len,
    sign_component,
    unsign_component,
)


class StoredDict(ItemDict[ValueType]):
    """Items as blobs named `<signed k1>/.../<signed kn>.<format>`.

    A value is encoded before anything is touched: one that cannot be stored raises at once and
    leaves nothing behind, and a retry only ever repeats I/O.
    """

    def __init__(
        self, *, store: BlobStore, digest_len: int, compression: str | None, **common: Any
    ) -> None:
        super().__init__(**common)
        self._store = store
        self._digest_len = checked_digest_len(digest_len)
        self._codec = codec_for(self.serialization_format, compression)
        self._suffix = "." + self.serialization_format
        self._stat_is_cheap = store.stat_is_cheap

    @property
    def is_exact(self) -> bool:
        """True if nobody can come between the check of a condition and the act."""
        return self._store.guards_are_exact

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        return self._store.stat(self._name(key))

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        blob = self._store.read(self._name(key), unless)
        if blob is None or blob.value is VALUE_NOT_RETRIEVED:
            return blob  # type: ignore[return-value]
        return Item(self._decoded(key, blob), blob.stat)

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        name = self._name(key)
        if guard is not None and self._is_hopeless(name, guard):
            return None
        return self._store.write(name, self._codec.encode(value), guard)

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        return self._store.remove(self._name(key), guard)

    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        for name, stat in self._store.scan(self._suffix, stats=stats):
            key = self._key(name)
            if key is not None:
                yield key, stat

    def clear(self) -> None:
        """Remove the items of this format and what they leave behind; not atomic."""
        self._refuse_change()
        # by the names that are there, which may be others than the keys would be given today
        listed = [name for name, _ in self._store.scan(self._suffix, stats=False)]
        self._store.remove_all(name for name in listed if self._key(name) is not None)
        self._store.prune()

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return a live view of the items under the prefix, with the prefix cut off their keys."""
        sub = type(self).__new__(type(self))
        sub.__dict__.update(self.__dict__)
        sub._store = self._store.child(self._signed(prefix_key))
        return sub

    def _is_hopeless(self, name: str, guard: Guard) -> bool:
        """True if a cheap look spares the encoding of a value that would not be stored anyway."""
        return self._stat_is_cheap and not guard.holds(etag_of(self._store.stat(name)))

    def _signed(self, prefix: PersiDictKey) -> str:
        return "/".join(_signed_part(part, self._digest_len) for part in prefix_strings(prefix))

    def _name(self, key: NonEmptySafeStrTuple) -> str:
        length = self._digest_len
        return "/".join([_signed_part(part, length) for part in key.strings]) + self._suffix

    def _key(self, name: str) -> NonEmptySafeStrTuple | None:
        """Return the key of a listed blob; `None` if no key has this name."""
        *folders, last = name[: -len(self._suffix)].split("/")
        length = self._digest_len
        try:
            above = [_unsigned_part(part, length) for part in folders]
            # names of files hardly repeat, and would only drive the folders out of the cache
            return key_from_safe((*above, checked_component(unsign_component(last, length))))
        except ValueError:
            return None

    def _decoded(self, key: NonEmptySafeStrTuple, blob: Blob) -> Any:
        try:
            return self._codec.decode(blob.value)  # type: ignore[arg-type]  # it was retrieved
        except Exception as error:
            if isinstance(error, MemoryError) and len(blob.value) > _LARGE:  # type: ignore[arg-type]
                raise
            # whatever goes wrong in here: the item is there, and it must not look absent
            raise DamagedItemError(
                f"the item {key.strings} cannot be decoded: {type(error).__name__}: {error} "
                f"(at {self._store.where(self._name(key))})",
                backend=self._store.backend,
                operation="read",
                key=key,
            ) from error

    def _absence(self, key: NonEmptySafeStrTuple) -> KeyError:
        error = super()._absence(key)
        error.__cause__ = self._store.absence(self._name(key))
        return error


_LARGE = 1 << 20
"""Bytes; a smaller item that asks for more memory than there is can only be damaged."""


@lru_cache(maxsize=65536)
def _signed_part(part: str, digest_len: int) -> str:
    signed = sign_component(part, digest_len)
    if len(signed) >= SAFE_STRING_MAX_LENGTH:
        raise ValueError(f"a component of a key is too long to be signed: {part!r}")
    return signed


@lru_cache(maxsize=65536)
def _unsigned_part(part: str, digest_len: int) -> str:
    return checked_component(unsign_component(part, digest_len))
