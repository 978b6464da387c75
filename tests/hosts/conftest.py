"""Two hosts that share a folder; they are kept from test to test while they live."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.host import Host
from tests.hosts.namespaces import refusal

NAMES = ("north", "south")


class Hosts:
    """Hosts that share a folder, which has another path on each of them."""

    def __init__(self, base: Path, *, as_user: bool) -> None:
        self._base, self._as_user = base, as_user
        self._shared = base / "shared"
        self._shared.mkdir()
        self._numbers = itertools.count()
        self._hosts: dict[str, Host] = {}
        self.folder = self._shared
        """The folder of the test, as the test sees it."""

    def __iter__(self) -> Iterator[Host]:
        """Yield them, and replace those that were killed."""
        for name in NAMES:
            if name not in self._hosts or not self._hosts[name].is_alive:
                self._hosts[name] = self._new(name)
        for host in self._hosts.values():
            host.folder = self.folder.name
            yield host

    def _new(self, name: str) -> Host:
        here = self._base / f"{name}{next(self._numbers)}"
        here.mkdir()
        clock = 5_000 + 100_000 * NAMES.index(name)
        return Host(name, self._shared, here, clock, as_user=self._as_user)

    def begin(self) -> None:
        """Make a folder for a test."""
        self.folder = self._shared / f"{next(self._numbers)}"
        self.folder.mkdir()

    def clear(self) -> None:
        """Kill what a test has left."""
        for host in self._living():
            host.clear()

    def close(self) -> None:
        """Kill the hosts."""
        for host in self._living():
            host.kill()

    def _living(self) -> list[Host]:
        return [host for host in self._hosts.values() if host.is_alive]


def _made(factory: pytest.TempPathFactory, *, as_user: bool) -> Iterator[Hosts]:
    if why := refusal(as_user=as_user):
        pytest.skip(f"no hosts on this machine: {why}")
    made = Hosts(factory.mktemp("hosts"), as_user=as_user)
    yield made
    made.close()


@pytest.fixture(scope="session")
def _hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    is_refused = bool(refusal(as_user=False))
    yield from _made(tmp_path_factory, as_user=is_refused)


@pytest.fixture(scope="session")
def _hosts_of_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    yield from _made(tmp_path_factory, as_user=True)


@pytest.fixture
def hosts(_hosts: Hosts) -> Iterator[Hosts]:
    """Two hosts, a new folder that they share, and nothing that runs on them."""
    _hosts.begin()
    yield _hosts
    _hosts.clear()


@pytest.fixture
def hosts_of_user(_hosts_of_user: Hosts) -> Iterator[Hosts]:
    """The same, made with no right but that to make user namespaces."""
    _hosts_of_user.begin()
    yield _hosts_of_user
    _hosts_of_user.clear()
