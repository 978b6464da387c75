"""Futures of results that are stored already: they cost the cluster nothing until it needs them."""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from distributed import Client, Future
from distributed.client import FutureState


class _Batch:
    """Hits that go to the cluster together, if any of them has to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._hits: weakref.WeakSet[HitFuture] = weakref.WeakSet()
        self._sending: asyncio.Future[None] | None = None
        self.is_sent = False

    def add(self, hit: HitFuture) -> None:
        self._hits.add(hit)

    async def send(self) -> None:
        """Put the values into the memory of a worker, once for all of them."""
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        sending = self._sending
        try:
            await asyncio.shield(sending)
        except BaseException:
            if sending.done() and self._sending is sending:
                self._sending = None  # the next one tries again
            raise

    async def _send(self) -> None:
        values = await asyncio.to_thread(self._values)
        if values:
            await self._client._scatter(values, hash=False)  # type: ignore[no-untyped-call]
        self.is_sent = True

    def lose(self) -> None:
        """Take note that the cluster has lost the values: they have to be sent again."""
        self.is_sent, self._sending = False, None

    def send_now(self) -> None:
        """Send from a thread that may wait; the event loop has to wait by itself."""
        if not self.is_sent and not _is_loop_of(self._client):
            self._client.sync(self.send)  # type: ignore[no-untyped-call]

    def _values(self) -> dict[str, Any]:
        return {hit.name: hit.take() for hit in list(self._hits)}


class _SentLate(FutureState):
    """The state under which a client knows a hit: whoever waits for it sends it."""

    __slots__ = ("_batch",)

    def __init__(self, key: str, batch: _Batch) -> None:
        super().__init__(key)
        self._batch = batch

    async def wait(self, timeout: float | None = None) -> None:
        await asyncio.wait_for(self._batch.send(), timeout)

    def lose(self) -> None:
        self._batch.lose()

    reset = retry = lose

    def cancel(self, reason: Any = None, msg: Any = None) -> None:
        self._batch.lose()


class HitFuture(Future):  # type: ignore[type-arg]
    """A future whose value was in the store.

    `result()` asks nobody. The value goes to a worker when something there needs it: `gather`,
    another task, another client; all hits of a `map` then go together.

    Args:
        name: the key under which the cluster will know it.
        value: given out once.
        again: returns the value for the second time and later, so that nobody gets an object that
            somebody else may have changed.
    """

    def __init__(
        self, name: str, value: Any, again: Callable[[], Any], client: Client, batch: _Batch
    ) -> None:
        self.name = name
        self._values = [value]
        self._again = again
        self._batch = batch
        self._needs_no_key = True
        self._late = client.futures[name] = _SentLate(name, batch)
        self._late.finish(type(value))  # type: ignore[no-untyped-call]
        super().__init__(name, client)
        self._state = FutureState(name)
        self._state.finish(type(value))  # type: ignore[no-untyped-call]
        self._needs_no_key = False
        batch.add(self)

    @property
    def key(self) -> Any:
        """The key; whoever asks for it wants the cluster to know it."""
        if not self._needs_no_key:
            self._register()
            self._batch.send_now()
        return self.name

    @key.setter
    def key(self, key: Any) -> None:
        assert key == self.name

    def _register(self) -> None:
        """Make the client know of the hit again, if it was restarted since."""
        client = self._client
        if client is not None and client.futures.get(self.name) is not self._late:
            client._inc_ref(self.name)  # type: ignore[no-untyped-call]
            client.futures[self.name] = self._late
            self._generation = client.generation
            self._batch.lose()

    def take(self) -> Any:
        """Return a value that belongs to the caller."""
        try:
            return self._values.pop()
        except IndexError:
            return self._again()

    def result(self, timeout: float | None = None) -> Any:
        """Return the value; `timeout` has no meaning."""
        return self.take()

    def exception(self, timeout: float | None = None, **kwargs: Any) -> None:
        """Return `None`: there is a value."""

    def traceback(self, timeout: float | None = None, **kwargs: Any) -> None:
        """Return `None`: there is a value."""

    def cancel(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is nothing to cancel."""

    def release(self) -> None:
        """Forget the value, here and in the cluster if it was sent."""
        self._needs_no_key = True
        super().release()  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        return f"<HitFuture: stored, key: {self.name}>"


def hit_futures(client: Client) -> Callable[[str, Any, Callable[[], Any]], HitFuture]:
    """Return a maker of hits (name, value, again) that go to the cluster together."""
    batch, own = _Batch(client), uuid.uuid4().hex

    def make(name: str, value: Any, again: Callable[[], Any]) -> HitFuture:
        # the names are the batch's own: the value of another one may just be forgotten
        return HitFuture(f"hit-{name}-{own}", value, again, client, batch)

    return make


def _is_loop_of(client: Client) -> bool:
    try:
        return asyncio.get_running_loop() is getattr(client.loop, "asyncio_loop", None)
    except RuntimeError:
        return False
