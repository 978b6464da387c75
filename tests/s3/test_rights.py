"""Credentials that may not do everything, and servers that do not know everything."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from persidict import BasicS3Dict, S3Dict
from persidict_dask import open_store
from persidict_dask._stores import StoreRef, reference
from persidict_dask.coordination import Counter, inspect

from .conftest import CONFIG, Place, place_on
from .proxy import Answer, Exchange, Fault, FaultProxy, Request, error_message

DENIED = Answer(403, "AccessDenied")


@dataclass(frozen=True)
class Veil(Fault):
    """Say "denied" instead of "absent", as S3 does to those that may not list."""

    def serve(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        method = exchange.request.method
        veiled = error_message(403, "AccessDenied", method) if answer.status == 404 else answer
        exchange.send(veiled)


def right_of(request: Request) -> str:
    """Return the right that S3 wants to see for a request."""
    path, _, query = request.path.partition("?")
    is_object = path.strip("/").count("/") > 0
    if request.method == "HEAD" and not is_object:
        return "HeadBucket"
    if request.method == "PUT" and not is_object:
        return "s3:CreateBucket"
    if request.method == "DELETE" or (request.method == "POST" and query.startswith("delete")):
        return "s3:DeleteObject"
    if request.method in ("GET", "HEAD"):
        return "s3:GetObject" if is_object else "s3:ListBucket"
    return "s3:PutObject"


def without(*rights: str) -> Callable[[Request], Fault | None]:
    def decide(request: Request) -> Fault | None:
        right = right_of(request)
        if right in rights or (right == "HeadBucket" and "s3:ListBucket" in rights):
            return DENIED
        return Veil() if right == "s3:GetObject" and "s3:ListBucket" in rights else None

    return decide


@pytest.fixture
def owner(ministack: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
    place = place_on(ministack, clients, tmp_path)
    place.basic().update({"k": 1, "gone": 0})
    return place


@pytest.fixture(scope="module")
def way(ministack: Any) -> Iterator[tuple[FaultProxy, Any]]:
    """One proxy and one client for all: making them takes longer than most tests."""
    with FaultProxy(ministack.url) as proxy:
        client = dataclasses.replace(ministack, url=proxy.url).client(**CONFIG)
        yield proxy, client
        client.close()


@pytest.fixture
def proxy(way: tuple[FaultProxy, Any]) -> FaultProxy:
    way[0].decide = lambda request: None
    way[0].requests.clear()
    return way[0]


@pytest.fixture
def limited(owner: Place, proxy: FaultProxy, way: tuple[FaultProxy, Any]) -> Place:
    """The same place, for whoever has the rights that the proxy lets through."""
    place = Place(way[1], proxy.url, owner.path)
    place.prefix = owner.prefix
    return place


READS = {
    "d[k] of an item that is there": lambda d: d["k"] == 1,
    "d[k], get, in of one that is not": lambda d: d.get("new") is None and "new" not in d,
    "in, etag, timestamp of one that is there": lambda d: "k" in d and d.timestamp("k") > 0,
    "len, iteration over keys": lambda d: len(d) == len(list(d.keys())) == 2,
    "items, values": lambda d: dict(d.items())["k",] == 1,
}
WRITES = {
    "d[k] = v": lambda d: d.__setitem__("k", 2) is None,
    "setdefault and insertion of a new item": lambda d: d.setdefault("new", 1) == 1,
    "transform_item": lambda d: d.transform_item("k", transformer=lambda v: v + 1).new_value == 2,
}
REMOVALS = {
    "del, discard, pop": lambda d: d.discard("gone"),
    "clear": lambda d: d.clear() is None,
}
OTHERS = {
    "is_exact": lambda d: d.is_exact,
    "Counter.value, inspect": lambda d: Counter(d, "c").value == 0 and len(inspect(d)) == 0,
}
ALL: dict[str, Callable[[Any], Any]] = READS | WRITES | REMOVALS | OTHERS
FAILS = {
    "HeadBucket": set(),
    "s3:ListBucket": {
        "d[k], get, in of one that is not", "len, iteration over keys", "items, values", "clear",
        "Counter.value, inspect",
    },
    "s3:GetObject": {*READS, "transform_item", "del, discard, pop", "Counter.value, inspect"},
    "s3:PutObject": set(WRITES),
    "s3:DeleteObject": set(REMOVALS),
}  # fmt: skip
FAILS["s3:GetObject"].remove("len, iteration over keys")


@pytest.mark.parametrize("act", ALL)
@pytest.mark.parametrize("right", FAILS)
@pytest.mark.parametrize("kind", ["basic", "cached"])
def test_each_right_is_needed_for_what_the_table_says(
    limited: Place,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    right: str,
    act: str,
    kind: str,
) -> None:
    monkeypatch.setattr("persidict._s3_proof._known", {})
    monkeypatch.setattr("persidict._s3_bucket._TRUSTED_FOR", -1.0)  # ask about the bucket each time
    proxy.decide = without(right)
    d = getattr(limited, kind)()
    if act not in FAILS[right]:
        assert ALL[act](d)
    else:
        with pytest.raises(ClientError) as caught:
            ALL[act](d)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert "s3:" in "".join(caught.value.__notes__)


def test_readers_change_nothing(
    owner: Place, limited: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter and the leavings of a killed process are there, and can be looked at."""
    monkeypatch.setattr("persidict._s3_proof._known", {})
    counted = owner.basic()
    Counter(counted, "c").add(3)
    (record,) = [name for name in owner.names() if "counter" in name]
    left = record.replace("counter/c", "waiting/lease/l/nobody-here-1-2")
    owner.put(left, json.dumps(json.dumps({"since": 0})).encode())
    proxy.decide = without("s3:PutObject", "s3:DeleteObject")
    d = limited.basic()
    assert Counter(d, "c").value == 3
    assert [(each.kind, each.name) for each in inspect(d)] == [("counter", "c")]
    with pytest.raises(ClientError, match="AccessDenied"):
        Counter(d, "c").increment()


