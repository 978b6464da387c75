"""Servers of S3 for the tests: real ones, one of each kind for all tests of a process, and moto."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dask
import pytest
from moto import mock_aws

from persidict import BasicS3Dict, S3Dict

from . import servers
from .servers import Server

PROCESSES_ON = ["ministack", "seaweedfs"] if os.environ.get("S3_EACH_SERVER") else ["seaweedfs"]
CONFIG = {"max_pool_connections": 32}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch)


@pytest.fixture(scope="module", autouse=True)
def _workers_inherit_the_environment() -> Iterator[None]:
    with dask.config.set({"distributed.worker.multiprocessing-method": "spawn"}):
        yield


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give those of the servers; nothing of the machine's user is read."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CONFIG_FILE",
    ):
        monkeypatch.delenv(name, raising=False)


def _running(start: Any, folder: Path) -> Iterator[Server]:
    server = start(folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(servers.ministack, tmp_path_factory.mktemp("ministack"))


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(servers.seaweedfs, tmp_path_factory.mktemp("seaweedfs"))


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(servers.rclone, tmp_path_factory.mktemp("rclone"))


class Place:
    """A prefix of a bucket on some server, new for every test, and a folder for caches."""

    bucket = "persidict"

    def __init__(self, client: Any, url: str | None, path: Path) -> None:
        self.client = client
        self.url = url
        self.path = path
        self.prefix = f"{uuid.uuid4().hex}/"

    def basic(self, **options: Any) -> BasicS3Dict[Any]:
        return BasicS3Dict(**self._where(), **options)

    def cached(self, cache: str = "cache", **options: Any) -> S3Dict[Any]:
        return S3Dict(base_dir=self.path / cache, **self._where(), **options)

    def _where(self) -> dict[str, Any]:
        return {"bucket_name": self.bucket, "root_prefix": self.prefix, "client": self.client}

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data)

    def get(self, name: str) -> bytes | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
        except self.client.exceptions.NoSuchKey:
            return None
        return bytes(answer["Body"].read())

    def names(self) -> list[str]:
        listing = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
        return [one["Key"].removeprefix(self.prefix) for one in listing.get("Contents", [])]


@pytest.fixture(scope="session")
def clients() -> dict[str, Any]:
    return {}


def place_on(server: Server, clients: dict[str, Any], path: Path) -> Place:
    if server.name not in clients:
        clients[server.name] = server.client(**CONFIG)
        clients[server.name].create_bucket(Bucket=Place.bucket)
    return Place(clients[server.name], server.url, path)


def moto_place(clients: dict[str, Any], path: Path) -> Iterator[Place]:
    """A bucket of moto, in this process: for a single client, because it checks and then acts."""
    with mock_aws():
        client = clients.get("moto") or boto3.client("s3")
        clients["moto"] = client  # making one takes longer than most tests
        client.create_bucket(Bucket=Place.bucket)
        yield Place(client, None, path)


@pytest.fixture(params=["moto", "ministack", "seaweedfs"])
def place(
    request: pytest.FixtureRequest, clients: dict[str, Any], tmp_path: Path
) -> Iterator[Place]:
    """A new place on each of the servers that can be trusted with a single client."""
    if request.param == "moto":
        yield from moto_place(clients, tmp_path)
    else:
        yield place_on(request.getfixturevalue(request.param), clients, tmp_path)


@pytest.fixture(params=["ministack", "seaweedfs"])
def real(request: pytest.FixtureRequest, clients: dict[str, Any], tmp_path: Path) -> Place:
    """A new place on each of the servers that check and act in one step."""
    return place_on(request.getfixturevalue(request.param), clients, tmp_path)


@pytest.fixture(params=PROCESSES_ON)
def shared(request: pytest.FixtureRequest, clients: dict[str, Any], tmp_path: Path) -> Place:
    """A new place for tests that take long because of their processes, not of their requests.

    What is asked of a server is tested with `real` on each; these only with `S3_EACH_SERVER=1`.
    """
    return place_on(request.getfixturevalue(request.param), clients, tmp_path)
