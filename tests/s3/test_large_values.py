"""Large values: sent in parts with the guard on the last step, read into memory of their size."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persidict import ETAG_IS_THE_SAME, ITEM_NOT_AVAILABLE, MutationPolicyError
from persidict import _s3_writes as writes
from persidict._s3_writes import etag_of_bytes
from persidict.exceptions import OutcomeUnknownError

from .conftest import Place, place_on
from .proxy import AnswerAfter, CutBody, DropAfter
from .test_lost_answers import Line, line  # noqa: F401  # a fixture

PART = 5 << 20  # the smallest that servers take


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "PART", PART)
    monkeypatch.setattr(writes, "IN_PARTS", 2 * PART)


def value(n: int, size: int = 2 * PART + 1000) -> Any:
    return np.random.default_rng(n).bytes(size)


def uploads(place: Place) -> list[Any]:
    listing = place.client.list_multipart_uploads(Bucket=place.bucket, Prefix=place.prefix)
    return list(listing.get("Uploads", []))


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("size", [2 * PART - 200, 2 * PART, 3 * PART, 3 * PART + 1])
def test_sizes_around_the_parts(place: Place, size: int) -> None:
    """Equal values have equal etags, which can be worked out beforehand."""
    d = place.basic(serialization_format="txt", base_class_for_values=str)
    text = "x" * size
    d["k"] = text
    assert d["k"] == text
    etag = d.etag("k")
    assert etag == etag_of_bytes(text.encode())
    assert ("-" in etag) == (size >= 2 * PART)
    d["k"] = text
    assert d.etag("k") == etag
    assert uploads(place) == []


@pytest.mark.usefixtures("in_parts")
def test_sums_of_the_parts(real: Place) -> None:
    d = real.basic(put_args={"ChecksumAlgorithm": "SHA256"})
    d["k"] = value(1)
    assert d["k"] == value(1)
    assert d.setdefault("new", value(2)) == value(2)


@pytest.mark.usefixtures("in_parts")
def test_guards(place: Place) -> None:
    d = place.basic()
    assert d.setdefault("k", value(1)) == value(1)
    assert d.setdefault("k", value(2)) == value(1)
    etag = d.etag("k")
    for expected in ('"0123456789abcdef0123456789abcdef"', ITEM_NOT_AVAILABLE):
        result = d.set_item_if(
            "k", value=value(3), condition=ETAG_IS_THE_SAME, expected_etag=expected
        )
        assert not result.condition_was_satisfied
        assert result.new_value == value(1)
    result = d.set_item_if("k", value=value(3), condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert result.condition_was_satisfied
    assert result.resulting_etag == d.etag("k")
    assert not d.set_item_if(
        "gone", value=value(3), condition=ETAG_IS_THE_SAME, expected_etag=etag
    ).condition_was_satisfied
    assert "gone" not in d
    once = place.basic(append_only=True)
    with pytest.raises(MutationPolicyError):
        once["k"] = value(4)
    assert d["k"] == value(3)
    assert uploads(place) == []


@pytest.mark.usefixtures("in_parts")
def test_a_rival_during_the_upload(real: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard stands on the last step, which makes the object."""
    d, rival = real.basic(), real.basic()
    d["k"] = 1
    send = writes._send_parts

    def send_slowly(*args: Any) -> Any:
        rival["k"] = 2
        return send(*args)

    monkeypatch.setattr(writes, "_send_parts", send_slowly)
    result = d.set_item_if(
        "k", value=value(1), condition=ETAG_IS_THE_SAME, expected_etag=d.etag("k")
    )
    assert (result.condition_was_satisfied, result.new_value) == (False, 2)
    rival.discard("k")
    assert d.setdefault("k", value(1)) == 2
    assert uploads(real) == []


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_upload_that_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    d = place.basic()
    d["k"] = 1

    def fail(*args: Any) -> Any:
        raise failure

    monkeypatch.setattr(writes, "_send_parts", fail)
    with pytest.raises(failure):
        d["k"] = value(1)
    assert d["k"] == 1
    assert uploads(place) == []


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("fault", [DropAfter(), AnswerAfter(500, "InternalError")])
def test_lost_answers_to_the_last_step(line: Line, fault: Any) -> None:  # noqa: F811
    d = line.open()
    d["k"] = 1
    etag = d.etag("k")

    def only_the_last_step(request: Any) -> Any:
        is_it = request.method == "POST" and "uploadId" in request.path and not told
        return told.append(1) or fault if is_it else None

    for act in (
        lambda: d.__setitem__("k", value(2)),
        lambda: d.transform_item("k", transformer=lambda v: value(3)),
        lambda: d.setdefault("new", value(4)),
    ):
        told: list[int] = []
        line.proxy.decide = only_the_last_step
        act()
        assert told
    assert line.rival["k"] == value(3)
    assert line.rival["new"] == value(4)
    assert d.etag("k") != etag


@pytest.mark.usefixtures("in_parts")
def test_a_lost_answer_and_a_rival(line: Line) -> None:  # noqa: F811
    d = line.open()
    d["k"] = 1
    done = threading.Event()

    def decide(request: Any) -> Any:
        if request.method == "POST" and "uploadId" in request.path and not done.is_set():
            done.set()
            return DropAfter()
        if done.is_set() and request.method in ("POST", "HEAD") and line.rival["k"] != 7:
            line.rival["k"] = 7
        return None

    etag = d.etag("k")
    line.proxy.decide = decide
    try:
        result = d.set_item_if("k", value=value(1), condition=ETAG_IS_THE_SAME, expected_etag=etag)
    except OutcomeUnknownError:
        pass  # SeaweedFS forgets uploads that are complete
    else:
        assert result.condition_was_satisfied
    assert line.rival["k"] == 7


def test_a_large_array_that_breaks_off(line: Line) -> None:  # noqa: F811
    d = line.open()
    d["k"] = array = np.arange(1 << 20)
    line.fails("GET", CutBody(5 << 20), CutBody(0), CutBody(1 << 20))
    assert (d["k"] == array).all()
    last = [one for one in line.proxy.requests if "range" in one.headers][-1]
    assert last.headers["range"] != "bytes=0-"  # not from the beginning again


MEMORY = """
import json, resource, sys
import numpy as np
from persidict import BasicS3Dict
d = BasicS3Dict(bucket_name="persidict", root_prefix=sys.argv[1], endpoint_url=sys.argv[2])
d["warm"] = np.zeros(20 << 20, np.uint8); d["warm"]; d.pop("warm")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
size = 400 << 20
if sys.argv[3] == "write":
    array = np.ones(size, np.uint8)
    before = peak()
    d["k"] = array
else:
    before = peak()
    array = d["k"]
    assert array.sum() == size
print((peak() - before) / size)
"""


def test_memory(seaweedfs: Any, clients: dict[str, Any], tmp_path: Path) -> None:
    """What is needed besides the value to write it, and with the value to read it."""
    place = place_on(seaweedfs, clients, tmp_path)
    for act, bound in (("write", 1.5), ("read", 1.5)):
        command = [sys.executable, "-c", MEMORY, place.prefix, str(place.url), act]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) <= bound
    place.basic().discard("k")
