"""`transform_item` counts once, whatever goes wrong and is repeated, or says that it cannot tell.

`S3_SEQUENCES=5000 pytest tests/s3/test_counted_once.py` for five thousand sequences of faults.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from persidict import BasicS3Dict, OutcomeUnknownError
from persidict.io_retry import set_io_retry
from tests.unit.test_io_retry import Runner

from .answers import Balancer, Edited, Expiring, chunked, with_body, with_etags, without
from .proxy import (
    Answer,
    AnswerAfter,
    CutBody,
    DropAfter,
    DropBefore,
    Fault,
    FaultProxy,
    Late,
    Request,
)

SEQUENCES = int(os.environ.get("S3_SEQUENCES", "200"))
SEED = int(os.environ.get("SEQUENCE_SEED") or random.randrange(10**6))
COUNTS = 3  # increments in each sequence
TRIES = 3  # of a policy around them
CODES = {
    400: ["ExpiredToken", "RequestTimeout"],
    403: ["AccessDenied"],
    408: ["RequestTimeout"],
    409: ["ConditionalRequestConflict"],
    429: ["TooManyRequests"],
    500: ["InternalError"],
    503: ["SlowDown", "SlowDown", "SlowDown", "ServiceUnavailable"],
}
NOT_DONE: list[Fault] = [
    *(Answer(status, code) for status, codes in CODES.items() for code in codes),
    DropBefore(),
    Balancer(False),
]
# Others would be lies: that a request was refused which was carried out.
MAY_BE_DONE: list[Fault] = [
    *(AnswerAfter(status, code) for status in (500, 503) for code in CODES[status]),
    AnswerAfter(400, "RequestTimeout"),
    AnswerAfter(408, "RequestTimeout"),
    DropAfter(),
    Balancer(True),
    Edited(without("ETag")),
]
READ: list[Fault] = [
    *NOT_DONE,
    DropAfter(),
    CutBody(3),
    Edited(chunked),
    Edited(without("ETag")),
    Edited(with_etags(r'W/"\1"')),
    Edited(with_etags('""')),
    Edited(lambda answer: with_body(answer, b"")),
]
WRITE = [*NOT_DONE, *MAY_BE_DONE, *MAY_BE_DONE, Answer(412, "PreconditionFailed")]
FAILURES = [
    CredentialRetrievalError(provider="sso", error_msg="the login has expired"),
    NoCredentialsError(),
    RuntimeError("in what renews them"),
    KeyError("token"),
]


class Faults:
    """Picks what goes wrong, the same for each seed."""

    def __init__(self, seed: str, credentials: Expiring) -> None:
        self._random = random.Random(seed)
        self._rate = self._random.choice([0.2, 0.5, 0.8])
        self._credentials = credentials
        self._late: list[Late] = []

    def __call__(self, request: Request) -> Fault | None:
        while self._late:  # what was on its way arrives before what was sent after it
            late = self._late.pop()
            late.event.set()
            assert late.done.wait(30)
        if self._random.random() > self._rate:
            return None
        if self._random.random() < 0.15:
            failure = self._random.choice(FAILURES)
            self._credentials.failures = [failure] * self._random.choice([1, 1, 2, 10])
        if request.method != "PUT":
            return self._random.choice(READ)
        if self._random.random() < 0.1:
            self._late.append(Late(threading.Event()))
            return self._late[-1]
        return self._random.choice(WRITE)


@dataclasses.dataclass
class Tally:
    """What the increments have told."""

    acknowledged: int = 0
    unknown: int = 0

    def count(self, act: Callable[[], Any], tries: int) -> None:
        """Increment, by a policy that repeats whatever may be repeated."""
        for _ in range(tries):
            try:
                act()
            except OutcomeUnknownError:
                self.unknown += 1
                return
            except Exception:
                continue
            self.acknowledged += 1
            return


@pytest.fixture
def credentials() -> Expiring:
    return Expiring()


@pytest.fixture
def counters(
    ministack: Any,
    credentials: Expiring,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[FaultProxy, Any, Any]]:
    """A dictionary of counters behind a proxy, and the same beside it."""
    # a traceback for each failure takes longer than all the rest
    monkeypatch.setattr(logging.getLogger("botocore.credentials"), "disabled", True)
    plain = ministack.client()
    where: dict[str, Any] = {"bucket_name": "persidict", "root_prefix": uuid.uuid4().hex}
    with FaultProxy(ministack.url) as proxy:
        client = credentials.client(dataclasses.replace(ministack, url=proxy.url))
        d = BasicS3Dict[Any](**where, client=client, serialization_format="json")
        assert d.is_exact
        yield proxy, d, BasicS3Dict[Any](**where, client=plain, serialization_format="json")
        client.close()
    plain.close()
    set_io_retry(None)


def plus_one(value: Any) -> int:
    return value + 1 if isinstance(value, int) else 1


def count(counters: tuple[FaultProxy, Any, Any], credentials: Expiring, index: int) -> Tally:
    """Increment a counter under faults, and compare what was told with what is there."""
    proxy, d, beside = counters
    key, tally = f"k{index}", Tally()
    set_io_retry(Runner() if index % 2 else None)
    proxy.decide = Faults(f"{SEED} {index}", credentials)
    for _ in range(COUNTS):
        tally.count(lambda: d.transform_item(key, transformer=plus_one), TRIES)
    proxy.decide = lambda request: None
    credentials.failures = []
    set_io_retry(None)
    found = beside.get(key, 0)
    assert tally.acknowledged <= found <= tally.acknowledged + tally.unknown, (
        f"SEQUENCE_SEED={SEED}, sequence {index}: {found} after {tally}"
    )
    return tally


def test_increments_under_any_sequence_of_faults(
    counters: tuple[FaultProxy, Any, Any], credentials: Expiring
) -> None:
    told = [count(counters, credentials, index) for index in range(SEQUENCES)]
    unknown = sum(tally.unknown for tally in told)
    assert sum(tally.acknowledged for tally in told) > unknown > 0


def test_an_increment_too_many_is_found(
    counters: tuple[FaultProxy, Any, Any],
    credentials: Expiring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it would be if writes left no name."""
    monkeypatch.setattr("persidict._s3_changes.Change.metadata", {})
    with pytest.raises(AssertionError, match="after Tally"):
        for index in range(500):
            count(counters, credentials, index)
