"""Single reads and reads of many go to one server, in one way, and check the same.

The scripts run in processes of their own: moto, once imported, listens to all clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Place, place_on
from .proxy import Answer, Damage, Exchange, Fault, FaultProxy, Request
from .test_bulk import FILL, READ, START, agents, readers, run

SAFE = START + "expected = dict(list(expected.items())[:12])\n"
PROFILE = "[profile elsewhere]\nendpoint_url = {wrong}\nregion = eu-west-9\n"
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture
def place(ministack: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
    return place_on(ministack, clients, tmp_path)


@pytest.fixture
def right(place: Place) -> Iterator[FaultProxy]:
    with FaultProxy(str(place.url)) as proxy:
        yield proxy


@pytest.fixture
def wrong(place: Place) -> Iterator[FaultProxy]:
    """Another server: whoever asks it gets nothing."""
    with FaultProxy(str(place.url)) as proxy:
        proxy.decide = lambda request: Answer(404, "NoSuchKey")
        yield proxy


def reads(proxy: FaultProxy) -> list[Request]:
    return [r for r in proxy.requests if r.method == "GET" and ".pkl" in r.path]


def scope(request: Request) -> str:
    """Who asks for which region, and with what besides."""
    found = re.search(r"Credential=(\w+)/\d+/([\w-]+/s3)/", request.headers["authorization"])
    assert found
    more = {name for name in request.headers if name.startswith("x-amz-")}
    return f"{found[1]} {found[2]} {sorted(more - {'x-amz-checksum-mode'})}"


FEW = SAFE + "d.update(expected)\nassert d['k1', 'a~(=)', 'x.-_'] == [1]\n" + READ


@pytest.mark.parametrize(
    "named",
    [
        {
            "AWS_ENDPOINT_URL_S3": "{wrong}",
            "AWS_ENDPOINT_URL": "{wrong}",
            "AWS_ENDPOINT": "{wrong}",
        },
        {"AWS_REGION": "eu-west-9", "AWS_BUCKET": "another", "AWS_BUCKET_NAME": "another"},
        {"AWS_SKIP_SIGNATURE": "true", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"},
        {"AWS_ALLOW_HTTP": "false", "AWS_SESSION_TOKEN": "", "AWS_TOKEN": "another"},
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/none"},
        {"ALL_PROXY": "{wrong}", "all_proxy": "{wrong}"},
        {"http_proxy": "{wrong}", "HTTP_PROXY": "{wrong}", "no_proxy": "127.0.0.1"},
        {"AWS_PROFILE": "elsewhere", "AWS_CONFIG_FILE": "{config}"},
    ],
    ids=lambda named: next(iter(named)),
)
def test_what_the_environment_says_is_for_both_or_for_none(
    place: Place,
    right: FaultProxy,
    wrong: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    named: dict[str, str],
) -> None:
    config = place.path / "config"
    config.write_text(PROFILE.format(wrong=wrong.url))
    for name, value in named.items():
        monkeypatch.setenv(name, value.format(wrong=wrong.url, config=config))
    run(FEW, right.url, place.prefix)
    assert wrong.requests == []
    assert agents(right) == {"boto3", "obstore"}
    assert len({scope(request) for request in reads(right)}) == 1


ALONE = """
import json, os
for named in json.loads(os.environ.pop("CASES")):
    os.environ.update(named)
    d = BasicS3Dict(**where)
    for _ in range(2): assert {k.strings: v for k, v in d.items()} == expected
    for name in named: del os.environ[name]
