"""Shared stores on all workers of a cluster, also on those that join later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from persidict import LocalDict
from persidict_dask._stores import Store, StoreRef, reference

if TYPE_CHECKING:
    from distributed import Client

_NAME = "persidict"
# One for each worker of this process, and one for its clients.
_told: dict[object, dict[str, StoreRef]] = {}


class Installed:
    """What `install` has put on a cluster."""

    def __init__(self, client: Client, stores: Mapping[str, StoreRef]) -> None:
        self._client = client
        self.stores = dict(stores)
        self._address = client.scheduler.address if client.scheduler else "a cluster"

    def uninstall(self) -> Any:
        """Take it off the cluster again; on asynchronous clients something to await."""
        _tell(_NAME, {})
        removed: Any = self._client.unregister_worker_plugin(_NAME)  # type: ignore[no-untyped-call]
        return removed

    def __repr__(self) -> str:
        return f"<persidict on {self._address}: {sorted(self.stores)}>"


def install(client: Client, *, stores: Mapping[str, Store | str] | None = None) -> Any:
    """Put stores on all workers of a cluster, now and later, also after a restart of it.

    Tasks get them by `worker_store(name)`; so does this process. Each worker opens a store once,
    when it is asked for first; the scheduler opens none. Calling it again replaces what was
    installed. Returns an `Installed`; on asynchronous clients something to await.
    """
    refs = {name: _reference(name, store) for name, store in (stores or {}).items()}
    _tell(_NAME, refs)
    registering: Any = client.register_plugin(_plugin(refs), name=_NAME)
    installed = Installed(client, refs)
    if not client.asynchronous:
        return installed

    async def registered() -> Installed:
        await registering
        return installed

    return registered()


def worker_store(name: str) -> Store:
    """Return a store that was named in `install(client, stores={name: ...})`; the same each time.

    Raises `KeyError` with the names there are. Costs no request.
    """
    known = {each: ref for refs in list(_told.values()) for each, ref in refs.items()}
    if name not in known:
        raise KeyError(f"no store {name!r} was installed here, only {sorted(known)}")
    return known[name].open()


def _reference(name: str, store: Store | str | os.PathLike[str]) -> StoreRef:
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {type(name).__name__}")
    if isinstance(store, str | os.PathLike):
        ref = reference(store)
        if issubclass(ref.cls, LocalDict):
            raise ValueError("'memory:' is another store in each process: use a folder or a bucket")  # noqa: TRY004
        return ref
    return StoreRef.of(store)


def _plugin(refs: dict[str, StoreRef]) -> Any:
    from distributed import WorkerPlugin

    class Stores(WorkerPlugin):
        """Tells a worker the stores by reference."""

        def setup(self, worker: Any) -> None:
            _tell(worker.id, refs)

        def teardown(self, worker: Any) -> None:
            _tell(worker.id, {})

    return Stores()


def _tell(who: object, refs: dict[str, StoreRef]) -> None:
    """Keep what travels by reference; opens nothing, for this runs on the event loop."""
    _told.pop(who, None)
    if refs:
        _told[who] = refs
