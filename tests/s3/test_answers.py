"""Answers that lack something, say something odd, or come when nothing more can be asked."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    BackendError,
    ConcurrencyConflictError,
    OutcomeUnknownError,
)
from persidict import _s3_writes as writes
from persidict._s3_bucket import Bucket
from persidict.io_retry import set_io_retry
from tests.unit.test_io_retry import Runner

from .answers import (
    Balancer,
    Edit,
    Edited,
    Expiring,
    Remaining,
    chunked,
    with_body,
    with_etags,
    with_first,
    with_header,
    with_xml,
    without,
)
from .conftest import place_on
from .proxy import Answer, AnswerAfter, DropAfter, Fault, FaultProxy, Message, Request
from .test_lost_answers import Line

PART = 5 << 20  # the smallest that servers take
SLOW_DOWN = Answer(503, "SlowDown")
DEFAULT = "the default"


@pytest.fixture
def line(
    ministack: Any, clients: dict[str, Any], tmp_path: Path, pauses: list[float]
) -> Iterator[Line]:
    with FaultProxy(ministack.url) as proxy:
        client = dataclasses.replace(ministack, url=proxy.url).client()
        yield Line(proxy, place_on(ministack, clients, tmp_path), client)
        client.close()


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "PART", PART)
    monkeypatch.setattr(writes, "IN_PARTS", 2 * PART)


def large(n: int) -> bytes:
    return bytes([n]) * (2 * PART + 10)


def plus_one(value: Any) -> int:
    return value + 1 if isinstance(value, int) else 1


def always(line: Line, fault: Fault, *methods: str) -> None:
    line.proxy.decide = lambda request: fault if request.method in methods else None


def is_last_step(request: Request) -> bool:
    return request.method == "POST" and "uploadId" in request.path


# -- what comes after a lost answer and is none -----------------------------------------------


@pytest.fixture
def credentials() -> Expiring:
    return Expiring()


@pytest.fixture
def expiring(line: Line, ministack: Any, credentials: Expiring) -> Iterator[Line]:
    """The same line, with credentials that may fail at any request."""
    client = credentials.client(dataclasses.replace(ministack, url=line.proxy.url))
    yield Line(line.proxy, line.place, client)
    client.close()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "transform_item": lambda d: d.transform_item("k", transformer=plus_one),
    "set_item_if": lambda d: d.set_item_if(
        "k", value=2, condition=ETAG_HAS_CHANGED, expected_etag='"other"'
    ),
    "setdefault": lambda d: d.setdefault("new", 2),
    "pop": lambda d: d.pop("k"),
    "in parts": lambda d: d.transform_item("k", transformer=lambda _: large(1)),
}
FAILURES = {
    "renewal": CredentialRetrievalError(provider="sso", error_msg="the login has expired"),
    "none": NoCredentialsError(),
    "other": ZeroDivisionError("in what renews them"),
    "key": KeyError("token"),
}


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_credentials_that_cannot_be_renewed_after_a_lost_answer(
    expiring: Line, credentials: Expiring, act: Any, failure: Exception
) -> None:
    """The request is sent again by boto3, and cannot be signed any more; nor can a look."""
    d = expiring.open()
    d["k"] = 1

    def decide(request: Request) -> Fault | None:
        if request.method in ("PUT", "DELETE") and "uploads" not in request.path:
            if "partNumber" in request.path:
                return None
        elif not is_last_step(request):
            return None
        credentials.failures = [failure] * 100
        return DropAfter()

    expiring.proxy.decide = decide
    with pytest.raises(OutcomeUnknownError, match="cannot be asked"):
        act(d)
    assert dict(expiring.rival.items()) != {("k",): 1}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_credentials_that_fail_once_after_a_lost_answer(
    expiring: Line, credentials: Expiring, failure: Exception
) -> None:
    """Then the look tells."""
    d = expiring.open()
    d["k"] = 1

    def decide(request: Request) -> Fault | None:
        if request.method != "PUT":
            return None
        credentials.failures = [failure]
        return DropAfter()

    expiring.proxy.decide = decide
    assert d.transform_item("k", transformer=plus_one).new_value == 2
    d["plain"] = 3
    assert dict(expiring.rival.items()) == {("k",): 2, ("plain",): 3}


def test_credentials_that_fail_before_anything_is_sent(
    expiring: Line, credentials: Expiring
) -> None:
    """Nothing is looked for, because nothing can have happened."""
    d = expiring.open()
    for failure in FAILURES.values():
        credentials.failures = [failure]
        expected = BackendError if isinstance(failure, KeyError) else type(failure)
        with pytest.raises(expected) as caught:
            d.setdefault("k", 1)
        assert not isinstance(caught.value, OutcomeUnknownError)


def test_a_token_that_expires_after_a_lost_answer(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    expired = Answer(400, "ExpiredToken")
    waiting: list[Fault] = [DropAfter()]
    line.proxy.decide = lambda request: waiting.pop() if waiting else expired
    with pytest.raises(OutcomeUnknownError):
        d.set_item_if("k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=line.rival.etag("k"))
    assert line.rival["k"] == 2


def test_a_server_that_goes_away_after_a_lost_answer(line: Line) -> None:
    """That there is no way to it any more does not tell that there has been none."""
    d = line.open()
    d["k"] = 1

    def decide(request: Request) -> Fault | None:
        if request.method != "PUT":
            return None
        line.proxy.listener.socket.close()
        return DropAfter()

    line.proxy.decide = decide
    with pytest.raises(OutcomeUnknownError):
        d.transform_item("k", transformer=plus_one)
    assert line.rival["k"] == 2


@pytest.mark.parametrize(
    "event", ["before-parse", "response-received", "needs-retry", "after-call"]
)
def test_a_handler_that_fails_when_the_answer_is_there(line: Line, event: str) -> None:
    """Handlers are code of users: what they raise says nothing about the request."""
    d = line.open()
    d["k"] = 1
    waiting = [ZeroDivisionError()]

    def fail(**_: Any) -> None:
        if waiting:
            raise waiting.pop()

    line.open().s3_client.meta.events.register(f"{event}.s3.PutObject", fail, unique_id="fails")
    assert d.transform_item("k", transformer=plus_one).new_value == 2
    assert waiting == []


@pytest.mark.usefixtures("in_parts")
def test_an_answer_that_cannot_be_read(line: Line) -> None:
    d = line.open()
    garbled = Edited(lambda answer: with_body(answer, b"<Complete"))
    line.proxy.decide = lambda request: garbled if is_last_step(request) else None
    d["plain"] = large(1)
    assert d.setdefault("k", large(2)) == large(2)
    assert d.transform_item("k", transformer=lambda _: large(3)).new_value == large(3)
    assert (line.rival["k"], line.rival["plain"]) == (large(3), large(1))


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("fault", [DropAfter(), AnswerAfter(500, "InternalError"), Balancer(True)])
def test_an_upload_that_is_complete_when_it_is_completed_again(line: Line, fault: Fault) -> None:
    d = line.open()
    for act in (
        lambda: d.__setitem__("k", large(1)),
        lambda: d.transform_item("k", transformer=lambda _: large(2)),
        lambda: d.setdefault("new", large(3)),
    ):
        waiting = [Answer(404, "NoSuchUpload"), fault]
        line.proxy.decide = lambda request, left=waiting: (  # type: ignore[misc]
            left.pop() if left and is_last_step(request) else None
        )
        act()
        assert waiting == []
    assert (line.rival["k"], line.rival["new"]) == (large(2), large(3))


# -- 503 --------------------------------------------------------------------------------------


def rivals(line: Line, key: str) -> Callable[[], None]:
    """Return what lets two others change the item, one after the other."""

    def act() -> None:
        for _ in range(2):
            line.rival.transform_item(key, transformer=plus_one)

    return act


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_slowed_down_was_not_done(line: Line, times: int) -> None:
    """S3 says so; then a condition that does not hold is no riddle."""
    d = line.open()
    d["k"] = 1
    etag = d.etag("k")
    line.fails("PUT", *[SLOW_DOWN] * times, then=rivals(line, "k"))
    result = d.set_item_if("k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert (result.condition_was_satisfied, result.new_value) == (False, 3)
    line.fails("PUT", *[SLOW_DOWN] * times, then=rivals(line, "new"))
    assert d.setdefault("new", 7) == 2
    line.fails("PUT", SLOW_DOWN, then=lambda: line.rival.discard("k"))
    assert d.transform_item("k", transformer=plus_one).new_value == 1
    line.fails("DELETE", *[SLOW_DOWN] * times, then=rivals(line, "k"))
    assert d.pop("k") == 3


def test_one_who_is_slowed_down_to_the_end_has_not_written(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    etag = d.etag("k")
    always(line, SLOW_DOWN, "PUT")
    with pytest.raises(ClientError, match="SlowDown") as caught:
        d.transform_item("k", transformer=plus_one)
    assert "as it was before" in "".join(caught.value.__notes__)

    def decide(request: Request) -> Fault | None:
        if request.method == "HEAD":
            rivals(line, "k")()
        return SLOW_DOWN if request.method == "PUT" else None

    line.proxy.decide = decide
    given = {"value": 2, "condition": ETAG_IS_THE_SAME, "expected_etag": etag}
    assert not d.set_item_if("k", **given).condition_was_satisfied


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_every_way_to_retry_is_seen_through(line: Line, ministack: Any, mode: Any) -> None:
    """Of all its attempts the client reports the last."""
    behind = dataclasses.replace(ministack, url=line.proxy.url)
    client = behind.client(retries={"mode": mode, "max_attempts": 4})
    each = Line(line.proxy, line.place, client)
    d = each.open()
    for faults, is_known in (([SLOW_DOWN] * 2, True), ([SLOW_DOWN, Balancer(False)], False)):
        d["k"] = 1
        given = {"value": 2, "condition": ETAG_IS_THE_SAME, "expected_etag": d.etag("k")}
        each.fails("PUT", *faults, then=rivals(line, "k"))
        if is_known:
            assert not d.set_item_if("k", **given).condition_was_satisfied
        else:
            with pytest.raises(OutcomeUnknownError):
                d.set_item_if("k", **given)
    client.close()


def test_what_was_slowed_down_and_done_is_known_as_ones_own(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    done = AnswerAfter(503, "SlowDown")
    for faults in ([done], [SLOW_DOWN, done, SLOW_DOWN], [done] * 5):
        line.fails("PUT", *faults)
        d.transform_item("k", transformer=plus_one)
    assert line.rival["k"] == 4


def test_what_was_slowed_down_and_cannot_be_looked_at_is_unknown(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    done = AnswerAfter(503, "SlowDown")

    def decide(request: Request) -> Fault | None:
        return {"PUT": done, "HEAD": Answer(403, "AccessDenied")}.get(request.method)

    line.proxy.decide = decide
    with pytest.raises(OutcomeUnknownError):
        d.transform_item("k", transformer=plus_one)


UNKNOWN = {
    "a balancer": Balancer(True),
    "unavailable": AnswerAfter(503, "ServiceUnavailable"),
    "slow": AnswerAfter(503, "SlowDownWrite"),
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN.keys())
@pytest.mark.parametrize("other", [[], [SLOW_DOWN]], ids=["alone", "slowed down"])
def test_another_503_tells_nothing(line: Line, fault: Fault, other: list[Fault]) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("PUT", fault, *other, then=rivals(line, "k"))
    with pytest.raises(OutcomeUnknownError):
        d.transform_item("k", transformer=plus_one)
    assert line.rival["k"] == 4


def test_attempts_are_noted_for_each_thread(line: Line) -> None:
    """What one has met says nothing about another's request by the same client."""
    d = line.open()
    d.update({f"k{n}": 1 for n in range(8)})
    etags = {n: d.etag(f"k{n}") for n in range(8)}
    line.rival.update({f"k{n}": 5 for n in range(8)})
    met: set[str] = set()

    def decide(request: Request) -> Fault | None:
        if request.method != "PUT" or request.path in met:
            return None
        met.add(request.path)
        return Balancer(False) if re.search("k[0-3]", request.path) else SLOW_DOWN

    line.proxy.decide = decide

    def outcome(n: int) -> bool:
        given = {"value": 2, "condition": ETAG_IS_THE_SAME, "expected_etag": etags[n]}
        try:
            return d.set_item_if(f"k{n}", **given).condition_was_satisfied
        except OutcomeUnknownError:
            return True

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(outcome, range(8))] == [True] * 4 + [False] * 4


