"""The others, each as a mapping from str to objects in a folder of its own."""

from __future__ import annotations

import os
import pickle
import shelve
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

Store: TypeAlias = MutableMapping[str, Any]


class HandMadeFiles(MutableMapping[str, Any]):
    """What one writes by hand: a file for each item, written aside and moved into place."""

    suffix = ".pickle"

    def __init__(self, folder: Path, *, synced: bool = False) -> None:
        folder.mkdir(parents=True)
        self.prefix = f"{folder}/"
        self.synced = synced

    def dump(self, value: Any, file: BinaryIO) -> None:
        pickle.dump(value, file, protocol=5)

    def load(self, file: BinaryIO) -> Any:
        return pickle.load(file)

    def __setitem__(self, key: str, value: Any) -> None:
        path = self.prefix + key + self.suffix
        with open(path + ".tmp", "wb") as file:
            self.dump(value, file)
            if self.synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(path + ".tmp", path)
        if self.synced:
            _sync_folder(self.prefix)

    def __getitem__(self, key: str) -> Any:
        with open(self.prefix + key + self.suffix, "rb") as file:
            return self.load(file)

    def __delitem__(self, key: str) -> None:
        os.remove(self.prefix + key + self.suffix)

    def __contains__(self, key: object) -> bool:
        return os.path.exists(f"{self.prefix}{key}{self.suffix}")

    def __iter__(self) -> Iterator[str]:
        cut = len(self.suffix)
        return (entry.name[:-cut] for entry in os.scandir(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class JoblibFiles(HandMadeFiles):
    """The same with `joblib.dump`, as it is."""

    suffix = ".joblib"
    compress: Any = 0

    def dump(self, value: Any, file: BinaryIO) -> None:
        import joblib

        joblib.dump(value, file, compress=self.compress)

    def load(self, file: BinaryIO) -> Any:
        import joblib

        return joblib.load(file)


class JoblibLz4Files(JoblibFiles):
    """The same with `joblib.dump(..., compress="lz4")`."""

    compress = "lz4"


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_cache(folder: Path, *, synced: bool = False) -> Store:
    """`diskcache.Cache`: SQLite in WAL mode; synced makes each commit wait for the disk."""
    import diskcache

    # 2 is SQLite's FULL; the default of diskcache is NORMAL, which does not sync a commit
    return diskcache.Cache(str(folder), sqlite_synchronous=2 if synced else 1)


def zict_file(folder: Path) -> Store:
    """`zict.File` behind `zict.Func` with pickle; not atomic, one process only."""
    import zict

    return zict.Func(pickle.dumps, pickle.loads, zict.File(folder))


def shelf(folder: Path) -> shelve.Shelf[Any]:
    """`shelve` over the best dbm of this Python; one process only, not atomic."""
    folder.mkdir(parents=True)
    return shelve.open(str(folder / "shelf"))


def dbm_name() -> str:
    """Return the dbm that this Python has for `shelve`, which decides its speed."""
    from importlib.util import find_spec

    modules = {"dbm.sqlite3": "dbm.sqlite3", "dbm.gnu": "_gdbm", "dbm.ndbm": "_dbm"}
    return next((name for name, module in modules.items() if find_spec(module)), "dbm.dumb")


OPENERS: dict[str, Callable[[Path], Store]] = {
    "open + pickle": HandMadeFiles,
    "diskcache": disk_cache,
    "joblib": JoblibFiles,
    "joblib lz4": JoblibLz4Files,
    "zict.File": zict_file,
    "shelve": shelf,
}


@contextmanager
def all_open(folder: Path) -> Iterator[dict[str, Store]]:
    """Give one store of each kind, in folders below, and close what has to be closed."""
    stores = {name: open_store(folder / name) for name, open_store in OPENERS.items()}
    try:
        yield stores
    finally:
        for name in ("diskcache", "shelve"):
            stores[name].close()  # type: ignore[attr-defined]