def test_a_missing_bucket_that_may_not_be_made(proxy: FaultProxy) -> None:
    """The message is about the bucket, whose name may be wrong, not only about the right."""
    proxy.decide = without("s3:CreateBucket")
    with pytest.raises(ClientError, match="AccessDenied") as caught:
        BasicS3Dict(bucket_name="wrong-name", endpoint_url=proxy.url)
    assert "'wrong-name'" in "".join(caught.value.__notes__)
    assert "does not exist" in "".join(caught.value.__notes__)


def test_a_bucket_that_others_are_making(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answers = [Answer(409, "OperationAborted")] * 3

    def decide(request: Request) -> Fault | None:
        is_making = right_of(request) == "s3:CreateBucket"
        return answers.pop() if is_making and answers else None

    proxy.decide = decide
    BasicS3Dict(bucket_name="made-by-many", endpoint_url=proxy.url)["k"] = 1
    assert answers == []
    proxy.decide = lambda request: (
        Answer(409, "OperationAborted") if right_of(request) == "s3:CreateBucket" else None
    )
    with pytest.raises(ClientError, match="OperationAborted"):
        BasicS3Dict(bucket_name="never-made", endpoint_url=proxy.url)


def has_checksum(request: Request) -> bool:
    return "x-amz-sdk-checksum-algorithm" in request.headers


@pytest.mark.parametrize(
    "answer",
    [
        Answer(501, "NotImplemented"),
        Answer(400, "InvalidArgument"),
        Answer(400, "XAmzContentSHA256Mismatch"),
        Answer(411, "MissingContentLength"),
    ],
)
@pytest.mark.parametrize("write", ["d[k] = v", "setdefault and insertion of a new item"])
def test_a_server_that_knows_no_checksums(
    owner: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, answer: Answer, write: str
) -> None:
    monkeypatch.setattr("persidict._s3_proof._known", {})
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    proxy.decide = lambda request: (
        answer if has_checksum(request) and request.method == "PUT" else None
    )
    where: dict[str, Any] = {
        "bucket_name": owner.bucket, "root_prefix": owner.prefix, "endpoint_url": proxy.url
    }  # fmt: skip
    with pytest.raises(ClientError) as caught:
        ALL[write](BasicS3Dict(**where))
    setting = '{"request_checksum_calculation": "when_required"}'
    assert setting in "".join(caught.value.__notes__)
    assert ALL[write](BasicS3Dict(**where, config=json.loads(setting)))
    assert BasicS3Dict(**where, config=json.loads(setting)).is_exact
    assert set(owner.names()) <= {"k.pkl", "gone.pkl", "new.pkl"}


def test_other_refusals_are_not_blamed_on_checksums(limited: Place, proxy: FaultProxy) -> None:
    proxy.decide = lambda request: (
        Answer(400, "InvalidStorageClass") if request.method == "PUT" else None
    )
    with pytest.raises(ClientError) as caught:
        limited.basic()["k"] = 1
    assert "checksum" not in "".join(getattr(caught.value, "__notes__", []))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(501, "NotImplemented"),
        Answer(400, "InvalidRequest"),
        Answer(400, "MissingContentMD5"),
        Answer(405, "MethodNotAllowed"),
        Answer(411, "MissingContentLength"),
    ],
)
@pytest.mark.parametrize("kind", ["basic", "cached"])
def test_a_server_that_cannot_remove_many(
    limited: Place, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, answer: Answer, kind: str
) -> None:
    """Each is removed alone; it is tried once, and the log says so."""
    caplog.set_level(logging.WARNING, "persidict")
    d = getattr(limited, kind)()
    d.update({f"k{number}": number for number in range(40)})
    proxy.decide = lambda request: answer if request.method == "POST" else None
    d.clear()
    assert limited.names() == []
    d["k"] = 1
    d.get_subdict(()).clear()
    assert limited.names() == []
    assert [request.method for request in proxy.requests].count("POST") == 1
    assert [line for line in caplog.messages if "one by one" in line]


