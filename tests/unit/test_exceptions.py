"""The exceptions: bases, constructors, attributes, messages, and that they travel."""

import copy
import pickle

import pytest

from persidict import (
    BackendError,
    ConcurrencyConflictError,
    DamagedItemError,
    MutationPolicyError,
    NonEmptySafeStrTuple,
)

KEY = NonEmptySafeStrTuple("a", "b")
ERRORS = [
    MutationPolicyError("append-only"),
    ConcurrencyConflictError(KEY, 7),
    BackendError("it broke", backend="filesystem", operation="read", key=KEY),
]
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (MutationPolicyError, TypeError),
        (ConcurrencyConflictError, RuntimeError),
        (BackendError, RuntimeError),
        (DamagedItemError, BackendError),
    ],
)
def test_each_error_is_what_callers_already_catch(cls, base):
    assert issubclass(cls, base)
    assert not issubclass(cls, (KeyError, OSError))


def test_a_policy_error_is_its_policy():
    error = MutationPolicyError(policy="write-once")
    assert error.policy == str(error) == "write-once"


def test_a_conflict_names_key_and_attempts():
    error = ConcurrencyConflictError(key=KEY, attempts=7)
    assert (error.key, error.attempts) == (KEY, 7)
    assert "7" in str(error)
    assert "'a', 'b'" in str(error)


def test_a_backend_error_says_where_and_at_what():
    error = BackendError("it broke", backend="filesystem", operation="read", key=KEY)
    assert (error.backend, error.operation, error.key) == ("filesystem", "read", KEY)
    assert str(error) == "it broke"


def test_a_backend_error_need_not_be_about_a_key():
    assert BackendError("it broke", backend="filesystem", operation="init").key is None


@pytest.mark.parametrize(
    "kwargs", [{}, {"backend": "filesystem"}, {"operation": "init"}, {"key": KEY}]
)
def test_backend_and_operation_are_required(kwargs):
    with pytest.raises(TypeError):
        BackendError("it broke", **kwargs)


def test_all_but_the_message_are_keywords():
    with pytest.raises(TypeError):
        BackendError("it broke", "filesystem", "init")


@each_error
@pytest.mark.parametrize(
    "travel", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_errors_travel_between_processes(error, travel):
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
