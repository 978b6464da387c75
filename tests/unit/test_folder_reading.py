"""Value and etag come from one descriptor; a file changed in place is read again."""

import os

import pytest

from persidict import BackendError, FileDirDict


@pytest.fixture
def d(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d["a"] = "value"
    return d


@pytest.fixture
def touched(monkeypatch, tmp_path):
    """Touch the file of `a` right after each of the first `n` looks at a descriptor of it."""

    def start(n):
        original, left = os.fstat, [n]

        def fstat(fd):
            found = original(fd)
            if left[0] and os.path.samestat(found, os.stat(tmp_path / "a.pkl")):
                left[0] -= 1
                os.utime(tmp_path / "a.pkl", (left[0], left[0]))
            return found

        monkeypatch.setattr(os, "fstat", fstat)

    return start


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_file_changed_while_it_is_read_is_read_again(d, touched, pauses, times):
    touched(times)
    result = d.get_with_etag("a")
    assert (result.new_value, result.actual_etag) == ("value", d.etag("a"))
    assert 1 <= len(pauses) <= times


def test_m9_a_file_that_grows_while_it_is_read_and_keeps_its_time_is_read_again(
    d, tmp_path, pauses, monkeypatch
):
    """Size and time together tell one state from another."""
    path, found = tmp_path / "a.pkl", os.stat(tmp_path / "a.pkl")
    d["b"] = "a longer value"
    longer, read = (tmp_path / "b.pkl").read_bytes(), os.read

    def grow_before(*args):
        monkeypatch.setattr(os, "read", read)
        path.write_bytes(longer)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        return read(*args)[: found.st_size]

    monkeypatch.setattr(os, "read", grow_before)
    result = d.get_with_etag("a")
    assert (result.new_value, result.actual_etag) == ("a longer value", d.etag("a"))


def test_a_file_that_never_stays_is_an_error_in_the_end(d, touched, pauses):
    touched(1000)
    with pytest.raises(BackendError) as caught:
        d["a"]
    assert not isinstance(caught.value, KeyError)
    assert len(pauses) <= 12


def test_a_replaced_file_is_read_as_it_was_opened(d, tmp_path, monkeypatch):
    original, seen = os.fstat, []

    def fstat(fd):
        if not seen:
            seen.append(d.etag("a"))
            other = FileDirDict(base_dir=tmp_path, digest_len=0)
            monkeypatch.setattr(os, "fstat", original)
            other["a"] = "another value"
        return original(fd)

    monkeypatch.setattr(os, "fstat", fstat)
    result = d.get_with_etag("a")
    assert (result.new_value, result.actual_etag) == ("value", seen[0])


def test_an_absent_file_is_asked_for_once(d, pauses, monkeypatch):
    opened = []
    original = os.open
    monkeypatch.setattr(os, "open", lambda p, *a, **k: opened.append(p) or original(p, *a, **k))
    assert d.get("absent") is None
    assert len([path for path in opened if "absent" in str(path)]) <= 1
    assert pauses == []


def test_an_open_file_is_closed(d, tmp_path):
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        d["a"], d.get("absent"), d.get_with_etag("a"), d.etag("a")
        d["b"] = 1
        (tmp_path / "c.pkl").write_bytes(b"damaged")
        with pytest.raises(BackendError):
            d["c"]
        list(d.items() if d.discard("c") else ())
    assert len(os.listdir("/proc/self/fd")) == len(before)
