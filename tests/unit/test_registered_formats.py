"""Formats of the user: a codec registered under an extension."""

import pytest

from persidict import Codec, DamagedItemError, FileDirDict, LocalDict, register_format
from tests.ids import stable


class Digits(Codec):
    """Integers as decimal digits."""

    def encode(self, value):
        return b"%d" % value

    def decode(self, data):
        return int(data)


@pytest.fixture
def d(tmp_path):
    register_format("digits", Digits())
    return FileDirDict(base_dir=tmp_path, serialization_format="digits", digest_len=0)


def test_values_go_through_the_codec(d, tmp_path):
    d["a"] = 42
    assert (tmp_path / "a.digits").read_bytes() == b"42"
    assert d["a"] == 42
    assert list(d) == ["a"]


def test_the_base_class_is_free(tmp_path):
    register_format("digits", Digits())
    for cls in (FileDirDict, LocalDict):
        kwargs = {"base_dir": tmp_path} if cls is FileDirDict else {}
        assert cls(serialization_format="digits", base_class_for_values=int, **kwargs) == {}


def test_a_value_the_codec_refuses_is_not_stored(d, tmp_path, pauses):
    with pytest.raises(TypeError):
        d["a"] = "text"
    assert (list(tmp_path.iterdir()), pauses) == ([], [])


def test_bytes_the_codec_refuses_are_damage(d, tmp_path):
    (tmp_path / "a.digits").write_bytes(b"4x")
    with pytest.raises(DamagedItemError) as caught:
        d["a"]
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_name_can_be_registered_again(tmp_path):
    class Negative(Digits):
        def decode(self, data):
            return -int(data)

    register_format("digits", Negative())
    d = FileDirDict(base_dir=tmp_path, serialization_format="digits")
    d["a"] = 42
    assert d["a"] == -42


@pytest.mark.parametrize("name", ["pkl", "json", "", "a/b", "a b"])
def test_built_in_and_illegal_names_are_refused(name):
    with pytest.raises(ValueError):
        register_format(name, Digits())


@pytest.mark.parametrize("codec", [None, Digits, object()], ids=stable)
def test_only_codecs_are_registered(codec):
    with pytest.raises(TypeError):
        register_format("other", codec)


def test_an_incomplete_codec_cannot_be_made():
    with pytest.raises(TypeError, match="decode"):
        type("Incomplete", (Codec,), {"encode": Digits.encode})()
