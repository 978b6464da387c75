"""Stores, a retry policy and figures on all of a cluster, also on workers that join later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

from persidict import LocalDict
from persidict_dask._defaults import is_told, tell_policy
from persidict_dask._store_retry import apply
from persidict_dask._stores import Store, StoreRef, reference
from persidict_dask.cluster._names import NAME
from persidict_dask.cluster._reporter import Reporter
from persidict_dask.cluster._scheduler import is_on_workers, scheduler_plugin, take_off
from persidict_dask.coordination._places import Place
from persidict_dask.retries import RetryPolicy
from persidict_dask.retries._exits import nanny_plugin

if TYPE_CHECKING:
    from distributed import Client

# One for each worker of this process, and one for each cluster that it is a client of.
_told: dict[object, dict[str, StoreRef]] = {}


class Installed:
    """What `install` has put on a cluster; `page` is the address of its page, if it has one."""

    def __init__(
        self, client: Client, stores: Mapping[str, StoreRef], retry: RetryPolicy | None, page: str
    ) -> None:
        self._client: Any = client
        self._address = _address(client)
        self.stores = dict(stores)
        self.retry = retry
        self.page = page

    def uninstall(self) -> Any:
        """Take all of it off the cluster again; on asynchronous clients something to await.

        Also what another client has installed since: a cluster has one. The figures are lost.
        """
        _tell(self._address, {}, None)  # first: the client may be closed
        return self._client.sync(self._uninstall)

    async def _uninstall(self) -> None:
        if await self._client.run_on_scheduler(is_on_workers):
            await self._client.unregister_worker_plugin(NAME)
            await self._client.unregister_worker_plugin(NAME, nanny=True)
        await self._client.run_on_scheduler(take_off)

    def __repr__(self) -> str:
        retry = "" if self.retry is None else f", retry={self.retry!r}"
        page = f", page {self.page}" if self.page else ""
        return f"<persidict on {self._address}: {sorted(self.stores)}{retry}{page}>"

    def _repr_html_(self) -> str:
        page = escape(self.page)
        link = f'<p><a href="{page}" target="_blank">{page}</a></p>' if page else ""
        retry = (
            "" if self.retry is None else f"<p>retry: <code>{escape(repr(self.retry))}</code></p>"
        )
        stores = "".join(f"<li>{escape(name)}</li>" for name in sorted(self.stores))
        return f"<p>persidict on {escape(self._address)}</p>{link}{retry}<ul>{stores}</ul>"


def install(
    client: Client,
    *,
    stores: Mapping[str, Store | str] | None = None,
    retry: RetryPolicy | None = None,
    dashboard: bool = True,
    prometheus: bool = True,
) -> Any:
    """Put stores, a retry policy and figures on a cluster, for workers now and later.

    It lasts until `uninstall()`, also through a restart of the cluster; calling it again replaces
    all of it but the figures. Returns an `Installed`; on asynchronous clients something to await.

    Args:
        client: whose cluster it is.
        stores: tasks get them by `worker_store(name)`; so does this process. Each worker opens a
            store once, when it is asked for first; the scheduler opens none. Dead letters in
            them tell how workers have ended.
        retry: the policy of all persisted functions that have none of their own, on all workers
            and in this process; and of the I/O of stores there, without what needs a store itself.
        dashboard: add a page `/persidict` with the figures of `stats(client)` to the scheduler's
            dashboard, and `/persidict/stats.json`.
        prometheus: add `dask_persidict_*` to the scheduler's `/metrics`, if `prometheus_client` is
            installed there.
    """
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise TypeError(f"retry is a RetryPolicy, not {retry!r}")
    if stores is not None and not isinstance(stores, Mapping):
        raise TypeError(f"stores are given by name, as in {{'state': store}}, not {stores!r}")
    refs = {name: _reference(name, store) for name, store in (stores or {}).items()}
    _check_client(client)
    ears = scheduler_plugin(dashboard=bool(dashboard), prometheus=bool(prometheus))
    asked: Any = client
    return asked.sync(_install, client, refs, retry, ears)


def _check_client(client: Any) -> None:
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(f"a client is a distributed.Client, not {client!r}")


async def _install(
    client: Any, refs: dict[str, StoreRef], retry: RetryPolicy | None, ears: Any
) -> Installed:
    await client.register_plugin(ears, name=NAME)  # first: it is to hear all that workers tell
    await client.register_plugin(_plugin(refs, retry), name=NAME)
    await client.register_plugin(nanny_plugin(_readers(refs, retry)), name=NAME)
    _tell(_address(client), refs, retry)
    return Installed(client, refs, retry, _page(client) if ears.dashboard else "")


def _readers(refs: Mapping[str, StoreRef], retry: RetryPolicy | None) -> list[StoreRef]:
    """Return the stores in which dead letters may be read."""
    state = None if retry is None or retry.state is None else Place(retry.state).ref
    return list(dict.fromkeys([*refs.values(), *([] if state is None else [state])]))


def _address(client: Client) -> str:
    return str(client.scheduler.address) if client.scheduler else "a cluster"


def _page(client: Any) -> str:
    """Return where the page is, by what the client knows of the dashboard beside it."""
    with suppress(Exception):  # a link must not cost what is installed
        link = client.dashboard_link
        return f"{link.removesuffix('status')}{NAME}" if link else ""
    return ""


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


def _plugin(refs: dict[str, StoreRef], retry: RetryPolicy | None) -> Any:
    from distributed import WorkerPlugin

    class Persidict(WorkerPlugin):
        """Tells a worker the stores and the policy, and the scheduler what the worker counts."""

        def setup(self, worker: Any) -> None:
            _tell(worker.id, refs, retry)
            self.reporter = Reporter(worker)
            self.reporter.start()

        def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
            self.reporter.report()

        def teardown(self, worker: Any) -> None:
            self.reporter.stop()
            # later: what replaces it is told first, so that no task finds nothing in between
            worker.loop.add_callback(_forget, worker.id, refs, retry)

    return Persidict()


def _tell(who: object, refs: dict[str, StoreRef], retry: RetryPolicy | None) -> None:
    """Keep what travels by reference; opens nothing, for this runs on the event loop."""
    _told.pop(who, None)
    if refs:
        _told[who] = refs
    _tell_policy(who, retry)


def _tell_policy(who: object, retry: RetryPolicy | None) -> None:
    tell_policy(who, retry)
    apply(who, retry)


def _forget(who: object, refs: dict[str, StoreRef], retry: RetryPolicy | None) -> None:
    """Take back what was told, unless something else was told since."""
    if _told.get(who) is refs:
        _told.pop(who, None)
    if is_told(who, retry):
        _tell_policy(who, None)
