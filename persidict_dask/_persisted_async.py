"""A coroutine function whose results are stored, and which Dask and asyncio take for one."""

from __future__ import annotations

import inspect
from functools import partial
from time import perf_counter
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from persidict_dask._call import Call
from persidict_dask._flights import MISSING, fly_async, in_thread
from persidict_dask._inference import is_inferring
from persidict_dask._persisted import PersistedFunction
from persidict_dask._stats import count
from persidict_dask._warn import leave_out_ours

P = ParamSpec("P")
R = TypeVar("R")


async def _coroutine() -> None:
    """Lend its code to those who ask an object whether it is a coroutine function."""


class PersistedCoroutineFunction(PersistedFunction[P, R]):
    """A persisted `async def`: calls are awaited, and so is `refresh`; everything else is not.

    What has to be asked of the store is asked in a thread, so that the event loop goes on.
    """

    # with these, `inspect.iscoroutinefunction` takes an object for a function
    __code__: CodeType = _coroutine.__code__
    __defaults__: tuple[Any, ...] | None = None
    __kwdefaults__: dict[str, Any] | None = None

    async def __call__(  # type: ignore[override]
        self, /, *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        if not self._options.enabled or is_inferring():
            return await self._plain(*self._instance, *args, **kwargs)
        return await self._answer(self._call(args, kwargs))

    async def _answer(self, call: Call) -> Any:
        try:
            return await self._loaded_or_run(call)
        except Exception as error:
            leave_out_ours(error)
            raise

    async def _loaded_or_run(self, call: Call) -> Any:
        found = await in_thread(self._load, call)
        if found is MISSING:
            steps = self._steps(call)
            compute = partial(self._compute_async, call)
            return await (compute() if steps is None else fly_async(steps, compute))
        if self._is_to_be_verified():
            self._compare(call, found, await self._called(call))
        return found

    async def refresh(  # type: ignore[override]
        self, /, *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        """Compute now, and replace the stored result."""
        call = self._call(args, kwargs)
        await in_thread(self._results.open)
        value, seconds = await self._run_async(call)
        await in_thread(self._replace, call, value, seconds)
        return value

    @property
    def _plain(self) -> Any:
        return self.__wrapped__

    async def _compute_async(self, call: Call) -> Any:
        value, seconds = await self._run_async(call)
        return await in_thread(self._keep, call, value, seconds)

    async def _called(self, call: Call) -> Any:
        policy = self._policy
        with self._code.running(call.owner, call.reached.values()):
            if policy is None:
                return await self._plain(*call.args, **call.kwargs)
            subject = self._subject(call)
            return await policy.call_as_async(subject, self._plain, call.args, call.kwargs)

    async def _run_async(self, call: Call) -> tuple[Any, float]:
        begin = perf_counter()
        with self._counting_errors():
            value = await self._called(call)
        seconds = perf_counter() - begin
        count(self._options.name, misses=1, seconds_computing=seconds)
        return value, seconds


def persisted_class(function: Any) -> type[PersistedFunction[Any, Any]]:
    """Return the class for a function or a coroutine function."""
    is_coroutine = inspect.iscoroutinefunction(function)
    return PersistedCoroutineFunction if is_coroutine else PersistedFunction
