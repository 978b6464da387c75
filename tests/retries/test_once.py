"""Arguments that can be read only once: no attempt runs with what another has left of them."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import sqlite3
from functools import partial

import pytest
import tenacity

from persidict_dask import RetryPolicy, persist

FAST = RetryPolicy(attempts=3, wait=tenacity.wait_none())


class Summing:
    """Adds up what it is given, and fails the first time when it has read it."""

    def __init__(self):
        self.calls = 0

    def __call__(self, rows, scale=1):
        self.calls += 1
        total = sum(int(row) for row in rows)
        if self.calls == 1:
            raise OSError("lost")
        return total * scale

    async def later(self, rows):
        return self(rows)


class Countdown:
    """An iterator of somebody's own."""

    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left


class Pipe(io.StringIO):
    """A text that cannot be read a second time."""

    def seekable(self):
        return False


ONCE = {
    "generator": lambda: (n for n in (1, 2, 3)),
    "map": lambda: map(int, "123"),
    "filter": lambda: filter(None, [1, 2, 3]),
    "starmap": lambda: itertools.starmap(int, [("1",), ("2",), ("3",)]),
    "iterator of a list": lambda: iter([1, 2, 3]),
    "reversed": lambda: reversed([1, 2, 3]),
    "chain": lambda: itertools.chain([1], [2, 3]),
    "own": Countdown,
    "pipe": lambda: Pipe("1\n2\n3\n"),
}


def refused(caught, name="rows"):
    [note] = caught.value.__notes__
    return f"the argument {name!r} is a " in note and "only once" in note


@pytest.mark.parametrize("what", ONCE)
def test_d12_what_can_be_read_once_is_not_tried_again(what):
    for call in (
        lambda f, rows: FAST.call(f, rows),
        lambda f, rows: FAST.call(f, rows=rows, scale=2),
        lambda f, rows: FAST.call(partial(f, rows), scale=2),
        lambda f, rows: asyncio.run(FAST.call_async(f.later, rows)),
    ):
        f = Summing()
        with pytest.raises(OSError, match="lost") as caught:
            call(f, ONCE[what]())
        assert refused(caught)
        assert f.calls == 1


def test_d12_decorated_functions_and_persisted_ones(tmp_path):
    f = Summing()

    @FAST
    def decorated(*parts, **named):
        return f(parts[0] if parts else named["rows"])

    with pytest.raises(OSError) as caught:
        decorated(iter([1]))
    assert refused(caught, "parts")
    f.calls = 0
    with pytest.raises(OSError) as caught:
        decorated(rows=iter([1]))
    assert refused(caught, "rows")

    @persist(str(tmp_path), ignore="rows", retry=FAST)
    def persisted(x, rows):
        for _ in rows:
            raise OSError("lost")
        return "nothing"

    with pytest.raises(OSError) as caught:
        persisted(1, (n for n in (1, 2)))
    assert refused(caught)


def test_d12_attempts_that_are_written_down(tmp_path):
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), state=str(tmp_path))

    @persist(str(tmp_path / "cache"), ignore="rows", retry=policy)
    def durable(x, rows):
        for _ in rows:
            raise OSError("lost")
        return "nothing"

    with pytest.raises(OSError) as caught:
        durable(1, map(int, "12"))
    assert refused(caught)


def test_d12_a_value_that_is_not_wanted_is_returned_rather_than_a_wrong_one():
    policy = RetryPolicy(
        attempts=3, wait=tenacity.wait_none(), retry_on=tenacity.retry_if_result(lambda n: n < 10)
    )
    assert policy.call(sum, [1, 2]) == 3
    assert policy.call(sum, iter([1, 2])) == 3


def test_d12_asynchronous_generators():
    async def rows():
        yield 1

    calls = []

    async def reading(rows):
        calls.append([each async for each in rows])
        raise OSError("lost")

    with pytest.raises(OSError) as caught:
        asyncio.run(FAST.call_async(reading, rows()))
    assert refused(caught)
    assert calls == [[1]]


def test_d12_a_call_that_succeeds_at_once_takes_all_of_them():
    f = Summing()
    f.calls = 1
    found = {what: FAST.call(f, make()) for what, make in ONCE.items()}
    assert found == dict.fromkeys(ONCE, 6) | {"own": 3}


def test_d12_what_was_not_touched_is_tried_again():
    tries = []

    def connecting(rows):
        tries.append(0)
        if len(tries) == 1:
            raise ConnectionError("refused")
        return sum(rows)

    assert FAST.call(connecting, (n for n in (1, 2, 3))) == 6


def test_d12_readers_of_tables():
    def reading(rows):
        raise OSError([*rows])

    with pytest.raises(OSError, match="a") as caught:
        FAST.call(reading, csv.reader(["a"]))
    assert refused(caught)


def test_d12_open_files_are_read_from_where_they_were(tmp_path):
    path = tmp_path / "rows"
    path.write_text("9\n1\n2\n3\n")
    with path.open() as text, path.open("rb") as data, path.open("rb", buffering=0) as raw:
        for file in (text, data, raw, io.StringIO(path.read_text()), io.BytesIO(b"9\n1\n2\n3\n")):
            assert file.readline().strip() in ("9", b"9")
            assert FAST.call(Summing(), file) == 6


def test_d12_a_file_that_the_attempt_has_closed(tmp_path):
    path = tmp_path / "rows"
    path.write_text("1\n")

    def closing(rows):
        with rows:
            raise OSError(rows.read())

    with pytest.raises(OSError, match="1") as caught:
        FAST.call(closing, path.open())
    assert refused(caught)


def test_d12_files_to_write_and_what_can_do_more_than_yield_are_the_functions_own(tmp_path):
    tries = []

    def writing(file, cursor):
        tries.append(file.write("line\n"))
        cursor.execute("select 7")
        if len(tries) == 1:
            raise OSError("lost")
        return [*cursor]

    with (tmp_path / "log").open("w") as log:
        assert FAST.call(writing, log, sqlite3.connect(":memory:").cursor()) == [(7,)]
    assert (tmp_path / "log").read_text() == "line\nline\n"


@pytest.mark.parametrize("rows", [[1, 2], (1, 2), {1: 0, 2: 0}, {1: 0, 2: 0}.keys(), range(1, 3)])
def test_d12_what_can_be_read_again_is_tried_again(rows):
    assert FAST.call(Summing(), rows) == 3
