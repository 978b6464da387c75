"""Servers that ignore conditions, missing buckets, wrong credentials, no network."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from moto import mock_aws

from persidict import (
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    BackendError,
    BasicS3Dict,
    S3Dict,
    WriteOnceDict,
)
from persidict._s3_bucket import Bucket
from persidict._s3_proof import is_aws, obeys

from .conftest import CONFIG, Place, place_on
from .proxy import Answer, DropAfter, DropBefore, FaultProxy

FEW = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)


@pytest.fixture
def ignoring(rclone: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
    place = place_on(rclone, clients, tmp_path)
    # botocore cannot read the checksums that this server puts on "not modified"
    if "rclone lenient" not in clients:
        lenient = {"response_checksum_validation": "when_required"}
        clients["rclone lenient"] = rclone.client(**CONFIG, **lenient)
    place.client = clients["rclone lenient"]
    return place


@pytest.mark.parametrize(
    "guarded",
    [
        lambda d: d.setdefault("new", 1),
        lambda d: d.transform_item("k", transformer=lambda v: 2),
        lambda d: d.set_item_if(
            "k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=d.etag("k")
        ),
        lambda d: d.set_item_if("k", value=2, condition=ETAG_HAS_CHANGED, expected_etag='"x"'),
        lambda d: d.setdefault_if(
            "new", default_value=2, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
        ),
        lambda d: WriteOnceDict(wrapped_dict=type(d)(**(d.get_params() | {"append_only": True})))
        .__setitem__("new", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["basic", "cached"])
def test_guarded_writes_are_refused_where_conditions_are_ignored(
    ignoring: Place, kind: str, guarded: Any
) -> None:
    d = getattr(ignoring, kind)()
    d["k"] = 1
    with pytest.raises(BackendError, match="ignores conditions") as caught:
        guarded(d)
    assert ignoring.url in str(caught.value)
    assert ignoring.names() == ["k.pkl"]
    assert d["k"] == 1
    assert d.is_exact is False


def test_what_needs_no_guard_works_there(ignoring: Place) -> None:
    d = ignoring.basic()
    d.update({"a": 1, "b": 2, "c": 3})
    assert d.set_item_if(
        "a", value=4, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
    ).condition_was_satisfied
    assert dict(d.items()) == {("a",): 4, ("b",): 2, ("c",): 3}
    etag = d.etag("b")
    assert not d.discard_item_if(
        "b", condition=ETAG_IS_THE_SAME, expected_etag=d.etag("a")
    ).condition_was_satisfied
    result = d.discard_item_if("b", condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert result.resulting_etag is ITEM_NOT_AVAILABLE
    sent: list[str] = []
    ignoring.client.meta.events.register(
        "before-call.s3", lambda model, **_: sent.append(model.name), unique_id="sent"
    )
    assert [d.discard("a"), d.discard("a")] == [True, False]
    ignoring.client.meta.events.unregister("before-call.s3", unique_id="sent")
    assert sent == ["HeadObject", "DeleteObject", "HeadObject"]
    d.clear()
    assert ignoring.names() == []


def test_the_question_is_asked_once(ignoring: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persidict._s3_proof._known", {})
    asked: list[str] = []
    ignoring.client.meta.events.register(
        "before-call.s3", lambda model, **_: asked.append(model.name), unique_id="asked"
    )
    for d in (ignoring.basic(), ignoring.cached(), ignoring.basic().get_subdict("sub")):
        for _ in range(2):
            with pytest.raises(BackendError):
                d.setdefault("k", 1)
    ignoring.client.meta.events.unregister("before-call.s3", unique_id="asked")
    assert asked == ["HeadBucket", "HeadBucket", "HeadBucket", "PutObject", "DeleteObject"]


def test_a_server_that_knows_no_conditions_is_refused_too(
    ministack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some answer 501 to them."""
    with FaultProxy(ministack.url) as proxy:
        client = dataclasses.replace(ministack, url=proxy.url).client(**CONFIG)
        d = Place(client, proxy.url, tmp_path).basic()
        proxy.decide = lambda request: (
            Answer(501, "NotImplemented") if "if-match" in request.headers else None
        )
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(BackendError, match="ignores conditions"):
            d.setdefault("k", 1)
        client.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.amazonaws.com", True),
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://s3-us-west-2.amazonaws.com", True),
        ("https://s3-fips.dualstack.us-gov-west-1.amazonaws.com", True),
        ("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", True),
        ("http://ec2-3-80-1-2.compute-1.amazonaws.com", False),
        ("http://s3.amazonaws.com:9000", False),
        ("https://s3-1.us-east-1.elb.amazonaws.com", False),
        ("https://x1.execute-api.us-east-1.amazonaws.com", False),
        ("http://127.0.0.1:9000", False),
        ("https://amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
    ],
)
def test_amazons_own_servers_are_known(url: str, expected: bool) -> None:
    assert is_aws(url) is expected


