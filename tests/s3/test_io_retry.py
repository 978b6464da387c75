"""I/O of buckets by what was set: repeated until it is done, and never done twice."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import retry_if_exception_type, retry_if_result, wait_none

from persidict import ETAG_IS_THE_SAME, MutationPolicyError, OutcomeUnknownError, _s3_proof
from persidict._s3_bucket import Bucket
from persidict.io_retry import set_io_retry
from persidict_dask import _store_retry
from persidict_dask.retries import RetryPolicy
from tests.unit.test_io_retry import Runner

from .conftest import Place
from .proxy import (
    Answer,
    AnswerAfter,
    CutBody,
    DelayAnswer,
    DropAfter,
    DropBefore,
    Fault,
    FaultProxy,
    Late,
)
from .test_lost_answers import Line

LOST = [DropAfter(), AnswerAfter(500, "InternalError"), AnswerAfter(503, "SlowDown")]
FAILED = [DropBefore(), Answer(500, "InternalError"), Answer(503, "SlowDown")]
NAMES = "drop 500 503".split()
each_fault = pytest.mark.parametrize(
    "fault", [*LOST, *FAILED], ids=[f"{n}-{w}" for w in ("after", "before") for n in NAMES]
)
each_failure = pytest.mark.parametrize("fault", FAILED, ids=NAMES)


@pytest.fixture(autouse=True)
def _nothing_is_left_set() -> Iterator[None]:
    yield
    set_io_retry(None)


@pytest.fixture
def runner() -> Runner:
    made = Runner()
    set_io_retry(made)
    return made


@pytest.fixture
def line(real: Place, ministack: Any, seaweedfs: Any, pauses: list[float]) -> Iterator[Line]:
    """A dictionary behind a proxy, whose SDK sends each request once."""
    server = next(one for one in (ministack, seaweedfs) if one.url == real.url)
    with FaultProxy(server.url) as proxy:
        behind = dataclasses.replace(server, url=proxy.url)
        client = behind.client(retries={"total_max_attempts": 1, "mode": "standard"})
        yield Line(proxy, real, client)
        client.close()


def sent(line: Line, method: str) -> int:
    return sum(request.method == method for request in line.proxy.requests)


# An operation, the method it fails at, what it returns, what is there after it; before: {"k": 1}.
OPERATIONS: dict[str, tuple[Callable[[Any], Any], str, Any, dict[str, int]]] = {
    "[]": (lambda d: d["k"], "GET", 1, {"k": 1}),
    "in": (lambda d: "k" in d, "HEAD", True, {"k": 1}),
    "len": (len, "GET", 1, {"k": 1}),
    "items": (lambda d: len(list(d.items())), "GET", 1, {"k": 1}),
    "[]=": (lambda d: d.__setitem__("k", 2), "PUT", None, {"k": 2}),
    "setdefault": (lambda d: d.setdefault("new", 2), "PUT", 2, {"k": 1, "new": 2}),
    "set_item_if": (
        lambda d: (
            d.set_item_if(
                "k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=d.etag("k")
            ).condition_was_satisfied
        ),
        "PUT",
        True,
        {"k": 2},
    ),
    "transform_item": (
        lambda d: d.transform_item("k", transformer=lambda v: v + 1).new_value,
        "PUT",
        2,
        {"k": 2},
    ),
    "clear": (lambda d: d.clear(), "POST", None, {}),
}


@each_fault
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("act", "method", "result", "after"), OPERATIONS.values(), ids=OPERATIONS.keys()
)
def test_what_fails_for_a_while_is_done_once(
    line: Line,
    runner: Runner,
    fault: Fault,
    times: int,
    act: Any,
    method: str,
    result: Any,
    after: dict[str, int],
) -> None:
    d = line.open()
    d["k"] = 1
    line.fails(method, *[fault] * times)
    assert act(d) == result
    assert {key[0]: value for key, value in line.rival.items()} == after


@each_failure
def test_a_request_is_sent_once_more_than_it_fails(
    line: Line, runner: Runner, fault: Fault
) -> None:
    d = line.open()
    for method, act in (
        ("PUT", lambda: d.__setitem__("k", 1)),
        ("HEAD", lambda: "k" in d),
        ("GET", lambda: d["k"]),
    ):
        before = sent(line, method)
        line.fails(method, *[fault] * 3)
        act()
        assert sent(line, method) - before == 4


@each_failure
def test_a_removal_that_did_not_arrive_is_repeated(
    line: Line, runner: Runner, fault: Fault
) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("DELETE", *[fault] * 3)
    assert d.pop("k") == 1
    assert "k" not in line.rival


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_a_removal_that_may_be_done_is_not(line: Line, runner: Runner, fault: Fault) -> None:
    """A missing object does not tell who has removed it."""
    d = line.open()
    d["k"] = 1
    before = sent(line, "DELETE")
    line.fails("DELETE", fault)
    with pytest.raises(OutcomeUnknownError):
        d.discard("k")
    assert sent(line, "DELETE") - before == 1


@each_fault
def test_an_insertion_into_an_append_only_dict_is_no_conflict_with_itself(
    line: Line, runner: Runner, fault: Fault
) -> None:
    d = line.open(append_only=True)
    line.fails("PUT", *[fault] * 3)
    d["k"] = 1
    assert line.rival["k"] == 1
    before = sent(line, "PUT")
    with pytest.raises(MutationPolicyError):
        d["k"] = 2
    assert sent(line, "PUT") - before == 1


@pytest.mark.parametrize("insert", [False, True], ids=["replace", "insert"])
def test_a_request_that_arrives_between_two_attempts_is_known_as_ones_own(
    line: Line, insert: bool
) -> None:
    """Nothing had happened when it was looked for; the next attempt meets its work."""
    late = Late(threading.Event())

    def arrives() -> None:
        late.event.set()
        assert late.done.wait(30)

    d = line.open()
    if not insert:
        d["k"] = 1
    runner = Runner(between=arrives)
    set_io_retry(runner)
    line.fails("PUT", late)
    given: list[Any] = []
    d.transform_item("k", transformer=lambda v: given.append(v) or len(given) + 1)
    assert len(given) == 1
    assert line.rival["k"] == 2
    assert 2 in runner.runs


def test_a_removal_that_arrives_between_two_attempts_is_unknown(line: Line) -> None:
    late = Late(threading.Event())

    def arrives() -> None:
        late.event.set()
        assert late.done.wait(30)

    d = line.open()
    d["k"] = 1
    set_io_retry(Runner(between=arrives))
    line.fails("DELETE", late)
    with pytest.raises(OutcomeUnknownError):
        d.discard("k")
    assert "k" not in line.rival


@pytest.mark.parametrize("repeats", [False, True], ids=["once", "repeated"])
def test_the_look_for_a_lost_answer_is_repeated(line: Line, repeats: bool) -> None:
    d = line.open()
    d["k"] = 1
    puts, heads = [DropAfter()], [Answer(503, "SlowDown"), DropBefore()]

    def decide(request: Any) -> Fault | None:
        waiting: list[Any] = {"PUT": puts, "HEAD": heads}.get(request.method, [])
        return waiting.pop() if waiting else None

    line.proxy.decide = decide
    if repeats:
        set_io_retry(Runner())
        assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    else:
        with pytest.raises(OutcomeUnknownError):
            d.transform_item("k", transformer=lambda v: v + 1)
    assert line.rival["k"] == 2


def test_a_server_that_stays_away_is_tried_no_more_often_under_a_guard(
    line: Line, runner: Runner
) -> None:
    """The attempts of the look and those of the write are not multiplied."""
    d = line.open()
    runner.runs.clear()
    line.proxy.close()
    with pytest.raises(BotoCoreError) as caught:
        d.setdefault("k", 1)
    assert "could not be found out" in "".join(caught.value.__notes__)
    assert runner.runs == [1, 1, 2, 3, 4]
    runner.runs.clear()
    with pytest.raises(BotoCoreError):
        d["k"] = 1
    assert runner.runs == [1, 2, 3, 4]


@each_failure
@pytest.mark.parametrize("page", range(4))
def test_a_listing_that_fails_in_the_middle_goes_on(
    line: Line, runner: Runner, monkeypatch: pytest.MonkeyPatch, fault: Fault, page: int
) -> None:
    d = line.open()
    line.rival.update({f"k{n}": n for n in range(10)})
    ask = Bucket.ask

    def in_small_pages(self: Bucket, operation: str, **args: Any) -> Any:
        if operation == "list_objects_v2":
            args["MaxKeys"] = 3
        return ask(self, operation, **args)

    monkeypatch.setattr(Bucket, "ask", in_small_pages)
    pages, failed = [], []

    def decide(request: Any) -> Fault | None:
        if "list-type=2" not in request.path:
            return None
        if len(pages) == page and not failed:
            failed.append(request)
            return fault
        pages.append(request)
        return None

    line.proxy.decide = decide
    assert [key[0] for key in d] == [f"k{n}" for n in range(10)]
    assert (len(pages), len(failed)) == (4, 1)


def test_values_that_are_read_ahead(line: Line, runner: Runner) -> None:
    d = line.open()
    line.rival.update({f"k{n}": n for n in range(20)})
    seen: set[str] = set()

    def decide(request: Any) -> Fault | None:
        is_first = request.path not in seen
        seen.add(request.path)
        return DropBefore() if is_first else None

    line.proxy.decide = decide
    assert sorted(d.values()) == list(range(20))
    assert len(seen) == 21  # with the listing


def test_a_large_value_that_breaks_off_more_often_than_it_is_taken_up(
    line: Line, runner: Runner
) -> None:
    d = line.open()
    line.rival["k"] = value = b"large" * (1 << 19)
    line.fails("GET", *[CutBody(1 << 20)] * 11)
    assert d["k"] == value


def test_opening_a_bucket_is_repeated(line: Line, runner: Runner) -> None:
    for fault in FAILED:
        line.fails("HEAD", *[fault] * 3)
        line.open()


@each_failure
def test_the_question_whether_a_server_obeys_is_repeated(
    line: Line, runner: Runner, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked by the first who opens a dictionary on it."""
    monkeypatch.setattr(_s3_proof, "_known", {})  # another proxy may have had the same port
    line.fails("PUT", *[fault] * 3)
    assert line.open().is_exact
    assert sent(line, "PUT") == 4
    assert line.place.names() == []


