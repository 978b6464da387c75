"""The public names of the package, what they are, and the modules they can be imported from."""

import importlib
import inspect
import typing
from collections.abc import Sequence

import pytest

import persidict

NAMES = """
__version__ PersiDict PersiDictKey NonEmptyPersiDictKey
MutationPolicyError ConcurrencyConflictError BackendError
FileDirDict S3Dict S3Dict_FileDirCached BasicS3Dict LocalDict
WriteOnceDict EmptyDict OverlappingMultiDict AppendOnlyDictCached MutableDictCached
SafeStrTuple NonEmptySafeStrTuple get_safe_chars replace_unsafe_chars
KEEP_CURRENT DELETE_CURRENT Joker KeepCurrentFlag DeleteCurrentFlag ETagValue
ETagConditionFlag AnyETagFlag ETagIsTheSameFlag ETagHasChangedFlag
ANY_ETAG ETAG_IS_THE_SAME ETAG_HAS_CHANGED
RetrieveValueFlag AlwaysRetrieveFlag NeverRetrieveFlag IfETagChangedRetrieveFlag
ALWAYS_RETRIEVE NEVER_RETRIEVE IF_ETAG_CHANGED
ItemNotAvailableFlag ValueNotRetrievedFlag ITEM_NOT_AVAILABLE VALUE_NOT_RETRIEVED
ETagIfExists ValueType TransformingFunction OperationResult ConditionalOperationResult
""".split()

DICTS = [
    "PersiDict",
    "FileDirDict",
    "LocalDict",
    "EmptyDict",
    "WriteOnceDict",
    "AppendOnlyDictCached",
    "MutableDictCached",
    "BasicS3Dict",
    "S3Dict",
]


def test_the_list_of_names_is_complete():
    assert len(NAMES) == len(set(NAMES)) == 50


@pytest.mark.parametrize("name", NAMES)
def test_each_promised_name_is_exported(name):
    assert name in persidict.__all__


def test_everything_exported_exists_and_is_listed_once():
    assert len(persidict.__all__) == len(set(persidict.__all__))
    assert all(hasattr(persidict, name) for name in persidict.__all__)


def test_star_import_gives_exactly_what_is_listed():
    names = {}
    exec("from persidict import *", names)
    assert set(names) - {"__builtins__"} == set(persidict.__all__)


def test_dir_shows_what_is_exported():
    assert set(persidict.__all__) <= set(dir(persidict))


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        persidict.no_such_name


@pytest.mark.parametrize(
    "name", ["SAFE_CHARS_SET", "SAFE_STRING_MAX_LENGTH", "contains_unsafe_chars"]
)
def test_reachable_without_being_listed(name):
    assert hasattr(persidict, name)


def test_the_two_names_of_the_cached_s3_dict_are_one_class():
    assert persidict.S3Dict is persidict.S3Dict_FileDirCached
    assert persidict.S3Dict.__name__ == "S3Dict_FileDirCached"


@pytest.mark.parametrize(
    ("alias", "first"),
    [("PersiDictKey", "SafeStrTuple"), ("NonEmptyPersiDictKey", "NonEmptySafeStrTuple")],
)
def test_key_aliases_are_unions_of_tuple_sequence_and_string(alias, first):
    members = set(typing.get_args(getattr(persidict, alias)))
    assert members == {getattr(persidict, first), Sequence[str], str}


def test_an_etag_is_a_plain_string_at_run_time():
    assert type(persidict.ETagValue("x")) is str
    assert persidict.ETagValue.__supertype__ is str
    assert persidict.ETagValue.__name__ == "ETagValue"


def test_an_etag_may_be_replaced_by_the_sentinel_of_absence():
    members = set(typing.get_args(persidict.ETagIfExists))
    assert members == {persidict.ETagValue, persidict.ItemNotAvailableFlag}


def test_value_type_is_a_type_variable():
    assert isinstance(persidict.ValueType, typing.TypeVar)


