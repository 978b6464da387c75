"""The results of one function in a store: found, inserted, replaced, set aside, forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pickle import PicklingError
from typing import Any

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    DamagedItemError,
    FileDirDict,
    Joker,
    LocalDict,
    NonEmptySafeStrTuple,
    PersiDict,
)
from persidict_dask._carried import carrying
from persidict_dask._claims import Claims
from persidict_dask._flights import MISSING
from persidict_dask._maintenance import (
    changeable,
    claims_beside,
    damaged_beside,
    identity_of,
    notes_beside,
    truth_of,
)
from persidict_dask._stores import Store, StoreRef
from persidict_dask._trouble import OnStoreError, Trouble, is_trouble, not_the_stores
from persidict_dask._warn import warn_caller

# What pickling raises for a value that has no stored form; trouble with the store is no such thing.
_UNFIT = (TypeError, ValueError, AttributeError, LookupError, RecursionError, PicklingError)

_MOST_INSERTIONS = 5  # of one result, against others who remove what is in its way


class Results:
    """What a function has stored under its name; the store is opened when first needed."""

    def __init__(
        self,
        name: str,
        place: Store | StoreRef,
        *,
        label: str,
        validate: Callable[[Any], bool] | None = None,
        ttl: float | None = None,
        namespace: Mapping[str, Any] | None = None,
        on_store_error: OnStoreError = "warn",
    ) -> None:
        self.name = name
        self.label = label
        self.namespace = namespace or {}
        self.trouble = Trouble(name, label, on_store_error)
        self._place = place
        self._validate = validate
        self._ttl = ttl

    @cached_property
    def store(self) -> Store:
        """The store itself."""
        return self._place.open() if isinstance(self._place, StoreRef) else self._place

    @property
    def ref(self) -> StoreRef:
        """The store by reference; opens nothing."""
        return self._place if isinstance(self._place, StoreRef) else StoreRef.of(self._place)

    def open(self) -> None:
        """Open the store ahead of a run, whose result a wrong setting of the store would lose."""
        try:
            _ = self.store
        except Exception as error:
            if self.trouble.is_raised or not is_trouble(error):
                raise  # other trouble may be over when there is a result

    def load(self, key: NonEmptySafeStrTuple, *, again: bool = False) -> Any:
        """Return the result, or `MISSING`; one that is unfit is set aside and missing.

        If that was asked a moment ago, there is no warning again.
        """
        if self.trouble.is_resting("read"):
            return MISSING
        with self.trouble.borne("read"), carrying(self.namespace):
            return self._loaded(key, warn=not again)
        return MISSING

    def _loaded(self, key: NonEmptySafeStrTuple, *, warn: bool) -> Any:
        store = self._readable  # an error of opening it tells nothing of the result
        try:
            if self._ttl is not None and self._is_old(key):
                self._remove_old(key)
                return MISSING
            value = store[key]
        except KeyError:
            return MISSING
        except (DamagedItemError, TypeError, ImportError) as error:
            self._give_up(key, error, warn=warn)
            return MISSING
        if not self._is_valid(value):
            self._remove_unfit(key)
            return MISSING
        return value

    @cached_property
    def _readable(self) -> Store:
        # an append-only cache keeps what somebody else has replaced because it was too old
        return self.store if self._ttl is None else self.changeable[0]

    def has(self, key: NonEmptySafeStrTuple) -> bool:
        """True if `load` would return a result; reads it only if there is something to check."""
        if self._ttl is not None and (key not in self._readable or self._is_old(key)):
            return False
        if self._validate is None:
            return key in self._readable
        with carrying(self.namespace):
            return self._is_fit(self.store, key)

    def is_at_hand(self, key: NonEmptySafeStrTuple) -> bool:
        """True if `load` will return a result, as far as the store can be asked."""
        if self.trouble.is_resting("read"):
            return False
        with self.trouble.borne("read"):
            return self.has(key)
        return False

    def _is_old(self, key: NonEmptySafeStrTuple) -> bool:
        """Look before the value is read: what is read then is at least as young."""
        assert self._ttl is not None
        return time.time() - self._readable.timestamp(key) > self._ttl

    def _remove_old(self, key: NonEmptySafeStrTuple) -> None:
        """Make room for a younger one, unless there is one already."""
        for handle in reversed(self.changeable):  # the truth last: it tells how old the item is
            etag = _etag(handle, key)
            with suppress(KeyError):
                if self._is_old(key):
                    handle.discard_item_if(key, condition=ETAG_IS_THE_SAME, expected_etag=etag)

    def insert(self, key: NonEmptySafeStrTuple, value: Any) -> tuple[Any, bool]:
        """Store the value unless another run was first; return what is stored, and if ours is."""
        if self.trouble.is_resting("write"):
            return value, False
        with self.trouble.borne("write"), carrying(self.namespace):
            return self._inserted(key, value)
        return value, False

    def _inserted(self, key: NonEmptySafeStrTuple, value: Any) -> tuple[Any, bool]:
        for _ in range(_MOST_INSERTIONS):
            try:
                result = self.store.setdefault_if(
                    key,
                    default_value=_storable(value),
                    condition=ANY_ETAG,
                    expected_etag=ITEM_NOT_AVAILABLE,
                    retrieve_value=ALWAYS_RETRIEVE,
                )
            except (DamagedItemError, ImportError) as error:
                if _lacks_code(error):
                    return value, False
                self._give_up(key, error)
                continue
            except _UNFIT as error:
                raise self._unfit(value, error) from error
            if result.value_was_mutated:
                return value, True
            if result.resulting_etag is ITEM_NOT_AVAILABLE:
                continue  # what was in the way has been removed in this moment
            if self._is_current(key, result.new_value):
                return result.new_value, False
            self._remove_unfit(key)
        return value, False  # somebody keeps removing or damaging it; the value is still right

    def _is_current(self, key: NonEmptySafeStrTuple, value: Any) -> bool:
        """True if a call that began now would load the value."""
        with suppress(KeyError):
            return self._is_valid(value) and (self._ttl is None or not self._is_old(key))
        return False

    def replace(self, key: NonEmptySafeStrTuple, value: Any) -> bool:
        """Store the value over whatever is there, and tell whether it is."""
        with self.trouble.borne("replace"), carrying(self.namespace):
            try:
                for handle in self.changeable:
                    handle[key] = _storable(value)
            except _UNFIT as error:
                raise self._unfit(value, error) from error
            return True
        return False

    def forget(self, key: NonEmptySafeStrTuple) -> bool:
        """Remove a result and what lies beside it, and tell whether there was one."""
        for beside in self.beside:
            beside.discard(key)
        removed = [handle.discard(key) for handle in self.changeable]
        return any(removed)

    def keys_in(self, handle: Store, *code: str) -> Iterator[NonEmptySafeStrTuple]:
        prefix = (self.name, *code)
        try:
            below = handle.get_subdict(prefix)
        except NotImplementedError:
            return (key for key in handle if key[0] == self.name)
        return (NonEmptySafeStrTuple(prefix, key) for key in below.keys())  # noqa: SIM118 - no len

    def annotate(self, key: NonEmptySafeStrTuple, note: dict[str, Any]) -> None:
        """Write the note beside a result; the result is safe whether it succeeds or not."""
        try:
            self._notes[key] = json.dumps(note, indent=4)
        except Exception as error:
            self.trouble.report(error, "note")

    def note(self, key: NonEmptySafeStrTuple) -> dict[str, Any]:
        """Return the note beside a result; `KeyError` if there is none."""
        try:
            return self._note(key)
        except KeyError:
            raise KeyError(
                f"the stored result of {self.label} for this call has no note"
                if key in self.store
                else f"no result of {self.label} is stored for this call: explain(), with the same "
                "arguments, says why"
            ) from None

    def _note(self, key: NonEmptySafeStrTuple) -> dict[str, Any]:
        note: dict[str, Any] = json.loads(self._notes[key])
        return note

    def note_or_none(self, key: NonEmptySafeStrTuple) -> dict[str, Any] | None:
        """Return the note beside a result, if there is one that can be read."""
        with suppress(KeyError, ValueError, DamagedItemError):
            return self._note(key)
        return None

    def all_notes(self) -> Iterator[dict[str, Any]]:
        """Yield the notes of all results of the function, whatever their code."""
        for key in self.keys_in(self._notes):
            note = self.note_or_none(key)
            if note is not None:
                yield note

    def keys_under(self, code: str) -> Iterator[NonEmptySafeStrTuple]:
        """Yield the keys of results of this code, by a listing."""
        with self.trouble.borne("read"):
            yield from (key for key in self.keys_in(self._readable, code) if key[1] == code)

    @property
    def is_near(self) -> bool:
        """True if asking for an item takes no longer than another thread would."""
        with self.trouble.borne("read"):
            return isinstance(truth_of(self.store), (FileDirDict, LocalDict))
        return True

    @property
    def place(self) -> Any:
        """What is the same for all functions of this process with the same store."""
        if not self.trouble.is_resting("read"):
            with self.trouble.borne("read"):
                return self._identity
        return self.ref

    @cached_property
    def _identity(self) -> Any:
        return identity_of(self.store)

    @cached_property
    def token(self) -> str:
        """Name the store, in every process alike."""
        return self.ref.__dask_tokenize__()

    @property
    def claims(self) -> Claims | None:
        """Who computes what now, if other processes can know."""
        return None if self.trouble.is_resting("claim") else self._claims

    @cached_property
    def _claims(self) -> Claims | None:
        records = claims_beside(self.store)
        return None if records is None else Claims(records)

    @cached_property
    def changeable(self) -> list[Store]:
        """Handles that may change items: on the truth first, then on each cache of it."""
        return changeable(self.store)

    @cached_property
    def _notes(self) -> PersiDict[str]:
        return notes_beside(self.store)

    @property
    def beside(self) -> tuple[Store, ...]:
        """What lies beside the items, under the same keys."""
        return self._notes, self._damaged

    @cached_property
    def _damaged(self) -> PersiDict[bytes]:
        return damaged_beside(self.store)

    def _give_up(self, key: NonEmptySafeStrTuple, error: Exception, *, warn: bool = True) -> None:
        """Warn of a result that cannot be read, and set it aside if nobody else can either."""
        if warn:
            warn_caller(f"a result is computed again: {error}")
        if not _lacks_code(error):
            self._keep(key, error)
            self._remove_unfit(key)

    def _keep(self, key: NonEmptySafeStrTuple, error: Exception) -> None:
        """Keep what was found for whoever looks into it; the caller's result matters more."""
        data = getattr(error, "data", None)
        if data is not None:
            with suppress(Exception):
                self._damaged[key] = data

    def _remove_unfit(self, key: NonEmptySafeStrTuple) -> None:
        """Remove what was found unfit, unless somebody has replaced it meanwhile."""
        for handle in self.changeable:
            etag = _etag(handle, key)
            if not self._is_fit(handle, key):
                handle.discard_item_if(key, condition=ETAG_IS_THE_SAME, expected_etag=etag)

    def _is_fit(self, handle: Store, key: NonEmptySafeStrTuple) -> bool:
        try:
            value = handle[key]
        except (KeyError, DamagedItemError, TypeError):
            return False
        return self._is_valid(value)

    def _is_valid(self, value: Any) -> bool:
        try:
            return self._validate is None or bool(self._validate(value))
        except Exception as error:
            not_the_stores(error)
            raise

    def _unfit(self, value: Any, error: Exception) -> TypeError:
        kind = type(value).__name__
        return TypeError(f"{self.label} returned a {kind} that cannot be stored: {error}")


def _etag(handle: Store, key: NonEmptySafeStrTuple) -> Any:
    """Return the etag of an item, also of one that cannot be read."""
    return handle.get_item_if(
        key,
        condition=ANY_ETAG,
        expected_etag=ITEM_NOT_AVAILABLE,
        retrieve_value=NEVER_RETRIEVE,
    ).actual_etag


def _lacks_code(error: Exception) -> bool:
    """True if a class or module is missing here; others may have it, and the result is good."""
    return isinstance(error, ImportError) or isinstance(
        error.__cause__, (ImportError, AttributeError)
    )


class _Quoted:
    """A joker as a value: stored as the joker itself, which assignment would obey."""

    def __init__(self, joker: Joker) -> None:
        self._joker = joker

    def __reduce__(self) -> Any:
        return self._joker.__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Joker:
        return self._joker


def _storable(value: Any) -> Any:
    return _Quoted(value) if isinstance(value, Joker) else value
