"""Flags and sentinels: one instance each, wherever it travels."""

import copy
import pickle

import jsonpickle
import pytest

from persidict import LocalDict
from persidict import jokers_and_status_flags as module

TABLE = """
KEEP_CURRENT              KeepCurrentFlag             Joker
DELETE_CURRENT            DeleteCurrentFlag           Joker
ITEM_NOT_AVAILABLE        ItemNotAvailableFlag        object
VALUE_NOT_RETRIEVED       ValueNotRetrievedFlag       object
ANY_ETAG                  AnyETagFlag                 ETagConditionFlag
ETAG_IS_THE_SAME          ETagIsTheSameFlag           ETagConditionFlag
ETAG_HAS_CHANGED          ETagHasChangedFlag          ETagConditionFlag
ALWAYS_RETRIEVE           AlwaysRetrieveFlag          RetrieveValueFlag
NEVER_RETRIEVE            NeverRetrieveFlag           RetrieveValueFlag
IF_ETAG_CHANGED           IfETagChangedRetrieveFlag   RetrieveValueFlag
CONTINUE_NORMAL_EXECUTION ContinueNormalExecutionFlag StatusFlag
EXECUTION_IS_COMPLETE     ExecutionIsCompleteFlag     StatusFlag
"""
ROWS = [row.split() for row in TABLE.strip().splitlines()]
BASES = {"Joker", "StatusFlag", "ETagConditionFlag", "RetrieveValueFlag"}
FLAGS = {name: getattr(module, name) for name, _, _ in ROWS}

each_flag = pytest.mark.parametrize("flag", FLAGS.values(), ids=FLAGS)


@pytest.mark.parametrize(("name", "class_name", "base"), ROWS)
def test_the_constant_is_the_only_instance_of_its_class(name, class_name, base):
    cls = getattr(module, class_name)
    assert cls() is cls() is FLAGS[name]
    assert type(FLAGS[name]) is cls


@pytest.mark.parametrize(("name", "class_name", "base"), ROWS)
def test_each_flag_belongs_to_one_family(name, class_name, base):
    families = {b for b in BASES if isinstance(FLAGS[name], getattr(module, b))}
    assert families == {base} - {"object"}


def test_all_flags_differ():
    assert len(set(FLAGS.values())) == len(ROWS) == 12


@each_flag
def test_identity_survives_copying(flag):
    assert copy.copy(flag) is flag
    assert copy.deepcopy(flag) is flag
    assert copy.deepcopy({"nested": [flag]})["nested"][0] is flag


@each_flag
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_identity_survives_pickling(flag, protocol):
    assert pickle.loads(pickle.dumps(flag, protocol)) is flag
    assert pickle.loads(pickle.dumps([flag, flag], protocol)) == [flag, flag]


@pytest.mark.filterwarnings("ignore:keys will default:DeprecationWarning")
@each_flag
def test_identity_survives_jsonpickle(flag):
    assert jsonpickle.decode(jsonpickle.encode(flag)) is flag
    nested = jsonpickle.decode(jsonpickle.encode({"nested": [flag, (flag,)]}))
    assert nested["nested"][0] is nested["nested"][1][0] is flag


@each_flag
def test_identity_survives_another_process(flag, python):
    arriving = f"pickle.loads(bytes.fromhex({pickle.dumps(flag).hex()!r}))"
    name = next(name for name in FLAGS if FLAGS[name] is flag)
    code = f"import pickle; from persidict.jokers_and_status_flags import {name} as flag"
    assert python(f"{code}; print({arriving} is flag)") == "True"


@each_flag
def test_class_and_parameters_give_the_flag_back(flag):
    assert flag.get_params() == {}
    assert type(flag)(**flag.get_params()) is flag


@each_flag
def test_flags_are_true_hashable_and_compare_by_identity(flag):
    assert bool(flag) is True
    assert {flag: 1}[flag] == 1
    assert [other for other in FLAGS.values() if other == flag] == [flag]
    assert flag != "text"


@each_flag
def test_repr_names_the_class(flag):
    assert type(flag).__name__ in repr(flag)


@pytest.mark.parametrize("name", ["ITEM_NOT_AVAILABLE", "VALUE_NOT_RETRIEVED", "ANY_ETAG"])
def test_a_sentinel_stored_as_a_value_comes_back_as_itself(d, name):
    memory = LocalDict()
    d["a"] = memory["a"] = FLAGS[name]
    assert d["a"] is memory["a"] is FLAGS[name]