REFUSALS = [
    (302, "Found"),
    (400, "ExpiredToken"),
    (403, "AccessDenied"),
    (409, "ConditionalRequestConflict"),
    (429, "TooManyRequests"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[code for _, code in REFUSALS])
def test_what_was_refused_and_done_is_known_as_ones_own(line: Line, refusal: Any) -> None:
    """What was repeated for whatever reason, by boto3 or by a policy, may meet its own work."""
    d = line.open()
    d["k"] = 1
    line.fails("PUT", AnswerAfter(*refusal))
    set_io_retry(Runner())
    try:
        assert d.transform_item("k", transformer=plus_one).new_value == 2
    finally:
        set_io_retry(None)
    assert line.rival["k"] == 2


# -- what is no answer to the question ----------------------------------------------------------


@pytest.mark.parametrize("act", [
    lambda d: d["k"],
    lambda d: d.get("k", DEFAULT),
    lambda d: d.get_with_etag("k"),
    lambda d: d.transform_item("k", transformer=plus_one),
])  # fmt: skip
def test_unchanged_is_no_answer_to_who_has_nothing(line: Line, act: Any) -> None:
    d = line.open()
    line.rival["k"] = 1
    always(line, Answer(304, ""), "GET")
    with pytest.raises(ClientError, match="304"):
        act(d)


@pytest.mark.parametrize("code", ["NoSuchBucket", "NoSuchAccessPoint"])
def test_another_thing_that_is_missing_is_no_absent_item(line: Line, code: str) -> None:
    d = line.open()
    line.rival["k"] = 1
    always(line, Answer(404, code), "GET")
    with pytest.raises(ClientError, match=code):
        d.get("k", DEFAULT)


@pytest.mark.parametrize("body", [b"", b"<html><body>Welcome</body></html>"])
@pytest.mark.parametrize("act", [len, list, lambda d: list(d.items()), lambda d: d.clear()])
def test_what_is_no_listing_is_no_empty_one(line: Line, body: bytes, act: Any) -> None:
    d = line.open()
    line.rival["k"] = 1
    always(line, Edited(lambda answer: with_body(answer, body)), "GET")
    with pytest.raises(BackendError, match="listing"):
        act(d)


def test_a_listing_of_something_else_is_an_error(line: Line) -> None:
    d = line.open()
    line.rival["k"] = 1
    always(line, Edited(with_xml("<Key>.*?</Key>", "<Key>other/k.pkl</Key>")), "GET")
    with pytest.raises(BackendError, match="listing"):
        len(d)


GARBAGE: dict[str, tuple[Callable[[Any], Any], str, Edit]] = {
    "date": (lambda d: "k" in d, "HEAD", with_header("Last-Modified", "now")),
    "dates": (len, "GET", with_xml("<LastModified>.*?</LastModified>", "<LastModified/>")),
    "size": (len, "GET", with_xml("<Size>.*?</Size>", "<Size/>")),
    # with a checksum of the body boto3 asks for one of the error
    "error": (lambda d: d["k"], "GET", lambda answer: answer._replace(
        lines=[b"HTTP/1.1 404 Not Found\r\n", *answer.lines[1:]])),
}  # fmt: skip


@pytest.mark.parametrize(("act", "method", "edit"), GARBAGE.values(), ids=GARBAGE.keys())
def test_what_boto3_cannot_read_is_an_error_of_the_backend(
    line: Line, act: Any, method: str, edit: Edit
) -> None:
    d = line.open()
    line.rival["k"] = 1
    always(line, Edited(edit), method)
    with pytest.raises(BackendError, match="boto3"):
        act(d)


# -- what is missing --------------------------------------------------------------------------

READS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "[]": (lambda d: d["k"], "GET"),
    "get": (lambda d: d.get("k", DEFAULT), "GET"),
    "get_with_etag": (lambda d: d.get_with_etag("k").new_value, "GET"),
    "values": (lambda d: next(d.values()), "GET"),
    "setdefault": (lambda d: d.setdefault("k", DEFAULT), "GET"),
    "pop": (lambda d: d.pop("k", DEFAULT), "GET"),
    "in": (lambda d: "k" in d, "HEAD"),
    "etag": (lambda d: d.etag("k"), "HEAD"),
    "discard": (lambda d: d.discard("k"), "HEAD"),
}


