"""A folder as the cache of many processes: no value is ever taken for another version."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from persidict import FileDirDict, S3Dict
from persidict._codecs import codec_for
from persidict._s3_writes import etag_of_bytes

from .conftest import Place

ROOT = Path(__file__).parent.parent.parent
OPERATIONS = int(os.environ.get("S3_CACHE_OPERATIONS", "400"))  # of all processes together
SEED = os.environ.get("HISTORY_SEED") or str(random.randrange(10**6))
PROCESSES, KILLS = 3, 6
NEVER = float("inf")


class Write(NamedTuple):
    value: str | None
    start: float
    end: float


class Read(NamedTuple):
    found: dict[str, str]
    start: int
    end: int
    of_one: bool


def start(real: Place, cache: Path, log: Path, number: int, operations: int) -> Any:
    command = [sys.executable, "-m", "tests.s3.cache_worker", real.url, real.prefix, cache, log]
    process = subprocess.Popen(
        [*map(str, command), str(number), str(operations), SEED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def lines(log: Path) -> list[list[Any]]:
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]


def writes_and_reads(log: Path) -> tuple[dict[str, list[Write]], list[Read]]:
    writes: dict[str, list[Write]] = {}
    reads = []
    for file in log.iterdir():
        mine = writes.setdefault(file.name, [Write(None, 0, 0)])
        noted = lines(file)
        for line, after in zip(noted, [*noted[1:], [NEVER, "killed"]], strict=True):
            if line[1] == "write":
                end = after[0] if after[1] == "done" else NEVER
                mine.append(Write(line[3], line[0], end))
            elif line[1] == "read" and after[1] == "got":
                reads.append(Read(after[2], line[0], after[0], of_one=len(after[2]) == 1))
    return writes, reads


def could_be_read(value: str | None, read: Read, writes: list[Write]) -> bool:
    """True if the value was that of the item at some moment between call and return."""
    for index, write in enumerate(writes):
        gone = next((later.end for later in writes[index + 1 :] if later.end != NEVER), NEVER)
        if write.value == value and write.start <= read.end and gone >= read.start:
            return True
    return False


def pairs(cache: Path) -> list[tuple[str, str]]:
    """The etags in the folder, each with the one that the value beside it has in S3."""
    where: dict[str, Any] = {"base_dir": cache, "digest_len": 8}
    values: FileDirDict[Any] = FileDirDict(**where)
    etags: FileDirDict[str] = FileDirDict(
        **where, serialization_format="pkl_etag", base_class_for_values=str
    )
    dates = dict(etags.keys_and_timestamps())
    return [
        (etags[key], etag_of_bytes(codec_for("pkl", None).encode(values[key])))
        for key, date in values.keys_and_timestamps()
        if dates.get(key) == date
    ]


def test_processes_that_are_killed(real: Place) -> None:
    """Three processes of two threads; now and then one is killed, and another takes its place."""
    cache, log = real.path / "cache", real.path / "log"
    log.mkdir()
    chance = random.Random(SEED)
    share = OPERATIONS // PROCESSES
    running = [start(real, cache, log, number, share) for number in range(PROCESSES)]
    for _ in range(KILLS):
        number = chance.randrange(PROCESSES)
        file = log / f"{number}-0"
        wanted = len(lines(file)) + chance.randrange(share // 4)
        while running[number].poll() is None and len(lines(file)) < wanted:
            pass
        running[number].kill()
        running[number].wait()
        running[number].stdout.close()
        running[number] = start(real, cache, log, number, share // 2)
    for process in running:
        assert process.wait() == 0
        process.stdout.close()
    writes, reads = writes_and_reads(log)
    assert len(reads) > OPERATIONS / 3
    wrong = [
        (key, value[:1] if value else value, read.start)
        for read in reads
        for key, value in read.found.items()
        if not could_be_read(value, read, writes.get(key, [Write(None, 0, 0)]))
    ]
    assert wrong == [], f"HISTORY_SEED={SEED}"
    found = pairs(cache)
    assert len(found) >= 4
    assert all(etag == its_own for etag, its_own in found)


@pytest.fixture
def shared(place: Place) -> tuple[S3Dict[Any], S3Dict[Any], Any]:
    return place.cached(), place.cached(), place.basic()


def files(place: Place) -> list[Path]:
    """The files of the item "k": its value, its etag."""
    return sorted((place.path / "cache").glob("k_*"), key=lambda file: len(file.name))


def test_a_value_that_returns(place: Place, shared: Any) -> None:
    """Its etag returns as well, and must not meet what was cached in between."""
    one, other, main = shared
    one["k"] = "first"
    etag_file = files(place)[1]
    seen = etag_file.read_bytes(), etag_file.stat().st_mtime_ns
    main["k"] = "second"
    assert other["k"] == "second"
    # killed after the value, before the etag: the etag of the first stands beside the second
    etag_file.write_bytes(seen[0])
    os.utime(etag_file, ns=(seen[1], seen[1]))
    main["k"] = "first"
    assert one["k"] == other["k"] == "first"
    assert all(etag == its_own for etag, its_own in pairs(place.path / "cache"))


def test_an_etag_alone_belongs_to_no_value(place: Place, shared: Any) -> None:
    """On a clock of coarse steps, somebody's older value could get the time of the etag."""
    one, _, rival = shared
    rival["k"] = 1
    etag = one.etag("k")
    (file,) = files(place)
    assert file.suffix == ".pkl_etag"
    assert file.stat().st_mtime_ns == 0
    rival["k"] = 2
    assert one.etag("k") == etag  # as documented: from the cache
    one["k"] = 3
    assert one.etag("k") == rival.etag("k")
    assert len(files(place)) == 2


