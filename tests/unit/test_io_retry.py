"""The stores' I/O by what was set: repeated where that has no second effect, and nowhere else."""

import errno
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from persidict import (
    BackendError,
    ConcurrencyConflictError,
    DamagedItemError,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    OutcomeUnknownError,
    _folder_blobs,
    io_retry,
)
from persidict._file_lock import lock_path
from persidict.exceptions import LockTimeoutError
from persidict.io_retry import repeated, set_io_retry


class Runner:
    """Runs a step up to four times, whatever it raises, and notes what it has seen."""

    def __init__(self, attempts=4, between=lambda: None):
        self.attempts = attempts
        self.between = between
        self.runs = []

    def __call__(self, step, *args):
        for attempt in range(1, self.attempts + 1):
            self.runs.append(attempt)
            try:
                return step(*args)
            except Exception:
                if attempt == self.attempts:
                    raise
                self.between()
        raise AssertionError("unreachable")


@pytest.fixture(autouse=True)
def _nothing_is_left_set():
    yield
    set_io_retry(None)


@pytest.fixture
def runner():
    made = Runner()
    set_io_retry(made)
    return made


@pytest.fixture
def d(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0, lock_timeout=0.2)
    d["a"] = 1
    return d


def names(d):
    return sorted(os.listdir(d.base_dir))


CALLS = "open stat lstat write fsync fstat utime replace link symlink unlink scandir read".split()


class Faults:
    """Fails a system call of this thread on the files of a folder, the one of this number.

    Before it is carried out, or after, as if its answer was lost.
    """

    def __init__(self, folder, number, *, after=False, error=errno.EIO):
        self.folder = str(folder)
        self.left = number
        self.after = after
        self.error = OSError(error, "injected")
        self.failed = None

    def patch(self, monkeypatch):
        for name in CALLS:
            monkeypatch.setattr(os, name, self._flaky(name, getattr(os, name)))

    def _is_meant(self, args):
        first = args[0]
        if isinstance(first, int):
            first = os.readlink(f"/proc/self/fd/{first}")
        return any(str(each).startswith(self.folder) for each in (first, *args[1:2]))

    def _flaky(self, name, original):
        def call(*args, **kwargs):
            if self.failed or not self._is_meant(args):
                return original(*args, **kwargs)
            self.left -= 1
            if self.left >= 0:
                return original(*args, **kwargs)
            self.failed = name
            if self.after and name != "open":  # a descriptor would be lost
                original(*args, **kwargs)
            raise self.error

        return call


# An operation, what it returns, and what is in the dictionary after it; before it: {"a": 1}.
OPERATIONS = {
    "[]": (lambda d: d["a"], 1, {"a": 1}),
    "in": (lambda d: "a" in d, True, {"a": 1}),
    "not in": (lambda d: "b" in d, False, {"a": 1}),
    "etag": (lambda d: d.etag("a"), str, {"a": 1}),
    "len": (len, 1, {"a": 1}),
    "items": (lambda d: len(list(d.items_and_timestamps())), 1, {"a": 1}),
    "[]=": (lambda d: d.__setitem__("a", 2), None, {"a": 2}),
    "[]= new": (lambda d: d.__setitem__("b", 2), None, {"a": 1, "b": 2}),
    "append-only": (
        lambda d: d.clone(append_only=True).__setitem__("b", 2),
        None,
        {"a": 1, "b": 2},
    ),
    "setdefault": (lambda d: d.setdefault("b", 2), 2, {"a": 1, "b": 2}),
    "transform_item": (
        lambda d: d.transform_item("a", transformer=lambda v: v + 1).new_value,
        2,
        {"a": 2},
    ),
    "del": (lambda d: d.__delitem__("a"), None, {}),
    "discard": (lambda d: d.discard("a"), True, {}),
    "pop": (lambda d: d.pop("a"), 1, {}),
    "clear": (lambda d: d.clear(), None, {}),
}
each_operation = pytest.mark.parametrize(
    ("act", "result", "after"), OPERATIONS.values(), ids=OPERATIONS
)


def sweep(tmp_path, monkeypatch, act, *, after):
    """Fail each system call of an operation in turn; yield what came of it."""
    for number in itertools.count():
        d = FileDirDict(base_dir=tmp_path / str(number), digest_len=0)
        d["a"] = 1
        faults = Faults(d.base_dir, number, after=after)
        with monkeypatch.context() as patch:
            faults.patch(patch)
            try:
                found, error = act(d), None
            except Exception as raised:
                found, error = None, raised
        if not faults.failed:
            return
        yield d, faults.failed, found, error


def is_result(found, result):
    return isinstance(found, result) if isinstance(result, type) else found == result


def content(d):
    return {key[0]: value for key, value in d.items()}


