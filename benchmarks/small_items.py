"""Small values: set, overwrite, get, contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._machine import memory_folder
from benchmarks._ours import NAME, folder_dict
from benchmarks._peers import HandMadeFiles, Store, all_open, disk_cache
from benchmarks._scale import Scale


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield the races; each works on stores of its own."""
    keys = [f"item-{index:05d}" for index in range(scale.items)]
    with memory_folder(place) as memory:
        yield from _writing(memory, keys)
    yield _synced(place / "synced", keys[: scale.synced_items])
    yield from _reading(place / "read", keys)


def value_of(index: int) -> dict[str, Any]:
    """Return a small value as people store them: a record."""
    return {"id": index, "name": f"record {index}", "score": index / 7, "tags": ["a", "b"]}


def _writing(folder: Path, keys: list[str]) -> Iterator[Race]:
    with all_open(folder) as stores:
        stores[NAME] = folder_dict(folder / "ours")
        bound = Target(ratio=2)
        yield _race("set, small value, in memory", stores, _set, keys, bound, fresh=True)
        yield _race("overwrite, small value, in memory", stores, _set, keys, bound)


def _reading(folder: Path, keys: list[str]) -> Iterator[Race]:
    with all_open(folder) as stores:
        stores[NAME] = folder_dict(folder / "ours")
        stores[f"{NAME}, compression=None"] = folder_dict(folder / "plain", compression=None)
        for store in stores.values():
            _set(store, keys)
        yield _race("get, small value", stores, _get, keys, Target(ratio=2.5))
        yield _race("contains", stores, _contains, keys, Target(ratio=2))


def _synced(folder: Path, keys: list[str]) -> Race:
    stores: dict[str, Store] = {
        "open + pickle + fsync of file and folder": HandMadeFiles(folder / "hand", synced=True),
        "diskcache, synchronous=FULL": disk_cache(folder / "diskcache", synced=True),
        NAME: folder_dict(folder / "ours"),
    }
    title = "set, small value, through to the disk"
    return _race(title, stores, _set, keys, Target(ratio=1.3), fresh=True)


def _race(
    title: str,
    stores: dict[str, Any],
    work: Callable[[Any, list[str]], object],
    keys: list[str],
    target: Target | None,
    *,
    fresh: bool = False,
) -> Race:
    """Let every store do the work on all keys; the first is the baseline."""
    contenders = [
        Contender(
            name,
            timed(partial(work, store, keys), len(keys), store.clear if fresh else tuple),
            target if name.startswith(NAME) else None,
        )
        for name, store in stores.items()
    ]
    return Race(title, contenders[0], contenders[1:])


def _set(store: Store, keys: list[str]) -> None:
    for index, key in enumerate(keys):
        store[key] = value_of(index)


def _get(store: Store, keys: list[str]) -> None:
    for key in keys:
        store[key]


def _contains(store: Store, keys: list[str]) -> bool:
    return all(key in store for key in keys)