@pytest.mark.parametrize("lost", [0, 1])
def test_half_an_entry_counts_for_nothing(place: Place, shared: Any, lost: int) -> None:
    one, other, _ = shared
    one["k"] = "value"
    files(place)[lost].unlink()
    assert other["k"] == "value"
    assert len(files(place)) == 2
    assert dict(one.items()) == {("k",): "value"}


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b'"0123456789abcdef0123456789abcdef"'])
def test_damaged_entries_are_fetched_again(
    place: Place, shared: Any, damaged: int, data: bytes
) -> None:
    one, other, _ = shared
    one["k"] = "value"
    file = files(place)[damaged]
    before = file.stat().st_mtime_ns
    file.write_bytes(data)
    os.utime(file, ns=(before, before))
    assert other["k"] == one["k"] == "value"
    assert dict(other.items()) == {("k",): "value"}
    assert one.get_with_etag("k").new_value == "value"


def test_a_cache_that_cannot_be_written(place: Place) -> None:
    """Everything works without it, and a warning says so."""
    d = place.cached()
    d["k"] = 1
    folder = place.path / "cache"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.warns(RuntimeWarning, match="not cached"):
        d["k"] = 2
    with pytest.warns(RuntimeWarning, match="not cached"):
        assert d["k"] == 2
    assert d.setdefault("k", 3) == 2
    folder.unlink()


def test_clearing_leaves_nothing_in_the_cache(place: Place, shared: Any) -> None:
    one, other, _ = shared
    one.update({"k": 1, "l": 2})
    other.clear()
    assert files(place) == []
    assert len(one) == 0
    assert one.get("k") is None


@pytest.mark.parametrize("options", [{}, {"append_only": True}, {"serialization_format": "json"}])
def test_the_limit_of_the_cache(place: Place, options: Any) -> None:
    """What was cached first goes first; nothing is lost but the time to fetch it again."""
    d = place.cached(max_cache_bytes=20_000, **options)
    values = {f"k{n}": random.Random(n).randbytes(500).hex() for n in range(100)}
    sizes = []
    for key, value in values.items():
        d[key] = value
        cached = list((place.path / "cache").iterdir())
        data = [file for file in cached if not file.name.endswith("_etag")]
        sizes.append(sum(file.stat().st_size for file in data))
    assert max(sizes) <= 22_000
    assert min(sizes[50:]) >= 14_000
    assert 5 < len(data) < 60
    assert len(cached) <= 2 * len(data)
    assert any(file.name.startswith("k99_") for file in data)
    assert {key: d[key] for key in values} == values
    assert {key[0]: value for key, value in d.items()} == values
    sub = d.get_subdict("sub")
    sub["k"] = values["k1"]
    assert sub.max_cache_bytes == 20_000
