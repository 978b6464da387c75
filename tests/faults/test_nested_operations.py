"""An operation in a finalizer or a signal handler, in the middle of one on the same item."""

import itertools
import os
import threading

import pytest

from persidict import FileDirDict, LocalDict, LockTimeoutError, local_dict
from persidict import _file_lock as file_lock
from persidict.owners import is_token
from tests.faults.sequential import INNER, OPERATIONS, State, folder_dict, orders, sweep

REFUSED = object()
TIMES = int(os.environ.get("NESTED_OPERATIONS", "1000"))


def add_or_refused(d, etag):
    try:
        return OPERATIONS["add"][0](d, etag)
    except LockTimeoutError:
        return REFUSED


def alone_of(name):
    state = State()
    return OPERATIONS[name][1](state), state.value


@pytest.fixture
def no_symlinks(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(1, "not on this file system")

    monkeypatch.setattr(os, "symlink", refuse)


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(OPERATIONS, INNER)))
def test_both_count_at_each_moment(tmp_path, monkeypatch, outer, inner):
    """As if one had come after the other, whichever of the calls is interrupted."""
    expected = list(orders((outer, "outer"), (inner, "inner")))
    for moment, *seen in sweep(tmp_path, monkeypatch, outer, OPERATIONS[inner][0]):
        assert tuple(seen) in expected, moment
    assert file_lock._threads == {}


@pytest.mark.parametrize("outer", ["add", "discard"])
def test_where_locks_are_files_both_count_or_the_inner_one_is_refused(
    tmp_path, monkeypatch, no_symlinks, outer
):
    expected = list(orders((outer, "outer"), ("add", "inner")))
    expected += [(alone, REFUSED, value) for alone, value in [alone_of(outer)]]
    for moment, *seen in sweep(tmp_path, monkeypatch, outer, add_or_refused):
        assert tuple(seen) in expected, moment


@pytest.mark.parametrize("name", ["add", "discard"])
def test_a_lock_that_is_a_file_and_is_just_being_made_is_not_waited_for(
    tmp_path, monkeypatch, no_symlinks, name
):
    """Its name is there, and says nothing yet of the thread that has made it."""
    d = FileDirDict(base_dir=tmp_path, durability="relaxed")
    d["a"], write, refused = 1, os.write, []

    def interrupted(fd, data):
        if is_token(bytes(data).decode("latin-1")) and not refused:
            with pytest.raises(LockTimeoutError, match="about to be made by this thread") as error:
                OPERATIONS[name][0](d, None)
            refused.append(error)
        return write(fd, data)

    monkeypatch.setattr(os, "write", interrupted)
    d["a"] = 2
    assert len(refused) == 1
    assert file_lock._making == []
    assert d["a"] == 2


def test_just_after_the_lock_was_given_back_another_writer_is_waited_for(tmp_path, monkeypatch):
    """No line at the end of an operation at which a nested one would go in without a lock."""
    d = folder_dict(tmp_path)
    d["a"] = 0
    unlink, replace, readlink = os.unlink, os.replace, os.readlink
    main, inside, go_on = threading.get_ident(), threading.Event(), threading.Event()
    seen = []

    def stop(source, target):
        if threading.get_ident() != main:
            inside.set()
            assert go_on.wait(20)
        replace(source, target)

    def look(path):
        holder = readlink(path)
        if threading.get_ident() == main and inside.is_set():
            seen.append(holder)
            go_on.set()  # the nested one has found the other inside, and waits
        return holder

    def interrupt(path):
        unlink(path)
        if threading.get_ident() == main and file_lock.LOCK_PREFIX in path and not inside.is_set():
            other.start()
            assert inside.wait(20)
            d.transform_item("a", transformer=lambda value: value + 1, n_retries=None)

    other = threading.Thread(target=lambda: d.transform_item("a", transformer=lambda v: v + 10))
    monkeypatch.setattr(os, "replace", stop)
    monkeypatch.setattr(os, "readlink", look)
    monkeypatch.setattr(os, "unlink", interrupt)
    d.transform_item("a", transformer=lambda value: value + 100)
    other.join()
    assert d["a"] == 111
    assert seen


STORM = """
import gc, os, random, signal, sys
from persidict import FileDirDict

folder, mode, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
d = FileDirDict(base_dir=folder, durability="relaxed", lock_timeout=30)
done = 0

def add():
    global done
    d.transform_item("n", transformer=lambda v: v + 1 if isinstance(v, int) else 1, n_retries=None)
    done += 1

depth = 0
def nested(*_):
    global depth
    if depth < 3:
        depth += 1
        add()
        depth -= 1

class Finalized:
    def __init__(self):
        self.itself = self  # found by the garbage collector alone
    def __del__(self):
        nested()

def littering(call):
    def called(*args, **kwargs):
        result = call(*args, **kwargs)
        if rng.random() < 0.03 and done < times:
            Finalized()
            gc.collect(0)
        return result
    return called

rng = random.Random(1)
add()  # what is imported late is there
if mode == "signals":
    signal.signal(signal.SIGALRM, nested)
    signal.setitimer(signal.ITIMER_REAL, 3e-4, 3e-4)
if mode == "finalizers":
    for name in ("stat", "symlink", "readlink", "replace", "unlink"):
        setattr(os, name, littering(getattr(os, name)))
while done < times:
    add()
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
gc.collect()
print(done)
"""


@pytest.mark.parametrize("mode", ["signals", "finalizers"])
def test_none_of_thousands_is_lost(tmp_path, python, mode):
    """While another process counts in the same item."""
    counts = []
    others = threading.Thread(
        target=lambda: counts.append(int(python(STORM, tmp_path / "d", "plain", TIMES // 5)))
    )
    others.start()
    counts.append(int(python(STORM, tmp_path / "d", mode, TIMES)))
    others.join()
    assert len(counts) == 2
    assert FileDirDict(base_dir=tmp_path / "d")["n"] == sum(counts)
    assert len(os.listdir(tmp_path / "d")) == 1


FORKED = """
import os
from persidict._file_lock import holder_of, locked

def act(_):
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, bool(holder_of(path))
    return "child"

path = os.path.abspath("lock")
result = locked(path, 5, act)
if result == "child":
    os._exit(7)
print(result, os.listdir())
"""


def test_a_child_that_was_forked_inside_leaves_the_lock_to_its_parent(python):
    assert python(FORKED) == "(7, True) []"


def test_in_memory_a_nested_change_is_refused_and_reading_is_not(monkeypatch):
    """In the middle of a change of the tree another one would be lost, or lose the outer one."""
    d, seen = LocalDict(), []
    d["n"] = 0

    def interrupt():
        monkeypatch.undo()
        seen.append(d["n"])
        for change in (lambda: d.__setitem__("other", 1), lambda: d.discard("n")):
            with pytest.raises(LockTimeoutError, match="can be read"):
                change()
        return 1.0

    monkeypatch.setattr(local_dict.time, "time", interrupt)
    d.transform_item("n", transformer=lambda value: value + 1)
    assert (seen, dict(d)) == ([0], {("n",): 1})
    d["other"] = 2
    assert len(d) == 2


def test_in_memory_the_finalizer_of_what_goes_may_change_the_data():
    """A value that was replaced or removed goes after the change, not in its middle."""

    class Connection:
        def __deepcopy__(self, _memo):
            return Connection()

        def __del__(self):
            d["closed"] = d.get("closed", 0) + 1

    d = LocalDict()
    for go in (lambda: d.__setitem__("a", None), lambda: d.discard("a")):
        d["a"] = Connection()
        before = d["closed"]
        go()
        assert d["closed"] == before + 1
