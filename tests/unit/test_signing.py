"""Signed key components: golden vectors and the rules of signing and unsigning."""

import base64
import hashlib

import pytest

from persidict import SafeStrTuple
from persidict.safe_str_tuple_signing import sign_safe_str_tuple, unsign_safe_str_tuple

GOLDEN = """
Key    r rfzv rfzvnfkm rfzvnfkmftj5igzcdy7sj6m3xi
key    h hrxa hrxaxcu4 hrxaxcu4curevarixguyziktdu
KEY    h hnmu hnmutygc hnmutygcnodxm6shkkrhnxuvoa
a      b btax btaxlooa btaxlooa6g3kqmodthrgs5zgme
aaAA   y y47p y47pfqv4 y47pfqv4hkbutt65as27qsmxxi
x.y    w wlkm wlkm2kcy wlkm2kcy747ltw2yxw62vedoee
k_with e evik evikibul evikibul2r2feqbp3h6iapgfxi
~t=1   f fkwo fkworysa fkworysav56dligzitpafbxch4
"""
VECTORS = [
    (component, length, f"{component}_{suffix}")
    for component, *suffixes in map(str.split, GOLDEN.strip().splitlines())
    for length, suffix in zip((1, 4, 8, 26), suffixes, strict=True)
]


@pytest.mark.parametrize(("component", "length", "signed"), VECTORS)
def test_golden_vectors(component, length, signed):
    assert sign_safe_str_tuple(component, length).strings == (signed,)
    assert unsign_safe_str_tuple(signed, length).strings == (component,)


def test_length_32_keeps_the_padding():
    signed = "Key_rfzvnfkmftj5igzcdy7sj6m3xi======"
    assert sign_safe_str_tuple("Key", 32) == signed
    assert unsign_safe_str_tuple(signed, 32) == "Key"


@pytest.mark.parametrize("length", range(1, 33))
def test_the_suffix_is_base32_of_md5_in_lower_case(length):
    digest = base64.b32encode(hashlib.md5(b"some.key").digest()).decode().lower()
    assert sign_safe_str_tuple("some.key", length) == f"some.key_{digest[:length]}"


@pytest.mark.parametrize("length", [1, 4, 8, 26, 32])
@pytest.mark.parametrize("key", ["a", ("a", "b", "C.c"), ("x_", "_", "a_btax"), ("Key", "key")])
def test_signing_twice_is_signing_once(key, length):
    once = sign_safe_str_tuple(key, length)
    assert sign_safe_str_tuple(once, length) == once


@pytest.mark.parametrize("length", [1, 4, 8, 26, 32])
@pytest.mark.parametrize("key", ["a", ("a", "b", "C.c"), ("x_", "_", "..."), ("Key", "key")])
def test_unsigning_undoes_signing(key, length):
    assert unsign_safe_str_tuple(sign_safe_str_tuple(key, length), length) == SafeStrTuple(key)


@pytest.mark.parametrize("component", ["_btax", "btax", "a_btay", "a_BTAX", "b_btax", "a-btax"])
def test_only_a_valid_suffix_counts_as_one(component):
    assert unsign_safe_str_tuple(component, 4) == component
    assert len(sign_safe_str_tuple(component, 4)[0]) == len(component) + 5


@pytest.mark.parametrize("length", [1, 4, 8, 26])
def test_the_suffix_of_nothing_is_no_suffix(length):
    digest = base64.b32encode(hashlib.md5(b"").digest()).decode().lower()
    component = f"_{digest[:length]}"
    assert unsign_safe_str_tuple(component, length) == component
    assert len(sign_safe_str_tuple(component, length)[0]) == 2 * (length + 1)


def test_a_key_that_looks_signed_is_left_alone():
    assert sign_safe_str_tuple("a_btax", 4) == "a_btax"


def test_a_bare_suffix_is_signed_like_any_component():
    assert sign_safe_str_tuple("_btax", 4) == "_btax_r7f5"


def test_each_component_is_signed_on_its_own():
    assert sign_safe_str_tuple(("a", "b", "C.c"), 4) == ("a_btax", "b_slvv", "C.c_wlyb")
    assert unsign_safe_str_tuple(("a_btax", "plain", "b_slvv"), 4) == ("a", "plain", "b")


@pytest.mark.parametrize("function", [sign_safe_str_tuple, unsign_safe_str_tuple])
class TestBothFunctions:
    def test_length_zero_changes_nothing(self, function):
        assert function(("a", "a_btax"), 0) == ("a", "a_btax")

    def test_no_components_change_nothing(self, function):
        assert function((), 4) == ()

    @pytest.mark.parametrize("length", [-1, 0, 33])
    def test_a_length_for_no_components_is_not_looked_at(self, function, length):
        assert function((), length) == ()

    @pytest.mark.parametrize("source", ["a", ["a"], ("a",), SafeStrTuple("a"), [["a"]]])
    def test_takes_what_the_constructor_takes(self, function, source):
        assert isinstance(function(source, 4), SafeStrTuple)

    def test_arguments_have_names(self, function):
        assert function(str_seq="a", digest_len=4) == function("a", 4)

    @pytest.mark.parametrize("length", ["4", 4.0, None, [4]])
    def test_a_length_that_is_no_int_is_a_type_error(self, function, length):
        with pytest.raises(TypeError):
            function("a", length)

    def test_a_negative_length_is_a_value_error(self, function):
        with pytest.raises(ValueError):
            function("a", -1)

    def test_an_illegal_component_is_a_value_error(self, function):
        with pytest.raises(ValueError):
            function("a/b", 4)


def test_the_length_limit_holds_for_the_signed_component():
    assert len(sign_safe_str_tuple("a" * 248, 4)[0]) == 253
    with pytest.raises(ValueError):
        sign_safe_str_tuple("a" * 249, 4)


@pytest.mark.parametrize("length", [33, 100])
def test_lengths_beyond_the_digest_are_clamped_or_refused(length):
    try:
        signed = sign_safe_str_tuple("Key", length)
    except ValueError:
        return
    assert sign_safe_str_tuple(signed, length) == signed
    assert unsign_safe_str_tuple(signed, length) == "Key"
