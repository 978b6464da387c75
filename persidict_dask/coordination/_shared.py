"""SharedValue: a value that many read, change and wait for."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

from persidict_dask._flights import in_thread
from persidict_dask._seconds import Seconds, seconds
from persidict_dask.coordination._payloads import drop, pack, unpack
from persidict_dask.coordination._places import Handle, Somewhere
from persidict_dask.coordination._polling import Attempt, bells, poll, poll_async
from persidict_dask.coordination._records import ABSENT, Record, Seen
from persidict_dask.coordination._waiters import Waiter


class SharedValue(Handle):
    """A value of any kind that is the same for all who share a store.

    Args:
        default: what `get` returns before anything was set.
    """

    kind: ClassVar[str] = "value"

    def __init__(self, store: Somewhere, name: str, default: Any = None) -> None:
        super().__init__(store, name, default=default)
        self._default = default
        self._record = Record(self._place, self._key)

    def get(self) -> Any:
        """Return the value; one request, two if it is large."""
        return self._read(ABSENT)[1]

    def set(self, value: Any) -> None:
        """Set the value, whatever it was."""
        for attempt in range(1_000_000):
            if self._swapped(self._record.read(), value):
                return
            self._record.let_others(attempt)

    def update(self, f: Callable[[Any], Any]) -> Any:
        """Replace the value by what `f` makes of it, and return that; no update is lost.

        `f` is called again when others were first. What it raises is raised, and nothing changes.
        """
        return self._change(f)

    def wait_for(self, predicate: Callable[[Any], bool], timeout: Seconds | None = None) -> Any:
        """Wait until the value satisfies the predicate, and return it; else `TimeoutError`.

        A value that is there for a moment only, between two looks, is not seen.
        """
        found = poll(self._attempt(predicate), timeout, is_near=self._place.is_near)
        return self._found(found, timeout)

    async def wait_for_async(
        self, predicate: Callable[[Any], bool], timeout: Seconds | None = None
    ) -> Any:
        """Do the same in a coroutine; the predicate is called in another thread."""
        attempt = await in_thread(self._attempt, predicate)  # which may open the store
        found = await poll_async(attempt, timeout, is_near=self._place.is_near)
        return self._found(found, timeout)

    def _found(self, found: list[Any] | None, timeout: Seconds | None) -> Any:
        if found is None:
            raise TimeoutError(
                f"{self!r} did not satisfy the predicate within {seconds('a timeout', timeout)} s"
            )
        return found[0]

    def _attempt(self, predicate: Callable[[Any], bool]) -> Attempt:
        seen, value, waiter = ABSENT, self._default, Waiter(self._place, self._key)

        def look() -> list[Any] | None:
            nonlocal seen, value
            seen, value = self._read(seen, value)
            return [value] if predicate(value) else None

        return Attempt(self._record.identity, look, begin=waiter.begin, end=waiter.end)

    def _read(self, known: Seen, value: Any = None) -> tuple[Seen, Any]:
        while True:
            seen = self._record.look(known)
            if not seen.exists:
                return seen, deepcopy(self._default)
            if seen is known:
                return seen, value
            try:
                return seen, unpack(self._place, self._key, seen.fields)
            except KeyError:  # a large value that was replaced meanwhile
                if self._record.look(seen) is seen:
                    raise

    def _change(self, f: Callable[[Any], Any]) -> Any:
        for attempt in range(1_000_000):
            seen, value = self._read(ABSENT)
            value = f(value)
            if self._swapped(seen, value):
                return value
            self._record.let_others(attempt)
        raise AssertionError("unreachable")

    def _swapped(self, seen: Seen, value: Any) -> bool:
        """Replace what was seen; if others were first, nothing is left of ours."""
        packed = pack(self._place, self._key, value)
        is_ours = self._record.swap(seen, packed) is not None
        drop(self._place, self._key, seen.fields if is_ours else packed)
        if is_ours:
            bells.ring(self._record.identity)
        return is_ours
