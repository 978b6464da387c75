"""The suites themselves: capabilities, the oracle, and what plants obstacles."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from persidict import (
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    LocalDict,
)
from persidict import testing as suites
from persidict.jokers_and_status_flags import ETagValue
from persidict.testing import Interleaved, Lacks, Suite, needs
from persidict.testing._fixtures import Unreadable, UnreadableError
from persidict.testing._oracle import satisfied
from persidict.testing._table import rows

ALL = [value for value in vars(suites).values() if isinstance(value, type)]


class Demanding(Suite):
    able: Any = True

    def test_any(self) -> None: ...

    @needs("able")
    def test_able(self) -> None: ...


class Unable(Demanding):
    able = Lacks("it was built without")


class AbleAgain(Unable):
    able = True


def test_tests_of_missing_capabilities_are_not_collected() -> None:
    """A test that needs what a class lacks is none of its attributes' business."""
    assert Unable.test_able is None
    assert Unable.test_any is not None
    assert AbleAgain.test_able is Demanding.test_able
    assert Unable.lacks() == {"able": "it was built without"}
    assert AbleAgain.lacks() == Demanding.lacks() == {}


@pytest.mark.parametrize("reason", ["", " ", "no", "not supported"])
def test_a_lack_has_a_reason(reason: str) -> None:
    """One word is not a reason."""
    with pytest.raises(ValueError):
        Lacks(reason)
    assert not Lacks("its memory belongs to one process")


@pytest.mark.parametrize("suite", [s for s in ALL if issubclass(s, Suite)])
def test_no_test_hides_another(suite: type) -> None:
    """Two parts of a suite with a test of the same name would lose one of them."""
    for name in (name for name in dir(suite) if name.startswith("test_")):
        defined = [base for base in suite.__mro__ if _own(base, name)]
        assert all(issubclass(one, other) for one, other in pairwise(defined)), name


def _own(base: type, name: str) -> bool:
    # `Suite` puts the same function, or None, into subclasses
    test = vars(base).get(name)
    inherited = [vars(b)[name] for b in base.__mro__[1:] if name in vars(b)]
    return test is not None and test not in inherited


ABSENT, E, F = ITEM_NOT_AVAILABLE, ETagValue("e"), ETagValue("f")


@pytest.mark.parametrize(
    ("actual", "expected", "any_etag", "same", "changed"),
    [
        (ABSENT, ABSENT, True, True, False),
        (ABSENT, E, True, False, True),
        (E, ABSENT, True, False, True),
        (E, E, True, True, False),
        (E, F, True, False, True),
    ],
)
def test_truth_table(actual: Any, expected: Any, any_etag: bool, same: bool, changed: bool) -> None:
    """The oracle's conditions, row by row."""
    assert satisfied(ANY_ETAG, expected, actual) is any_etag
    assert satisfied(ETAG_IS_THE_SAME, expected, actual) is same
    assert satisfied(ETAG_HAS_CHANGED, expected, actual) is changed


@pytest.mark.parametrize(
    ("operation", "absent", "present"),
    [
        ("get_with_etag", 1, 1),
        ("get_item_if", 24, 36),
        ("set_item_if", 72, 108),
        ("setdefault_if", 24, 36),
        ("discard_item_if", 6, 9),
        ("discard_if", 6, 9),
    ],
)
def test_the_table_is_complete(operation: str, absent: int, present: int) -> None:
    """3 conditions x 2 or 3 etags x 4 modes x 3 kinds of value, where they apply."""
    assert len(set(rows(operation, present=False))) == absent
    assert len(set(rows(operation, present=True))) == present


def test_unreadable_values_go_in_and_do_not_come_out() -> None:
    """They can be pickled or copied once, and never unpickled or copied again."""
    with pytest.raises(UnreadableError):
        pickle.loads(pickle.dumps(Unreadable()))
    stored = copy.deepcopy(Unreadable())
    with pytest.raises(UnreadableError):
        copy.deepcopy(stored)


def test_interleaved_acts_between_two_steps() -> None:
    """The action runs once, before the chosen step; afterwards the dictionary is as it was."""
    d: LocalDict[Any] = LocalDict()
    seen: list[Any] = []
    with Interleaved(d, before={2: lambda: seen.append(d.get("k"))}) as steps:
        d["k"] = 1
        assert not steps.happened
        d["k"] = 2
        d["k"] = 3
    assert steps.happened
    assert steps.calls == ["_write", "_write", "_write"]
    assert seen == [1]
    assert not {"_stat", "_read", "_write", "_remove"} & set(vars(d))


@pytest.mark.parametrize(
    ("module", "spared"), [("persidict", "pytest"), ("persidict.testing", "hypothesis")]
)
def test_imports_only_what_it_needs(module: str, spared: str) -> None:
    """The package needs no pytest, and the suites need no hypothesis."""
    code = f"import sys, {module}; print({spared!r} in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "False\n"
