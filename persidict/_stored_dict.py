"""A dictionary over a blob store and a codec: keys to names, values to bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import repeat
from typing import Any, Self

from persidict import shown
from persidict._blobs import Blob, BlobStore, Listed
from persidict._codecs import codec_for
from persidict._foreign import is_foreign, is_foreign_folder
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
    key_from_text,
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
        self._takes_buffers = self._codec.takes_buffers
        self._suffix = "." + self.serialization_format
        self._stat_is_cheap = store.stat_is_cheap

    @property
    def is_exact(self) -> bool:
        """True if nobody can come between the check of a condition and the act."""
        return self._store.guards_are_exact

    def _can_expect(self, etag: ETagIfExists) -> bool:
        return self._store.can_expect(etag)

    def _has(self, key: NonEmptySafeStrTuple) -> bool:
        return self._store.has(self._name(key))

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
        for listed in self._store.scan(self._suffix, stats=stats):
            keys = self._keys(listed)
            for key, stat in zip(keys, listed.stats or repeat(None, len(keys)), strict=True):
                if key is not None:
                    yield key, stat

    def _scan_items(self) -> Iterator[tuple[NonEmptySafeStrTuple, Item[ValueType]]]:
        # by the names that are there: nothing is signed again
        return self._read_items(self._scan_names())

    def _read_items(
        self, wanted: Iterable[tuple[NonEmptySafeStrTuple, str, int]]
    ) -> Iterator[tuple[NonEmptySafeStrTuple, Item[ValueType]]]:
        checked = self.base_class_for_values is not None
        for key, blob in self._store.read_each(wanted):
            if blob is not None:
                item = Item(self._decoded(key, blob), blob.stat)
                if checked:
                    self._check_value(item.value)
                yield key, item

    def _scan_sized(self) -> Iterator[tuple[NonEmptySafeStrTuple, Stat, str, int]]:
        """Yield keys with stats, names and sizes, from listings that have them all."""
        for listed in self._store.scan(self._suffix, stats=True):
            assert listed.stats is not None
            sizes = listed.sizes or repeat(0, len(listed.stems))
            rows = zip(self._keys(listed), listed.stats, listed.stems, sizes, strict=True)
            for key, stat, stem, size in rows:
                if key is not None:
                    yield key, stat, f"{listed.folder}{stem}{self._suffix}", size

    def _scan_names(self) -> Iterator[tuple[NonEmptySafeStrTuple, str, int]]:
        for listed in self._store.scan(self._suffix, stats=False):
            sizes = listed.sizes or repeat(0, len(listed.stems))
            for key, stem, size in zip(self._keys(listed), listed.stems, sizes, strict=True):
                if key is not None:
                    yield key, f"{listed.folder}{stem}{self._suffix}", size

    def clear(self) -> None:
        """Remove the items of this format and what they leave behind; not atomic."""
        self._refuse_change()
        # by the names that are there, which may be others than the keys would be given today
        self._store.remove_all(name for _, name, _ in self._scan_names())
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
        return _signed_name(key.strings, self._digest_len, self._suffix)

    def _keys(self, listed: Listed) -> list[NonEmptySafeStrTuple | None]:
        """Return the keys of listed blobs; `None` for a name that no key has.

        Whether it is a key is seen without working out which one it is.
        """
        key_of = _folder_above(listed.folder, self._digest_len)
        if key_of is None:
            return [None] * len(listed.stems)
        length = self._digest_len
        is_plain = _plain_names(length, "".join(listed.stems))
        return [
            key_from_text(key_of, stem) if is_plain(stem) or self._is_key(stem) else None
            for stem in listed.stems
        ]

    def _is_key(self, stem: str) -> bool:
        if not _IS_SAFE(stem) or (stem[0] == "." and _is_odd(stem, self._digest_len)):
            return False
        return not (self._store.has_visitors and is_foreign(stem, self._digest_len))

    def _decoded(self, key: NonEmptySafeStrTuple, blob: Blob) -> Any:
        try:
            data: Any = blob.value
            return self._codec.decode(data if self._takes_buffers else bytes(data))
        except Exception as error:
            if _tells_of_the_process(error, len(blob.value)):  # type: ignore[arg-type]
                error.add_note(f"while the item {key.strings} was decoded, which may be good")
                raise
            # whatever else goes wrong in here: the item is there, and it must not look absent
            raise self._damage(key, blob, error) from error

    def _damage(self, key: NonEmptySafeStrTuple, blob: Blob, error: Exception) -> DamagedItemError:
        damage = DamagedItemError(
            f"the item {shown.key(key)} cannot be decoded: {type(error).__name__}: {error} "
            f"(at {self._store.where(self._name(key))})",
            backend=self._store.backend,
            operation="read",
            key=key,
        )
        damage.data = bytes(blob.value)  # type: ignore[arg-type]  # it was read
        return damage

    def _absence(self, key: NonEmptySafeStrTuple) -> KeyError:
        error = super()._absence(key)
        error.__cause__ = self._store.absence(self._name(key))
        return error


def _tells_of_the_process(error: Exception, size: int) -> bool:
    """True if decoding failed for what the process lacks, which says nothing of the item."""
    if isinstance(error, MemoryError):
        return size > _LARGE or not _has_memory(_MOST_MEMORY)
    # a module that is not there is what a damaged name leads to, too
    is_import = isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError)
    return is_import or isinstance(error, RecursionError) or sys.is_finalizing()


_LARGE = 1 << 20
_MOST_MEMORY = 1 << 28
"""Bytes; with that much memory, an item that is not large and asks for more is damaged."""


def _has_memory(size: int) -> bool:
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True


@lru_cache(maxsize=16384)
def _signed_name(strings: tuple[str, ...], digest_len: int, suffix: str) -> str:
    return "/".join([_signed_part(part, digest_len) for part in strings]) + suffix


@lru_cache(maxsize=65536)
def _signed_part(part: str, digest_len: int) -> str:
    signed = sign_component(part, digest_len)
    if len(signed) >= SAFE_STRING_MAX_LENGTH:
        longest = SAFE_STRING_MAX_LENGTH - digest_len - 2
        raise ValueError(
            f"a component of a key has at most {longest} characters with "
            f"digest_len={digest_len}, not {len(part)}: {part[:20]!r}..."
        )
    return signed


@lru_cache(maxsize=4096)
def _folder_above(folder: str, digest_len: int) -> Callable[[str], tuple[str, ...]] | None:
    """Return what makes a key of the name of a blob in the folder; `None` if it holds no keys."""
    try:
        above = tuple(
            checked_component(unsign_component(part, digest_len)) for part in folder.split("/")[:-1]
        )
    except ValueError:
        return None
    if any(is_foreign_folder(part, digest_len) for part in folder.split("/")):
        return None
    return lambda last: (*above, unsign_component(last, digest_len))


_IS_SAFE = re.compile(rf"[A-Za-z0-9()_\-~.=]{{1,{SAFE_STRING_MAX_LENGTH - 1}}}").fullmatch


def _plain_names(digest_len: int, names: str) -> Callable[[str], Any]:
    """Return what tells keys at a glance; other names are looked at more closely."""
    if not digest_len and "conflict-" in names:
        return lambda stem: False
    return _plain_name(digest_len)


@lru_cache(maxsize=32)
def _plain_name(digest_len: int) -> Callable[[str], Any]:
    end = rf"_[a-z2-7=]{{{digest_len}}}" if digest_len else ""
    most = SAFE_STRING_MAX_LENGTH - 2 - (digest_len and digest_len + 1)
    return re.compile(rf"[A-Za-z0-9()_\-~=][A-Za-z0-9()_\-~.=]{{0,{max(most, 0)}}}{end}").fullmatch


def _is_odd(last: str, digest_len: int) -> bool:
    """True for "." and "..", also with a digest after them, which are no components of a key."""
    return unsign_component(last, digest_len) in (".", "..")
