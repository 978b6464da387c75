"""A thousand calls on a cluster: plain, missed, found by the worker, found by the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender, Race, Sample, Target, timed
from benchmarks._ours import folder_dict
from benchmarks._scale import Scale


def nothing(x: int) -> int:
    """Do no work, so that only the way there and back is measured."""
    return x


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield no-op tasks on two worker processes, and calls one by one."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield _batch(client, place, 2 * scale.items)
        yield _one_by_one(client, place, scale.items // 10)


def _batch(client: Any, place: Path, calls: int) -> Race:
    found, missed = _persisted(place / "found", calls), _persisted(place / "missed", 0)
    fresh = count(10**6, calls)

    def miss() -> None:
        start = next(fresh)
        client.gather(missed.map(client, range(start, start + calls)))

    plain = _gathered(client, lambda: client.map(nothing, range(calls), pure=False), calls)
    return Race(
        f"{calls:,} no-op tasks",
        Contender("client.map, plain", plain),
        [
            Contender("f.map, missed", timed(miss, calls)),
            Contender(
                "client.map(f), hits on the workers",
                _gathered(client, lambda: client.map(found, range(calls), pure=False), calls),
            ),
            Contender(
                "f.map and gather, hits on the driver",
                _gathered(client, lambda: found.map(client, range(calls)), calls),
                Target(ratio=0.3),
            ),
            Contender(
                "f.map and result(), hits on the driver",
                timed(lambda: [one.result() for one in found.map(client, range(calls))], calls),
                Target(ratio=0.3),
            ),
        ],
    )


def _one_by_one(client: Any, place: Path, calls: int) -> Race:
    found = _persisted(place / "single", calls)
    return Race(
        "one task after the other",
        Contender(
            "client.submit, plain",
            timed(
                lambda: [client.submit(nothing, n, pure=False).result() for n in range(calls)],
                calls,
            ),
        ),
        [
            Contender(
                "f.submit, a hit on the driver",
                timed(lambda: [found.submit(client, n).result() for n in range(calls)], calls),
                Target(ratio=0.3),
            )
        ],
    )


def _gathered(client: Any, submit: Callable[[], list[Any]], calls: int) -> Sample:
    return timed(lambda: client.gather(submit()), calls)


def _persisted(folder: Path, calls: int) -> Any:
    from persidict_dask import persist

    function = persist(folder_dict(folder))(nothing)
    for x in range(calls):
        function(x)
    return function