@pytest.mark.parametrize("cached", [False, True], ids=["basic", "cached"])
@pytest.mark.parametrize(("act", "method"), READS.values(), ids=READS.keys())
def test_answers_without_etag(line: Line, act: Any, method: str, cached: bool) -> None:
    """The item is there, so no default may come back, and nothing may be removed."""
    place = line.place_behind()
    d = place.cached() if cached else place.basic()
    d.is_exact
    line.rival["k"] = 1
    line.proxy.decide = lambda request: (
        Edited(without("ETag"))
        if request.method == method and "list-type" not in request.path
        else None
    )
    with pytest.raises(BackendError, match="ETag") as caught:
        act(d)
    assert caught.value.key.endswith("k.pkl")
    assert line.rival["k"] == 1


@pytest.mark.parametrize("knows", [True, False], ids=["looked up", "unknown"])
def test_writes_without_etag_are_looked_at(line: Line, knows: bool) -> None:
    """They are done: to repeat them would be once too often."""
    d = line.open()
    d["k"] = 1
    always(line, Edited(without("ETag")), "PUT", *([] if knows else ["HEAD"]))
    if knows:
        assert d.transform_item("k", transformer=plus_one).new_value == 2
        d["plain"] = 3
        assert line.rival["plain"] == 3
    else:
        with pytest.raises(OutcomeUnknownError):
            d.transform_item("k", transformer=plus_one)
        with pytest.raises(BackendError, match="ETag"):
            d["plain"] = 3
    assert line.rival["k"] == 2