@each_operation
def test_any_call_that_fails_once_is_survived(tmp_path, monkeypatch, runner, act, result, after):
    failed = []
    for d, name, found, error in sweep(tmp_path, monkeypatch, act, after=False):
        assert error is None, name
        assert is_result(found, result)
        assert content(d) == after
        # a temporary file that cannot be removed stays until its process is gone
        left = [each for each in names(d) if each.startswith(".")]
        assert len(left) <= (name == "unlink")
        failed.append(name)
    assert failed


@each_operation
def test_any_answer_that_is_lost_has_no_second_effect(
    tmp_path, monkeypatch, runner, act, result, after
):
    """The operation succeeds, or its error says that it may be done; never a wrong answer."""
    for d, name, found, error in sweep(tmp_path, monkeypatch, act, after=True):
        assert content(d) == after
        if error is None:
            assert is_result(found, result)
        else:
            assert isinstance(error, OSError), name
            assert (name, error.__notes__) == (
                "unlink",
                ["the file was removed, or may have been"],
            )
        assert not [each for each in names(d) if each.startswith(".")]


@each_operation
def test_without_a_runner_a_failure_is_an_error(tmp_path, monkeypatch, act, result, after):
    outcomes = [error for *_, error in sweep(tmp_path, monkeypatch, act, after=False)]
    assert any(isinstance(error, OSError) for error in outcomes)


@pytest.mark.parametrize("times", [1, 3])
def test_a_step_runs_as_often_as_it_fails_and_once_more(d, monkeypatch, runner, times):
    original, left = os.replace, [times]

    def flaky(source, target):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "injected")
        return original(source, target)

    monkeypatch.setattr(os, "replace", flaky)
    d["a"] = 2
    assert d["a"] == 2
    assert runner.runs[: times + 1] == list(range(1, times + 2))
    assert len(runner.runs) == times + 2  # the last is the reading


def test_the_error_in_the_end_is_that_of_the_system(d, monkeypatch, runner):
    def broken(*args):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="broken"):
        d["a"] = 2
    assert runner.runs == [1, 2, 3, 4]
    assert names(d) == ["a.pkl"]
    assert d["a"] == 1


def test_nothing_is_locked_or_left_over_between_two_attempts(d, monkeypatch):
    """Whoever waits there may wait for long."""
    seen = []
    set_io_retry(Runner(between=lambda: seen.append(names(d))))
    original, left = os.replace, [6]  # each attempt tries twice

    def flaky(source, target):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, "injected")
        return original(source, target)

    monkeypatch.setattr(os, "replace", flaky)
    monkeypatch.setattr(_folder_blobs, "retried", lambda call, *args, **more: call(*args, **more))
    d.transform_item("a", transformer=lambda v: v + 1)
    assert seen == [["a.pkl"]] * 3
    assert d["a"] == 2


# -- what is never repeated -------------------------------------------------------------------

ANSWERS = {
    "backend": BackendError("no", backend="b", operation="read"),
    "damaged": DamagedItemError("no", backend="b", operation="read"),
    "unknown": OutcomeUnknownError("no", backend="b", operation="write"),
    "lock": LockTimeoutError("no", backend="b", operation="lock"),
    "conflict": ConcurrencyConflictError(("k",), 3),
    "policy": MutationPolicyError("append-only"),
    "key": KeyError("k"),
}


@pytest.mark.parametrize("error", ANSWERS.values(), ids=ANSWERS)
def test_answers_pass_by_the_runner(runner, error):
    def step():
        raise error

    with pytest.raises(type(error)) as caught:
        repeated(step)
    assert caught.value is error
    assert runner.runs == [1]


@pytest.mark.parametrize("result", [None, False, 0, (), ValueError("no")])
def test_what_a_step_returns_is_returned(runner, result):
    assert repeated(lambda *args: args[0], result) is result
    assert runner.runs == [1]


def test_a_lock_that_others_hold_is_waited_for_once(d, runner):
    os.symlink(f"{'x' * 8}-1-1-1", lock_path(os.path.join(d.base_dir, "a.pkl")))
    with pytest.raises(LockTimeoutError) as caught:
        d["a"] = 2
    assert runner.runs == [1]
    with pytest.raises(LockTimeoutError):
        d.discard("a")
    assert not hasattr(caught.value, "__notes__")


