"""Transient failures of the file system are survived; others surface at once."""

import builtins
import errno
import io
import os

import pytest

from persidict import ANY_ETAG, ITEM_NOT_AVAILABLE, FileDirDict

CALLS = "open stat lstat unlink remove replace rename link scandir listdir mkdir".split()

DENIED = PermissionError(errno.EACCES, "denied")


@pytest.fixture
def d(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    d["a"] = 1
    return d


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Let the first `n` system calls on the files of the dict fail with `error`."""

    def start(n, error=DENIED):
        left = [n]

        def flaky(original):
            def call(path, *args, **kwargs):
                if left[0] and str(path).startswith(str(tmp_path / "d")):
                    left[0] -= 1
                    raise error
                return original(path, *args, **kwargs)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, flaky(getattr(os, name)))
        monkeypatch.setattr(builtins, "open", flaky(builtins.open))
        monkeypatch.setattr(io, "open", flaky(io.open))
        return left

    return start


OPERATIONS = {
    "[]": (lambda d: d["a"], 1),
    "get": (lambda d: d.get("a"), 1),
    "in": (lambda d: "a" in d, True),
    "not in": (lambda d: "b" in d, False),
    "del": (lambda d: d.__delitem__("a"), None),
    "discard": (lambda d: d.discard("a"), True),
    "etag": (lambda d: type(d.etag("a")), str),
    "timestamp": (lambda d: type(d.timestamp("a")), float),
    "setdefault": (lambda d: d.setdefault("a", 2), 1),
    "setdefault-new": (lambda d: d.setdefault("b", 2), 2),
    "[]=": (lambda d: d.__setitem__("a", 2), None),
    "pop": (lambda d: d.pop("a"), 1),
    "set_item_if": (
        lambda d: (
            d.set_item_if(
                "a", value=2, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
            ).new_value
        ),
        2,
    ),
    "transform_item": (lambda d: d.transform_item("a", transformer=lambda v: v + 1).new_value, 2),
}
each_operation = pytest.mark.parametrize(
    ("call", "result"), OPERATIONS.values(), ids=OPERATIONS.keys()
)


@each_operation
@pytest.mark.parametrize("times", [1, 2, 3])
def test_denials_that_pass_are_survived(d, failing, pauses, call, result, times):
    left = failing(times)
    assert call(d) == result
    assert left == [0]
    # what a failure may have left is removed, and that is not tried again
    assert max(1, times - 1) <= len(pauses) <= times


@pytest.mark.parametrize("name", ["replace", "unlink", "link", "open"])
def test_a_denial_of_each_step_of_a_write_is_survived(d, monkeypatch, pauses, name):
    original, left = getattr(os, name), [2]

    def flaky(*args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "denied")
        return original(*args, **kwargs)

    monkeypatch.setattr(os, name, flaky)
    d["a"] = 2
    assert d.setdefault("b", 3) == 3
    assert d.discard("a") is True
    assert dict(d.items()) == {d.random_key(): 3}
    assert left == [0]


@each_operation
def test_a_denial_that_stays_surfaces_after_twelve_attempts_at_most(
    d, failing, pauses, call, result
):
    failing(10**6)
    with pytest.raises(PermissionError):
        call(d)
    assert 1 <= len(pauses) <= 11
    for index, pause in enumerate(pauses):
        assert 0.01 * 1.75**index <= pause <= 0.2 * 1.75**index


@each_operation
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.ENAMETOOLONG])
def test_other_errors_surface_at_once(d, failing, pauses, call, result, number):
    left = failing(10**6, OSError(number, os.strerror(number)))
    with pytest.raises(OSError) as caught:
        call(d)
    assert caught.value.errno == number
    assert pauses == []
    assert left[0] >= 10**6 - 2


def test_a_denied_write_leaves_the_old_value_and_no_temporary_file(
    d, monkeypatch, pauses, tmp_path
):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", denied)
        with pytest.raises(PermissionError):
            d["a"] = 2
    assert (d["a"], os.listdir(tmp_path / "d")) == (1, ["a.pkl"])


def test_pauses_do_not_disturb_what_a_user_has_seeded(d, failing, pauses):
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    failing(2)
    assert d["a"] == 1
    assert random.random() == expected


def test_decoding_is_never_repeated(d, pauses, tmp_path):
    (tmp_path / "d" / "a.pkl").write_bytes(b"damaged")
    with pytest.raises(RuntimeError):
        d["a"]
    assert pauses == []


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS])
def test_a_file_system_without_hard_links_inserts_all_the_same(d, monkeypatch, error, pauses):
    def unsupported(*args, **kwargs):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", unsupported)
    assert d.setdefault("b", 2) == 2
    assert d.setdefault("b", 3) == 2
    assert sorted(d.values()) == [1, 2]
    assert not [name for name in os.listdir(d.base_dir) if "__tmp__" in name]