@pytest.mark.parametrize("size", [10, 100_000, 3 << 20])
@pytest.mark.parametrize("cuts", [[], [100], [70_000, 5]])
def test_answers_in_chunks(line: Line, size: int, cuts: list[int]) -> None:
    """They do not tell their length, and are complete with the last chunk."""
    d = line.open()
    line.rival["k"] = value = bytes(range(256)) * (size // 256) + b"end"
    left = list(cuts)

    def cut(answer: Any) -> Any:
        whole = with_header("Connection", "close")(chunked(answer))
        return whole.cut(left.pop()) if left else whole

    always(line, Edited(cut), "GET")
    assert d["k"] == value
    assert left == []


LISTED: dict[str, tuple[str, type[Exception] | None]] = {
    "Size": (r"<Size>\d+</Size>", None),
    "LastModified": (r"<LastModified>.*?</LastModified>", None),
    "ETag": (r"<ETag>.*?</ETag>", BackendError),
    "Key": (r"<Key>.*?</Key>", BackendError),
    "IsTruncated": (r"<IsTruncated>.*?</IsTruncated>", None),
}


@pytest.mark.parametrize(("pattern", "error"), LISTED.values(), ids=LISTED.keys())
def test_listings_that_lack_something(
    line: Line, pattern: str, error: type[Exception] | None
) -> None:
    d = line.place_behind().cached()
    line.rival["k"] = 1
    line.proxy.decide = lambda request: (
        Edited(with_xml(pattern, "")) if "list-type" in request.path else None
    )
    if error is None:
        assert next(iter(d.items_and_timestamps()))[:2] == (("k",), 1)
    else:
        with pytest.raises(error):
            list(d.items_and_timestamps())


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("act", [CHANGES["in parts"], lambda d: d.__setitem__("k", large(1))])
@pytest.mark.parametrize("what", ["UploadId", "ETag"])
def test_uploads_that_lack_something(line: Line, act: Any, what: str) -> None:
    d = line.open()
    d["k"] = 1

    def decide(request: Request) -> Fault | None:
        if what == "ETag":
            return Edited(without("ETag")) if "partNumber" in request.path else None
        edit = with_xml("<UploadId>.*</UploadId>", "")
        return Edited(edit) if request.path.endswith("?uploads") else None

    line.proxy.decide = decide
    with pytest.raises(BackendError, match=what):
        act(d)
    assert line.rival["k"] == 1


# -- listings ---------------------------------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Bucket.ask

    def in_small_pages(self: Bucket, operation: str, **args: Any) -> Any:
        more = {"MaxKeys": 2} if operation == "list_objects_v2" else {}
        return ask(self, operation, **args, **more)

    monkeypatch.setattr(Bucket, "ask", in_small_pages)


TOKEN = "NextContinuationToken>"
TOKENS: dict[str, Callable[[str], Edit]] = {
    "none": lambda pattern: with_xml(pattern, ""),
    "empty": lambda pattern: with_xml(pattern, f"<{TOKEN}</{TOKEN}"),
    "the same": with_first,
}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS.keys())
@pytest.mark.parametrize("act", [len, list, lambda d: list(d.items()), lambda d: d.clear()])
def test_listings_that_cannot_be_continued(line: Line, tokens: Any, act: Any) -> None:
    """Neither is the rest left out, nor the same page read for ever."""
    d = line.open()
    line.rival.update({f"k{n}": n for n in range(5)})
    always(line, Edited(tokens(f"<{TOKEN}.*</{TOKEN}")), "GET")
    with pytest.raises(BackendError, match="continuation token"):
        act(d)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("act", [len, list, lambda d: list(d.items()), lambda d: d.clear()])
