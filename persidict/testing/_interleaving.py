"""Operations with another writer between their steps: the outcome is one of a sequential order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

import pytest

from persidict.exceptions import MutationPolicyError
from persidict.jokers_and_status_flags import (
    ANY_ETAG,
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    ETagValue,
    Joker,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._conditional import Got, attempt, copied, current_etag, mismatch
from persidict.testing._fixtures import AnyDict, Capability, DictFixtures, needs
from persidict.testing._interleaved import Interleaved
from persidict.testing._oracle import (
    DISCARDS,
    NEW_ETAG,
    OPERATIONS,
    Call,
    Outcome,
    Version,
    absent_result,
    etag_of,
    oracle,
)
from persidict.testing._table import DELETE, Row, rows

Key = NonEmptySafeStrTuple
Run = Callable[[AnyDict, Key], Any]
Model = Callable[[Version | None], Outcome]


class Operation(NamedTuple):
    """Something to do to an item, and what it must do to it."""

    name: str
    run: Run
    model: Model
    vanished: tuple[Outcome, ...] = ()
    """What is right besides the sequential orders if the item vanished meanwhile."""
    unguarded: bool = False
    """True for a write over any version, which reports as the version before what a look saw."""


class Interference(NamedTuple):
    """What another writer does at once, between two steps of an operation."""

    name: str
    run: Callable[[AnyDict, Key, InterleavingSuite], object]
    deletes: bool = False


def _write(d: AnyDict, key: Key, suite: InterleavingSuite) -> None:
    d[key] = suite.value(7)


def _delete(d: AnyDict, key: Key, suite: InterleavingSuite) -> None:
    d.discard(key)


def _write_and_restore(d: AnyDict, key: Key, suite: InterleavingSuite) -> None:
    before = d.get(key, DELETE_CURRENT)
    d[key] = suite.value(7)
    d[key] = before


def _delete_and_restore(d: AnyDict, key: Key, suite: InterleavingSuite) -> None:
    before = d.pop(key)
    d[key] = before


WRITE = Interference("write", _write)
ON_PRESENT = (
    WRITE,
    Interference("delete", _delete, deletes=True),
    Interference("write and restore", _write_and_restore),
    Interference("delete and restore", _delete_and_restore, deletes=True),
)
ON_ABSENT = (WRITE, Interference("write and delete", _write_and_restore, deletes=True))


class Race(NamedTuple):
    """What happened: the state before, the state that the other writer left, and the end."""

    before: Version | None
    left: Version | None
    final: Version | None
    got: Got
    interference: Interference
    insert_only: bool
    """True if the other writer could not have overwritten what the operation inserted."""


class InterleavingSuite(DictFixtures):
    """Single-item operations are linearizable: they happen at once, at some moment.

    There is one exception: a write under `ANY_ETAG` needs no guard, and so another writer's
    version that it overwrites may be missing in its report of what was there before.

    `seam` returns what has the primitives between which another writer can come.
    """

    def seam(self, d: AnyDict) -> Any:
        """Return a dictionary with five item primitives, or the blob store under it."""
        return d

    def rival(self, storage: Any) -> AnyDict:
        """Open the handle of the other writer, which may change items if anybody may."""
        return self.open(storage)

    items_change: ClassVar[Capability] = True
    """Existing items can be overwritten and removed, so that something can interfere."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_conditional_operations_on_absent_items(
        self, storage: Any, d: AnyDict, operation: str
    ) -> None:
        """Every row of the table, with every interference at every point."""
        self._check_conditional(storage, d, operation, present=False)

    @needs("items_change")
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_conditional_operations_on_present_items(
        self, storage: Any, d: AnyDict, operation: str
    ) -> None:
        """Every row of the table, with every interference at every point."""
        self._check_conditional(storage, d, operation, present=True)

    def _check_conditional(
        self, storage: Any, d: AnyDict, operation: str, *, present: bool
    ) -> None:
        wrong: list[str] = []
        for row in rows(operation, present=present):
            wrong += self._races(storage, d, partial(self._conditional, row), present=present)
        assert not wrong, "\n".join(wrong)

    def _conditional(self, row: Row, current: ETagValue | None, other: ETagValue) -> Operation:
        call = row.call(current=current, other=other, value=self.value(2))

        def model(state: Version | None) -> Outcome:
            return oracle(state, call, self.policy)

        written = call.operation == "set_item_if" and not isinstance(call.value, Joker)
        unguarded = written and call.condition is ANY_ETAG and not self.policy.insert_only
        return Operation(str(call), call.on, model, _vanishings(call), unguarded)

    @needs("items_change")
    @pytest.mark.parametrize("operation", ["set_item_if", "setdefault_if", "discard_item_if"])
    def test_items_that_vanish_in_the_last_moment(
        self, storage: Any, d: AnyDict, operation: str
    ) -> None:
        """After a first look, an item that is gone when it is needed is absent and unmet."""
        rival, wrong = self.rival(storage), []
        for n, row in enumerate(rows(operation, present=True)):
            steps = self._steps(rival, d, Key("count", str(n)), row)
            if steps >= 2 and row.value != DELETE and not self._succeeds(row):
                key = Key("vanish", str(n))
                call = self._planted_call(rival, key, row)
                with Interleaved(self.seam(d), before={steps: partial(rival.discard, key)}):
                    got = attempt(partial(call.on, d, key))
                if got.result != absent_result(met=False):
                    wrong.append(f"{call}: {got}")
        assert not wrong, "\n".join(wrong)

    def _steps(self, rival: AnyDict, d: AnyDict, key: Key, row: Row) -> int:
        call = self._planted_call(rival, key, row)
        with Interleaved(self.seam(d), before={99: lambda: None}) as seam:
            call.on(d, key)
        return len(seam.calls)

    def _planted_call(self, rival: AnyDict, key: Key, row: Row) -> Call:
        other = self._planted(rival, key, present=True)
        return row.call(current=current_etag(rival, key), other=other, value=self.value(2))

    def _succeeds(self, row: Row) -> bool:
        """Return whether the call writes, also if the item has gone."""
        call = row.call(current=ETagValue("current"), other=ETagValue("other"), value=0)
        outcome = oracle(Version(ETagValue("current"), 1), call, self.policy)
        return outcome.state is not None and outcome.state.etag == NEW_ETAG

    def test_other_operations_on_absent_items(
        self, storage: Any, d: AnyDict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Assignments, removals and `transform_item`, with every interference at every point."""
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        self._check_others(storage, d, present=False)

    @needs("items_change")
    def test_other_operations_on_present_items(
        self, storage: Any, d: AnyDict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Assignments, removals and `transform_item`, with every interference at every point."""
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        self._check_others(storage, d, present=True)

    def _check_others(self, storage: Any, d: AnyDict, *, present: bool) -> None:
        wrong: list[str] = []
        for operation in self._plain():
            wrong += self._races(storage, d, lambda *_, o=operation: o, present=present)
        assert not wrong, "\n".join(wrong)

    def _plain(self) -> Iterator[Operation]:
        yield Operation("get", lambda d, k: d.get(k), _model_get)
        yield Operation(
            "setdefault", lambda d, k: d.setdefault(k, self.value(2)), self._model_setdefault
        )
        yield Operation("[]=", lambda d, k: d.__setitem__(k, self.value(2)), self._model_assign)
        if not self.policy.insert_only:
            yield Operation("discard", lambda d, k: d.discard(k), _model_discard)
            yield Operation("pop", lambda d, k: d.pop(k, None), _model_pop)
        if not self.policy.refused:
            yield Operation("transform_item", self._transform, self._model_transform)

    def _model_setdefault(self, state: Version | None) -> Outcome:
        kept = state or Version(NEW_ETAG, self.value(2))
        return Outcome(kept, kept.value)

    def _model_assign(self, state: Version | None) -> Outcome:
        if state is not None and self.policy.name == "write-once":
            return Outcome(state)
        if state is not None and self.policy.insert_only:
            return Outcome(state, error=MutationPolicyError)
        return Outcome(Version(NEW_ETAG, self.value(2)))

    def _transform(self, d: AnyDict, key: Key) -> Any:
        return d.transform_item(key, transformer=self._next, n_retries=None).new_value

    def _next(self, current: Any, /) -> Any:
        return self.value(100 if current is ITEM_NOT_AVAILABLE else self._number(current) + 1)

    def _number(self, value: Any) -> int:
        return next(n for n in range(1000) if self.value(n) == value)

    def _model_transform(self, state: Version | None) -> Outcome:
        if state is not None and self.policy.insert_only:
            return Outcome(state, error=MutationPolicyError)
        value = self._next(ITEM_NOT_AVAILABLE if state is None else state.value)
        return Outcome(Version(NEW_ETAG, value), value)

    def _races(
        self,
        storage: Any,
        d: AnyDict,
        prepare: Callable[[ETagValue | None, ETagValue], Operation],
        *,
        present: bool,
    ) -> Iterator[str]:
        """Yield what is wrong, over all interferences and all points."""
        rival = self.rival(storage)
        for interference in self._possible(present=present):
            for point in range(1, 20):
                key = Key("race", str(self._races_run(d)))
                other = self._planted(rival, key, present=present)
                before = _state(rival, key)
                operation = prepare(before and copied(before.etag), other)
                race, happened = self._race(d, rival, key, operation, interference, point)
                if not happened:
                    break
                wrong = _not_sequential(operation, race)
                wrong = wrong or self._not_seen(d, key, race)
                if wrong:
                    yield f"{operation.name}, {interference.name} before {point}: {wrong}"
            else:
                raise AssertionError("an operation took twenty steps")

    def _possible(self, *, present: bool) -> tuple[Interference, ...]:
        if self.policy.insert_only:
            return (WRITE,)
        return ON_PRESENT if present else ON_ABSENT

    def _races_run(self, d: AnyDict) -> int:
        d.__dict__["races_run"] = d.__dict__.get("races_run", 0) + 1
        return int(d.__dict__["races_run"])

    def _planted(self, rival: AnyDict, key: Key, *, present: bool) -> ETagValue:
        """Make the item, or none; return an etag that is not its own."""
        if not present:
            return ETagValue("0:0:0")
        rival[key] = self.value(0)
        if self.policy.insert_only:
            return ETagValue(current_etag(rival, key) + "0")
        other = current_etag(rival, key)
        rival[key] = self.value(1)
        return other

    def _race(
        self,
        d: AnyDict,
        rival: AnyDict,
        key: Key,
        operation: Operation,
        interference: Interference,
        point: int,
    ) -> tuple[Race, bool]:
        before = _state(rival, key)
        left = before

        def interfere() -> None:
            nonlocal left
            interference.run(rival, key, self)
            left = _state(rival, key)

        with Interleaved(self.seam(d), before={point: interfere}) as seam:
            got = attempt(lambda: operation.run(d, key))
        final = _state(rival, key)
        race = Race(before, left, final, got, interference, self.policy.insert_only)
        return race, seam.happened

    def _not_seen(self, d: AnyDict, key: Key, race: Race) -> str:
        """Return what is wrong if the handle itself does not see how it ended."""
        seen = attempt(lambda: d[key])
        if race.final is None:
            return "" if isinstance(seen.error, KeyError) else f"reads {seen} of what is absent"
        return "" if seen.result == race.final.value else f"reads {seen} instead of {race.final}"


def _state(d: AnyDict, key: Key) -> Version | None:
    found = d.get_with_etag(key)
    if isinstance(found.actual_etag, str):
        return Version(found.actual_etag, found.new_value)
    return None


def _not_sequential(operation: Operation, race: Race) -> str:
    """Return "" if the outcome is that of a sequential order, else what it is."""
    interference_first = operation.model(race.left)
    if _fits(interference_first, interference_first.state, race):
        return ""
    operation_first = operation.model(race.before)
    overwritten = not race.insert_only or operation_first.state is None
    if overwritten and _fits(operation_first, race.left, race):
        return ""
    if operation.unguarded and _fits(operation_first, operation_first.state, race):
        return ""
    if race.interference.deletes and any(_fits(o, race.left, race) for o in operation.vanished):
        return ""
    return f"{race.got} and {race.final}, from {race.before} with {race.left} in between"


def _fits(outcome: Outcome, final: Version | None, race: Race) -> bool:
    got = race.got
    if outcome.error is not None or got.error is not None:
        fits = outcome.error is type(got.error)
    elif hasattr(got.result, "resulting_etag"):
        fits = not mismatch(outcome, got, race.before and race.before.etag)
        fits = fits and (outcome.state is None or not _stale(outcome, race))
    else:
        fits = got.result == outcome.result
    return fits and _same(final, race)


def _stale(outcome: Outcome, race: Race) -> bool:
    """Return whether what should be a new etag is that of the other writer."""
    assert outcome.state is not None
    written = outcome.state.etag == NEW_ETAG
    return written and race.got.result.resulting_etag == etag_of(race.left)


def _same(wanted: Version | None, race: Race) -> bool:
    final = race.final
    if wanted is None or final is None:
        return wanted is final
    if wanted.etag != NEW_ETAG:
        return wanted == final
    reported = getattr(race.got.result, "resulting_etag", final.etag)
    known = {etag_of(race.before), etag_of(race.left)}
    return wanted.value == final.value and final.etag == reported and final.etag not in known


def _vanishings(call: Call) -> tuple[Outcome, ...]:
    """Return what is right if the item vanishes between the steps of an operation.

    The flag was determined by the first look; an insertion or a removal did not happen.
    """
    if call.operation in DISCARDS or call.operation == "setdefault_if":
        return (Outcome(None, absent_result(met=False)),)
    if call.operation == "set_item_if":
        return (Outcome(None, absent_result(met=False)), Outcome(None, absent_result(met=True)))
    return ()


def _model_get(state: Version | None) -> Outcome:
    return Outcome(state, state and state.value)


def _model_discard(state: Version | None) -> Outcome:
    return Outcome(None, state is not None)  # type: ignore[arg-type]


def _model_pop(state: Version | None) -> Outcome:
    return Outcome(None, state and state.value)
