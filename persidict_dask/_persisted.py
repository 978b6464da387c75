"""A function whose results are stored, as an object that goes wherever Dask takes a function."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from persidict import NonEmptySafeStrTuple
from persidict_dask._arguments import changed, warn_of_changed
from persidict_dask._arrival import expectation, imported, warn_of_other_code
from persidict_dask._binding import Binding
from persidict_dask._call import Call
from persidict_dask._code import Fingerprint
from persidict_dask._defaults import default_policy
from persidict_dask._difference import difference
from persidict_dask._digest import digest, digest_arguments
from persidict_dask._errors import ResultMismatchError, UnstableKeyError
from persidict_dask._explanation import Explanation, hit, miss, unfit
from persidict_dask._flights import MISSING, Steps, being_inside, fly, is_inside, steps
from persidict_dask._forgetting import forget_all, forget_older
from persidict_dask._function_code import CODE_DIGITS, FunctionCode
from persidict_dask._inference import is_inferring
from persidict_dask._names import names_of
from persidict_dask._options import Options
from persidict_dask._origin import known_as
from persidict_dask._provenance import described, provenance
from persidict_dask._results import Results
from persidict_dask._savings import remember, stats_of
from persidict_dask._stats import FunctionStats, count, sizeof
from persidict_dask._stores import Store, StoreRef
from persidict_dask._submission import submit, submit_all
from persidict_dask._travel import bound, is_found_by_name, rebuilt
from persidict_dask._warn import leave_out_ours, warn_caller
from persidict_dask.retries import RetryPolicy
from persidict_dask.retries._subject import Subject

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")

_SHIPPED_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


class PersistedFunction(Generic[P, R]):
    """A function whose results are stored; call it like the plain one, which is `__wrapped__`."""

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str
    __module__: str
    _expected: str | None = None  # the code that the sender has, if it came from elsewhere
    _expected_of_method: str | None = None  # the same, with what the class of an instance adds

    def __init__(
        self,
        function: Callable[P, R],
        place: Store | StoreRef,
        options: Options,
        *,
        code: dict[str, Fingerprint] | None = None,
        names: dict[str, Any] | None = None,
    ) -> None:
        self.__wrapped__ = function
        self.__dict__.update(names_of(function) if names is None else names)
        self._options = options
        self._label = options.label_of(self)  # in messages; in the store it has another name
        self._results = Results(
            options.name,
            place,
            label=self._label,
            validate=options.validate,
            ttl=options.ttl,
            namespace=getattr(inspect.unwrap(function), "__globals__", None),
            on_store_error=options.on_store_error,
        )
        self._code = FunctionCode(
            function,
            label=self._label,
            version=options.version,
            by_value=options.by_value,
            ignored=options.ignored_globals,
            is_named=options.is_named,
            shipped=code,
        )
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
        try:
            return self._loaded_or_run(call)
        except Exception as error:
            leave_out_ours(error)
            raise

    def _loaded_or_run(self, call: Call) -> Any:
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
        self._results.open()
        value, seconds = self._run(call)
        self._replace(call, value, seconds)
        return value  # type: ignore[no-any-return]

    def forget(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the stored result of a call, and tell whether there was one."""
        return self._results.forget(self.key_of(*args, **kwargs))

    def forget_all(self, *, older: bool = False) -> int:
        """Remove all results of the function, or those of code that was replaced; return how many.

        Older are results of this very function, of the same file or notebook, before an edit in
        the code that it reaches; what is not known to be so is kept. Other libraries, values of
        closures and defaults are no edits. The repr of the number tells what was removed.
        """
        if not older:
            return forget_all(self._results)
        place = {"source": self._options.source, "function": self.__qualname__}
        now = {**place, "module": known_as(self.__module__), "code": self._code.of().components}
        return forget_older(self._results, self._code.digits(), now)

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
            call.key,
            call.code.components,
            call.code.values,
            arguments,
            self._results.all_notes(),
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
        return stats_of(self._options.name)

    # -- a call ---------------------------------------------------------------------------------

    def _call(self, args: Any, kwargs: Any) -> Call:
        try:
            return self._keyed(args, kwargs)
        except UnstableKeyError as error:
            error.function = self._label
            raise

    def _keyed(self, args: Any, kwargs: Any) -> Call:
        args = (*self._instance, *args)
        arguments = self._binding(args, kwargs)
        first = args[0] if args else kwargs.get(self._binding.first)
        owner = self._code.owner_of(first)
        code = self._code.of(owner)
        if not self._is_expected(code):
            warn_of_other_code(self)
        reached: dict[int, Any] = {}
        digests = self._digests(arguments, None if owner is None else first, code, reached)
        key = NonEmptySafeStrTuple(
            self._options.name, code.hexdigest[:CODE_DIGITS], digest(digests)
        )
        return Call(key, args, kwargs, arguments, digests, code, owner, reached)

    def _is_expected(self, code: Fingerprint) -> bool:
        """Is the code that of the sender, if the function came from elsewhere?"""
        if self._expected_of_method is not None:
            return code.hexdigest[:CODE_DIGITS] == self._expected_of_method
        return self._expected is None or self._code.digits() == self._expected

    def _digests(
        self,
        arguments: dict[str, Any],
        instance: Any,
        code: Fingerprint,
        reached: dict[int, Any] | None = None,
    ) -> dict[str, str]:
        """Digest the arguments; defaults as they were before runs changed them."""
        by_value, defaults = self._options.by_value, self._binding.defaults
        if not defaults:
            return digest_arguments(arguments, by_value, instance, reached)
        known = self._code.of_defaults(defaults, code)
        taken = {k for k, v in arguments.items() if k in known and v is defaults[k]}
        rest = {k: v for k, v in arguments.items() if k not in taken}
        found = digest_arguments(rest, by_value, instance, reached)
        return {name: known[name] if name in taken else found[name] for name in arguments}

    def _load(self, call: Call, *, again: bool = False) -> Any:
        begin = perf_counter()
        found = self._results.load(call.key, again=again)
        if found is not MISSING:
            seconds = perf_counter() - begin
            remember(self._options.name, call.key, partial(self._results.note_or_none, call.key))
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
        if steps is None:
            return self._compute(call)
        with being_inside((self._results.place, call.key)):
            return fly(steps, partial(self._compute, call))

    def _steps(self, call: Call) -> Steps | None:
        """How to run the call once among all who want it; `None` if it is not for others to run."""
        ident = (self._results.place, call.key)
        if not self._options.single_flight or is_inside(ident):
            return None
        load = partial(self._load, call, again=True)
        report = partial(self._results.trouble.report, part="claim")
        return steps(ident, lambda: self._results.claims, load, report)

    def _compute(self, call: Call) -> Any:
        value, seconds = self._run(call)
        return self._keep(call, value, seconds)

    def _keep(self, call: Call, value: Any, seconds: float) -> Any:
        """Store a result, and return the one that is stored in the end."""
        if not self._code.is_as(call.code, call.owner):
            warn_caller(
                f"a result of {self._label} is not stored: its code, or a global that it "
                "reads, was edited while it ran"
            )
            return value
        warn_of_changed(self._label, self._changed(call))
        stored, is_ours = self._results.insert(call.key, value)
        if is_ours:
            count(self._options.name, bytes=sizeof(stored))
            self._annotate(call, seconds)
        return stored

    def _replace(self, call: Call, value: Any, seconds: float) -> None:
        warn_of_changed(self._label, self._changed(call))
        if self._results.replace(call.key, value):
            self._annotate(call, seconds)

    def _is_to_be_verified(self) -> bool:
        return self._options.verify > 0 and random.random() < self._options.verify

    def _changed(self, call: Call) -> Iterator[str]:
        def again(arguments: dict[str, Any]) -> dict[str, str]:
            instance = None if call.owner is None else call.args[0]
            return self._digests(arguments, instance, call.code)

        return changed(call.arguments, call.digests, again)

    def _compare(self, call: Call, stored: Any, computed: Any) -> None:
        for name in self._changed(call):
            raise ResultMismatchError(
                f"{self._label} changes its argument {name!r} while it runs", call.key
            )
        different = difference(stored, computed)
        if different is not None:
            raise ResultMismatchError(f"{self._label}: {different}", call.key)

    def _run(self, call: Call) -> tuple[Any, float]:
        begin = perf_counter()
        with self._counting_errors():
            value = self._called(call)
        seconds = perf_counter() - begin
        count(self._options.name, misses=1, seconds_computing=seconds)
        return value, seconds

    def _called(self, call: Call) -> Any:
        policy = self._policy
        with self._code.running(call.owner, call.reached.values()):
            if policy is None:
                return self.__wrapped__(*call.args, **call.kwargs)
            return policy.call_as(self._subject(call), self.__wrapped__, call.args, call.kwargs)

    @property
    def _policy(self) -> RetryPolicy | None:
        return self._options.retry or default_policy()

    def _subject(self, call: Call) -> Subject:
        return Subject(call.key, self._options.name, call.arguments, self._label)

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
            call.code,
            call.arguments,
            call.digests,
            seconds,
        )
        self._results.annotate(call.key, note)

    @functools.cached_property
    def _binding(self) -> Binding:
        return Binding(self.__wrapped__, self._options.ignore)

    # -- being a function -----------------------------------------------------------------------

    # of a class method, on the class, of an instance, and of a static method of an instance
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[T], Q], R], instance: Any, owner: type[T]
    ) -> PersistedFunction[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[T, Q], R], instance: T, owner: type
    ) -> PersistedFunction[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...
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
        options = self._options
        if options.version is None:
            return ("persisted", self.__wrapped__, *self._instance)
        return ("persisted", options.name, options.version, self._code.data, *self._instance)

    def __persist_settings__(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What decides the fingerprint, also of code that refers to this."""
        return self._options.by_value, self._options.ignored_globals

    def __dask_tokenize__(self) -> tuple[str, ...]:
        # strings only: of anything else Dask would take the repr
        if not self._options.enabled:
            from dask.base import tokenize

            return "plain", tokenize(self.__wrapped__, *self._instance)
        store = self._results.ref.__dask_tokenize__()
        owner, instance = None, ""
        if self._instance:
            owner = self._code.owner_of(self._instance[0])
            counts = self._binding.first not in self._options.ignore
            instance = self._instance_digest(owner) if counts else ""
        code = self._code.digits(owner)
        return "persisted", self._options.name, code, store, instance

    def _instance_digest(self, owner: type | None) -> str:
        (instance,) = self._instance
        by_name = None if owner is None else instance
        return digest_arguments({"self": instance}, self._options.by_value, by_name)["self"]

    def __reduce__(self) -> tuple[Any, ...]:
        if self._instance:
            return bound, (self._instance[0], self.__name__, expectation(self))
        if is_found_by_name(self):
            place = known_as(self.__module__), self.__qualname__
            return imported, (*place, self._results.ref, expectation(self))
        needs_code = self._options.enabled and self._options.version is None
        code = self._code.shipped() if needs_code else None
        names = {name: getattr(self, name, None) for name in _SHIPPED_NAMES}
        return rebuilt, (
            type(self),
            self.__wrapped__,
            self._results.ref,
            self._options,
            code,
            names,
        )

    def __repr__(self) -> str:
        return f"<persisted {self._label} in {self._results.ref!r}>"