"""


def test_what_obstore_alone_would_obey_leaves_it_out(
    place: Place, right: FaultProxy, wrong: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        {"AWS_PROXY_URL": wrong.url},
        {"AWS_REQUEST_PAYER": "true"},
        {"AWS_S3_EXPRESS": "true"},
        {"AWS_UNSIGNED_PAYLOAD": "true"},
        {"AWS_TIMEOUT": "1ns"},
        {"AWS_SERVER_SIDE_ENCRYPTION": "sse-c", "AWS_SSE_CUSTOMER_KEY_BASE64": KEY},
        {"AWS_CHECKSUM_ALGORITHM": "nonsense"},
    ]
    monkeypatch.setenv("CASES", json.dumps(cases))
    said = run(LOGGED + SAFE + "d.update(expected)\n" + ALONE, right.url, place.prefix)
    assert wrong.requests == []
    assert agents(right) == {"boto3"}
    for named in cases:
        told = [line for line in said if ", ".join(named) in line]
        assert len(told) == 1
        assert "boto3 does not" in told[0]


LOGGED = "import logging, sys; logging.basicConfig(level=20, stream=sys.stdout)\n"
ANOTHER_WAY = """
import boto3
session = boto3.Session()
session.events.register("before-call.s3", note)
d = BasicS3Dict(**where, session=session)
"""


@pytest.mark.parametrize(
    ("change", "named", "reason"),
    [
        ("d = BasicS3Dict(**where, config={'read_timeout': 9})\n", {}, "config="),
        ("d = BasicS3Dict(**where, client=d.s3_client)\n", {}, "client="),
        ("d = BasicS3Dict(**where, put_args={'RequestPayer': 'requester'})\n", {}, "put_args"),
        (ANOTHER_WAY, {}, "listens"),
        ("", {"http_proxy": "{right}", "no_proxy": ""}, "proxy"),
    ],
)
def test_the_log_says_why_many_are_read_slowly(
    place: Place,
    right: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    named: dict[str, str],
    reason: str,
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value.format(right=right.url))
    if named:  # a proxy sees whole URLs, which the server does not expect
        right.upstream = ("127.0.0.1", 9)
        said = run(LOGGED + REASON, "http://127.0.0.2:1", place.prefix)
    else:
        said = run(LOGGED + SAFE + change + FEW.removeprefix(SAFE), right.url, place.prefix)
        assert agents(right) == {"boto3"}
    told = [line for line in said if "many items are read by boto3" in line]
    assert len(told) == 1
    assert reason in told[0]


REASON = """
import sys
from persidict._s3_bucket import Bucket, new_client
from persidict._s3_bulk import BulkReader
client = new_client(session=None, region=None, endpoint_url=sys.argv[1], config=None)
bulk = BulkReader(Bucket(client, "any", {}))
assert [bulk.takes("k", 1) for _ in range(3)] == [False] * 3
"""


def test_a_server_that_the_profile_names(
    place: Place, right: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place.path / "config"
    config.write_text(PROFILE.format(wrong=right.url))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    run(FEW.replace("BasicS3Dict(**where)", "BasicS3Dict(**(where | {'endpoint_url': None}))"),
        right.url, place.prefix)  # fmt: skip
    assert agents(right) == {"boto3", "obstore"}
    # the server has sent boto3 to another region than the one of the profile
    assert {scope(request).split()[1] for request in reads(right)} == {"us-east-1/s3"}


DAMAGED = """
from botocore.exceptions import FlexibleChecksumError
import os, time
time.sleep = lambda seconds: None
near = S3Dict(**where, base_dir=os.environ["CACHE"])
for read in (lambda: d["k2", "a~(=)", "x.-_"], lambda: dict(d.items()), lambda: dict(near.items())):
    try: read()
    except FlexibleChecksumError: print("refused")
print(sum(len(names) for _, _, names in os.walk(os.environ["CACHE"])))
"""


def test_a_changed_byte_is_seen_by_all(
    place: Place, right: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never kept by a cache."""
    run(FILL, place.url, place.prefix)
    monkeypatch.setenv("CACHE", str(place.path / "cache"))
    is_read = re.compile(r"GET .*\.pkl").match
    right.decide = lambda request: Damage() if is_read(f"{request.method} {request.path}") else None
    assert run(START + DAMAGED, right.url, place.prefix) == ["refused"] * 3 + ["0"]
    assert agents(right) == {"boto3", "obstore"}


def test_a_byte_that_was_changed_on_its_way_is_read_again(place: Place, right: FaultProxy) -> None:
    run(FILL, place.url, place.prefix)
    right.decide = lambda request: (
        Damage()
        if ".pkl" in request.path and "Boto3" not in request.headers["user-agent"]
        and request.number % 3 else None
    )  # fmt: skip
    run(START + READ, right.url, place.prefix)
    assert agents(right) == {"boto3", "obstore"}


