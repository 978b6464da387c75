"""Which error is raised when; unmet conditions and absent keys of conditional calls are none."""

import pytest

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    AppendOnlyDictCached,
    BackendError,
    ConcurrencyConflictError,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    MutationPolicyError,
    WriteOnceDict,
)

ABSENT = {
    "[]": lambda d: d["a"],
    "del": lambda d: d.__delitem__("a"),
    "timestamp": lambda d: d.timestamp("a"),
    "etag": lambda d: d.etag("a"),
}


@pytest.mark.parametrize("call", ABSENT.values(), ids=ABSENT)
def test_a_key_error_is_chained_from_the_error_of_the_file_system(d, call):
    with pytest.raises(KeyError) as caught:
        call(d)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("call", ABSENT.values(), ids=ABSENT)
def test_absent_items_are_key_errors_everywhere(mutable, call):
    with pytest.raises(KeyError):
        call(mutable)


def test_wrappers_let_the_cause_of_a_key_error_pass(tmp_path):
    main = FileDirDict(base_dir=tmp_path, append_only=True)
    cached = AppendOnlyDictCached(main_dict=main, data_cache=LocalDict(append_only=True))
    for wrapper in (cached, WriteOnceDict(wrapped_dict=main)):
        with pytest.raises(KeyError) as caught:
            wrapper["a"]
        assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(
    "write",
    [
        lambda d: d.__setitem__("a", 2),
        lambda d: d.__setitem__("a", DELETE_CURRENT),
        lambda d: d.__delitem__("a"),
        lambda d: d.discard("a"),
        lambda d: d.delete_if_exists("a"),
        lambda d: d.clear(),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.update(a=2),
    ],
)
def test_what_the_policy_refuses_is_a_policy_error(append_only, write):
    append_only["a"] = 1
    with pytest.raises(MutationPolicyError) as caught:
        write(append_only)
    assert caught.value.policy == "append-only"
    assert append_only["a"] == 1


def test_exhausted_retries_are_a_conflict(d, pauses):
    d["a"] = 0
    with pytest.raises(ConcurrencyConflictError):
        d.transform_item("a", transformer=lambda v: d.update(a=v + 1) or v, n_retries=1)


def test_a_store_that_cannot_be_opened_is_a_backend_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BackendError) as caught:
        FileDirDict(base_dir=tmp_path / "file" / "below")
    assert (caught.value.backend, caught.value.operation) == ("filesystem", "init")


@pytest.mark.parametrize("condition", [ANY_ETAG, ETAG_IS_THE_SAME, ETAG_HAS_CHANGED])
@pytest.mark.parametrize("expected", [ITEM_NOT_AVAILABLE, "another etag"])
def test_absent_keys_and_unmet_conditions_are_results(mutable, condition, expected):
    what = {"condition": condition, "expected_etag": expected}
    assert mutable.get_item_if("a", **what).new_value is ITEM_NOT_AVAILABLE
    assert mutable.discard_item_if("a", **what).new_value is ITEM_NOT_AVAILABLE
    assert isinstance(mutable.set_item_if("a", value=1, **what).condition_was_satisfied, bool)


EXITS = pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])


@EXITS
def test_interruptions_of_a_transformer_are_never_caught(mutable, interruption):
    def interrupted(current):
        raise interruption

    with pytest.raises(interruption):
        mutable.transform_item("a", transformer=interrupted)


class Interrupting:
    """A value that interrupts whoever pickles it."""

    def __reduce__(self):
        raise self.interruption


@EXITS
def test_interruptions_of_an_encoder_are_never_caught_and_leave_nothing(d, interruption, pauses):
    value = Interrupting()
    value.interruption = interruption
    with pytest.raises(interruption):
        d["a"] = value
    assert len(d) == 0
    assert pauses == []


@EXITS
def test_interruptions_of_an_etag_cache_are_never_caught(tmp_path, interruption, monkeypatch):
    etags = LocalDict(serialization_format="etag", base_class_for_values=str)
    cached = MutableDictCached(main_dict=LocalDict(), data_cache=LocalDict(), etag_cache=etags)
    cached["a"] = 1

    def interrupted(*args, **kwargs):
        raise interruption

    for name in ("__getitem__", "get", "get_with_etag", "get_item_if", "_read"):
        monkeypatch.setattr(LocalDict, name, interrupted, raising=False)
    with pytest.raises(interruption):
        cached["a"]
