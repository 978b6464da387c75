"""Stores, a retry policy and figures on all of a cluster, also on workers that join later."""

from __future__ import annotations

import os
import pydoc
import weakref
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

from persidict import LocalDict, __version__
from persidict_dask._defaults import Connection, Told, policies
from persidict_dask._flights import in_thread
from persidict_dask._store_retry import apply
from persidict_dask._stores import Store, StoreRef, reference
from persidict_dask._warn import warn_caller
from persidict_dask._where import running_worker
from persidict_dask.cluster._client import address_of, answer, check_client
from persidict_dask.cluster._handles import show
from persidict_dask.cluster._names import NAME
from persidict_dask.cluster._reporter import Reporter
from persidict_dask.cluster._scheduler import is_on_workers, scheduler_plugin, take_off
from persidict_dask.coordination._places import Place
from persidict_dask.retries import RetryPolicy
from persidict_dask.retries._exits import nanny_plugin

if TYPE_CHECKING:
    from distributed import Client

_told: Told[dict[str, StoreRef]] = Told()


class Installed:
    """What `install` has put on a cluster; `page` is the address of its page, if it has one."""

    def __init__(
        self, client: Client, stores: Mapping[str, StoreRef], retry: RetryPolicy | None, page: str
    ) -> None:
        self._client: Any = client
        self._address = address_of(client)
        self.stores = dict(stores)
        self.retry = retry
        self.page = page

    def uninstall(self) -> Any:
        """Take all of it off the cluster again; on asynchronous clients something to await.

        Also what another client has installed since: a cluster has one. The figures are lost.
        """
        _tell(Connection(self._address), {}, None)  # first: the client may be closed
        check_client(self._client)
        return self._client.sync(answer, self._client, self._uninstall())

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
    Raises `RuntimeError` if the client is closed, or if a part of the cluster lacks this package.

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
    check_client(client)
    ears = scheduler_plugin(dashboard=bool(dashboard), prometheus=bool(prometheus))
    asked: Any = client
    return asked.sync(answer, client, _install(client, refs, retry, ears))


async def _install(
    client: Any, refs: dict[str, StoreRef], retry: RetryPolicy | None, ears: Any
) -> Installed:
    await _check_versions(client)
    await client.register_plugin(ears, name=NAME)  # first: it is to hear all that workers tell
    await client.register_plugin(_plugin(refs, retry), name=NAME)
    await client.register_plugin(nanny_plugin(_readers(refs, retry)), name=NAME)
    _tell(Connection(address_of(client), weakref.ref(client)), refs, retry)
    await in_thread(show, _shared(retry))
    return Installed(client, refs, retry, _page(client) if ears.dashboard else "")


async def _check_versions(client: Any) -> None:
    """Raise `RuntimeError` if a part of the cluster lacks the package; warn of other versions.

    Where it is missing, plugins cannot be put, and workers that come later would not start.
    """
    asked = pydoc.locate, f"{__name__}.__version__"  # which are there wherever Python is
    found = {"the scheduler": await client.run_on_scheduler(*asked)}
    found |= await client.run(*asked, on_error="return")
    lacking = [where for where, version in found.items() if not isinstance(version, str)]
    if lacking:
        raise RuntimeError(
            f"persidict_dask cannot be imported on {_few(lacking)}: install version {__version__} "
            "of persidict there, which is the one of this process"
        )
    others = [f"{where}: {v}" for where, v in found.items() if v != __version__]
    if others:
        warn_caller(f"persidict is {__version__} here, and another version on {_few(others)}")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _shared(retry: RetryPolicy | None) -> list[Any]:
    """Return what all who have the policy share, and what figures tell of."""
    given = () if retry is None else (retry.breaker, retry.budget)
    return [each for each in given if each is not None]


def _readers(refs: Mapping[str, StoreRef], retry: RetryPolicy | None) -> list[StoreRef]:
    """Return the stores in which dead letters may be read."""
    state = None if retry is None or retry.state is None else Place(retry.state).ref
    return list(dict.fromkeys([*refs.values(), *([] if state is None else [state])]))


def _page(client: Any) -> str:
    """Return where the page is, by what the client knows of the dashboard beside it."""
    with suppress(Exception):  # a link must not cost what is installed
        link = client.dashboard_link
        return f"{link.removesuffix('status')}{NAME}" if link else ""
    return ""


def worker_store(name: str, *, client: Client | None = None) -> Store:
    """Return a store that was named in `install(client, stores={name: ...})`; the same each time.

    In a task it is a store of the cluster that runs the task. In other code, also of threads that
    a task has started, `LookupError` says so if several clusters have different stores of that
    name: there give the client. Raises `KeyError` with the names there are. Costs no request.
    """
    groups = _told.here() if client is None else iter([_of_cluster(address_of(client))])
    names: set[str] = set()
    for group in groups:
        named = [(who, stores[name]) for who, stores in group if name in stores]
        if named:
            return _only(name, named).open()
        names.update(*(stores for _, stores in group))
    raise KeyError(
        f"no store {name!r} was installed here, only {sorted(names)}: "
        f"call install(client, stores={{{name!r}: ...}}) for the cluster"
    )


def _of_cluster(address: str) -> list[tuple[Any, dict[str, StoreRef]]]:
    """Return what this process, or the worker that runs this, knows of a cluster."""
    worker = running_worker()
    is_mine = worker is not None and worker.scheduler.address == address
    who = worker.id if worker is not None and is_mine else Connection(address)
    return [(who, _told.of(who) or {})]


def _only(name: str, named: list[tuple[Any, StoreRef]]) -> StoreRef:
    """Return the one store that all mean."""
    if len({ref for _, ref in named}) > 1:
        where = sorted(who.cluster if isinstance(who, Connection) else str(who) for who, _ in named)
        raise LookupError(
            f"{name!r} is ambiguous here, {_few(where)} have different stores of that name: "
            f"call worker_store({name!r}, client=...), or ask in the task itself"
        )
    return named[0][1]


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

        def __init__(self) -> None:
            # not by closure: the workers of one process share this class, and its methods
            self.told = refs, retry

        def setup(self, worker: Any) -> None:
            _tell(worker.id, *self.told)
            self.reporter = Reporter(worker, *_shared(self.told[1]))
            self.reporter.start()

        def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
            self.reporter.report()

        def teardown(self, worker: Any) -> None:
            self.reporter.stop()
            if worker.status.name == "running":
                # later: what replaces it is told first, so that no task finds nothing in between
                worker.loop.add_callback(_forget, worker.id, *self.told)
            else:  # its loop may not turn again
                _forget(worker.id, *self.told)

    return Persidict()


def _tell(who: object, refs: dict[str, StoreRef], retry: RetryPolicy | None) -> None:
    """Keep what travels by reference; opens nothing, for this runs on the event loop."""
    _told.tell(who, refs or None)
    _tell_policy(who, retry)


def _tell_policy(who: object, retry: RetryPolicy | None) -> None:
    policies.tell(who, retry)
    apply(who, retry)


def _forget(who: object, refs: dict[str, StoreRef], retry: RetryPolicy | None) -> None:
    """Take back what was told, unless something else was told since."""
    if _told.of(who) is refs:
        _told.tell(who, None)
    if policies.of(who) is retry:
        _tell_policy(who, None)
