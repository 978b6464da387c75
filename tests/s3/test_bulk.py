"""Reading many: in parallel, in order, in bounded memory, by obstore only where nobody can tell.

The scripts run in processes of their own: moto, once imported, listens to all clients.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from persidict._read_ahead import read_ahead

from .conftest import Place, place_on
from .proxy import Answer, CutBody, DropBefore, FaultProxy, Request, random_faults

START = """
import sys
from persidict import BasicS3Dict, S3Dict
url, prefix = sys.argv[1:]
where = {"bucket_name": "persidict", "root_prefix": prefix, "endpoint_url": url}
d = BasicS3Dict(**where)
expected = {(f"k{n}", "a~(=)", "x.-_"): [n] * (n % 50) for n in range(60)}
sent = []
def note(model, **_): sent.append(model.name)
"""
FILL = START + "d.update(expected)\n"


def run(code: str, url: str | None, prefix: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(url), prefix],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def readers(proxy: FaultProxy) -> list[str]:
    """Who has read objects."""
    return [
        "boto3" if "Boto3" in request.headers["user-agent"] else "obstore"
        for request in proxy.requests
        if request.method == "GET" and ".pkl" in request.path
    ]


def agents(proxy: FaultProxy) -> set[str]:
    return set(readers(proxy))


@pytest.fixture
def real(request: pytest.FixtureRequest, clients: dict[str, Any], tmp_path: Any) -> Place:
    """Most of this is about the client: one server will do."""
    return place_on(
        request.getfixturevalue(getattr(request, "param", "ministack")), clients, tmp_path
    )


@pytest.fixture
def proxy(real: Place) -> Iterator[FaultProxy]:
    run(FILL, real.url, real.prefix)
    assert real.url
    with FaultProxy(real.url) as proxy:
        yield proxy


READ = "found = {k.strings: v for k, v in d.items()}\nassert found == expected\n"
SUB = """
sub = d.get_subdict("k7")
assert {k.strings: v for k, v in sub.items()} == {("a~(=)", "x.-_"): [7] * 7}
times = {k: t for k, _, t in d.items_and_timestamps()}
assert times == dict(d.keys_and_timestamps())
"""


@pytest.mark.parametrize("real", ["ministack", "seaweedfs"], indirect=True)
def test_obstore_reads_what_boto3_would(real: Place, proxy: FaultProxy) -> None:
    run(START + READ + SUB, proxy.url, real.prefix)
    assert agents(proxy) == {"obstore"}
    run(START + "sys.modules['obstore'] = None\n" + READ + SUB, proxy.url, real.prefix)
    assert agents(proxy) == {"obstore", "boto3"}


LISTENING = "d.s3_client.meta.events.register('before-call.s3', note)\n"
ANSWERING = "d.s3_client.meta.events.register('before-send.s3.GetObject', lambda **_: None)\n"


@pytest.mark.parametrize(
    "code",
    [
        START + LISTENING + READ + "assert sent.count('GetObject') == 60\n",
        START + ANSWERING + READ,
        START + "d = BasicS3Dict(**where, config={'read_timeout': 9})\n" + READ,
        START + "d = BasicS3Dict(**where, client=d.s3_client)\n" + READ,
        START + "d = BasicS3Dict(**where, put_args={'RequestPayer': 'requester'})\n" + READ,
    ],
)
def test_whoever_listens_or_configures_sees_all_requests(
    real: Place, proxy: FaultProxy, code: str
) -> None:
    run(code, proxy.url, real.prefix)
    assert agents(proxy) == {"boto3"}


PREFIXES = """
names = ["", "p", "/p", "p//q", "p/./q", "p/q", "p/../p"]
top = where["root_prefix"]
dicts = {name: BasicS3Dict(**where | {"root_prefix": top + name}) for name in names}
dicts["/"] = BasicS3Dict(**where | {"root_prefix": "/" + top})
for name, d in dicts.items():
    d["k"] = name
for name, d in dicts.items():
    assert d["k"] == name
    assert dict(d.items())["k",] == name
