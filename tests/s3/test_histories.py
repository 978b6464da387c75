"""Random histories of several clients of a server, through a proxy that loses and fakes answers.

`S3_HISTORIES=1000 pytest tests/s3/test_histories.py` for a thousand of them.
"""

from __future__ import annotations

import dataclasses
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from persidict import ConcurrencyConflictError
from persidict.exceptions import OutcomeUnknownError
from tests.histories.checker import OPEN, Op, Violation, check
from tests.histories.recorder import Client

from .conftest import Place
from .proxy import Answer, AnswerAfter, CutBody, DropAfter, DropBefore, Fault, FaultProxy, Request

HISTORIES = int(os.environ.get("S3_HISTORIES", "20"))
SEED = int(os.environ.get("HISTORY_SEED") or random.randrange(10**6))
CLIENTS, OPERATIONS = 4, 12
NO_ANSWER = (OutcomeUnknownError, ClientError, BotoCoreError, ConcurrencyConflictError)

PASSING = [Answer(500, "InternalError"), Answer(503, "SlowDown"), DropBefore()]
LOST = [AnswerAfter(500, "InternalError"), AnswerAfter(503, "ServiceUnavailable"), DropAfter()]
UNDECIDED = [Answer(409, "ConditionalRequestConflict")]
REFUSED = [Answer(412, "PreconditionFailed"), Answer(404, "NoSuchKey")]


def faults_for(request: Request, *, items_stay: bool) -> list[Fault]:
    """What can go wrong with a request, short of lies.

    Plain writes are spared lost answers, and so are insertions where items are removed: they are
    sent again, and nobody can tell that others have come between. A 412 to an insertion would be a
    lie about an item that is not there, and so would be a 503 that says that nothing was done.
    """
    if request.method in ("GET", "HEAD"):
        return [*PASSING, DropAfter(), CutBody(3)]
    if "if-match" in request.headers:
        return [*PASSING, *LOST, *UNDECIDED, *REFUSED]
    if "if-none-match" in request.headers:
        return [*PASSING, *UNDECIDED, *(LOST if items_stay else [])]
    return PASSING


class Faults:
    """Picks faults, the same for each seed."""

    def __init__(self, seed: str, rate: float, *, items_stay: bool = False) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._items_stay = items_stay

    def __call__(self, request: Request) -> Fault | None:
        if self._random.random() >= self._rate:
            return None
        return self._random.choice(faults_for(request, items_stay=self._items_stay))


class Remembering(Client):
    """A client that keeps its history in memory; what got no answer may still happen."""

    def __init__(self, d: Any, name: str, seed: str) -> None:
        super().__init__(d, name, -1, seed)
        self.lines: list[list[Any]] = []
        self.failure: BaseException | None = None

    def write(self, line: list[Any]) -> None:
        self.lines.append(line)

    def step(self, value: str, kind: str, key: str) -> None:
        try:
            super().step(value, kind, key)
        except NO_ANSWER:
            self.write([OPEN, None])
        except BaseException as error:
            self.failure = error
            raise

    def history(self) -> Iterator[Op]:
        for asked, (end, result) in zip(self.lines[::2], self.lines[1::2], strict=True):
            yield Op(*asked, end, result)


def history(dicts: list[Any], seed: str) -> list[Op]:
    """Return what clients have done together, each with a dictionary."""
    clients = [Remembering(d, str(index), f"{seed} {index}") for index, d in enumerate(dicts)]
    threads = [threading.Thread(target=c.run, args=(OPERATIONS,)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [client.failure for client in clients] == [None] * len(clients)
    return [op for client in clients for op in client.history()]


@pytest.fixture
def proxied(real: Place, ministack: Any, seaweedfs: Any) -> Iterator[tuple[FaultProxy, Any, Place]]:
    server = next(one for one in (ministack, seaweedfs) if one.url == real.url)
    with FaultProxy(server.url) as proxy:
        client = dataclasses.replace(server, url=proxy.url).client(max_pool_connections=8)
        yield proxy, client, real
        client.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 100))


def dictionaries(place: Place, kind: str) -> list[Any]:
    if kind == "basic":
        return [place.basic(serialization_format="json") for _ in range(CLIENTS)]
    if kind == "append only":
        return [place.basic(append_only=True) for _ in range(CLIENTS)]
    return [place.cached() for _ in range(CLIENTS)]


@pytest.mark.parametrize("kind", ["basic", "append only", "cached"])
def test_histories_with_faults(proxied: tuple[FaultProxy, Any, Place], kind: str) -> None:
    proxy, client, real = proxied
    share = {"basic": 0.6, "append only": 0.2, "cached": 0.2}[kind]
    wrong = []
    for index in range(round(HISTORIES * share / 2)):
        proxy.decide = lambda request: None
        dicts = dictionaries(Place(client, None, real.path / str(index)), kind)
        assert dicts[0].is_exact
        seed = f"{SEED} {kind} {index}"
        proxy.decide = Faults(seed, rate=0.15, items_stay=kind == "append only")
        ops = history(dicts, seed)
        assert sum(op.end != OPEN for op in ops) > len(ops) / 2
        try:
            check(ops)
        except Violation as violation:
            told = "\n".join(map(str, sorted(ops, key=lambda op: (op.key, op.start))))
            wrong.append(f"HISTORY_SEED={SEED} {kind} {index}: {violation}\n{told}")
    assert not wrong, "\n".join(wrong)


def test_the_checker_finds_what_goes_wrong_without_names_of_writes(
    proxied: tuple[FaultProxy, Any, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else it would find nothing with them: a lost answer then is a conflict with oneself."""
    proxy, client, real = proxied
    monkeypatch.setattr("persidict._s3_changes._is_final", lambda error, *, resent: _is_no(error))
    for index in range(60):
        proxy.decide = lambda request: None
        dicts = dictionaries(Place(client, None, real.path / str(index)), "basic")
        assert dicts[0].is_exact
        proxy.decide = Faults(str(index), rate=0.3)
        try:
            check(history(dicts, f"{SEED} {index}"))
        except Violation:
            return
    pytest.fail("no violation was found")


def _is_no(error: Any) -> bool:
    """As if each refusal were a first one."""
    if not isinstance(error, ClientError):
        raise error
    if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, 412):
        raise error
    return True
