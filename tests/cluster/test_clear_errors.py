"""What cannot work is said in words: clients that are closed, workers without the package."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import suppress

import pytest
from distributed import Client, LocalCluster

import persidict_dask
from persidict import FileDirDict
from persidict_dask import _install, install, stats, worker_store
from persidict_dask.retries import DeadLetters


def cluster(**settings):
    settings = {"n_workers": 1, "processes": False, "dashboard_address": None} | settings
    return LocalCluster(**settings)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A client that is closed, and what it had installed."""
    with cluster() as made:
        client = Client(made)
        store = FileDirDict(base_dir=str(tmp_path_factory.mktemp("closed")))
        installed = install(client, stores={"of a closed client": store})
        client.close()
    yield client, installed
    with suppress(RuntimeError):
        installed.uninstall()


ASKED = {
    "stats": lambda client: stats(client),
    "install": lambda client: install(client),
    "worker_store": lambda client: worker_store("state", client=client),
}


@pytest.mark.parametrize("what", ASKED)
def test_d11_a_closed_client(closed, what):
    with pytest.raises(RuntimeError, match="client is closed: use one that is open"):
        ASKED[what](closed[0])


def test_d11_uninstalling_through_a_closed_client_forgets_what_this_process_was_told(closed):
    assert worker_store("of a closed client") is not None
    with pytest.raises(RuntimeError, match="client is closed"):
        closed[1].uninstall()
    with pytest.raises(KeyError, match=r"install\(client"):
        worker_store("of a closed client")


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("client", ["tcp://127.0.0.1:8786", 5, Client])
def test_d11_what_is_no_client(what, client):
    with pytest.raises(TypeError, match=r"a client is a distributed\.Client"):
        ASKED[what](client)


@pytest.mark.parametrize("what", ASKED)
def test_d11_a_client_that_was_not_awaited(what, tmp_path):
    async def main():
        async with cluster(asynchronous=True) as made:
            client = Client(made, asynchronous=True)
            with pytest.raises(RuntimeError, match="await it first"):
                ASKED[what](client)
            async with client:
                installed = await install(client, stores={"state": tmp_path})
                assert (await stats(client)).is_cluster
                await installed.uninstall()

    asyncio.run(main())


def test_d11_the_scheduler_has_gone():
    with cluster(protocol="tcp://") as made:
        client = Client(made)
        installed = install(client)
    for ask in (lambda: stats(client), installed.uninstall):
        with pytest.raises((RuntimeError, ConnectionError), match=r"the (client|scheduler)"):
            ask()
    client.close()


def test_d11_the_scheduler_goes_while_it_is_asked(closed):
    async def lost():
        raise OSError("stream is closed")

    class Asked:
        class scheduler:
            address = "tcp://10.0.0.1:8786"

    from persidict_dask.cluster._client import answer

    with pytest.raises(ConnectionError, match=r"scheduler at tcp://10.0.0.1:8786.*closed"):
        asyncio.run(answer(Asked, lost()))


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("persidict", "persidict_dask"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in [*sys.modules]:
    if name.partition(".")[0] in ("persidict", "persidict_dask"):
        del sys.modules[name]
"""


def told_of(dask_scheduler):
    return [
        *dask_scheduler.plugins,
        *dask_scheduler.worker_plugins,
        *dask_scheduler.nanny_plugins,
    ]


def test_d11_workers_without_the_package(tmp_path):
    """Nothing is left of it: workers that come later would not start."""
    preload = tmp_path / "without.py"
    preload.write_text(WITHOUT)
    with cluster(processes=True, preload=[str(preload)]) as made, Client(made) as client:
        [worker] = client.scheduler_info()["workers"]
        with pytest.raises(RuntimeError, match=r"cannot be imported on tcp://.*install") as caught:
            install(client, stores={"of no worker": str(tmp_path)})
        assert worker in str(caught.value)
        assert "persidict" not in client.run_on_scheduler(told_of)
        assert client.submit(abs, -1).result() == 1
        with pytest.raises(RuntimeError, match=r"call persidict_dask\.install"):
            stats(client)
        with pytest.raises(KeyError):
            worker_store("of no worker")


def test_d11_workers_with_another_version(monkeypatch):
    with cluster(processes=True) as made, Client(made) as client:
        client.run(older)
        with pytest.warns(RuntimeWarning, match=r"another version on tcp://\S+: 0\.9"):
            installed = install(client)
        assert stats(client).is_cluster
        installed.uninstall()
        assert persidict_dask._install.__version__ == _install.__version__ != "0.9"


def older():
    importlib.import_module("persidict_dask._install").__version__ = "0.9"


@pytest.mark.parametrize("store", [5, None, ["state"]])
def test_d11_letters_of_what_is_no_store(store):
    with pytest.raises(TypeError, match="a store is"):
        DeadLetters(store)


def test_d11_a_store_that_nobody_has_installed():
    with pytest.raises(KeyError, match=r"install\(client, stores=\{'nowhere'"):
        worker_store("nowhere")
