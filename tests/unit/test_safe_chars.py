"""Which characters a key may have."""

import string

import pytest

from persidict.safe_chars import (
    SAFE_CHARS_SET,
    SAFE_STRING_MAX_LENGTH,
    contains_unsafe_chars,
    get_safe_chars,
    replace_unsafe_chars,
)


def test_the_safe_set_is_letters_digits_and_seven_signs():
    assert set(string.ascii_letters + string.digits + "()_-~.=") == SAFE_CHARS_SET
    assert len(SAFE_CHARS_SET) == 69


def test_the_safe_set_is_a_set():
    assert type(SAFE_CHARS_SET) is set


def test_the_length_limit_is_254():
    assert SAFE_STRING_MAX_LENGTH == 254


def test_each_call_gives_a_copy_of_the_safe_set():
    mine = get_safe_chars()
    mine.add("/")
    assert type(mine) is set
    assert get_safe_chars() == SAFE_CHARS_SET


@pytest.mark.parametrize(
    ("text", "replacement", "result"),
    [
        ("a@b*c", "_", "a_b_c"),
        ("a@b", "", "ab"),
        ("a@b", "<->", "a<->b"),
        ("@@", "x", "xx"),
        ("", "_", ""),
        ("fine.txt", "_", "fine.txt"),
        ("é\n", "__", "____"),
    ],
)
def test_each_unsafe_character_is_replaced_by_the_whole_replacement(text, replacement, result):
    assert replace_unsafe_chars(text, replacement) == result


@pytest.mark.parametrize("arguments", [(), ("a",)])
def test_both_arguments_of_replace_are_required(arguments):
    with pytest.raises(TypeError):
        replace_unsafe_chars(*arguments)


def test_arguments_of_replace_have_names():
    assert replace_unsafe_chars(a_str="a b", replace_with="_") == "a_b"


@pytest.mark.parametrize(
    ("text", "unsafe"),
    [("abc", False), ("", False), ("a b", True), ("a/b", True), ("ä", True), ("()_-~.=", False)],
)
def test_contains_unsafe_chars(text, unsafe):
    assert contains_unsafe_chars(text) is unsafe