@pytest.mark.parametrize(
    "answer", [DENIED, Answer(404, "NoSuchBucket"), Answer(400, "ExpiredToken")]
)
def test_other_refusals_to_remove_many_are_errors(
    limited: Place, proxy: FaultProxy, answer: Answer
) -> None:
    d = limited.basic()
    proxy.decide = lambda request: answer if request.method == "POST" else None
    with pytest.raises(ClientError, match=answer.code):
        d.clear()
    assert "DELETE" not in {request.method for request in proxy.requests}


@pytest.mark.parametrize(
    "config",
    [{"signature_version": "unsigned"}, Config(signature_version=UNSIGNED)],
    ids=["word", "botocore's"],
)
def test_without_credentials(
    owner: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, config: Any
) -> None:
    """What is public is read; a bucket's policy mostly allows no more than that."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(owner.path / "none"))
    proxy.decide = without("HeadBucket", "s3:PutObject", "s3:DeleteObject")
    if isinstance(config, dict):  # which can be sent to workers
        url = f"s3://{owner.bucket}/{owner.prefix}"
        d = open_store(url, endpoint_url=proxy.url, config=config)
        d = StoreRef.of(d)._made()
    else:
        where = {"bucket_name": owner.bucket, "root_prefix": owner.prefix}
        d = BasicS3Dict(**where, endpoint_url=proxy.url, config=config)
    assert d["k"] == 1
    assert dict(d.items()) == {("k",): 1, ("gone",): 0}
    with pytest.raises(ClientError, match="AccessDenied"):
        d["k"] = 2
    assert not any("authorization" in request.headers for request in proxy.requests)


def test_a_bucket_that_cannot_be_asked_for_does_not_come_and_go(
    limited: Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago something else came from it."""
    clock = [0.0]
    monkeypatch.setattr("persidict._s3_bucket.time.monotonic", lambda: clock[0])
    proxy.decide = without("HeadBucket")
    d = limited.basic()
    for _ in range(4):
        assert "new" not in d
        assert not d.discard("new")
        assert d.get("k") == 1
        clock[0] += 100


@pytest.mark.parametrize("status", [401, 405, 501])
def test_a_server_that_does_not_answer_for_buckets_is_used(
    limited: Place, proxy: FaultProxy, status: int
) -> None:
    """It does not know HeadBucket, or lets nobody ask."""
    proxy.decide = lambda request: (
        Answer(status, "No") if right_of(request) == "HeadBucket" else None
    )
    d = limited.basic()
    assert "new" not in d
    assert d.get("k") == 1


ARNS = {
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/a/b": (
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", "a/b"),
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint:mine/a/b": (
        "arn:aws:s3:eu-west-1:123456789012:accesspoint:mine", "a/b"),
    "s3://arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-0a/accesspoint/mine/a": (
        "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-0a/accesspoint/mine", "a"),
    "s3://arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/mine?region=cn-north-1": (
        "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/mine", ""),
}  # fmt: skip


@pytest.mark.parametrize("url", ARNS)
def test_access_points_in_urls(url: str) -> None:
    bucket, prefix = ARNS[url]
    params = dict(reference(url).params)
    assert (params["bucket_name"], params["root_prefix"]) == (bucket, prefix)


@pytest.mark.parametrize(
    "url", ["s3://arn:aws:s3:::bucket/a", "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint"]
)
def test_arns_that_name_no_bucket(url: str) -> None:
    with pytest.raises(ValueError, match="ARN of an access point"):
        open_store(url)


def test_an_access_point_is_never_made(ministack: Any, tmp_path: Path) -> None:
    client = ministack.client()
    with Stubber(client) as answers:
        answers.add_client_error("head_bucket", "404", http_status_code=404)
        with pytest.raises(ClientError, match="HeadBucket") as caught:
            S3Dict(bucket_name=next(iter(ARNS.values()))[0], client=client, base_dir=tmp_path / "c")
    assert "access point" in "".join(caught.value.__notes__)
    assert list(tmp_path.iterdir()) == []
    client.close()
