"""A large float64 array, random and compressible, with LZ4 and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender, Race, Target, timed
from benchmarks._machine import memory_folder
from benchmarks._ours import NAME, folder_dict
from benchmarks._peers import HandMadeFiles, JoblibFiles, JoblibLz4Files, Store, disk_cache
from benchmarks._scale import Scale

KEY = "array"
REPEATS = 4


class FrameFiles(HandMadeFiles):
    """The bytes of the array in one LZ4 frame; what no store that compresses can beat."""

    suffix = ".lz4"
    checksum = False

    def dump(self, value: Any, file: Any) -> None:
        import lz4.frame

        file.write(lz4.frame.compress(value, content_checksum=self.checksum))

    def load(self, file: Any) -> Any:
        import lz4.frame
        import numpy as np

        return np.frombuffer(lz4.frame.decompress(file.read()))


class CheckedFrameFiles(FrameFiles):
    """The same with the checksum that persidict writes, to show what it costs."""

    checksum = True


class NumpyFiles(HandMadeFiles):
    """`numpy.save` and `numpy.load`."""

    suffix = ".npy"

    def dump(self, value: Any, file: Any) -> None:
        import numpy as np

        np.save(file, value)

    def load(self, file: Any) -> Any:
        import numpy as np

        return np.load(file)


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield get and set for both contents and both compressions, then one set to the disk."""
    contents = _arrays(scale.array_mb)
    for content, array in contents.items():
        title = f"{scale.array_mb} MB array, {content}"
        with memory_folder(place) as memory:
            yield from _two(f"{title}, LZ4, in memory", _with_lz4(memory), array)
        with memory_folder(place) as memory:
            yield from _two(f"{title}, uncompressed, in memory", _plain(memory), array)
    yield _to_the_disk(place, scale.array_mb, contents["random"])


def _to_the_disk(folder: Path, megabytes: int, array: Any) -> Race:
    """Setting with LZ4 where both sync file and folder."""
    by_hand, ours = FrameFiles(folder / "frame", synced=True), folder_dict(folder / "ours")
    baseline = _setting("lz4.frame + file + fsync", by_hand, array)
    other = _setting(NAME, ours, array, Target(ratio=1.3))
    return Race(f"set, {megabytes} MB array, random, LZ4, through to the disk", baseline, [other])


def _arrays(megabytes: int) -> dict[str, Any]:
    import numpy as np

    size = megabytes * 1_000_000 // 8
    steps = np.arange(size) // 100
    return {
        "random": np.random.default_rng(0).random(size),
        "compressible": steps.astype(np.float64),
    }


def _with_lz4(folder: Path) -> dict[str, tuple[Store, Target | None, Target | None]]:
    bound = Target(ratio=1.3)
    return {
        "lz4.frame + file": (FrameFiles(folder / "frame"), None, None),
        "lz4.frame with checksum + file": (CheckedFrameFiles(folder / "checked"), None, None),
        "joblib lz4": (JoblibLz4Files(folder / "joblib"), None, None),
        NAME: (folder_dict(folder / "ours"), bound, bound),
    }


def _plain(folder: Path) -> dict[str, tuple[Store, Target | None, Target | None]]:
    return {
        "numpy.save, numpy.load": (NumpyFiles(folder / "numpy"), None, None),
        "open + pickle": (HandMadeFiles(folder / "hand"), None, None),
        "joblib": (JoblibFiles(folder / "joblib"), None, None),
        "diskcache": (disk_cache(folder / "diskcache"), None, None),
        f"{NAME}, compression=None": (
            folder_dict(folder / "ours", compression=None),
            Target(ratio=2),
            Target(ratio=1.5),
        ),
    }


def _two(
    title: str, field: dict[str, tuple[Store, Target | None, Target | None]], array: Any
) -> Iterator[Race]:
    writers, readers = [], []
    for name, (store, get_target, set_target) in field.items():
        writers.append(_setting(name, store, array, set_target))
        readers.append(_getting(name, store, get_target))
    yield Race(f"set, {title}", writers[0], writers[1:])
    yield Race(f"get, {title}", readers[0], readers[1:])


def _setting(name: str, store: Any, array: Any, target: Target | None = None) -> Contender:
    return _repeated(name, partial(store.__setitem__, KEY, array), target)


def _getting(name: str, store: Any, target: Target | None) -> Contender:
    return _repeated(name, partial(store.__getitem__, KEY), target)


def _repeated(name: str, call: Callable[[], Any], target: Target | None) -> Contender:
    """Call it once before the clock starts, and then several times.

    The allocator hands large blocks back or keeps them depending on who was there before.
    """

    def calls() -> None:
        for _ in range(REPEATS):
            call()

    return Contender(name, timed(calls, REPEATS, before=call), target)
