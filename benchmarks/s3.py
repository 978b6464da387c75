"""Buckets of ministack and SeaweedFS: single operations, listings, many at once, large values.

Needs `make .servers/ready`.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._ours import NAME
from benchmarks._s3_peers import THREADS, Boto3, Obstore, S3fs
from benchmarks._scale import Scale
from benchmarks.small_items import value_of

READY = Path(__file__).parents[1] / ".servers" / "ready"
BUCKET = "benchmarks"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
OVERHEAD = Target(ratio=1.15)


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield the races on one server after the other."""
    from tests.s3 import servers

    with _environment():
        for start in (servers.ministack, servers.seaweedfs):
            folder = place / start.__name__
            folder.mkdir()
            with closing(_Stopping(start(folder))) as running:
                yield from _on(running.server, folder, scale)


class _Stopping:
    """A server that is stopped in the end."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.close = server.stop


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _on(server: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    ours = _dict(server, "")
    # s3fs wants a botocore of its own choice, and is measured where somebody has installed it
    kinds = (Boto3, Obstore, S3fs) if find_spec("s3fs") else (Boto3, Obstore)
    peers = [kind(server, BUCKET) for kind in kinds]
    for race in (_small, _inserting, _in_threads, _cached, _many, _listing, _clearing, _large):
        for one in race(server, ours, peers, folder, scale):
            yield Race(f"{one.title}, {server.name}", one.baseline, one.others)


def _dict(server: Any, prefix: str, cache: Path | None = None) -> Any:
    from persidict import BasicS3Dict, S3Dict

    where = {"bucket_name": BUCKET, "root_prefix": prefix, "endpoint_url": server.url}
    return S3Dict(**where, base_dir=cache) if cache else BasicS3Dict(**where)


def _each(call: Callable[[int], object], times: int) -> Callable[[], object]:
    return lambda: deque(map(call, range(times)), maxlen=0)


def _contenders(
    peers: Iterable[Any], make: Callable[[Any], Callable[[int], object]], times: int
) -> list[Contender]:
    return [Contender(peer.name, timed(_each(make(peer), times), times)) for peer in peers]


def _small(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    """One after the other; what is measured is the client, for the most part."""
    times, data = scale.items // 5, pickle.dumps(value_of(1))
    ours.update({f"k{n}": value_of(1) for n in range(times)})

    def get(peer: Any) -> Callable[[int], object]:
        return lambda n: pickle.loads(peer.get(f"k{n}.pkl"))

    def put(peer: Any) -> Callable[[int], object]:
        return lambda n: peer.put(f"k{n}.pkl", pickle.dumps(value_of(1)))

    assert pickle.loads(data) == ours["k0"]
    for title, make, mine in (
        ("get, small value", get, lambda n: ours[f"k{n}"]),
        ("put, small value", put, lambda n: ours.__setitem__(f"k{n}", value_of(1))),
    ):
        first, *others = _contenders(peers, make, times)
        yield Race(title, first, [*others, _ours(mine, times, OVERHEAD)])


def _ours(
    call: Callable[[int], object], times: int, target: Target | None = None, name: str = NAME
) -> Contender:
    return Contender(name, timed(_each(call, times), times), target)


def _inserting(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    times, fresh = scale.items // 5, count()
    ours.setdefault("proof", 1)
    boto3 = peers[0]
    first = _ours(
        lambda _: boto3.insert(f"b{next(fresh)}.pkl", pickle.dumps(value_of(1))),
        times,
        None,
        "boto3",
    )
    mine = _ours(lambda _: ours.setdefault(f"p{next(fresh)}", value_of(1)), times, OVERHEAD)
    yield Race("insert if absent", first, [mine])


def _in_threads(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    times = scale.items // 5

    def contender(name: str, get: Callable[[int], object], target: Target | None) -> Contender:
        def run() -> None:
            with ThreadPoolExecutor(THREADS) as threads:
                deque(threads.map(get, range(times)), maxlen=0)

        return Contender(name, timed(run, times), target)

    def of(peer: Any) -> Callable[[int], object]:
        return lambda n: pickle.loads(peer.get(f"k{n}.pkl"))

    first, *others = [contender(peer.name, of(peer), None) for peer in peers]
    mine = contender(NAME, lambda n: ours[f"k{n}"], OVERHEAD)
    yield Race(f"get in {THREADS} threads", first, [*others, mine])


def _cached(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    times = scale.items // 10
    cached = _dict(server, "", folder / "cache")
    for title, value in (("small value", value_of(1)), ("1 MB", os.urandom(1 << 20))):
        ours["cached"] = value
        assert cached["cached"] == value
        first = _ours(lambda _: pickle.loads(peers[0].get("cached.pkl")), times, None, "boto3")
        mine = _ours(lambda _: cached["cached"], times, None, f"{NAME}, cached")
        etag = _ours(lambda _: cached.etag("cached"), times, None, f"{NAME}, cached etag")
        yield Race(f"get of what is cached, {title}", first, [mine, etag])


def _many(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    """Small values of a prefix, all of them."""
    size = 1000 if scale.listings[0] > 1000 else 200
    many, cached = _dict(server, "many"), _dict(server, "many", folder / "many")
    many.update({f"k{n}": value_of(n) for n in range(size)})
    keys = list(many.keys())
    names = [f"many/{key[0]}.pkl" for key in keys]
    deque(cached.items(), maxlen=0)

    def contender(name: str, read: Callable[[], Any], target: Target | None = None) -> Contender:
        return Contender(name, timed(lambda: deque(read(), maxlen=0), size), target)

    first = contender("one by one", lambda: (many[key] for key in keys))
    others = [
        contender(f"{peer.name}, names known", lambda peer=peer: peer.get_many(names))  # type: ignore[misc]
        for peer in peers
    ]
    mine = contender(f"{NAME} items()", many.items, Target(ratio=1 / 3))
    warm = contender(f"{NAME} items(), cached", cached.items)
    yield Race(f"read of {size:,} small items", first, [*others, mine, warm])


def _listing(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    size, prefix = scale.listings[0], "listing"
    with ThreadPoolExecutor(THREADS) as threads:
        deque(threads.map(lambda n: peers[1].put(f"{prefix}/k{n}.pkl", b"N."), range(size)), 0)
    listed = _dict(server, prefix)

    def contender(name: str, names: Callable[[], Any], target: Target | None = None) -> Contender:
        return Contender(name, timed(lambda: deque(names(), maxlen=0), size), target)

    first, *others = [
        contender(peer.name, lambda peer=peer: peer.names(f"{prefix}/"))  # type: ignore[misc]
        for peer in peers
    ]
    yield Race(
        f"listing of {size:,} keys", first, [*others, contender(NAME, listed.keys, OVERHEAD)]
    )


def _clearing(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    size = 1000 if scale.listings[0] > 1000 else 200
    cleared = _dict(server, "cleared")
    names = [f"cleared/k{n}.pkl" for n in range(size)]

    def fill() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            deque(threads.map(lambda name: peers[1].put(name, b"N."), names), maxlen=0)

    def contender(name: str, remove: Callable[[], object]) -> Contender:
        return Contender(name, timed(remove, size, before=fill))

    boto3, obstore, *more = peers
    first = contender("boto3, one by one", lambda: boto3.remove(names))
    others = [
        contender("boto3 in batches", lambda: boto3.remove_in_batches(names)),
        contender("obstore", lambda: obstore.remove_in_batches(names)),
        *[
            contender(one.name, lambda one=one: one.remove_in_batches(names))  # type: ignore[misc]
            for one in more
        ],
        contender(f"{NAME} clear()", cleared.clear),
    ]
    yield Race(f"removal of {size:,}", first, others)


def _large(server: Any, ours: Any, peers: Any, folder: Path, scale: Scale) -> Iterator[Race]:
    boto3, obstore, *_ = peers
    array = np.random.default_rng(1).integers(0, 255, scale.array_mb * 10**7, np.uint8)
    title = f"array of {scale.array_mb * 10} MB"

    def dumped() -> bytes:
        return pickle.dumps(array, protocol=5)

    puts = [
        Contender("boto3 upload_fileobj", timed(lambda: boto3.upload("large", dumped()))),
        Contender("obstore", timed(lambda: obstore.put("large", dumped()))),
        Contender(NAME, timed(lambda: ours.__setitem__("large", array)), OVERHEAD),
    ]
    gets = [
        Contender("boto3 download_fileobj", timed(lambda: pickle.loads(boto3.download("large")))),
        Contender("obstore", timed(lambda: pickle.loads(obstore.get("large")))),
        Contender(NAME, timed(lambda: ours["large"]), OVERHEAD),
    ]
    for what, (first, *others) in (("put", puts), ("get", gets)):
        yield Race(f"{what}, {title}", first, others)
