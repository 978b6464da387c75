"""A memoized call with scalar arguments whose result is stored already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._ours import folder_dict
from benchmarks._peers import HandMadeFiles, disk_cache
from benchmarks._scale import Scale
from benchmarks._workload import score

ARGUMENTS = (0.5, "fast")


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield warm hits, and what of ours is the read of the store."""
    calls = max(20, scale.items // 5)
    by_hand = HandMadeFiles(place / "hand")
    for index in range(calls):
        by_hand[str(index)] = score(index, *ARGUMENTS)
    baseline = Contender(
        "open + pickle, the key known",
        timed(lambda: [by_hand[str(index)] for index in range(calls)], calls),
    )
    others = [
        _memoized("joblib.Memory", _joblib(place / "joblib"), calls),
        _memoized("diskcache.memoize", _diskcache(place / "diskcache"), calls),
        _memoized("cachier", _cachier(place / "cachier"), calls),
        *_ours(place / "ours", calls),
    ]
    yield Race("memoized hit, three scalars", baseline, others)
    yield _misses(place / "misses", max(10, scale.synced_items))


def _misses(place: Path, calls: int) -> Race:
    """Calls that are computed and stored, in a folder for each kind of cache."""
    from persidict_dask import persist

    once = persist(folder_dict(place / "single"), single_flight=False)
    kinds: dict[str, Callable[..., Any]] = {
        "diskcache.memoize": _diskcache(place / "diskcache"),
        "cachier": _cachier(place / "cachier"),
        "persidict_dask.persist": persist(folder_dict(place / "ours"))(score),
        "… single_flight=False": once(score),
    }
    others = [_missing(name, function, calls) for name, function in kinds.items()]
    return Race(
        "memoized miss", _missing("joblib.Memory", _joblib(place / "joblib"), calls), others
    )


def _missing(name: str, function: Callable[..., Any], calls: int) -> Contender:
    fresh = count()
    return Contender(
        name, timed(lambda: [function(next(fresh), *ARGUMENTS) for _ in range(calls)], calls)
    )


def _memoized(
    name: str, function: Callable[..., Any], calls: int, target: Target | None = None
) -> Contender:
    def call_all() -> None:
        for index in range(calls):
            function(index, *ARGUMENTS)

    call_all()  # from here on, every call is a hit
    return Contender(name, timed(call_all, calls), target)


def _joblib(folder: Path) -> Callable[..., Any]:
    from joblib import Memory

    return Memory(folder, verbose=0).cache(score)


def _diskcache(folder: Path) -> Callable[..., Any]:
    return disk_cache(folder).memoize()(score)  # type: ignore[attr-defined]


def _cachier(folder: Path) -> Callable[..., Any]:
    from cachier import cachier

    return cachier(cache_dir=folder)(score)  # type: ignore[no-any-return]


def _ours(folder: Path, calls: int) -> list[Contender]:
    """Return the hit, and its two parts: the key, and the read of the store."""
    from persidict_dask import persist

    store = folder_dict(folder, append_only=True)
    function = persist(store)(score)
    hit = _memoized("persidict_dask.persist", function, calls, Target(seconds=100e-6))
    keys = [function.key_of(index, *ARGUMENTS) for index in range(calls)]
    return [
        hit,
        _memoized("… of it: key_of", function.key_of, calls, Target(seconds=25e-6)),
        Contender("… of it: store[key]", timed(lambda: [store[key] for key in keys], calls)),
    ]