@pytest.mark.parametrize("thing", [len, str, lambda current: current, int.bit_length])
def test_any_callable_is_a_transforming_function(thing):
    assert isinstance(thing, persidict.TransformingFunction)


@pytest.mark.parametrize("thing", ["text", 1, None, [len]])
def test_what_cannot_be_called_is_no_transforming_function(thing):
    assert not isinstance(thing, persidict.TransformingFunction)


def test_a_transforming_function_takes_one_positional_argument():
    _, current = inspect.signature(persidict.TransformingFunction.__call__).parameters.values()
    assert current.kind is inspect.Parameter.POSITIONAL_ONLY


def test_a_transforming_function_can_be_parametrised():
    function = persidict.TransformingFunction
    assert function[int] is not function[str]


@pytest.mark.parametrize("name", DICTS)
@pytest.mark.parametrize("value_type", [int, str, typing.Any])
def test_dict_classes_are_generic_in_the_value_type(name, value_type):
    cls = getattr(persidict, name)
    assert typing.get_origin(cls[value_type]) is cls


def test_a_value_type_has_no_effect_at_run_time():
    d = persidict.LocalDict[int]()
    d["a"] = "not an int"
    assert type(d) is persidict.LocalDict
    assert d.base_class_for_values is None


FLAGS = """
KEEP_CURRENT DELETE_CURRENT ITEM_NOT_AVAILABLE VALUE_NOT_RETRIEVED ANY_ETAG ETAG_IS_THE_SAME
ETAG_HAS_CHANGED ALWAYS_RETRIEVE NEVER_RETRIEVE IF_ETAG_CHANGED CONTINUE_NORMAL_EXECUTION
EXECUTION_IS_COMPLETE KeepCurrentFlag DeleteCurrentFlag ItemNotAvailableFlag
ValueNotRetrievedFlag AnyETagFlag ETagIsTheSameFlag ETagHasChangedFlag AlwaysRetrieveFlag
NeverRetrieveFlag IfETagChangedRetrieveFlag ContinueNormalExecutionFlag ExecutionIsCompleteFlag
Joker StatusFlag ETagConditionFlag RetrieveValueFlag ETagValue ETagIfExists ValueType
TransformingFunction OperationResult ConditionalOperationResult
"""

MODULES = {
    "safe_chars": "SAFE_CHARS_SET SAFE_STRING_MAX_LENGTH get_safe_chars replace_unsafe_chars "
    "contains_unsafe_chars",
    "safe_str_tuple": "SafeStrTuple NonEmptySafeStrTuple",
    "safe_str_tuple_signing": "sign_safe_str_tuple unsign_safe_str_tuple",
    "exceptions": "MutationPolicyError ConcurrencyConflictError BackendError",
    "jokers_and_status_flags": FLAGS,
    "persi_dict": "PersiDict PersiDictKey NonEmptyPersiDictKey",
    "file_dir_dict": "FileDirDict FILEDIRDICT_DEFAULT_BASE_DIR add_long_path_prefix "
    "drop_long_path_prefix",
    "local_dict": "LocalDict",
    "empty_dict": "EmptyDict",
    "basic_s3_dict": "BasicS3Dict",
    "cached_mutable_dict": "MutableDictCached",
    "cached_appendonly_dict": "AppendOnlyDictCached",
    "write_once_dict": "WriteOnceDict",
    "overlapping_multi_dict": "OverlappingMultiDict",
    "s3_dict_file_dir_cached": "S3Dict_FileDirCached S3Dict",
}


@pytest.mark.parametrize(
    ("module", "name"), [(m, name) for m, names in MODULES.items() for name in names.split()]
)
def test_each_module_path_offers_its_names(module, name):
    offered = getattr(importlib.import_module(f"persidict.{module}"), name)
    assert offered is getattr(persidict, name, offered)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_can_be_imported_first(module, python):
    assert python(f"import persidict.{module}; print('fine')") == "fine"