@dataclass(frozen=True)
class Sealed(Fault):
    """Give an etag that is no checksum, as S3 does for what it encrypts with a key of KMS."""

    def serve(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        lines = [line for line in answer.lines if not line.lower().startswith(b"etag:")]
        exchange.send(answer._replace(lines=[*lines, b'ETag: "%032x"\r\n' % 7]))


def test_etags_that_are_no_checksums(place: Place, right: FaultProxy) -> None:
    """There obstore could not see what boto3 sees."""
    run(FILL, place.url, place.prefix)
    right.decide = lambda request: Sealed() if ".pkl" in request.path else None
    said = run(LOGGED + START + READ * 2, right.url, place.prefix)
    assert 16 <= readers(right).count("obstore") <= 48
    assert readers(right).count("boto3") == 120
    assert len([line for line in said if "etags are no checksums" in line]) == 1


RESTING = """
import time
later = [0.0]
now = time.monotonic
time.monotonic = lambda: now() + later[0]
for after in (0.0, 30.0, 100.0):
    later[0] = after
    print(sum(1 for _ in d.items()))
"""


def test_obstore_has_another_try_a_minute_after_it_has_failed(
    place: Place, right: FaultProxy
) -> None:
    run(FILL, place.url, place.prefix)

    def decide(request: Request) -> Fault | None:
        is_early = readers(right).count("boto3") < 60
        is_ours = "Boto3" in request.headers["user-agent"] or ".pkl" not in request.path
        return Answer(418, "Teapot") if is_early and not is_ours else None

    right.decide = decide
    said = run(LOGGED + START + RESTING, right.url, place.prefix)
    assert [line for line in said if line.isdigit()] == ["60"] * 3
    assert len([line for line in said if "WARNING" in line and "cannot read" in line]) == 1
    assert readers(right).count("boto3") == 120
    assert set(readers(right)[-60:]) == {"obstore"}


ASKED = """
import json, os, sys
from botocore.awsrequest import AWSResponse
from persidict import _s3_bulk
from persidict._s3_bucket import Bucket, new_client
_s3_bulk._trusts_as_usual = lambda client: True  # whatever this machine has
class Empty:
    def stream(self): return []
for name, named, url in json.loads(sys.argv[2]):
    os.environ.update(named)
    client = new_client(session=None, region="eu-west-1", endpoint_url=None, config=None)
    bucket = Bucket(client, name, {})
    bulk = _s3_bulk.BulkReader(bucket)
    answer = lambda request, **_: AWSResponse(request.url, 200, {}, Empty())
    client.meta.events.register("before-send.s3.HeadBucket", answer)
    bucket.make_sure()
    assert bulk._place == (url, "eu-west-1"), bulk._place
"""
AMAZON = "https://{}s3.{}eu-west-1.amazonaws.com{}"


def test_the_bucket_is_where_boto3_has_asked_for_it() -> None:
    """A part of the name of the host, or of the path, or of neither."""
    point = "https://mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com"
    cases: list[tuple[str, dict[str, str], str]] = [
        ("mine", {}, AMAZON.format("mine.", "", "")),
        ("with.dots", {}, AMAZON.format("", "", "/with.dots")),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", {}, point),
        # a session of boto3 reads the environment when it is first used for that
        ("mine", {"AWS_ENDPOINT_URL_S3": "https://a.example/s3"}, "https://a.example/s3/mine"),
    ]
    run(ASKED, "", json.dumps(cases))


TRUSTED = """
import json, os, sys
import boto3
from persidict._s3_bucket import Bucket, new_client
from persidict._s3_bulk import BulkReader
for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"): os.environ.pop(name, None)
for named, taken in json.loads(sys.argv[2]):
    os.environ.update(named)
    client = new_client(
        session=boto3.Session(), region=None, endpoint_url="https://a.example", config=None)
    assert BulkReader(Bucket(client, "any", {})).takes("k", 1) is taken, named
    for name in named: del os.environ[name]
"""


def test_certificates_that_obstore_does_not_know_of(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {tmp_path / 'mine'}\n")
    cases: list[tuple[dict[str, str], bool]] = [
        ({}, True),
        ({"AWS_CA_BUNDLE": str(tmp_path / "mine")}, False),
        ({"REQUESTS_CA_BUNDLE": str(tmp_path / "mine")}, False),
        ({"AWS_CONFIG_FILE": str(tmp_path / "config")}, False),
    ]
    run(TRUSTED, "", json.dumps(cases))