def test_listings_that_begin_anew(line: Line, act: Any) -> None:
    d = line.open()
    line.rival.update({f"k{n}": n for n in range(5)})
    first: list[Message] = []

    def edit(answer: Message) -> Message:
        first.append(answer)
        assert len(first) < 50
        return with_xml(f"<{TOKEN}.*</{TOKEN}", f"<{TOKEN}{len(first)}</{TOKEN}")(first[0])

    line.proxy.decide = lambda request: Edited(edit) if "list-type" in request.path else None
    with pytest.raises(BackendError, match="continuation"):
        act(d)


@pytest.mark.usefixtures("small_pages")
def test_listings_that_do_not_say_that_they_go_on(line: Line) -> None:
    """A token says it as well."""
    d = line.open()
    line.rival.update({f"k{n}": n for n in range(5)})
    always(line, Edited(with_xml("<IsTruncated>.*?</IsTruncated>", "")), "GET")
    assert len(d) == 5


# -- removals in batches ----------------------------------------------------------------------

PERMANENT = {
    "internal": ("InternalError", "k2.pkl"),
    "busy": ("SlowDown", "k2.pkl"),
    "no key": ("InternalError",),
    "no code": ("", "k2.pkl"),
}


@pytest.mark.parametrize("error", PERMANENT.values(), ids=PERMANENT.keys())
def test_what_cannot_be_removed_for_good(
    line: Line, pauses: list[float], error: tuple[str, ...]
) -> None:
    d = line.open()
    d.update({f"k{n}": n for n in range(3)})
    asked: list[Request] = []

    def decide(request: Request) -> Fault | None:
        if "delete" not in request.path:
            return None
        asked.append(request)
        return Remaining(((error[0], *(line.place.prefix + key for key in error[1:])),))

    line.proxy.decide = decide
    with pytest.raises(ClientError) as caught:
        d.clear()
    assert len(asked) <= 20
    assert len(pauses) == len(asked) - 1
    left = "".join(caught.value.__notes__)
    assert "k2.pkl" in left
    assert ("1 of a batch" in left) == (len(error) > 1)