def test_a_lock_that_was_not_got_tells_nothing_of_the_file(d, monkeypatch, runner):
    """Its holder may have removed the file; we have not."""

    def removed(path, lock, timeout, is_wanted):
        os.unlink(os.path.join(d.base_dir, "a.pkl"))
        raise LockTimeoutError("held", backend="b", operation="lock")

    monkeypatch.setattr(_folder_blobs, "removed", removed)
    with pytest.raises(LockTimeoutError) as caught:
        d.discard("a")
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "plain"])
def test_a_write_that_is_done_is_not_repeated_for_its_lock(d, monkeypatch, runner, guarded):
    original = os.unlink

    def unlink(path, *args):
        if ".__lock__" in str(path):
            raise OSError(errno.EIO, "injected")
        return original(path, *args)

    monkeypatch.setattr(os, "unlink", unlink)
    if guarded:
        d.transform_item("a", transformer=lambda v: v + 1)
    else:
        d["a"] = 2
    assert max(runner.runs) == 1
    assert d["a"] == 2


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "plain"])
def test_only_what_is_unguarded_is_repeated_when_nothing_can_be_seen(
    d, monkeypatch, runner, guarded
):
    original, broken = {name: getattr(os, name) for name in ("replace", "stat")}, []

    def replace(*args):
        if not broken:
            broken.extend(["a look", "a look of him who wants to repeat it"])
            raise OSError(errno.EIO, "injected")
        return original["replace"](*args)

    def stat(path, *args, **kwargs):
        if broken:
            broken.pop()
            raise OSError(errno.EIO, "injected")
        return original["stat"](path, *args, **kwargs)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "stat", stat)
    if guarded:
        with pytest.raises(OSError, match="injected") as caught:
            d.transform_item("a", transformer=lambda v: v + 1)
        assert "may have been" in caught.value.__notes__[0]
        assert d["a"] == 1
    else:
        replaced = original["replace"]
        monkeypatch.setattr(os, "replace", once(replace, replaced))
        d["a"] = 2
        assert d["a"] == 2


def once(first, then):
    """Call the first of two functions the first time, and the second ever after."""
    calls = iter([first])
    return lambda *args: next(calls, then)(*args)


def test_a_removal_is_not_repeated_when_the_file_is_another_one(d, monkeypatch, runner):
    """Somebody may have put it there after our removal."""
    original = os.unlink

    def unlink(path, *args):
        if str(path).endswith("a.pkl"):
            original(path)
            with open(path, "wb") as file:
                file.write(b"another")
            raise OSError(errno.EIO, "injected")
        return original(path, *args)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(OSError, match="injected"):
        d.discard("a")
    assert runner.runs == [1]
    assert (os.path.exists(os.path.join(d.base_dir, "a.pkl"))) is True


def test_values_are_encoded_decoded_and_transformed_once(d, monkeypatch, runner):
    calls, codec = [], d._codec

    class Watched:
        def encode(self, value):
            calls.append("encode")
            return codec.encode(value)

        def decode(self, data):
            calls.append("decode")
            return codec.decode(data)

    d._codec = Watched()
    Faults(d.base_dir, 0).patch(monkeypatch)
    d["a"] = 2
    monkeypatch.undo()
    Faults(d.base_dir, 0).patch(monkeypatch)
    assert d["a"] == 2
    monkeypatch.undo()
    for number in range(6):
        calls.clear()
        Faults(d.base_dir, number).patch(monkeypatch)
        d.transform_item("a", transformer=lambda v: calls.append("transform") or v + 1)
        assert calls == ["decode", "transform", "encode"]
        monkeypatch.undo()
    assert d["a"] == 8


def test_a_damaged_item_is_read_once(d, runner):
    (path,) = (os.path.join(d.base_dir, each) for each in names(d))
    with open(path, "wb") as file:
        file.write(b"damaged")
    with pytest.raises(DamagedItemError):
        d["a"]
    assert runner.runs == [1]


ON_A_CACHE = [
    lambda d, key: d.__setitem__(key, 1),
    lambda d, key: d[key],
    lambda d, key: key in d,
    lambda d, key: d.etag(key),
    lambda d, key: d.discard(key),
    lambda d, key: d.clear(),
    lambda d, key: list(d),
]


def test_a_cache_that_fails_is_not_repeated(d, monkeypatch, runner):
    d._store.is_cache = True
    sub = d.get_subdict("x")
    for each, key in ((d, "a"), (sub, "b")):
        for act in ON_A_CACHE:
            Faults(each.base_dir, 0).patch(monkeypatch)
            with pytest.raises(OSError, match="injected"):
                act(each, key)
            monkeypatch.undo()
    assert runner.runs == []


# -- listings ---------------------------------------------------------------------------------


class Listing:
    """What `os.scandir` returns, failing after so many entries."""

    def __init__(self, entries, left):
        self._entries = entries
        self._left = left

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._entries.close()

    def __iter__(self):
        for entry in self._entries:
            if self._left[0] == 0:
                raise OSError(errno.ESTALE, "injected")
            self._left[0] -= 1
            yield entry


def failing_listing(monkeypatch, folder, after):
    """Let the listing of a folder fail once, after so many entries; count how often it began."""
    original, left, begun = os.scandir, [after], []

    def scandir(path):
        if not str(path).startswith(folder):
            return original(path)
        begun.append(path)
        return Listing(original(path), left if len(begun) == 1 else [-1])

    monkeypatch.setattr(os, "scandir", scandir)
    return begun


