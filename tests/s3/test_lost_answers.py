"""What is told when an answer of the server was lost, or failed: never more than is true."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from persidict import (
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    BasicS3Dict,
    MutationPolicyError,
)
from persidict._s3_bucket import Bucket
from persidict.exceptions import OutcomeUnknownError

from .conftest import Place, place_on
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

LOST = [DropAfter(), AnswerAfter(500, "InternalError"), AnswerAfter(503, "SlowDown")]
# After these nobody knows; S3 says of the one above that nothing was done, which it was.
UNKNOWN = [DropAfter(), AnswerAfter(500, "InternalError"), AnswerAfter(503, "ServiceUnavailable")]
FAILED = [DropBefore(), Answer(500, "InternalError"), Answer(503, "SlowDown")]
NAMES = "drop 500 503".split()


class Line:
    """A dictionary on a server, seen through a proxy, and a rival beside the proxy."""

    def __init__(self, proxy: FaultProxy, place: Place, client: Any) -> None:
        self.proxy = proxy
        self.place = place
        self.rival = place.basic()
        self._client = client

    def place_behind(self) -> Place:
        """The same place, behind the proxy."""
        place = Place(self._client, self.proxy.url, self.place.path)
        place.prefix = self.place.prefix
        return place

    def open(self, **options: Any) -> BasicS3Dict[Any]:
        d = self.place_behind().basic(**options)
        d.is_exact
        return d

    def fails(self, method: str, *faults: Fault, then: Callable[[], Any] | None = None) -> None:
        """Let the next requests of this method meet the faults, and something happen then."""
        waiting = list(faults)

        def decide(request: Request) -> Fault | None:
            if request.method != method or not waiting:
                if not waiting and then and not happened.is_set():
                    happened.set()
                    then()
                return None
            return waiting.pop(0)

        happened = threading.Event()
        self.proxy.decide = decide


@pytest.fixture
def line(real: Place, ministack: Any, seaweedfs: Any, pauses: list[float]) -> Iterator[Line]:
    server = next(one for one in (ministack, seaweedfs) if one.url == real.url)
    with FaultProxy(server.url) as proxy:
        client = dataclasses.replace(server, url=proxy.url).client()
        yield Line(proxy, real, client)
        client.close()


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
@pytest.mark.parametrize("times", [1, 2])
def test_ones_own_write_is_no_conflict(line: Line, fault: Fault, times: int) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("PUT", *[fault] * times)
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    line.fails("PUT", *[fault] * times)
    result = d.set_item_if(
        "k", value=3, condition=ETAG_IS_THE_SAME, expected_etag=line.rival.etag("k")
    )
    assert result.condition_was_satisfied
    assert result.resulting_etag == line.rival.etag("k")
    assert line.rival["k"] == 3


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_ones_own_insertion_is_no_conflict(line: Line, fault: Fault) -> None:
    d = line.open()
    line.fails("PUT", fault)
    assert d.setdefault("k", 1) == 1
    line.fails("PUT", fault)
    d.transform_item("new", transformer=lambda v: 5)
    once = line.open(append_only=True)
    line.fails("PUT", fault)
    once["other"] = 2
    assert dict(line.rival.items()) == {("k",): 1, ("new",): 5, ("other",): 2}
    with pytest.raises(MutationPolicyError):
        once["other"] = 2


@pytest.mark.parametrize(
    "fault", [*LOST, *FAILED], ids=[f"{n}-{w}" for w in ("after", "before") for n in NAMES]
)
@pytest.mark.parametrize("times", [1, 5])
def test_plain_writes_arrive(line: Line, fault: Fault, times: int) -> None:
    """The SDK sends five times; if the last answer is lost as well, the bytes are looked for."""
    d = line.open()
    d["k"] = 0
    line.fails("PUT", *[fault] * times)
    if times == 5 and fault in FAILED:
        with pytest.raises((ClientError, BotoCoreError)):
            d["k"] = 1
        assert line.rival["k"] == 0
    else:
        d["k"] = 1
        assert line.rival["k"] == 1


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_guarded_writes_that_never_get_an_answer(line: Line, fault: Fault) -> None:
    d = line.open()
    line.fails("PUT", *[fault] * 5)
    assert d.setdefault("k", 1) == 1
    line.fails("PUT", *[fault] * 5)
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2


@pytest.mark.parametrize("fault", FAILED, ids=NAMES)
def test_guarded_writes_that_never_arrive(line: Line, fault: Fault) -> None:
    """The error is that of the server, with a note that nothing has happened."""
    d = line.open()
    line.fails("PUT", *[fault] * 5)
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        d.setdefault("k", 1)
    assert "as it was before" in "".join(caught.value.__notes__)
    assert "k" not in line.rival


def test_a_server_that_stays_away(line: Line) -> None:
    d = line.open()
    line.proxy.decide = lambda request: DropBefore()
    with pytest.raises(OutcomeUnknownError, match="cannot be asked") as caught:
        d.setdefault("k", 1)
    assert isinstance(caught.value.__cause__, BotoCoreError)


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
@pytest.mark.parametrize("status", [403, 429])
def test_another_error_after_a_lost_answer(line: Line, fault: Fault, status: int) -> None:
    """The SDK repeats what was lost, and reports only the error to that."""
    d = line.open()
    d["k"] = 1
    line.fails("PUT", fault, Answer(status, "AccessDenied"))
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    line.fails("DELETE", fault, Answer(status, "AccessDenied"))
    with pytest.raises(OutcomeUnknownError):
        d.pop("k")


def test_an_error_that_was_the_first_answer(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("PUT", Answer(403, "AccessDenied"))
    with pytest.raises(ClientError, match="AccessDenied"):
        d.transform_item("k", transformer=lambda v: v + 1)


def test_a_refusal_that_cannot_be_looked_into(line: Line) -> None:
    """A 412 would tell the caller that nothing was done."""
    d = line.open()
    d["k"] = 1
    waiting: list[Fault] = [DropAfter()]

    def decide(request: Request) -> Fault | None:
        if request.method == "HEAD":
            return Answer(403, "AccessDenied")
        return waiting.pop() if waiting and request.method == "PUT" else None

    line.proxy.decide = decide
    with pytest.raises(OutcomeUnknownError, match="cannot be asked"):
        d.transform_item("k", transformer=lambda v: v + 1)
    assert line.rival["k"] == 2


def test_another_who_has_replaced_what_we_wanted_to_replace(line: Line) -> None:
    """He says what he has replaced: so we had not, and it is a plain conflict."""
    d = line.open()
    d["k"] = 1
    etag = d.etag("k")

    def rival_comes_first() -> None:
        line.rival.set_item_if("k", value=7, condition=ETAG_IS_THE_SAME, expected_etag=etag)

    line.fails("PUT", DropBefore(), then=rival_comes_first)
    result = d.set_item_if("k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert not result.condition_was_satisfied
    assert result.new_value == line.rival["k"] == 7


@pytest.mark.parametrize("fault", UNKNOWN, ids=NAMES)
def test_another_who_has_replaced_what_we_have_written(line: Line, fault: Fault) -> None:
    """Then nobody can tell, and nobody is told a lie."""
    d = line.open()
    d["k"] = 1
    etag = d.etag("k")

    def rival_comes_second() -> None:
        line.rival.transform_item("k", transformer=lambda v: v + 100)

    line.fails("PUT", fault, then=rival_comes_second)
    with pytest.raises(OutcomeUnknownError) as caught:
        d.set_item_if("k", value=2, condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert line.rival["k"] == 102
    assert caught.value.key.endswith("k.pkl")


@pytest.mark.parametrize("fault", UNKNOWN, ids=NAMES)
def test_another_who_has_replaced_what_we_have_inserted(line: Line, fault: Fault) -> None:
    d = line.open()
    line.fails(
        "PUT", fault, then=lambda: line.rival.transform_item("k", transformer=lambda v: v + 100)
    )
    with pytest.raises(OutcomeUnknownError):
        d.setdefault("k", 1)
    assert line.rival["k"] == 101


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_another_who_has_removed_what_we_have_inserted(line: Line, fault: Fault) -> None:
    """The repeated request met our object; the look after the refusal finds none."""
    d = line.open()
    waiting = [fault]

    def decide(request: Request) -> Fault | None:
        if request.method == "HEAD":
            line.rival.discard("k")
        return waiting.pop() if waiting and request.method == "PUT" else None

    line.proxy.decide = decide
    with pytest.raises(OutcomeUnknownError):
        d.setdefault("k", 1)
    assert "k" not in line.rival


def test_another_who_inserts_into_an_append_only_dict(line: Line) -> None:
    """Nothing is ever removed there, so an item of another proves that ours was not inserted."""
    d = line.open(append_only=True)
    line.fails("PUT", DropBefore(), then=lambda: line.rival.__setitem__("k", 7))
    with pytest.raises(MutationPolicyError):
        d["k"] = 1
    line.fails("PUT", DropBefore(), then=lambda: line.rival.__setitem__("other", 8))
    assert d.setdefault("other", 1) == 8


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_a_removal_whose_answer_is_lost(line: Line, fault: Fault) -> None:
    """A missing object does not tell who has removed it, and two must not claim it."""
    for act in (lambda d: d.pop("k"), lambda d: d.discard("k"), lambda d: d.__delitem__("k")):
        d = line.open()
        d["k"] = 1
        line.fails("DELETE", fault)
        with pytest.raises(OutcomeUnknownError):
            act(d)
        assert "k" not in line.rival


@pytest.mark.parametrize("fault", FAILED, ids=NAMES)
def test_a_removal_that_did_not_arrive_at_first(line: Line, fault: Fault) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("DELETE", fault)
    assert d.pop("k") == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("times", [1, 5])
def test_undecided_is_asked_again(line: Line, method: str, times: int) -> None:
    """409 is no answer; boto3 does not repeat it."""
    d = line.open()
    d["k"] = 1
    line.fails(method, *[Answer(409, "ConditionalRequestConflict")] * times)
    if method == "PUT":
        assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    else:
        assert d.pop("k") == 1


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_undecided_is_asked_again_without_a_guard(line: Line, code: str) -> None:
    d = line.open()
    line.fails("PUT", *[Answer(409, code)] * 3)
    d["k"] = 1
    assert d["k"] == 1


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_undecided_after_a_lost_answer(line: Line, fault: Fault) -> None:
    """The SDK repeats what was lost, and reports only the 409 to that."""
    faults = [fault, Answer(409, "ConditionalRequestConflict")]
    d = line.open()
    d["k"] = 1
    line.fails("PUT", *faults)
    given = []
    assert d.transform_item("k", transformer=lambda v: given.append(v) or v + 1).new_value == 2
    assert given == [1]
    line.fails("DELETE", *faults)
    with pytest.raises(OutcomeUnknownError):
        d.pop("k")


def test_undecided_for_ever_is_an_error(line: Line) -> None:
    d = line.open()
    line.fails("PUT", *[Answer(409, "ConditionalRequestConflict")] * 100)
    with pytest.raises(ClientError, match="ConditionalRequestConflict"):
        d.setdefault("k", 1)


def test_undecided_for_ever_after_a_lost_answer(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("PUT", DropAfter(), *[Answer(409, "ConditionalRequestConflict")] * 100)
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2


def test_a_late_request_changes_nothing(line: Line) -> None:
    """It arrives when its guard does not hold any more."""
    d = line.open()
    d["k"] = 1
    late = Late(threading.Event())
    line.fails("PUT", late)
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 2
    assert d.transform_item("k", transformer=lambda v: v + 1).new_value == 3
    late.event.set()
    assert late.done.wait(30)
    assert line.rival["k"] == 3


@pytest.mark.parametrize("size", [10, 100_000, 3 << 20])
@pytest.mark.parametrize("cuts", [[0], [5], [1 << 20, 7, 0]])
def test_reads_that_break_off(line: Line, size: int, cuts: list[int]) -> None:
    d = line.open()
    d["k"] = value = bytes(range(256)) * (size // 256) + b"end"
    line.fails("GET", *[CutBody(n) for n in cuts])
    assert d["k"] == value


def test_a_large_value_that_is_replaced_while_it_is_read(line: Line) -> None:
    d = line.open()
    d["k"] = b"old" * (1 << 20)
    line.fails("GET", CutBody(1 << 20), then=lambda: line.rival.__setitem__("k", b"new" * 10))
    assert d["k"] == b"new" * 10


def test_a_rest_of_another_object_is_not_taken(
    rclone: Any, clients: dict[str, Any], tmp_path: Path
) -> None:
    """Some servers ignore the condition under which the rest is asked for."""
    place = place_on(rclone, clients, tmp_path)
    old, new = "a" * (3 << 20), "b" * (3 << 20)
    with FaultProxy(rclone.url) as proxy:
        lenient = {"response_checksum_validation": "when_required"}
        far = Place(dataclasses.replace(rclone, url=proxy.url).client(**lenient), None, tmp_path)
        far.prefix = place.prefix
        text = {"serialization_format": "txt", "base_class_for_values": str}
        d, rival = far.basic(**text), place.basic(**text)
        d["k"] = old

        def decide(request: Request) -> Fault | None:
            if "range" in request.headers:
                rival["k"] = new
            elif request.method == "GET" and not cuts:
                cuts.append(request)
                return CutBody(1 << 20)
            return None

        cuts: list[Request] = []
        proxy.decide = decide
        assert d["k"] == new
        assert cuts
        far.client.close()


@pytest.mark.parametrize("status", [500, 503])
def test_failed_looks_and_listings_are_repeated(line: Line, status: int) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("HEAD", Answer(status, "InternalError"))
    assert "k" in d
    for look in (len, lambda d: d["k"], lambda d: len(list(d.items()))):
        line.fails("GET", Answer(status, "InternalError"), DropBefore())
        assert look(d) == 1
    line.fails("POST", Answer(status, "InternalError"))
    d.clear()
    assert len(d) == 0


def test_an_error_of_the_server_is_not_an_absent_item(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    for method, act in (("HEAD", lambda: "k" in d), ("GET", lambda: d.get("k"))):
        line.fails(method, *[Answer(500, "InternalError")] * 5)
        with pytest.raises(ClientError):
            act()
    line.fails("GET", Answer(404, "NoSuchBucket"))
    with pytest.raises(ClientError, match="NoSuchBucket") as caught:
        d.get("k")
    assert "bucket_name" in "".join(caught.value.__notes__)
    line.fails("PUT", Answer(404, "NoSuchBucket"))
    with pytest.raises(ClientError, match="NoSuchBucket"):
        d.setdefault("new", 1)
    assert (
        d.get_item_if("k", condition=ETAG_IS_THE_SAME, expected_etag=ITEM_NOT_AVAILABLE).new_value
        == 1
    )


def test_removals_that_the_server_was_too_busy_for(
    real: Place, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of a batch fail inside of an answer of success; they are sent again, and only they."""
    d = real.basic()
    d.update({f"k{n}": n for n in range(5)})
    ask, sent = Bucket.ask, []

    def some_fail(self: Bucket, operation: str, **args: Any) -> Any:
        if operation != "delete_objects":
            return ask(self, operation, **args)
        sent.append(len(args["Delete"]["Objects"]))
        busy = args["Delete"]["Objects"][:2] if len(sent) == 1 else []
        args["Delete"]["Objects"] = args["Delete"]["Objects"][len(busy) :]
        answer = ask(self, operation, **args)
        return answer | {"Errors": [{"Key": one["Key"], "Code": "SlowDown"} for one in busy]}

    monkeypatch.setattr(Bucket, "ask", some_fail)
    d.clear()
    assert sent == [5, 2]
    assert len(d) == 0
    assert len(pauses) == 1


def test_a_removal_in_a_batch_that_is_refused(real: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    d = real.basic()
    d["k"] = 1
    ask = Bucket.ask

    def refuse(self: Bucket, operation: str, **args: Any) -> Any:
        if operation != "delete_objects":
            return ask(self, operation, **args)
        return {"Errors": [{"Key": "k", "Code": "AccessDenied", "Message": "no"}]}

    monkeypatch.setattr(Bucket, "ask", refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        d.clear()


def test_an_unknown_outcome_travels_between_processes(line: Line) -> None:
    d = line.open()
    d["k"] = 1
    line.fails("DELETE", DropAfter())
    with pytest.raises(OutcomeUnknownError) as caught:
        d.pop("k")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key, again.backend) == (str(caught.value), caught.value.key, "s3")
