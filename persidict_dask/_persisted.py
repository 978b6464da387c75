"""A function whose results are stored, as an object that goes wherever Dask takes a function."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, Generic, ParamSpec, TypeVar

from persidict import NonEmptySafeStrTuple
from persidict_dask._arrival import (
    agreed,
    expectation,
    has_arrived_for,
    imported,
    known,
    resolved,
    warn_of_other_code,
)
from persidict_dask._code import Fingerprint, fingerprint
from persidict_dask._defaults import default_policy
from persidict_dask._difference import difference
from persidict_dask._digest import digest, digest_arguments
from persidict_dask._errors import ResultMismatchError, UnstableKeyError
from persidict_dask._explanation import Explanation, hit, miss, unfit
from persidict_dask._flights import MISSING, Steps, fly, is_inside, steps
from persidict_dask._inference import is_inferring
from persidict_dask._provenance import described, provenance
from persidict_dask._results import Results
from persidict_dask._stats import FunctionStats, count, sizeof, stats_of
from persidict_dask._stores import Store, StoreRef
from persidict_dask._submission import submit, submit_all
from persidict_dask.retries import RetryPolicy
from persidict_dask.retries._subject import Subject

P = ParamSpec("P")
R = TypeVar("R")

_CODE_DIGITS = 16
_SHIPPED_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


@dataclass(frozen=True)
class Options:
    """What `persist` was told besides function and store; it travels with the function."""

    name: str
    version: str | None = None
    ignore: tuple[str, ...] = ()
    by_value: tuple[str, ...] = ()
    validate: Callable[[Any], bool] | None = None
    ttl: float | None = None
    verify: float = 0.0
    single_flight: bool = True
    retry: RetryPolicy | None = None
    enabled: bool = True


class PersistedFunction(Generic[P, R]):
    """A function whose results are stored; call it like the plain one, which is `__wrapped__`."""

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str
    __module__: str
    _expected: str | None = None  # the code that the sender has, if it came from elsewhere

    def __init__(
        self,
        function: Callable[P, R],
        place: Store | StoreRef,
        options: Options,
        *,
        code: Fingerprint | None = None,
        names: dict[str, Any] | None = None,
    ) -> None:
        self.__wrapped__ = function
        self.__dict__.update(_names_of(function) if names is None else names)
        self._options = options
        self._results = Results(options.name, place, validate=options.validate, ttl=options.ttl)
        self._shipped_code = code
        self._instance: tuple[Any, ...] = ()

    @property
    def store(self) -> Store:
        """The store of the results; on a worker it is opened when it is first needed."""
        return self._results.store

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._options.enabled or is_inferring():
            return self.__wrapped__(*self._instance, *args, **kwargs)
        return self._answer(self._call(args, kwargs))  # type: ignore[no-any-return]

    def _answer(self, call: Call) -> Any:
        found = self._load(call)
        if found is MISSING:
            return self._fly(call)
        if self._is_to_be_verified():
            self._compare(call, found, self._called(call))
        return found

    def key_of(self, /, *args: P.args, **kwargs: P.kwargs) -> NonEmptySafeStrTuple:
        """Return the key of the call's result: name, digest of the code, digest of the arguments.

        Raises `UnstableKeyError` if code or arguments have no stable content.
        """
        return self._call(args, kwargs).key

    def is_cached(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """True if the call would be a hit; a look, and a read only if `validate` wants one."""
        return self._results.has(self.key_of(*args, **kwargs))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute now, and replace the stored result."""
        call = self._call(args, kwargs)
        value, seconds = self._run(call)
        self._replace(call, value, seconds)
        return value  # type: ignore[no-any-return]

    def forget(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the stored result of a call, and tell whether there was one."""
        return self._results.forget(self.key_of(*args, **kwargs))

    def forget_all(self, *, older: bool = False) -> int:
        """Remove all results of the function, or only those of other code; return how many."""
        return self._results.forget_all(kept_code=self._code_digits if older else None)

    def provenance(self, /, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return the note beside the stored result of a call; `KeyError` if there is none."""
        return self._results.note(self.key_of(*args, **kwargs))

    def explain(self, /, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Say why the call is a hit or a miss: what differs from the nearest stored call.

        Nothing is computed. A miss reads the note of every stored call of the function.
        """
        call = self._call(args, kwargs)
        note = self._results.note_or_none(call.key)
        if self._results.has(call.key):
            return hit(call.key, note)
        if call.key in self.store:
            return unfit(call.key, "the stored result is too old, or not valid", note)
        arguments = described(call.arguments, call.digests)
        return miss(
            call.key, self._code_components, self._code_values, arguments, self._results.all_notes()
        )

    def submit(self, client: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return a future of the call; what is stored already costs no task on the cluster.

        Equal calls are one task of the cluster. If an argument is a future, the worker looks and
        not the driver; so it is with an asynchronous client.
        """
        return submit(self, client, args, kwargs)

    def map(self, client: Any, /, *iterables: Iterable[Any], **kwargs: Any) -> list[Any]:
        """Return futures of the calls with the members of the iterables, in order.

        Like `client.map`; `kwargs` go to each call. All keys are looked up first, by a listing
        where that costs less; equal calls are one. Only what is missing is submitted.
        """
        return submit_all(self, client, iterables, kwargs)

    def stats(self) -> FunctionStats:
        """Return hits, misses, times and sizes of the function in this process."""
        stats = stats_of(self._options.name)
        typical = self._typical_seconds(stats)
        saved = stats.hits * typical - stats.seconds_loading
        return replace(stats, seconds_saved=saved if stats.hits and typical else 0.0)

    # -- a call ---------------------------------------------------------------------------------

    def _call(self, args: Any, kwargs: Any) -> Call:
        args = (*self._instance, *args)
        arguments = self._bound(args, kwargs)
        for name in self._options.ignore:
            arguments.pop(name, None)
        digests = digest_arguments(arguments, self._options.by_value)
        code = self._code_digits
        if self._expected not in (None, code):
            warn_of_other_code(self)
        key = NonEmptySafeStrTuple(self._options.name, code, digest(digests))
        return Call(key, args, kwargs, arguments, digests)

    def _bound(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return the arguments by name, so that equal calls are equal however they are spelled."""
        bound = self._real_signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _load(self, call: Call, *, again: bool = False) -> Any:
        begin = perf_counter()
        found = self._results.load(call.key, again=again)
        if found is not MISSING:
            seconds = perf_counter() - begin
            self._results.a_hit = call.key
            count(
                self._options.name,
                hits=1,
                waits=int(again),
                seconds_loading=seconds,
                bytes=sizeof(found),
            )
        return found

    def _fly(self, call: Call) -> Any:
        """Return the result of a call that had none a moment ago."""
        steps = self._steps(call)
        return self._compute(call) if steps is None else fly(steps, partial(self._compute, call))

    def _steps(self, call: Call) -> Steps | None:
        """How to run the call once among all who want it; `None` if it is not for others to run."""
        ident = (self._results.place, call.key)
        if not self._options.single_flight or is_inside(ident):
            return None
        return steps(ident, lambda: self._results.claims, partial(self._load, call, again=True))

    def _compute(self, call: Call) -> Any:
        value, seconds = self._run(call)
        return self._keep(call, value, seconds)

    def _keep(self, call: Call, value: Any, seconds: float) -> Any:
        """Store a result, and return the one that is stored in the end."""
        stored, is_ours = self._results.insert(call.key, value)
        if is_ours:
            count(self._options.name, bytes=sizeof(stored))
            self._annotate(call, seconds)
        return stored

    def _replace(self, call: Call, value: Any, seconds: float) -> None:
        self._results.replace(call.key, value)
        self._annotate(call, seconds)

    def _typical_seconds(self, stats: FunctionStats) -> float:
        """Return what a run takes: as measured here, or else as the note of some hit tells."""
        if stats.misses:
            return stats.seconds_computing / stats.misses
        a_hit = self._results.a_hit
        note = None if a_hit is None else self._results.note_or_none(a_hit)
        return float(note["seconds"]) if note else 0.0

    def _is_to_be_verified(self) -> bool:
        return self._options.verify > 0 and random.random() < self._options.verify

    def _compare(self, call: Call, stored: Any, computed: Any) -> None:
        different = difference(stored, computed)
        if different is not None:
            raise ResultMismatchError(f"{self._options.name}: {different}", call.key)

    def _run(self, call: Call) -> tuple[Any, float]:
        begin = perf_counter()
        with self._counting_errors():
            value = self._called(call)
        seconds = perf_counter() - begin
        count(self._options.name, misses=1, seconds_computing=seconds)
        return value, seconds

    def _called(self, call: Call) -> Any:
        policy = self._policy
        if policy is None:
            return self.__wrapped__(*call.args, **call.kwargs)
        return policy.call_as(self._subject(call), self.__wrapped__, call.args, call.kwargs)

    @property
    def _policy(self) -> RetryPolicy | None:
        return self._options.retry or default_policy()

    def _subject(self, call: Call) -> Subject:
        return Subject(call.key, self._options.name, call.arguments)

    @contextmanager
    def _counting_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            count(self._options.name, errors=1)
            raise

    def _annotate(self, call: Call, seconds: float) -> None:
        note = provenance(
            self,
            self._code_components,
            self._code_values,
            call.arguments,
            call.digests,
            seconds,
        )
        self._results.annotate(call.key, note)

    @functools.cached_property
    def _real_signature(self) -> inspect.Signature:
        return real_signature(self.__wrapped__)

    # -- the code -------------------------------------------------------------------------------

    @property
    def _code(self) -> Fingerprint:
        if self._shipped_code is not None:
            return agreed(self._shipped_code, self.__wrapped__, self._options.by_value)
        return fingerprint(self.__wrapped__, by_value=self._options.by_value)

    @property
    def _code_digits(self) -> str:
        version = self._options.version
        identity = self._code.hexdigest if version is None else digest("version", version)
        return identity[:_CODE_DIGITS]

    @property
    def _code_components(self) -> dict[str, str]:
        version = self._options.version
        return self._code.components if version is None else {"version": version}

    @property
    def _code_values(self) -> dict[str, str]:
        return self._code.values if self._options.version is None else {}

    # -- being a function -----------------------------------------------------------------------

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = type(self).__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._instance = (instance,)
        bound.__dict__["__self__"] = instance
        return bound

    @property
    def __signature__(self) -> inspect.Signature:
        shown = inspect.signature(self.__wrapped__)
        parameters = list(shown.parameters.values())[len(self._instance) :]
        return shown.replace(parameters=parameters)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.__wrapped__, name)

    def __persist_token__(self) -> tuple[Any, ...]:
        """Count as the code of the function wherever a key or other code refers to it."""
        version = self._options.version
        code = self.__wrapped__ if version is None else self._options.name
        return ("persisted", code, version, *self._instance)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        # strings only: of anything else Dask would take the repr
        if not self._options.enabled:
            from dask.base import tokenize

            return "plain", tokenize(self.__wrapped__, *self._instance)
        store = self._results.ref.__dask_tokenize__()
        counts = next(iter(self._real_signature.parameters), None) not in self._options.ignore
        instance = digest(*self._instance) if counts else ""
        return "persisted", self._options.name, self._code_digits, store, instance

    def __reduce__(self) -> tuple[Any, ...]:
        if self._instance:
            return _bound, (self._instance[0], self.__name__, expectation(self))
        if _is_importable(self):
            place = self.__module__, self.__qualname__
            return imported, (*place, self._results.ref, expectation(self))
        needs_code = self._options.enabled and self._options.version is None
        code = (self._shipped_code or self._code) if needs_code else None
        names = {name: getattr(self, name, None) for name in _SHIPPED_NAMES}
        return _rebuilt, (
            type(self),
            self.__wrapped__,
            self._results.ref,
            self._options,
            code,
            names,
        )

    def __repr__(self) -> str:
        return f"<persisted {self._options.name} in {self._results.ref!r}>"


@dataclass(frozen=True)
class Call:
    """One call and its place in the store."""

    key: NonEmptySafeStrTuple
    args: Any
    kwargs: Any
    arguments: dict[str, Any]
    digests: dict[str, str]


def real_signature(function: Any) -> inspect.Signature:
    """Return the signature of what is really called, whatever a decorator lets it look like.

    By another one, calls that differ could look equal.
    """
    return inspect.signature(function, follow_wrapped=False)


def _names_of(function: Any) -> dict[str, Any]:
    """What a decorated function takes over from the plain one."""
    names = functools.WRAPPER_ASSIGNMENTS
    return {name: getattr(function, name) for name in names if hasattr(function, name)}


def _is_importable(function: PersistedFunction[Any, Any]) -> bool:
    """True if another process gets this function and its settings by importing its module."""
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        return False
    try:
        found = resolved(function.__module__, function.__qualname__)
        return found is function or has_arrived_for(found, function)
    except (ImportError, AttributeError):
        return False


def _bound(instance: Any, name: str, expected: str | None) -> Any:
    """Find a persisted method of an instance."""
    method = getattr(instance, name)
    if isinstance(method, PersistedFunction):
        method._expected = expected  # it was made just now
    return method


def _rebuilt(
    cls: type[PersistedFunction[Any, Any]],
    function: Any,
    ref: StoreRef,
    options: Options,
    code: Fingerprint | None,
    names: dict[str, Any],
) -> Any:
    """Make the persisted function again; once per process, if the sender named its code.

    The function itself may be incomplete yet, if it refers to the persisted one.
    """
    made = cls(function, ref, options, code=code, names=names)
    made._expected = None if code is None else code.hexdigest[:_CODE_DIGITS]
    try:
        validate = options.validate and fingerprint(options.validate).hexdigest
        retry = options.retry and digest(options.retry)
    except UnstableKeyError:
        return made
    if code is None:
        return made
    identity = code.hexdigest, *code.components  # equal code of other modules is not this
    same = (ref, replace(options, validate=None, retry=None), validate, retry, *identity)
    return known(same, made)