"""


def test_keys_that_are_no_tidy_paths(ministack: Any, clients: Any, tmp_path: Any) -> None:
    """obstore would read another object in their place."""
    place = place_on(ministack, clients, tmp_path)
    run(START + PREFIXES, place.url, place.prefix)


MOCKED = """
from moto import mock_aws
with mock_aws():
    d = BasicS3Dict(bucket_name="mocked")
    d["k"] = 1
    assert not d._store._bulk.takes("k", 1)
    print(dict(d.items()))
"""


def test_moto_answers_in_place_of_servers(real: Place) -> None:
    """As users have it in their tests: no client, no endpoint, no network."""
    assert "1" in run(START + MOCKED, real.url, real.prefix)[0]


def test_what_obstore_cannot_read_is_read_by_boto3(real: Place, proxy: FaultProxy) -> None:
    """The first failure ends its use, and is not the one that users see."""

    def decide(request: Request) -> Any:
        is_ours = "Boto3" in request.headers["user-agent"] or ".pkl" not in request.path
        return None if is_ours else Answer(418, "Teapot")

    proxy.decide = decide
    run(START + READ, proxy.url, real.prefix)
    assert agents(proxy) == {"obstore", "boto3"}
    assert readers(proxy).count("boto3") == 60
    assert readers(proxy).count("obstore") <= 32  # those that were on their way


def test_faults_on_the_way(real: Place, proxy: FaultProxy) -> None:
    faults = [Answer(500, "InternalError"), Answer(503, "SlowDown"), DropBefore(), CutBody(1)]
    decide = random_faults(1, 0.05, faults)
    given = []
    proxy.decide = lambda request: given.append(decide(request)) or given[-1]
    run(START + READ, proxy.url, real.prefix)
    assert any(given)


VANISHING = """
seen = 0
for key, _ in d.items():
    seen += 1
    if seen == 1:
        for n in range(20, 60): d.discard((f"k{n}", "a~(=)", "x.-_"))
print(seen)
"""


def test_what_vanishes_is_left_out(real: Place, proxy: FaultProxy) -> None:
    (seen,) = run(START + VANISHING, proxy.url, real.prefix)
    assert 20 <= int(seen) < 60


def test_order_and_bounds() -> None:
    """Results come in order; no more is read ahead than was allowed; a large one comes alone."""
    running, most, lock = 0, 0, threading.Lock()
    sizes = [5, 5, 200, 1, 1, 1, 50, 60, 5, 5] * 10

    def read(item: tuple[int, int]) -> int:
        nonlocal running, most
        with lock:
            running += item[1]
            most = max(most, running - max(item[1], 100) + 100)
        return item[0]

    found = []
    for number in read_ahead(
        read, (((n, size), size) for n, size in enumerate(sizes)), threads=4, most_bytes=100
    ):
        found.append(number)
        with lock:
            running -= sizes[number]
    assert found == list(range(100))
    assert most <= 300


def test_it_reads_ahead_and_stops_when_nobody_wants_more() -> None:
    started: list[int] = []
    both = threading.Barrier(2, timeout=30)

    def read(number: int) -> int:
        started.append(number)
        if number < 2:
            both.wait()  # passes only if two read at the same time
        return number

    before = threading.active_count()
    reading = read_ahead(read, ((n, 0) for n in range(10**6)), threads=2, most_bytes=1)
    assert next(reading) == 0
    reading.close()  # type: ignore[attr-defined]
    assert max(started) <= 6
    assert threading.active_count() == before


def test_what_nobody_waits_for_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    gate = threading.Event()
    cancel = Future.cancel

    def then_go_on(future: Future[Any]) -> bool:
        done = cancel(future)
        if done:
            gate.set()
        return done

    def read(number: int) -> int:
        started.append(number)
        assert number == 0 or gate.wait(30)
        return number

    monkeypatch.setattr(Future, "cancel", then_go_on)
    reading = read_ahead(read, ((n, 0) for n in range(100)), threads=2, most_bytes=1)
    assert next(reading) == 0
    reading.close()  # type: ignore[attr-defined]
    assert 3 not in started


def test_an_error_comes_in_its_place() -> None:
    def read(number: int) -> int:
        return 1 // (number - 3)

    reading = read_ahead(read, ((n, 0) for n in range(10)), threads=2, most_bytes=1)
    assert [next(reading) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(reading)