def test_the_trial_leaves_nothing_when_its_answer_is_lost(
    ignoring: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persidict._s3_proof._known", {})
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with FaultProxy(ignoring.url or "") as proxy:
        import boto3

        far = boto3.client(
            "s3",
            endpoint_url=proxy.url,
            region_name="us-east-1",
            config=ignoring.client.meta.config.merge(Config(retries={"total_max_attempts": 1})),
        )
        place = Place(far, proxy.url, ignoring.path)
        place.prefix = ignoring.prefix
        d = place.basic()
        proxy.decide = lambda request: DropAfter() if request.method == "PUT" else None
        with pytest.raises(BotoCoreError):
            d.setdefault("k", 1)
        far.close()
    assert ignoring.names() == []


def test_a_silent_server_holds_up_nobody_else(real: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server is asked on its own, and those that are known are not asked."""
    monkeypatch.setattr("persidict._s3_proof._known", {})
    real.basic().setdefault("known", 1)
    asked, answer = threading.Event(), threading.Event()

    def silent(bucket: Bucket, *_: Any) -> bool:
        if bucket.name != "another":
            return True
        asked.set()
        return answer.wait(60)

    monkeypatch.setattr("persidict._s3_proof._refuses", silent)
    other = Bucket(real.client, "another", {})
    third = Bucket(real.client, "third", {})
    thread = threading.Thread(target=obeys, args=(other, "put_object", ""))
    meanwhile = threading.Thread(target=obeys, args=(third, "put_object", ""))
    thread.start()
    try:
        assert asked.wait(60)
        assert real.basic().setdefault("k", 1) == 1
        meanwhile.start()
        meanwhile.join(10)
        assert not meanwhile.is_alive()
    finally:
        answer.set()
        thread.join()


def test_a_missing_bucket_is_made(real: Place) -> None:
    name = f"made-{real.prefix[:8]}"
    BasicS3Dict(bucket_name=name, client=real.client)["k"] = 1
    assert BasicS3Dict(bucket_name=name, client=real.client)["k"] == 1


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_made_in_the_region_of_the_client(region: str) -> None:
    with mock_aws():
        d: BasicS3Dict[Any] = BasicS3Dict(bucket_name="made-there", region=region)
        answer = d.s3_client.get_bucket_location(Bucket="made-there")
        assert answer["LocationConstraint"] == (None if region == "us-east-1" else region)
        assert d.region == region


def test_a_bucket_that_is_gone_is_an_error(
    ministack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never an absent item; nothing is stored."""
    client = ministack.client(**CONFIG)
    d: BasicS3Dict[Any] = BasicS3Dict(bucket_name="soon-gone", client=client)
    cached: S3Dict[Any] = S3Dict(bucket_name="soon-gone", client=client, base_dir=tmp_path)
    d.is_exact
    client.delete_bucket(Bucket="soon-gone")
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 100)
    acts: list[Any] = [
        lambda d: d.get("k"),
        lambda d: d["k"],
        lambda d: d.__setitem__("k", 1),
        lambda d: d.setdefault("k", 1),
        lambda d: len(d),
        lambda d: list(d.items()),
        lambda d: d.clear() or list(d.keys()),
        lambda d: "k" in d,
        lambda d: d.timestamp("k"),
        lambda d: d.discard("k"),
        lambda d: d.get_with_etag("k"),
        lambda d: d.transform_item("k", transformer=lambda v: 1),
    ]
    for one in (d, cached):
        for act in acts:
            with pytest.raises(ClientError) as caught:
                act(one)
            assert caught.value.response["Error"]["Code"] in ("NoSuchBucket", "404")
            assert "soon-gone" in "".join(caught.value.__notes__)
    assert "soon-gone" not in [one["Name"] for one in client.list_buckets()["Buckets"]]
    client.close()


@pytest.mark.parametrize("cls", [BasicS3Dict, S3Dict])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_no_way_to_the_server(tmp_path: Path, cls: Any, url: str) -> None:
    where = {"base_dir": tmp_path / "c"} if cls is S3Dict else {}
    with pytest.raises(BackendError, match="check the network, proxies and endpoint_url") as caught:
        cls(bucket_name="bucket", endpoint_url=url, config=FEW, **where)
    assert isinstance(caught.value.__cause__, BotoCoreError)
    assert caught.value.operation == "init"
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_server_that_sends_each_request_elsewhere(ministack: Any, status: int) -> None:
    """Such as one that wants https: boto3 goes round in circles until there is no way on."""
    with FaultProxy(ministack.url) as proxy:
        proxy.decide = lambda request: Answer(status, "")
        with pytest.raises((BackendError, ClientError)) as caught:
            BasicS3Dict(bucket_name="persidict", endpoint_url=proxy.url)
    told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
    assert "check http(s) in endpoint_url" in " ".join(told)


def test_a_login_in_the_url_is_not_told(
    ministack: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "persidict")
    with FaultProxy(ministack.url) as proxy:
        url = proxy.url.replace("//", "//user:hush@")
        where: dict[str, Any] = {"bucket_name": "persidict", "endpoint_url": url}
        for prefix in ("a", "b"):
            d: S3Dict[Any] = S3Dict(**where, root_prefix=prefix, base_dir=tmp_path / "near")
        proxy.decide = lambda request: Answer(403, "AccessDenied")
        with pytest.raises(ClientError) as refused:
            d["k"]
    with pytest.raises(BackendError) as away:
        BasicS3Dict(**where)
    told = [*refused.value.__notes__, str(away.value), caplog.text]
    told.append((tmp_path / "near@place").read_text())
    assert [("127.0.0.1" in text, "hush" in text) for text in told] == [(True, False)] * 4


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ministack: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    import boto3

    with pytest.raises(BackendError, match="AWS_ACCESS_KEY_ID"):
        BasicS3Dict(
            bucket_name="bucket", endpoint_url=ministack.url, session=boto3.Session(), config=FEW
        )


def test_wrong_credentials(seaweedfs: Any, clients: dict[str, Any], tmp_path: Path) -> None:
    """The bucket may exist for others; the first operation says what is wrong."""
    place = place_on(seaweedfs, clients, tmp_path)
    wrong = dataclasses.replace(seaweedfs, access_key="nobody").client()
    d: BasicS3Dict[Any] = BasicS3Dict(bucket_name=place.bucket, client=wrong)
    for act in (lambda: d["k"], lambda: d.__setitem__("k", 1), lambda: "k" in d, lambda: len(d)):
        with pytest.raises(ClientError) as caught:
            act()
        assert "AWS_ACCESS_KEY_ID" in "".join(caught.value.__notes__)
    wrong.close()


def test_errors_without_a_body_say_what_to_do_too(ministack: Any, tmp_path: Path) -> None:
    """As S3 answers a HEAD with credentials that have expired."""
    with FaultProxy(ministack.url) as proxy:
        proxy.decide = lambda request: Answer(400, "ExpiredToken")
        client = dataclasses.replace(ministack, url=proxy.url).client(**CONFIG)
        with pytest.raises(ClientError) as caught:
            BasicS3Dict(bucket_name="bucket", client=client)
        assert "expired" in "".join(caught.value.__notes__)
        client.close()


def test_a_server_that_hangs_up(ministack: Any) -> None:
    with FaultProxy(ministack.url) as proxy:
        proxy.decide = lambda request: DropBefore()
        with pytest.raises(BackendError, match="does not answer: check the network"):
            BasicS3Dict(bucket_name="bucket", endpoint_url=proxy.url, config=FEW)


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(ProfileNotFound) as caught:
        BasicS3Dict(bucket_name="bucket")
    assert "AWS_PROFILE" in "".join(caught.value.__notes__)


def test_endpoints_and_configurations(ministack: Any) -> None:
    """A mapping of options will do for the configuration, and can be sent to workers."""
    for config in (None, {"read_timeout": 7}, Config(read_timeout=7)):
        d: BasicS3Dict[Any] = BasicS3Dict(
            bucket_name=Place.bucket, endpoint_url=ministack.url, config=config
        )
        d["configured"] = 1
        assert d.s3_client.meta.endpoint_url == ministack.url
        assert d.s3_client.meta.config.s3["addressing_style"] == "path"
        assert d.s3_client.meta.config.read_timeout == (7 if config else 60)
        assert d.get_params()["endpoint_url"] == ministack.url
        assert type(d)(**d.get_params())["configured"] == 1


def test_options_for_s3_are_set_one_by_one(ministack: Any) -> None:
    config = {"s3": {"payload_signing_enabled": True}}
    d: BasicS3Dict[Any] = BasicS3Dict(
        bucket_name=Place.bucket, endpoint_url=ministack.url, config=config
    )
    assert d.s3_client.meta.config.s3 == {
        "addressing_style": "path",
        "payload_signing_enabled": True,
    }


FORKED = """
import os, sys
from persidict import BasicS3Dict
d = BasicS3Dict(bucket_name="forked", endpoint_url=sys.argv[1])
d["before"] = os.getpid()
assert len(dict(d.items())) == 1
children = []
for child in range(4):
    pid = os.fork()
    if not pid:
        for n in range(25):
            d[str(child), str(n)] = [child, n] * 100
            assert d[str(child), str(n)] == [child, n] * 100
        assert len(dict(d.get_subdict(str(child)).items())) == 25
        os._exit(0)
    children.append(pid)
for n in range(25):
    d["parent", str(n)] = n
    assert d["parent", str(n)] == n
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
print(len(d), d["before"] == os.getpid())
"""


def test_a_forked_child_has_connections_of_its_own(real: Place) -> None:
    run = [sys.executable, "-W", "ignore", "-c", FORKED, str(real.url)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == ["126", "True"], done.stderr