# -- etags that name no version ---------------------------------------------------------------

WEAK = {"weak": r'W/"\1"', "bare": r"W/\1", "empty": '""', "constant": 'W/"0"', "nothing": ""}


@pytest.fixture(params=WEAK.values(), ids=WEAK.keys())
def weak(request: pytest.FixtureRequest, line: Line) -> Line:
    always(line, Edited(with_etags(request.param)), "GET", "PUT", "HEAD", "POST")
    return line


def test_nothing_is_cached_under_an_etag_that_names_no_version(weak: Line) -> None:
    d = weak.place_behind().cached()
    d["k"] = 1
    assert d["k"] == 1
    weak.rival["k"] = 2
    assert d["k"] == 2
    assert list(d.values()) == [2]
    weak.rival["k"] = 3
    assert d.get_with_etag("k").new_value == 3
    assert [*d.items()] == [(("k",), 3)]
    d["k"] = 4
    d.etag("k")
    weak.rival["k"] = 5
    assert d["k"] == 5
    assert not [path for path in (weak.place.path / "cache").rglob("k*") if path.is_file()]


def test_what_an_older_cache_has_under_such_an_etag_is_not_taken(line: Line) -> None:
    d = line.place_behind().cached()
    d["k"] = 1
    for path in (line.place.path / "cache").glob("k*_etag"):
        times = path.stat()
        path.write_text('""')
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    line.rival["k"] = 2
    always(line, Edited(with_etags('""')), "GET", "HEAD")
    assert list(d.values()) == [2]
    assert d["k"] == 2