@pytest.mark.parametrize("after", range(11))
@pytest.mark.parametrize("listing", ["keys", "items", "timestamps"])
def test_a_listing_that_fails_in_the_middle_goes_on(tmp_path, monkeypatch, runner, after, listing):
    monkeypatch.setattr(_folder_blobs, "_BATCH", 3)
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    d.update({f"k{n}": n for n in range(10)})
    begun = failing_listing(monkeypatch, d.base_dir, after)
    found = {
        "keys": lambda: [key[0] for key in d],
        "items": lambda: [key[0] for key, _ in d.items()],
        "timestamps": lambda: [key[0] for key, _ in d.keys_and_timestamps()],
    }[listing]()
    assert sorted(found) == [f"k{n}" for n in range(10)]
    assert len(begun) == (2 if after < 10 else 1)


def test_what_comes_and_goes_during_a_listing_that_fails(tmp_path, monkeypatch, runner):
    monkeypatch.setattr(_folder_blobs, "_BATCH", 2)
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    d.update({f"k{n}": n for n in range(10)})
    begun = failing_listing(monkeypatch, d.base_dir, 5)
    running = (key[0] for key in d)
    found = [next(running), next(running)]
    d["new"] = 1
    d[found[0]] = "changed"
    del d[found[1]]
    found.extend(running)
    assert len(begun) == 2
    assert len(found) == len(set(found))
    assert {f"k{n}" for n in range(10)} <= set(found)


def test_a_listing_goes_on_below_a_folder_that_failed(tmp_path, monkeypatch, runner):
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    keys = {(f"f{n}", f"g{m}", "k") for n in range(3) for m in range(2)}
    d.update(dict.fromkeys(keys, 1))
    for after in range(5):
        with monkeypatch.context() as patch:
            failing_listing(patch, d.base_dir, after)
            found = [tuple(key) for key in d]
        assert sorted(found) == sorted(keys)


def test_kinds_that_a_file_system_tells_only_when_asked(tmp_path, monkeypatch, runner):
    """Asking for them can fail as well."""
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    d.update({"a": 1, "b": 2})
    original, left = os.scandir, [1]

    class Entry:
        def __init__(self, entry):
            self.name, self.path, self._entry = entry.name, entry.path, entry

        def is_dir(self, **options):
            if left[0]:
                left[0] -= 1
                raise OSError(errno.EIO, "injected")
            return self._entry.is_dir(**options)

        def is_file(self, **options):
            return self._entry.is_file(**options)

    class Entries:
        def __init__(self, entries):
            self._entries = entries

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._entries.close()

        def __iter__(self):
            return map(Entry, self._entries)

    monkeypatch.setattr(os, "scandir", lambda path: Entries(original(path)))
    assert sorted(key[0] for key in d) == ["a", "b"]
    assert left == [0]


# -- the setting ------------------------------------------------------------------------------


def test_what_is_set_is_all_that_runs_steps_until_it_is_cleared(d):
    runner = Runner()
    set_io_retry(runner)
    assert d["a"] == 1
    assert runner.runs == [1]
    set_io_retry(None)
    assert d["a"] == 1
    assert runner.runs == [1]
    assert io_retry.runner is None


def test_a_dict_in_memory_does_no_io(runner):
    d = LocalDict()
    d["a"] = 1
    assert (d["a"], d.pop("a"), len(d)) == (1, 1, 0)
    assert runner.runs == []


def test_parameters_do_not_tell_of_it(d):
    before = d.get_params()
    set_io_retry(Runner())
    assert d.get_params() == before
    assert d.clone().get_params() == before


def test_opening_a_folder_is_repeated(tmp_path, monkeypatch, runner):
    original, left = os.makedirs, [2]

    def makedirs(*args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "injected")
        return original(*args, **kwargs)

    monkeypatch.setattr(os, "makedirs", makedirs)
    FileDirDict(base_dir=tmp_path / "new")["a"] = 1
    assert runner.runs[:3] == [1, 2, 3]


def test_threads_share_it(d, monkeypatch, runner):
    """Every other rename of each thread fails; no update is lost, and none is made twice."""
    original, fails = os.replace, threading.local()

    def flaky(source, target):
        fails.now = not getattr(fails, "now", False)
        if fails.now:
            raise OSError(errno.EIO, "injected")
        return original(source, target)

    monkeypatch.setattr(os, "replace", flaky)
    d.clone(lock_timeout=60)["n"] = 0

    def add(_):
        d.clone(lock_timeout=60).transform_item("n", transformer=lambda v: v + 1, n_retries=None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert d["n"] == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_keeps_it(d, runner):
    child = os.fork()
    if child == 0:
        os._exit(0 if io_retry.runner is runner and d["a"] == 1 and runner.runs == [1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
