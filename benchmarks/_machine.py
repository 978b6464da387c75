"""The machine in a few words, so that figures can be judged."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks._peers import dbm_name

MEMORY = Path("/dev/shm")
PEERS = ("persidict", "diskcache", "joblib", "zict", "lz4", "numpy")
S3_PEERS = ("persidict", "boto3", "obstore", "s3fs", "aiobotocore")


def describe(place: Path, peers: Sequence[str] = PEERS) -> dict[str, str]:
    """Return what matters for the figures, without names or paths of this machine."""
    return {
        "processor": f"{os.cpu_count()} x {_processor()}",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "file system": _file_system(place),
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {_version(name)}" for name in peers),
        "dbm of shelve": dbm_name(),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }


def is_busy() -> bool:
    """True if others are computing: figures taken now are worth little."""
    return os.getloadavg()[0] > 0.5


@contextmanager
def memory_folder(otherwise: Path) -> Iterator[Path]:
    """Give a folder where syncing is free, so that the processor is measured and not the disk."""
    parent = MEMORY if os.access(MEMORY, os.W_OK) else otherwise
    with tempfile.TemporaryDirectory(dir=parent, prefix="benchmarks-") as folder:
        yield Path(folder)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(place: Path) -> str:
    """Return the type of the mount that holds `place`: the longest mount point above it."""
    best, kind = "", "unknown"
    for line in _lines("/proc/mounts"):
        _, mount, fs_type, *_ = line.split()
        if len(mount) >= len(best) and place.resolve().is_relative_to(mount):
            best, kind = mount, fs_type
    return kind


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
