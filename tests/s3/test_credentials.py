"""Credentials that are renewed while a dictionary is open: they are found, and no write is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from persidict import BasicS3Dict, S3Dict

from .conftest import Place, place_on
from .proxy import Answer, AnswerAfter, Fault, FaultProxy, Request
from .test_bulk import START, run


class Gate:
    """A proxy that accepts the requests of one access key, and refuses others as S3 does."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.accepted = "first"
        self.code = "ExpiredToken"
        self.faults: list[Fault] = []
        proxy.decide = self.decide

    def decide(self, request: Request) -> Fault | None:
        found = re.search(r"Credential=(\w+)/", request.headers.get("authorization", ""))
        if found is None or found[1] != self.accepted:
            return Answer(400 if self.code.startswith("Expired") else 403, self.code)
        return self.faults.pop(0) if self.faults else None

    def sent(self) -> list[str]:
        return [f"{request.method} {status}" for request, (_, status) in
                zip(self.proxy.requests, sorted(self.proxy.answers), strict=True)]  # fmt: skip


@pytest.fixture
def place(
    ministack: Any, clients: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return place_on(ministack, clients, tmp_path)


@pytest.fixture
def gate(place: Place) -> Iterator[Gate]:
    with FaultProxy(str(place.url)) as proxy:
        yield Gate(proxy)


def in_environment(key: str, place: Place, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", key)
    patch.setenv("AWS_SESSION_TOKEN", f"token of {key}")


def in_a_file(variable: str, section: str) -> Callable[[str, Place, pytest.MonkeyPatch], None]:
    def put(key: str, place: Place, patch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        (place.path / variable).write_text(
            f"[{section}]\naws_access_key_id = {key}\naws_secret_access_key = s\n"
        )

    return put


SOURCES = {
    "environment": in_environment,
    "credentials file": in_a_file("AWS_SHARED_CREDENTIALS_FILE", "default"),
    "config file": in_a_file("AWS_CONFIG_FILE", "default"),
    "profile": in_a_file("AWS_SHARED_CREDENTIALS_FILE", "mine"),
}


def opened(gate: Gate, place: Place, source: str = "", **options: Any) -> BasicS3Dict[Any]:
    if source == "profile":
        options["session"] = boto3.Session(profile_name="mine")
    return BasicS3Dict(
        bucket_name=place.bucket, root_prefix=place.prefix, endpoint_url=gate.proxy.url, **options
    )


OPERATIONS: dict[str, tuple[Any, list[str]]] = {
    "d[k]": (lambda d: d["k"], ["GET"]),
    "in": (lambda d: "k" in d, ["HEAD"]),
    "d[k] = v": (lambda d: d.__setitem__("k", 2), ["PUT"]),
    "setdefault": (lambda d: d.setdefault("new", 2), ["PUT"]),
    "transform_item": (
        lambda d: d.transform_item("k", transformer=lambda v: v + 1),
        ["GET", "PUT"],
    ),
    "discard": (lambda d: d.discard("k"), ["HEAD", "DELETE"]),
    "len": (len, ["GET"]),
    "clear": (lambda d: d.clear(), ["GET", "POST"]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_first_refusal_finds_them(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    act, requests = OPERATIONS[name]
    in_environment("first", place, monkeypatch)
    d = opened(gate, place)
    d["k"] = 1
    d.is_exact
    before = len(gate.sent())
    gate.accepted = "second"
    in_environment("second", place, monkeypatch)
    act(d)
    sent = [line.split() for line in gate.sent()[before:]]
    assert sent[0] == [requests[0], "400"]
    # boto3 asks, after a HEAD, whether the bucket is in another region
    assert [method for method, status in sent if int(status) < 300] == requests
    assert len(sent) <= len(requests) + 2


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "AccessDenied"])
def test_they_are_found_where_the_old_ones_were(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch, source: str, code: str
) -> None:
    SOURCES[source]("first", place, monkeypatch)
    d = opened(gate, place, source)
    d["k"] = 1
    listened: list[Any] = []
    d.s3_client.meta.events.register("before-call.s3", lambda **_: listened.append(1))
    gate.accepted, gate.code = "second", code
    with pytest.raises(ClientError):
        d["k"]  # they are the same still
    SOURCES[source]("second", place, monkeypatch)
    assert d["k"] == 1
    assert opened(gate, place, source)["k"] == 1
    d["k"] = 2
    assert d.get_subdict(())["k"] == 2
    assert listened  # the client is the same


def test_a_large_value_on_its_way(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is sent whole once more."""
    monkeypatch.setattr("persidict._s3_writes.PART", 5 << 20)
    monkeypatch.setattr("persidict._s3_writes.IN_PARTS", 5 << 20)
    in_environment("first", place, monkeypatch)
    d = opened(gate, place)
    value = bytes(range(256)) * (11 << 12)
    expire = gate.decide

    def after_the_first_part(request: Request) -> Fault | None:
        if "partNumber=2" in request.path and gate.accepted == "first":
            gate.accepted = "second"
            in_environment("second", place, monkeypatch)
        return expire(request)

    gate.proxy.decide = after_the_first_part
    d["k"] = value
    assert gate.accepted == "second"
    assert d["k"] == value


def test_many_threads_at_once(place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment("first", place, monkeypatch)
    d = opened(gate, place)
    d["k"] = 1
    gate.accepted = "second"
    in_environment("second", place, monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: d["k"], range(40))) == [1] * 40
    assert [line for line in gate.sent()[-5:] if "400" in line] == []


@pytest.mark.parametrize("given", ["client", "session"])
def test_what_was_given_stays(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    session = boto3.Session("first", "s")
    client = session.client("s3", endpoint_url=gate.proxy.url, region_name="us-east-1")
    d = opened(gate, place, **{given: session if given == "session" else client})
    d["k"] = 1
    gate.accepted = "second"
    in_environment("second", place, monkeypatch)
    with pytest.raises(ClientError, match="ExpiredToken"):
        d["k"]
    client.close()


def test_another_identity_is_not_taken(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment("first", place, monkeypatch)
    d = opened(gate, place)
    gate.accepted = "second"
    SOURCES["credentials file"]("second", place, monkeypatch)
    with pytest.raises(ClientError, match="ExpiredToken"):
        d["k"]


def test_another_profile_is_not_taken(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the dictionary was named in the environment, where another is named now."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    SOURCES["profile"]("first", place, monkeypatch)
    d = opened(gate, place)
    d["k"] = 1
    gate.accepted = "second"
    monkeypatch.setenv("AWS_PROFILE", "other")
    in_a_file("AWS_SHARED_CREDENTIALS_FILE", "other")("second", place, monkeypatch)
    with pytest.raises(ClientError, match="ExpiredToken"):
        d["k"]
    SOURCES["profile"]("second", place, monkeypatch)
    assert d["k"] == 1


def test_variables_beside_a_profile(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come before one that is named in the environment."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    SOURCES["profile"]("other", place, monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    in_environment("first", place, monkeypatch)
    d = opened(gate, place)
    d["k"] = 1
    gate.accepted = "second"
    in_environment("second", place, monkeypatch)
    assert d["k"] == 1


@pytest.mark.parametrize("cached", [False, True])
def test_a_write_that_may_be_done_is_looked_for_and_not_repeated(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    """Its answer was lost, and the credentials expired before boto3 sent it again."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    in_environment("first", place, monkeypatch)
    d: Any = opened(gate, place)
    if cached:
        d = S3Dict(**d.get_params(), base_dir=place.path / "near")
    d["k"] = 1
    d.is_exact
    before = len(gate.sent())

    class LostThenExpired(AnswerAfter):
        def serve(self, exchange: Any) -> None:
            super().serve(exchange)
            gate.accepted = "second"
            in_environment("second", place, monkeypatch)

    expire = gate.decide

    def decide(request: Request) -> Fault | None:
        is_first = request.method == "PUT" and gate.accepted == "first"
        return LostThenExpired(500, "InternalError") if is_first else expire(request)

    gate.proxy.decide = decide
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    assert d["k"] == 2
    puts = [line for line in gate.sent()[before:] if line.startswith("PUT")]
    assert puts == ["PUT 500", "PUT 400"]


RENEWED = """
import os
d.update(expected)
os.environ["AWS_ACCESS_KEY_ID"] = "second"
for _ in range(3):
    assert {k.strings: v for k, v in d.items()} == expected
"""
REFRESHED = """
import boto3
from botocore.credentials import RefreshableCredentials
from datetime import UTC, datetime, timedelta
keys = ["first", "second"]
def fetch():
    until = datetime.now(UTC) + timedelta(hours=1)
    return {"access_key": keys.pop(0), "secret_key": "s", "token": "t",
            "expiry_time": until.isoformat()}
session = boto3.Session()
session._session._credentials = found = RefreshableCredentials.create_from_metadata(
    fetch(), refresh_using=fetch, method="sts")
d = BasicS3Dict(**where, session=session)
d.update(expected)
for _ in range(2):
    assert {k.strings: v for k, v in d.items()} == expected
    if keys:
        found._expiry_time = datetime.now(UTC)
"""


@pytest.mark.parametrize("code", [RENEWED, REFRESHED], ids=["renewed", "refreshed"])
def test_reads_of_many_stay_fast(
    place: Place, gate: Gate, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    in_environment("first", place, monkeypatch)

    def expire(request: Request) -> Fault | None:
        """The first ones expire when many are read, or the second ones have been seen."""
        is_read = request.method == "GET" and ".pkl" in request.path
        if (code == RENEWED and is_read) or "=second/" in request.headers["authorization"]:
            gate.accepted = "second"
        return gate.decide(request)

    gate.proxy.decide = expire
    run(START + code, gate.proxy.url, place.prefix)
    readers = [
        "boto3" if "Boto3" in r.headers["user-agent"] else "obstore"
        for r, (_, status) in zip(gate.proxy.requests, sorted(gate.proxy.answers), strict=True)
        if r.method == "GET" and ".pkl" in r.path and status == 200
    ]
    assert readers.count("boto3") <= 32  # those that were on their way
    assert set(readers[-50:]) == {"obstore"}
    assert gate.accepted == "second"
