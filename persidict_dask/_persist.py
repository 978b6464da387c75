"""`persist`: functions whose results are stored and found again by content."""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pickle import PicklingError
from time import perf_counter
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    DamagedItemError,
    Joker,
    NonEmptySafeStrTuple,
    PersiDict,
    replace_unsafe_chars,
)
from persidict_dask._code import Fingerprint, fingerprint
from persidict_dask._digest import digest, digest_arguments
from persidict_dask._maintenance import changeable, notes_beside
from persidict_dask._provenance import provenance, store_note
from persidict_dask._stats import FunctionStats, count, stats_of
from persidict_dask._stores import Store, StoreRef, results_store

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST_NAME = 120
_CODE_DIGITS = 16


@dataclass(frozen=True)
class Options:
    """What `persist` was told besides function and store; it travels with the function."""

    name: str
    version: str | None = None
    ignore: tuple[str, ...] = ()
    by_value: tuple[str, ...] = ()
    validate: Callable[[Any], bool] | None = None
    enabled: bool = True


def persist(
    store: Store | str | os.PathLike[str],
    *,
    name: str | None = None,
    version: str | None = None,
    ignore: Iterable[str] | str = (),
    by_value: Iterable[Any] = (),
    validate: Callable[[Any], bool] | None = None,
    enabled: bool = True,
) -> Callable[[Callable[P, R]], PersistedFunction[P, R]]:
    """Return a decorator that stores the results of a function, and finds them again.

    Equal calls of equal code are computed once, in whatever process, session or cluster; the first
    result wins and is what everybody gets. Exceptions are not stored. The decorated function goes
    wherever Dask takes a function.

    Args:
        store: any `PersiDict`, or a URL, which opens a write-once store.
        name: the function's name in the store; default from module and qualified name.
        version: replaces the fingerprint of the code: only a new version invalidates.
        ignore: names of arguments that do not enter the key.
        by_value: modules or packages whose code belongs to the fingerprint, besides `__main__`,
            notebooks and the project of the function itself.
        validate: `validate(value) -> bool`; a stored value that fails is a miss.
        enabled: `False` calls the plain function and touches no store.
    """
    if not isinstance(store, (PersiDict, str, os.PathLike)):
        raise TypeError(f"use @persist(store), with a PersiDict or a URL; got {store!r}")
    place = store if isinstance(store, PersiDict) else results_store(store)

    def decorate(function: Callable[P, R]) -> PersistedFunction[P, R]:
        _check_function(function)
        options = Options(
            name=_safe_name(name or f"{function.__module__}.{function.__qualname__}"),
            version=version,
            ignore=_checked_ignore(function, ignore),
            by_value=tuple(m if isinstance(m, str) else m.__name__ for m in by_value),
            validate=validate,
            enabled=enabled,
        )
        return PersistedFunction(function, place, options)

    return decorate