@pytest.mark.parametrize("cached", [False, True], ids=["basic", "cached"])
def test_no_change_waits_for_an_etag_that_names_no_version(
    weak: Line, cached: bool, pauses: list[float]
) -> None:
    place = weak.place_behind()
    d = place.cached() if cached else place.basic()
    d["k"] = 1
    d.is_exact
    weak.proxy.requests.clear()
    given: list[int] = []

    def transform(value: int) -> int:
        given.append(value)
        weak.rival["k"] = value + 1
        return -1

    with pytest.raises(ConcurrencyConflictError) as caught:
        d.transform_item("k", transformer=transform, n_retries=2)
    assert (caught.value.attempts, given, weak.rival["k"]) == (3, [1, 2, 3], 4)
    with pytest.raises(ConcurrencyConflictError):
        d.transform_item("k", transformer=lambda v: v + 1, n_retries=None)
    etag = d.etag("k")
    for value in (7, DELETE_CURRENT):
        same = {"condition": ETAG_IS_THE_SAME, "expected_etag": etag}
        assert not d.set_item_if("k", value=value, **same).condition_was_satisfied
        changed = {"condition": ETAG_HAS_CHANGED, "expected_etag": '"other"'}
        with pytest.raises(ConcurrencyConflictError, match="k"):
            d.set_item_if("k", value=value, **changed)
    assert not d.discard_if("k", **same).condition_was_satisfied
    with pytest.raises(ConcurrencyConflictError):
        d.pop("k")
    assert weak.rival["k"] == 4
    assert len(weak.proxy.requests) < 60
    assert len(pauses) < 20


def test_changes_that_need_no_etag_are_made(weak: Line) -> None:
    d = weak.open()
    assert d.setdefault("k", 1) == 1
    assert d.setdefault("k", 2) == 1
    anyhow = {"condition": ANY_ETAG, "expected_etag": '"x"'}
    assert d.set_item_if("k", value=2, **anyhow).condition_was_satisfied
    assert d["k"] == 2
    assert d.discard_if("k", **anyhow).condition_was_satisfied
    d.transform_item("k", transformer=plus_one)
    assert d.set_item_if("k", value=DELETE_CURRENT, **anyhow).condition_was_satisfied
    d["k"] = 3
    assert d.discard("k")
    assert not d.discard("k")
    d["k"] = 4
    del d["k"]
    assert len(d) == 0


def test_a_large_value_under_such_an_etag(weak: Line) -> None:
    """What breaks off is read from the beginning: no etag tells that a rest belongs to it."""
    d = weak.open()
    weak.rival["k"] = b"old" * (1 << 20)
    edit = weak.proxy.decide(Request(0, "GET", "", {})).edit  # type: ignore[union-attr]
    waiting = [lambda answer: with_header("Connection", "close")(edit(answer)).cut(1 << 20)]

    def decide(request: Request) -> Fault | None:
        if request.method == "GET" and not waiting:
            weak.rival["k"] = b"new" * (1 << 20)
        return Edited(waiting.pop() if waiting and request.method == "GET" else edit)

    weak.proxy.decide = decide
    assert d["k"] == b"new" * (1 << 20)


def test_a_server_that_does_not_know_its_own_etags(line: Line, pauses: list[float]) -> None:
    """As one behind a proxy that marks what it compresses: each condition is unmet."""
    d = line.open()
    always(line, Edited(with_etags(r'"\1-gzip"')), "GET", "PUT", "HEAD")
    d["k"] = 1
    given: list[int] = []
    with pytest.raises(ConcurrencyConflictError) as caught:
        d.transform_item("k", transformer=lambda v: given.append(v) or 2, n_retries=2)
    assert (caught.value.attempts, given) == (3, [1, 1, 1])
    with pytest.raises(ConcurrencyConflictError):
        d.set_item_if("k", value=2, condition=ETAG_HAS_CHANGED, expected_etag='"other"')
    with pytest.raises(ConcurrencyConflictError):
        d.discard("k")
    assert len(pauses) < len(line.proxy.requests) <= 450
    assert len(pauses) > 190
    assert line.rival["k"] == 1


def test_a_rival_that_never_rests_is_waited_for(line: Line, pauses: list[float]) -> None:
    """Rounds of a look and an act have pauses between them."""
    d = line.open()
    d["k"] = 0
    count = 0

    def decide(request: Request) -> Fault | None:
        nonlocal count
        if request.method == "DELETE" and count < 12:
            count += 1
            line.rival["k"] = count
        return None

    line.proxy.decide = decide
    for act in (
        lambda: d.discard("k"),
        lambda: d.discard_if("k", condition=ANY_ETAG, expected_etag='"x"').condition_was_satisfied,
    ):
        count, before = 0, len(pauses)
        d["k"] = 0
        assert act()
        assert count == 12
        assert len(pauses) - before >= 9