def test_a_cache_that_fails_is_not_waited_for(
    real: Place, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = real.cached()
    sub = d.get_subdict("sub")
    d["k"] = 1
    original = os.open

    def broken(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).startswith(d.base_dir):
            raise OSError(5, "injected")
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", broken)
    for each, key in ((d, "k"), (sub, "x")):
        with pytest.warns(RuntimeWarning, match="not cached"):
            each[key] = 2
        with pytest.warns(RuntimeWarning, match="not cached"):
            assert each[key] == 2
    assert set(runner.runs) == {1}


# -- what a policy makes of the errors of S3 --------------------------------------------------


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy(**{"attempts": 4, "wait": wait_none()} | options)


@pytest.fixture
def apply() -> Iterator[Callable[..., None]]:
    yield lambda **options: _store_retry.apply("test", policy(**options))
    _store_retry.apply("test", None)


PASSING = {
    "drop": DropBefore(),
    "500": Answer(500, "InternalError"),
    "503": Answer(503, "SlowDown"),
    "502": Answer(502, "BadGateway"),
    "429": Answer(429, "TooManyRequests"),
    "400 timeout": Answer(400, "RequestTimeout"),
}
LASTING = {
    "403": Answer(403, "AccessDenied"),
    "404": Answer(404, "NoSuchBucket"),
    "400": Answer(400, "InvalidRequest"),
    "501": Answer(501, "NotImplemented"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
@pytest.mark.parametrize("write", ["plain", "guarded"])
def test_failing_connections_and_servers_are_tried_again(
    line: Line, apply: Any, fault: Fault, write: str
) -> None:
    d = line.open()
    apply()
    line.fails("PUT", *[fault] * 3)
    if write == "plain":
        d["k"] = 1
    else:
        assert d.setdefault("k", 1) == 1
    line.fails("GET", *[fault] * 3)
    assert d["k"] == 1


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING.keys())
def test_refusals_are_not(line: Line, apply: Any, fault: Fault) -> None:
    d = line.open()
    d["k"] = 1
    apply()
    for method, act in (("PUT", lambda: d.__setitem__("k", 2)), ("GET", lambda: d["k"])):
        before = sent(line, method)
        line.fails(method, *[fault] * 3)
        with pytest.raises(ClientError):
            act()
        assert sent(line, method) - before == 1


def test_an_absent_item_is_none(line: Line, apply: Any) -> None:
    d = line.open()
    apply(retry_on=Exception)
    before = sent(line, "GET")
    with pytest.raises(KeyError):
        d["absent"]
    assert sent(line, "GET") - before == 1


@pytest.mark.parametrize(
    ("options", "fault", "is_repeated"),
    [
        ({"retry_on": ConnectionError}, DropBefore(), True),
        ({"retry_on": ConnectionError}, Answer(503, "SlowDown"), False),
        ({"retry_on": TimeoutError}, DropBefore(), False),
        ({"fatal": ConnectionError}, DropBefore(), False),
        ({"fatal": ConnectionError}, Answer(503, "SlowDown"), True),
        ({"retry_on": Exception, "fatal": ConnectionError}, DropBefore(), False),
        ({"retry_on": ClientError}, Answer(403, "AccessDenied"), True),
        ({"retry_on": Exception, "fatal": ClientError}, Answer(503, "SlowDown"), False),
        ({"retry_on": retry_if_exception_type(ClientError)}, Answer(403, "AccessDenied"), True),
        ({"retry_on": retry_if_exception_type(OSError)}, Answer(403, "AccessDenied"), False),
        ({"retry_on": retry_if_result(lambda result: True)}, None, False),
    ],
)
def test_kinds_of_errors_that_a_policy_names(
    line: Line, apply: Any, options: dict[str, Any], fault: Fault | None, is_repeated: bool
) -> None:
    d = line.open()
    d["k"] = 1
    apply(**options)
    before = sent(line, "GET")
    if fault is None:
        assert d["k"] == 1
    else:
        line.fails("GET", fault)
        if is_repeated:
            assert d["k"] == 1
        else:
            with pytest.raises((ClientError, BotoCoreError)):
                d["k"]
    assert sent(line, "GET") - before == 1 + is_repeated


def test_an_answer_that_does_not_come_is_a_timeout(
    real: Place, ministack: Any, seaweedfs: Any, apply: Any
) -> None:
    server = next(one for one in (ministack, seaweedfs) if one.url == real.url)
    with FaultProxy(server.url) as proxy:
        client = dataclasses.replace(server, url=proxy.url).client(
            retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=0.2
        )
        line, held = Line(proxy, real, client), threading.Event()
        line.rival["k"] = 1
        d = line.open()
        for kind, count in ((TimeoutError, 2), (ConnectionError, 1)):
            apply(retry_on=kind)
            before = sent(line, "GET")
            line.fails("GET", DelayAnswer(held))
            if count == 2:
                assert d["k"] == 1
            else:
                with pytest.raises(BotoCoreError):
                    d["k"]
            assert sent(line, "GET") - before == count
        held.set()
        client.close()
