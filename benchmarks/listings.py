"""Large trees: iteration over keys, and over items."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._ours import NAME, folder_dict
from benchmarks._peers import disk_cache, shelf, zict_file
from benchmarks._scale import Scale
from benchmarks.small_items import value_of

PER_FOLDER = 1000


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield key iteration for each size, then `items()` for the smallest."""
    for size in scale.listings:
        yield _keys(place / f"keys-{size}", size)
    yield from _items(place / "items", scale.listings[0])


def _keys(folder: Path, size: int) -> Race:
    """Key iteration; the baseline walks over the very files of our dictionary."""
    ours = _fill_ours(folder / "ours", size)
    cached = _fill_diskcache(folder / "diskcache", size)
    _fill(zict_file(folder / "zict"), size)
    scan = _contender("bare recursive scandir", partial(walk, folder / "ours"), size)
    others = [
        _contender("diskcache", lambda: iter(cached), size),
        _contender("zict.File, opened anew", lambda: zict_file(folder / "zict"), size),
        _contender(NAME, ours.keys, size, Target(ratio=3)),
    ]
    return Race(f"iteration over {size:,} keys", scan, others)


def _items(folder: Path, size: int) -> Iterator[Race]:
    ours = _fill_ours(folder / "ours", size)
    cached = _fill_diskcache(folder / "diskcache", size)
    _fill(zict_file(folder / "zict"), size)
    by_hand = _fill_by_hand(folder / "hand", size)
    with closing(shelf(folder / "shelf")) as shelved:
        _fill(shelved, size)
        others = [
            _contender("diskcache", lambda: ((key, cached[key]) for key in cached), size),
            _contender("zict.File, opened anew", lambda: zict_file(folder / "zict").items(), size),
            _contender("shelve", shelved.items, size),
            _contender(NAME, ours.items, size, Target(ratio=1.5)),
        ]
        baseline = _contender("scandir + open + pickle", partial(read_all, by_hand), size)
        yield Race(f"items() of {size:,} small values", baseline, others)


def _contender(
    name: str, make: Callable[[], Iterable[Any]], size: int, target: Target | None = None
) -> Contender:
    return Contender(name, timed(lambda: deque(make(), maxlen=0), size), target)


def walk(folder: Path | str) -> Iterator[str]:
    """Yield the paths of all files in a tree, with nothing but `os.scandir`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path)
            else:
                yield entry.path


def read_all(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of plain pickle files in a tree."""
    for path in walk(folder):
        with open(path, "rb") as file:
            yield path, pickle.load(file)


def _names(size: int) -> Iterator[tuple[str, str]]:
    return ((f"part-{index // PER_FOLDER:03d}", f"item-{index:06d}") for index in range(size))


def _fill(store: Any, size: int) -> None:
    for index, name in enumerate(_names(size)):
        store["-".join(name)] = value_of(index)


def _fill_diskcache(folder: Path, size: int) -> Any:
    cached: Any = disk_cache(folder)
    with cached.transact():
        _fill(cached, size)
    return cached


def _fill_by_hand(folder: Path, size: int) -> Path:
    for index, (part, name) in enumerate(_names(size)):
        if index % PER_FOLDER == 0:
            (folder / part).mkdir(parents=True)
        (folder / part / f"{name}.pickle").write_bytes(pickle.dumps(value_of(index)))
    return folder


def _fill_ours(folder: Path, size: int) -> Any:
    """Fill a dictionary; its files are copied into place, so that nobody waits for the disk."""
    from persidict.safe_str_tuple_signing import sign_safe_str_tuple

    ours = folder_dict(folder)
    ours["sample"] = value_of(0)
    (sample,) = folder.rglob("sample*")
    data = sample.read_bytes()
    del ours["sample"]
    for index, key in enumerate(_names(size)):
        part, name = sign_safe_str_tuple(key, ours.digest_len)
        if index % PER_FOLDER == 0:
            (folder / part).mkdir(parents=True)
        (folder / part / f"{name}.pkl").write_bytes(data)
    assert len(ours) == size
    return ours
