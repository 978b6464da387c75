"""Writers that are killed at any moment: readers see whole values, and nothing is left to list."""

import random
import signal
import subprocess
import sys

import pytest

from persidict import FileDirDict

WRITER = """
import sys
from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1])
print("ready", flush=True)
n = 0
while True:
    n += 1
    d["a"] = [n] * 5000
    d.discard("b")
    d.setdefault("b", [n] * 5000)
    d.transform_item("c", transformer=lambda v: [n] * 5000)
"""


def started(path):
    """Return a writer that has begun to write."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "ready\n"
    return writer


def assert_whole(d):
    for key, value in d.items():
        assert len(value) == 5000, key
        assert len(set(value)) == 1, key


@pytest.mark.slow
def test_readers_see_whole_values_while_a_writer_is_killed_at_random_moments(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    chance = random.Random(5)
    for _ in range(8):
        with started(tmp_path) as writer:
            for _ in range(chance.randrange(1, 120)):
                assert_whole(d)
            writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
        assert_whole(d)
        assert {key[0] for key in d} <= {"a", "b", "c"}


@pytest.mark.slow
def test_a_dict_goes_on_after_its_writer_was_killed(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    with started(tmp_path) as writer:
        while "c" not in d:
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    for key in "abc":
        d[key] = [0] * 5000
        d.transform_item(key, transformer=lambda v: [1] * 5000)
    assert_whole(d)
    d.clear()
    assert len(d) == 0


HAMMER = """
import random, sys
from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1])
number = int(sys.argv[2])
for n in range(60):
    d["key"] = {"writer": number, "n": n, "padding": "x" * (n * 50)}
    found = d["key"]
    assert found["padding"] == "x" * (found["n"] * 50), found
    assert list(d) == ["key"] and "key" in d and len(d) == 1
    assert [v["writer"] in range(8) for v in d.values()] == [True]
"""


@pytest.mark.slow
def test_eight_processes_hammer_one_key_without_errors_and_foreign_keys(tmp_path):
    FileDirDict(base_dir=tmp_path)["key"] = {"writer": 0, "n": 0, "padding": ""}
    writers = [
        subprocess.Popen([sys.executable, "-c", HAMMER, str(tmp_path), str(number)])
        for number in range(8)
    ]
    assert [writer.wait(timeout=100) for writer in writers] == [0] * 8
    d = FileDirDict(base_dir=tmp_path)
    assert d["key"]["n"] == 59
    assert [p.name for p in tmp_path.iterdir() if "__tmp__" in p.name] == []
