"""Text formats: the bytes are the string in UTF-8, unmodified in both directions."""

import inspect
import os

import pytest

from persidict import DamagedItemError, FileDirDict, LocalDict
from tests.ids import stable

TEXTS = [
    "",
    "x",
    "no newline at the end",
    "unix\n",
    "dos\r\n",
    "mac\r",
    "mixed\r\n\n\r\r\n",
    "é日本😀",
    "\0\x01\x7f",
    "\ufeffwith a byte order mark",
    "\u2028\u2029\x85",
    inspect.getsource(inspect),
]
each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda t: ascii(t[:20]))


@pytest.fixture
def d(tmp_path):
    return FileDirDict(
        base_dir=tmp_path, serialization_format="txt", base_class_for_values=str, digest_len=0
    )


@each_text
def test_the_file_is_the_text(d, tmp_path, text):
    d["a"] = text
    assert (tmp_path / "a.txt").read_bytes() == text.encode("utf-8")


@each_text
def test_text_comes_back_verbatim(d, text):
    d["a"] = text
    assert d["a"] == text
    assert type(d["a"]) is str


@each_text
def test_text_in_memory_comes_back_verbatim(text):
    d = LocalDict(serialization_format="txt", base_class_for_values=str)
    d["a"] = text
    assert d["a"] == text


def test_the_locale_does_not_matter(python, tmp_path):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **os.environ}
    code = r"""
from persidict import FileDirDict
d = FileDirDict(base_dir=".", serialization_format="txt", base_class_for_values=str, digest_len=0)
d["a"] = "\u65e5\r\n"
print(ascii(d["a"]))
"""
    assert python(code, env=env) == r"'\u65e5\r\n'"
    assert (tmp_path / "a.txt").read_bytes() == "日\r\n".encode()


@pytest.mark.parametrize("value", [1, None, b"bytes", ["text"]], ids=stable)
def test_only_text_is_stored(d, value):
    with pytest.raises(TypeError, match="str"):
        d["a"] = value
    assert len(d) == 0


def test_a_string_that_is_no_unicode_text_is_refused_and_the_old_one_stays(d, tmp_path, pauses):
    d["a"] = "old"
    with pytest.raises(UnicodeEncodeError):
        d["a"] = "\ud800"
    assert (d["a"], os.listdir(tmp_path), pauses) == ("old", ["a.txt"], [])


def test_bytes_that_are_no_text_are_damage(d, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(DamagedItemError):
        d["a"]


def test_the_format_is_the_extension(tmp_path):
    for name in ("csv", "md", "my.ext"):
        FileDirDict(
            base_dir=tmp_path, serialization_format=name, base_class_for_values=str, digest_len=0
        )["k"] = name
    assert sorted(os.listdir(tmp_path)) == ["k.csv", "k.md", "k.my.ext"]
