"""Names, bytes and attributes in the bucket: those of the published format, and nothing besides."""

from __future__ import annotations

import io
import json
from typing import Any

import joblib
import pytest

from persidict import BasicS3Dict, S3Dict
from persidict._s3_bucket import quoted

from .conftest import Place, moto_place

PICKLED = bytes.fromhex("80 04 95 0A 00 00 00 00 00 00 00 7D 94 8C 01 78 94 4B 01 73 2E")


def head(place: Place, name: str) -> Any:
    return place.client.head_object(Bucket=place.bucket, Key=place.prefix + name)


def test_the_golden_object(place: Place) -> None:
    d = place.basic()
    d["a", "B"] = {"x": 1}
    assert place.names() == ["a/B.pkl"]
    assert place.get("a/B.pkl") == PICKLED
    seen = head(place, "a/B.pkl")
    assert seen["ContentType"] == "application/octet-stream"
    assert seen["Metadata"] == {}
    assert d.etag(("a", "B")) == seen["ETag"]
    assert d.timestamp(("a", "B")) == seen["LastModified"].timestamp()


@pytest.mark.parametrize(
    ("options", "value", "name", "data", "content_type"),
    [
        ({"serialization_format": "json"}, {"é": (1,)}, "k.json", None, "application/json"),
        ({"serialization_format": "csv", "base_class_for_values": str}, "x\r\né", "k.csv",
         "x\r\né".encode(), "text/plain"),
        ({"append_only": True}, {"x": 1}, "k.pkl", PICKLED, "application/octet-stream"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["basic", "cached"])
def test_formats(
    place: Place, kind: str, options: Any, value: Any, name: str, data: Any, content_type: str
) -> None:
    d = getattr(place, kind)(**options)
    d["k"] = value
    if data is None:
        data = json.dumps({"é": {"py/tuple": [1]}}, indent=4).encode()
    assert place.get(name) == data
    assert head(place, name)["ContentType"] == content_type
    assert d["k"] == value


def test_what_others_have_written_is_read(place: Place) -> None:
    """Compressed or not, by joblib or by hand; what is no item is passed over."""
    for name, compress in (("plain", 0), ("lz4", "lz4"), ("zlib", 3)):
        buffer = io.BytesIO()
        joblib.dump([name], buffer, compress=compress)
        place.put(f"{name}.pkl", buffer.getvalue())
    odd = ["__persidict_probe__", "my file.pkl", ".pkl", "a//b.pkl", "k.pkl.bak", "x/", "k.json"]
    for name in odd:
        place.put(name, b"")
    if "a/b.pkl" in place.names():  # SeaweedFS makes the name of a key of it
        place.client.delete_object(Bucket=place.bucket, Key=f"{place.prefix}a/b.pkl")
    d = place.basic()
    assert {key[0]: value for key, value in d.items()} == {n: [n] for n in ("plain", "lz4", "zlib")}
    assert len(d) == 3
    d.clear()
    assert {"my file.pkl", "k.json", "k.pkl.bak"} <= set(place.names())


@pytest.mark.parametrize(
    ("given", "prefix"),
    [("", ""), ("a", "a/"), ("a/", "a/"), ("/a", "/a/"), ("/", "/"), ("a//", "a//")],
)
def test_prefixes(clients: Any, tmp_path: Any, given: str, prefix: str) -> None:
    for place in moto_place(clients, tmp_path):
        d: BasicS3Dict[Any] = BasicS3Dict(bucket_name=place.bucket, root_prefix=given)
        assert d.root_prefix == prefix
        assert d.base_url == f"s3://persidict/{prefix}"
        d["a", "b"] = 1
        listing = place.client.list_objects_v2(Bucket=place.bucket)["Contents"]
        assert [one["Key"] for one in listing] == [f"{prefix}a/b.pkl"]
        sub = d.get_subdict(("x", "y"))
        assert sub.root_prefix == f"{prefix}x/y/"
        assert d.get_subdict(()).root_prefix == prefix
        assert d.get_subdict("a")["b"] == 1


def test_the_files_of_the_cache(place: Place) -> None:
    d = place.cached("c")
    d["k"] = [1]
    files = {file.name: file for file in (place.path / "c").iterdir()}
    assert set(files) == {"k_rtslc2zc.pkl", "k_rtslc2zc.pkl_etag"}
    assert files["k_rtslc2zc.pkl_etag"].read_text() == d.etag("k") == head(place, "k.pkl")["ETag"]
    assert joblib.load(files["k_rtslc2zc.pkl"]) == [1]
    sub = d.get_subdict("s")
    assert sub.base_dir.startswith(str(place.path / "c" / "s_"))
    assert sub.root_prefix == f"{place.prefix}s/"
    sub["t"] = 2
    assert d["s", "t"] == 2
    once = place.cached("a", append_only=True)
    assert once["k"] == [1]
    assert [file.name for file in (place.path / "a").iterdir()] == ["k_rtslc2zc.pkl"]


def test_parameters(place: Place) -> None:
    """They are those of the published classes, and others only where they were given."""
    common = {"append_only", "base_class_for_values", "bucket_name", "client", "region",
              "root_prefix", "serialization_format"}  # fmt: skip
    d, cached = place.basic(), place.cached(max_cache_bytes=10**6)
    assert list(d.get_params()) == sorted(common)
    assert list(cached.get_params()) == sorted(
        common | {"base_dir", "digest_len", "max_cache_bytes"}
    )
    for one in (d, cached, d.get_subdict("a"), cached.get_subdict("a")):
        one["k"] = 1
        again = type(one)(**one.get_params())
        assert again == one
        assert again.get_params() == one.get_params()
        assert again["k"] == 1
    assert cached.etag_serialization_format == "pkl_etag"
    assert cached.s3_client is cached._main_dict.s3_client is place.client


def test_arguments_for_uploads(place: Place) -> None:
    """They go with small and with large values, and beside our own metadata."""
    d = place.basic(
        put_args={
            "StorageClass": "STANDARD_IA",
            "Metadata": {"who": "me"},
            "CacheControl": "no-store",
        }
    )
    d["plain"] = 1
    d.setdefault("guarded", 1)
    for name in ("plain.pkl", "guarded.pkl"):
        seen = head(place, name)
        assert seen["Metadata"]["who"] == "me"
        assert seen["CacheControl"] == "no-store"
    assert d.transform_item("plain", transformer=lambda v: v + 1).new_value == 2
    assert head(place, "plain.pkl")["Metadata"]["who"] == "me"


@pytest.mark.parametrize("wrong", [{"Body": b""}, {"Key": "k"}, {"NoSuch": 1}, {"IfMatch": "x"}])
def test_arguments_that_cannot_be_given(place: Place, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        place.basic(put_args=wrong)


@pytest.mark.parametrize("cls", [BasicS3Dict, S3Dict])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bucket_name": ""}, ValueError),
        ({"bucket_name": 7}, TypeError),
        ({"bucket_name": "no/bucket"}, ValueError),
        ({"root_prefix": None}, TypeError),
        ({"serialization_format": ""}, ValueError),
        ({"serialization_format": "csv"}, ValueError),
        ({"put_args": 5}, TypeError),
        ({"config": 5}, TypeError),
    ],
)
def test_bad_arguments(tmp_path: Any, cls: Any, options: Any, error: type[Exception]) -> None:
    """They are told before anything is sent, or made."""
    folder = {"base_dir": tmp_path / "cache"} if cls is S3Dict else {}
    with pytest.raises(error):
        cls(**{"endpoint_url": "http://127.0.0.1:9", **folder, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_bad_limits(tmp_path: Any, limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        S3Dict(base_dir=tmp_path / "cache", max_cache_bytes=limit)


def test_etags_of_listings_get_the_quotes_that_some_servers_leave_out() -> None:
    assert quoted("0123") == quoted('"0123"') == '"0123"'