class PersistedFunction(Generic[P, R]):
    """A function whose results are stored; call it like the plain one, which is `__wrapped__`."""

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str
    __module__: str

    def __init__(
        self,
        function: Callable[P, R],
        store: Store | StoreRef,
        options: Options,
        code: Fingerprint | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self._store = store
        self._options = options
        self._shipped_code = code
        self._signature = inspect.signature(function)

    @functools.cached_property
    def store(self) -> Store:
        """The store of the results; on a worker it is opened when it is first needed."""
        return self._store.open() if isinstance(self._store, StoreRef) else self._store

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._options.enabled:
            return self.__wrapped__(*args, **kwargs)
        call = self._call(args, kwargs)
        begin = perf_counter()
        found = self._load(call.key)
        if found is not _MISSING:
            count(self._options.name, hits=1, seconds_loading=perf_counter() - begin)
            return found  # type: ignore[no-any-return]
        return self._computed(call)

    def key_of(self, *args: P.args, **kwargs: P.kwargs) -> NonEmptySafeStrTuple:
        """Return the key of the call's result: name, digest of the code, digest of the arguments.

        Raises `UnstableKeyError` if code or arguments have no stable content.
        """
        return self._call(args, kwargs).key

    def is_cached(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """True if the call would find a result; one look, nothing is read."""
        return self.key_of(*args, **kwargs) in self.store

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute now, and replace the stored result."""
        call = self._call(args, kwargs)
        value, seconds = self._run(call)
        for handle in self._changeable:
            handle[call.key] = _storable(value)
        self._note(call, seconds)
        return value  # type: ignore[no-any-return]

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the stored result of a call, and tell whether there was one."""
        key = self.key_of(*args, **kwargs)
        self._notes.discard(key)
        removed = [handle.discard(key) for handle in self._changeable]
        return any(removed)

    def forget_all(self, *, older: bool = False) -> int:
        """Remove all results of the function, or only those of other code; return how many."""
        kept = self._code_digits if older else None
        removed = 0
        for handle in (*self._changeable, self._notes):
            doomed = [k for k in handle.get_subdict(self._options.name) if k[0] != kept]
            gone = sum(handle.discard((self._options.name, *key)) for key in doomed)
            removed = max(removed, gone)
        return removed

    def stats(self) -> FunctionStats:
        """Return hits, misses and times of the function in this process."""
        return stats_of(self._options.name)

    def provenance(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the note beside the stored result of a call; `KeyError` if there is none."""
        return self._notes[self.key_of(*args, **kwargs)]

    # -- the way of a call ----------------------------------------------------------------------

    def _call(self, args: Any, kwargs: Any) -> _Call:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {k: v for k, v in bound.arguments.items() if k not in self._options.ignore}
        digests = digest_arguments(arguments)
        key = (self._options.name, self._code_digits, digest(digests))
        return _Call(NonEmptySafeStrTuple(key), args, kwargs, arguments, digests)

    def _load(self, key: NonEmptySafeStrTuple) -> Any:
        try:
            value = self.store[key]
        except KeyError:
            return _MISSING
        except DamagedItemError as error:
            self._set_aside(key, error)
            return _MISSING
        if self._options.validate is not None and not self._options.validate(value):
            self._remove_version(key)
            return _MISSING
        return value

    def _computed(self, call: _Call) -> R:
        value, seconds = self._run(call)
        try:
            result = self.store.setdefault_if(
                call.key,
                default_value=_storable(value),
                condition=ANY_ETAG,
                expected_etag=ITEM_NOT_AVAILABLE,
                retrieve_value=ALWAYS_RETRIEVE,
            )
        except (TypeError, AttributeError, PicklingError) as error:
            raise self._unfit(value, error) from error
        if not result.value_was_mutated and result.actual_etag is not ITEM_NOT_AVAILABLE:
            return result.new_value  # type: ignore[return-value]  # another run was first
        self._note(call, seconds)
        return value  # type: ignore[no-any-return]

    def _run(self, call: _Call) -> tuple[Any, float]:
        begin = perf_counter()
        try:
            value = self.__wrapped__(*call.args, **call.kwargs)
        except BaseException:
            count(self._options.name, errors=1)
            raise
        seconds = perf_counter() - begin
        count(self._options.name, misses=1, seconds_computing=seconds)
        return value, seconds

    def _unfit(self, value: Any, error: Exception) -> TypeError:
        kind = type(value).__name__
        return TypeError(f"{self._options.name} returned a {kind} that cannot be stored: {error}")

    def _note(self, call: _Call, seconds: float) -> None:
        note = provenance(self, self._code.components, call.arguments, call.digests, seconds)
        try:
            store_note(self._notes, call.key, note)
        except OSError as error:  # the result itself is safe
            warnings.warn(f"no provenance for a result: {error}", RuntimeWarning, stacklevel=4)

    def _set_aside(self, key: NonEmptySafeStrTuple, error: DamagedItemError) -> None:
        warnings.warn(f"a damaged result is computed again: {error}", RuntimeWarning, stacklevel=4)
        self._remove_version(key)

    def _remove_version(self, key: NonEmptySafeStrTuple) -> None:
        """Remove what was just found unfit, unless somebody has replaced it meanwhile."""
        for handle in self._changeable:
            seen = handle.get_item_if(
                key,
                condition=ANY_ETAG,
                expected_etag=ITEM_NOT_AVAILABLE,
                retrieve_value=NEVER_RETRIEVE,
            )
            if not self._is_fit(handle, key):
                handle.discard_item_if(
                    key, condition=ETAG_IS_THE_SAME, expected_etag=seen.actual_etag
                )

    def _is_fit(self, handle: Store, key: NonEmptySafeStrTuple) -> bool:
        try:
            value = handle[key]
        except (KeyError, DamagedItemError):
            return False
        return self._options.validate is None or self._options.validate(value)

    # -- what is computed once ------------------------------------------------------------------

    @property
    def _code(self) -> Fingerprint:
        if self._shipped_code is not None:
            return self._shipped_code
        return fingerprint(self.__wrapped__, by_value=self._options.by_value)

    @property
    def _code_digits(self) -> str:
        version = self._options.version
        identity = self._code.hexdigest if version is None else digest("version", version)
        return identity[:_CODE_DIGITS]

    @functools.cached_property
    def _changeable(self) -> list[Store]:
        return changeable(self.store)

    @functools.cached_property
    def _notes(self) -> Store:
        return notes_beside(self.store)

    # -- being a function -----------------------------------------------------------------------

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __persist_token__(self) -> tuple[Any, ...]:
        """Count as the code of the function wherever a key or other code refers to it."""
        version = self._options.version
        return ("persisted", self.__wrapped__ if version is None else self._options.name, version)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "persisted", self._options.name, self._code_digits, self._ref.__dask_tokenize__()

    def __reduce__(self) -> tuple[Any, ...]:
        if _is_importable(self):
            return _imported, (self.__module__, self.__qualname__, self._ref, self._options)
        return _rebuilt, (self.__wrapped__, self._ref, self._options, self._code)

    @property
    def _ref(self) -> StoreRef:
        return self._store if isinstance(self._store, StoreRef) else StoreRef.of(self._store)

    def __repr__(self) -> str:
        return f"<persisted {self._options.name} in {self._store!r}>"


@dataclass(frozen=True)
class _Call:
    """One call and its place in the store."""

    key: NonEmptySafeStrTuple
    args: Any
    kwargs: Any
    arguments: dict[str, Any]
    digests: dict[str, str]


class _Quoted:
    """A joker as a value: stored as the joker itself, which assignment would obey."""

    def __init__(self, joker: Joker) -> None:
        self._joker = joker

    def __reduce__(self) -> Any:
        return self._joker.__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Joker:
        return self._joker


_MISSING = object()
_known: dict[tuple[Any, ...], PersistedFunction[Any, Any]] = {}


def _storable(value: Any) -> Any:
    return _Quoted(value) if isinstance(value, Joker) else value


def _is_importable(function: PersistedFunction[Any, Any]) -> bool:
    """True if another process gets this very object by importing its module."""
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        return False
    try:
        return _resolved(function.__module__, function.__qualname__) is function
    except (ImportError, AttributeError):
        return False


def _resolved(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), import_module(module))


def _imported(module: str, qualname: str, ref: StoreRef, options: Options) -> Any:
    """Find a persisted function by its name, with the store that the sender uses."""
    function = _resolved(module, qualname)
    if not isinstance(function, PersistedFunction):
        return _rebuilt(function, ref, options, None)
    return function if function._ref == ref else _rebuilt(function.__wrapped__, ref, options, None)


def _rebuilt(function: Any, ref: StoreRef, options: Options, code: Fingerprint | None) -> Any:
    """Make the persisted function again, once per process as far as it is known to be the same."""
    validate = options.validate and fingerprint(options.validate).hexdigest
    same = (ref, replace(options, validate=None), validate, code.hexdigest if code else function)
    if same not in _known:
        _known[same] = PersistedFunction(function, ref, options, code)
    return _known[same]


def _check_function(function: Any) -> None:
    if isinstance(function, PersistedFunction):
        raise TypeError(f"{function!r} is persisted already")
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise TypeError(f"persist decorates functions, not {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is async, which persist does not support yet")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} makes generators, which cannot be stored")


def _checked_ignore(function: Any, ignore: Iterable[str] | str) -> tuple[str, ...]:
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    unknown = set(names) - set(inspect.signature(function).parameters)
    if unknown:
        raise ValueError(f"{function.__qualname__} has no arguments {sorted(unknown)} to ignore")
    return names


def _safe_name(name: str) -> str:
    safe = replace_unsafe_chars(name, "_")
    if safe == name and len(safe) <= _LONGEST_NAME and safe.strip("."):
        return safe
    # different names must stay different after the replacement and the cut
    return f"{safe[:_LONGEST_NAME]}~{digest(name)[:8]}"
