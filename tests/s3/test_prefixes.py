"""Prefixes and keys: what a server would make another name of is refused before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from persidict import BasicS3Dict, S3Dict
from persidict_dask import open_store

from .conftest import place_on

ODD = ["a//b", "a//", "/{}", "//{}", "a\\b", "a/./b", "a/../b", "é", "a%2Fb", "a?b#c&d", "a\tb"]
CHANGED = {
    "ministack": set(),
    "seaweedfs": {"a//b", "a//", "/{}", "//{}", "a\\b", "a/./b", "a/../b"},
    "rclone": {"a//b", "a//", "/{}", "//{}", "a/./b", "a/../b"},
}


@pytest.fixture(params=["ministack", "seaweedfs", "rclone"])
def server(request: pytest.FixtureRequest, clients: dict[str, Any], tmp_path: Path) -> Any:
    place = place_on(request.getfixturevalue(request.param), clients, tmp_path)
    return request.param, place


@pytest.mark.parametrize("odd", ODD)
def test_items_are_listed_or_the_prefix_is_refused(server: Any, odd: str) -> None:
    name, place = server
    prefix = odd.format(place.prefix[:-1]) if "{" in odd else place.prefix + odd
    # rclone puts checksums on answers that botocore cannot read
    config = {"response_checksum_validation": "when_required"}
    where: dict[str, Any] = {"bucket_name": place.bucket, "root_prefix": prefix, "config": config}
    if odd in CHANGED[name]:
        for cls, more in ((BasicS3Dict, {}), (S3Dict, {"base_dir": place.path / "near"})):
            with pytest.raises(ValueError, match="root_prefix cannot be"):
                cls(endpoint_url=place.url, **where, **more)
        assert not (place.path / "near").exists()
    else:
        d: BasicS3Dict[Any] = BasicS3Dict(endpoint_url=place.url, **where)
        d["k"] = 1
        assert list(d.keys()) == ["k"]
        assert d.get_subdict("s").get("t") is None
        assert dict(BasicS3Dict(endpoint_url=place.url, **where).items()) == {("k",): 1}
        d.clear()
    assert place.names() == []


@pytest.mark.parametrize("path", ["//a", "/a//b", "/a%2F%2Fb", "/a%5Cb"])
@pytest.mark.parametrize("cache", ["", "?cache_dir={}"])
def test_urls_are_no_way_around(
    seaweedfs: Any, clients: dict[str, Any], tmp_path: Path, path: str, cache: str
) -> None:
    place = place_on(seaweedfs, clients, tmp_path)
    url = f"s3://{place.bucket}{path}{cache.format(tmp_path)}"
    with pytest.raises(ValueError, match="root_prefix cannot be"):
        open_store(url, endpoint_url=place.url)


def test_a_store_that_is_there_stays_open(
    ministack: Any, clients: dict[str, Any], tmp_path: Path
) -> None:
    """And a common prefix costs no request."""
    place = place_on(ministack, clients, tmp_path)
    place.put("a//b/k.json", b"1")
    sent: list[str] = []
    place.client.meta.events.register(
        "before-call.s3", lambda model, **_: sent.append(model.name), unique_id="sent"
    )
    where: dict[str, Any] = {"client": place.client, "bucket_name": place.bucket}
    d: BasicS3Dict[Any] = BasicS3Dict(
        **where, root_prefix=f"{place.prefix}a//b", serialization_format="json"
    )
    BasicS3Dict(**where, root_prefix=f"{place.prefix}a/b-c/D.d~(=)_1")
    place.client.meta.events.unregister("before-call.s3", unique_id="sent")
    assert sent == ["HeadBucket", "ListObjectsV2", "HeadBucket"]
    assert dict(d.items()) == {("k",): 1}


ACTS: list[Any] = [
    lambda d, k: d[k],
    lambda d, k: d.get(k),
    lambda d, k: k in d,
    lambda d, k: d.__setitem__(k, 1),
    lambda d, k: d.setdefault(k, 1),
    lambda d, k: d.discard(k),
    lambda d, k: d.etag(k),
    lambda d, k: d.transform_item(k, transformer=lambda v: 1),
]


@pytest.mark.parametrize("kind", ["basic", "cached"])
def test_keys_that_are_too_long(
    ministack: Any, clients: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    place = place_on(ministack, clients, tmp_path)
    d = getattr(place, kind)()
    longest = ["x" * 200] * 4 + ["y" * (1024 - len(place.prefix) - 4 * 201 - len(".pkl"))]
    d[longest] = 1
    assert d[longest] == 1
    longest[-1] += "y"
    for act in ACTS:
        with pytest.raises(ValueError, match="1025"):
            act(d, longest)
    assert len(d) == 1
    d.clear()
    with pytest.raises(ValueError, match="1024"):
        BasicS3Dict(bucket_name="any", root_prefix="é" * 512, endpoint_url="http://127.0.0.1:9")
