"""Random sequences of operations on two handles, against a plain `dict`; needs hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from persidict.exceptions import MutationPolicyError
from persidict.extras import require
from persidict.jokers_and_status_flags import (
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    ETagIfExists,
    ETagValue,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing._append_only import REMOVALS
from persidict.testing._conditional import Got, attempt, copied, mismatch
from persidict.testing._fixtures import AnyDict
from persidict.testing._oracle import (
    APPEND_ONLY,
    MUTABLE,
    NEW_ETAG,
    OPERATIONS,
    Call,
    Policy,
    Version,
    etag_of,
    oracle,
)
from persidict.testing._table import CONDITIONS, RETRIEVE_MODES

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
except ModuleNotFoundError:
    require("persidict.testing.stateful", "hypothesis", extra="testing")
    raise

Key = NonEmptySafeStrTuple
POOL = tuple(Key(*parts) for parts in ("a", "b", "A", ("a", "b"), ("a", "c"), ("c", "d", "e")))
PREFIXES = (("a",), ("c",), ("c", "d"), ("none",))

keys = st.sampled_from(POOL)
handles = st.integers(0, 1)
values = st.one_of(
    st.integers(0, 3), st.text(max_size=3), st.lists(st.integers(0, 2), max_size=2), st.none()
)
jokers = st.sampled_from((KEEP_CURRENT, DELETE_CURRENT))


class AnyDictMachine(RuleBasedStateMachine):
    """Reads, inserts and conditional operations, under any policy.

    A subclass supplies `open`, which opens a handle on one storage; its `teardown` may remove it.
    """

    policy: ClassVar[Policy] = MUTABLE
    fresh_etag: ClassVar[bool] = True
    """False if `etag()` may be outdated because of writes through the other handle."""
    has_subdicts: ClassVar[bool] = True
    unique_etags: ClassVar[bool] = True
    """False if equal values have equal etags."""

    def __init__(self) -> None:
        super().__init__()
        self.dicts = (self.open(), self.open())
        self.model: dict[Key, Version] = {}
        self.etags: list[ETagValue] = [ETagValue("0:0:0")]

    def open(self) -> AnyDict:
        """Open a handle; two calls give two handles on one storage."""
        raise NotImplementedError("supply a method `open`")

    # -- the model ------------------------------------------------------------------------------

    def learn(self, key: Key, value: Any, through: AnyDict) -> None:
        """Note that an item was written, and which version the store made of it."""
        seen = through.get_with_etag(key)
        assert seen.new_value == value, f"{seen} instead of {value!r}"
        assert isinstance(seen.actual_etag, str)
        if self.unique_etags:
            assert seen.actual_etag not in self.etags, "an etag of an earlier version"
        self.etags.append(seen.actual_etag)
        self.model[key] = Version(seen.actual_etag, value)

    def plain(self) -> dict[Key, Any]:
        """Return what the dictionary must hold now."""
        return {key: version.value for key, version in self.model.items()}

    @invariant()
    def both_handles_hold_the_model(self) -> None:
        """Whatever happened, both handles list and read the same items of the same versions."""
        wanted = self.plain()
        for d in self.dicts:
            assert dict(d.items()) == wanted
            assert len(d) == len(wanted)
            assert bool(d) == bool(wanted)

    @invariant()
    def etags_belong_to_versions(self) -> None:
        """The etag of an item changes when it is written, and only then."""
        for d in self.dicts:
            for key in POOL:
                self.check_etag(d, key)

    def check_etag(self, d: AnyDict, key: Key) -> None:
        """Compare an item's etag with the one that it was written with."""
        seen = Call("get_item_if", retrieve=NEVER_RETRIEVE).on(d, key)
        assert seen.actual_etag == etag_of(self.model.get(key))
        if key in self.model and self.fresh_etag:
            assert d.etag(key) == seen.actual_etag

    # -- readers --------------------------------------------------------------------------------

    @rule(h=handles, key=keys)
    def read(self, h: int, key: Key) -> None:
        """Read one item in every way."""
        d, found = self.dicts[h], self.model.get(key)
        assert (key in d) == (found is not None)
        if found is None:
            assert isinstance(attempt(lambda: d[key]).error, KeyError)
            assert isinstance(attempt(lambda: d.timestamp(key)).error, KeyError)
            assert d.get(key, "default") == "default"
        else:
            assert d[key] == d.get(key) == found.value
            assert d.timestamp(key) > 0

    @rule(h=handles)
    def list_all(self, h: int) -> None:
        """List keys and values in every way."""
        d, wanted = self.dicts[h], self.plain()
        assert {*d} == {*d.keys()} == set(wanted)
        assert {key: value for key, value, _ in d.items_and_timestamps()} == wanted
        assert {*d.oldest_keys()} == {*d.newest_keys()} == set(wanted)
        assert len(d.oldest_values(max_n=2)) == min(2, len(wanted))
        assert d.random_key() in {None if not wanted else key for key in wanted or [None]}
        assert d == {key.strings: value for key, value in wanted.items()}

    @precondition(lambda self: self.has_subdicts)
    @rule(h=handles, prefix=st.sampled_from(PREFIXES))
    def list_subdict(self, h: int, prefix: tuple[str, ...]) -> None:
        """List what is under a prefix."""
        sub = self.dicts[h].get_subdict(prefix)
        assert {prefix + key.strings: value for key, value in sub.items()} == self.under(prefix)

    def under(self, prefix: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
        """Return the items under a prefix, under their whole keys."""
        n = len(prefix)
        plain = {key.strings: value for key, value in self.plain().items()}
        return {k: value for k, value in plain.items() if k[:n] == prefix and len(k) > n}

    # -- inserting ------------------------------------------------------------------------------

    @rule(h=handles, key=keys, value=values)
    def setdefault(self, h: int, key: Key, value: Any) -> None:
        """Insert unless there is an item."""
        found = self.dicts[h].setdefault(key, value)
        if key in self.model:
            assert found == self.model[key].value
        else:
            assert found == value
            self.learn(key, value, self.dicts[1 - h])

    @rule(h=handles, key=keys, value=values)
    def insert(self, h: int, key: Key, value: Any) -> None:
        """Assign to a key that is absent."""
        if key not in self.model:
            self.dicts[h][key] = value
            self.learn(key, value, self.dicts[1 - h])

    @rule(h=handles, key=keys)
    def keep(self, h: int, key: Key) -> None:
        """Assign the joker that changes nothing."""
        self.dicts[h][key] = KEEP_CURRENT

    # -- conditional operations -----------------------------------------------------------------

    @rule(
        h=handles,
        key=keys,
        operation=st.sampled_from(OPERATIONS),
        condition=st.sampled_from(CONDITIONS),
        retrieve=st.sampled_from(RETRIEVE_MODES),
        value=st.one_of(values, jokers),
        expected=st.integers(-2, 20),
    )
    def conditional(
        self,
        h: int,
        key: Key,
        operation: str,
        condition: Any,
        retrieve: Any,
        value: Any,
        expected: int,
    ) -> None:
        """Call a conditional operation, with the current etag or one that was seen before."""
        if "discard" in operation:
            retrieve = None
        if operation == "setdefault_if" and value in (KEEP_CURRENT, DELETE_CURRENT):
            value = 0
        call = Call(operation, condition, self.expected(key, expected), retrieve, value)
        outcome = oracle(self.model.get(key), call, self.policy)
        got = attempt(lambda: call.on(self.dicts[h], key))
        before = self.model.get(key)
        replaced = before.etag if before and self.unique_etags else None
        wrong = mismatch(outcome, got, replaced)
        assert not wrong, f"{call} on {before}: {wrong}"
        self.follow(key, outcome.state, got, self.dicts[1 - h])

    def expected(self, key: Key, number: int) -> ETagIfExists:
        """Return no etag, the current one, or one of all that were ever seen."""
        if number == -2:
            return ITEM_NOT_AVAILABLE
        if number < 2 and key in self.model:
            return copied(self.model[key].etag)
        return self.etags[number % len(self.etags)]

    def follow(self, key: Key, state: Version | None, got: Got, other: AnyDict) -> None:
        """Bring the model to the state after a conditional operation."""
        if state is None:
            self.model.pop(key, None)
        elif state.etag == NEW_ETAG:
            self.learn(key, state.value, other)
            assert got.result.resulting_etag == self.model[key].etag


class DictMachine(AnyDictMachine):
    """All public operations of a dictionary in which items may change."""

    @rule(h=handles, key=keys, value=values)
    def assign(self, h: int, key: Key, value: Any) -> None:
        """Write, whether there is an item or not."""
        self.dicts[h][key] = value
        self.learn(key, value, self.dicts[1 - h])

    @rule(h=handles, new=st.dictionaries(keys, values, max_size=3), operator=st.booleans())
    def update(self, h: int, new: dict[Key, Any], operator: bool) -> None:
        """Write several items."""
        d = self.dicts[h]
        if operator:
            d |= new
        else:
            d.update(new)
        for key, value in new.items():
            self.learn(key, value, self.dicts[1 - h])

    @rule(h=handles, key=keys, remove=st.sampled_from(("discard", "delete_if_exists")))
    def discard(self, h: int, key: Key, remove: str) -> None:
        """Remove an item, or none."""
        removed = getattr(self.dicts[h], remove)(key)
        assert removed is (self.model.pop(key, None) is not None)

    @rule(h=handles, key=keys)
    def delete_by_joker(self, h: int, key: Key) -> None:
        """Assign the joker that removes."""
        self.dicts[h][key] = DELETE_CURRENT
        self.model.pop(key, None)

    @rule(h=handles, key=keys)
    def delete(self, h: int, key: Key) -> None:
        """Remove an item that is there."""
        if key in self.model:
            del self.dicts[h][key]
            del self.model[key]

    @rule(h=handles, key=keys)
    def pop(self, h: int, key: Key) -> None:
        """Take an item out."""
        found = self.model.pop(key, None)
        assert self.dicts[h].pop(key, "default") == (found.value if found else "default")

    @rule(h=handles)
    def popitem(self, h: int) -> None:
        """Take any item out."""
        if self.model:
            key, value = self.dicts[h].popitem()
            assert self.model.pop(Key(key)).value == value
        else:
            assert isinstance(attempt(self.dicts[h].popitem).error, KeyError)

    @rule(h=handles)
    def clear(self, h: int) -> None:
        """Remove everything."""
        self.dicts[h].clear()
        self.model.clear()

    @rule(h=handles, key=keys, answer=st.one_of(values, jokers))
    def transform(self, h: int, key: Key, answer: Any) -> None:
        """Replace an item by the answer of a function."""
        given: list[Any] = []

        def transformer(current: Any, /) -> Any:
            given.append(current)
            return answer

        before = self.model.get(key)
        result = self.dicts[h].transform_item(key, transformer=transformer)
        assert given == [ITEM_NOT_AVAILABLE if before is None else before.value]
        self.transformed(key, answer, self.dicts[1 - h])
        after = self.model.get(key)
        assert result.resulting_etag == etag_of(after)
        assert result.new_value == (ITEM_NOT_AVAILABLE if after is None else after.value)

    def transformed(self, key: Key, answer: Any, other: AnyDict) -> None:
        """Bring the model to the state after a transformation."""
        if answer is DELETE_CURRENT:
            self.model.pop(key, None)
        elif answer is not KEEP_CURRENT:
            self.learn(key, answer, other)

    @precondition(lambda self: self.has_subdicts)
    @rule(h=handles, prefix=st.sampled_from(PREFIXES), value=values, act=st.integers(0, 2))
    def change_subdict(self, h: int, prefix: tuple[str, ...], value: Any, act: int) -> None:
        """Write, remove or clear under a prefix."""
        sub, under = self.dicts[h].get_subdict(prefix), self.under(prefix)
        key = Key(*prefix, "e")
        if act == 0 and key in POOL:
            sub["e"] = value
            self.learn(key, value, self.dicts[1 - h])
        elif act == 1:
            for each in under:
                assert sub.pop(each[len(prefix) :]) == self.model.pop(Key(each)).value
        else:
            sub.clear()
            self.model = {key: v for key, v in self.model.items() if key.strings not in under}


class AppendOnlyDictMachine(AnyDictMachine):
    """All public operations of a dictionary in which items never change."""

    policy: ClassVar[Policy] = APPEND_ONLY

    @rule(h=handles, key=keys, removal=st.sampled_from(sorted(REMOVALS)))
    def remove(self, h: int, key: Key, removal: str) -> None:
        """Try to remove."""
        self.check_refused(lambda: REMOVALS[removal](self.dicts[h], key))

    @rule(h=handles, key=keys, value=values)
    def overwrite(self, h: int, key: Key, value: Any) -> None:
        """Try to write over an item."""
        if key in self.model:
            self.check_refused(lambda: self.dicts[h].__setitem__(key, value))

    @rule(h=handles, key=keys, answer=st.one_of(values, jokers))
    def transform(self, h: int, key: Key, answer: Any) -> None:
        """Insert through a function, or try to change."""

        def act() -> Any:
            return self.dicts[h].transform_item(key, transformer=lambda _: answer)

        if key in self.model and answer is not KEEP_CURRENT:
            self.check_refused(act)
            return
        act()
        if answer is not KEEP_CURRENT and answer is not DELETE_CURRENT:
            self.learn(key, answer, self.dicts[1 - h])

    def check_refused(self, act: Callable[[], Any]) -> None:
        """Check that something is refused by policy."""
        assert type(attempt(act).error) is MutationPolicyError
