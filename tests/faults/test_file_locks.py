"""Locks in folders: who holds them, who is dead, who is only slow, and what is left behind."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest

from persidict import ETAG_IS_THE_SAME, BackendError, FileDirDict
from persidict import LockTimeoutError as PublicLockTimeoutError
from persidict import _file_lock as file_lock
from persidict._file_lock import break_lock, holder_of, lock_path, locked
from persidict.exceptions import LockTimeoutError
from persidict.owners import is_gone, is_local, new_token
from tests.faults.dead import dead_token

HOLDER = """
import sys
from persidict._file_lock import locked
def hold(_):
    print("held", flush=True)
    sys.stdin.readline()
locked(sys.argv[1], 5, hold)
print("released", flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


@pytest.fixture
def holder(path):
    """Another process that holds the lock until it gets a line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def dead(path, holder):
    """The token of a process that was killed while it held the lock."""
    token = holder_of(path)
    holder.kill()
    holder.wait()
    return token


# -- tokens -------------------------------------------------------------------------------------


def test_tokens_are_short_and_never_the_same():
    """File systems keep the target of a link in the inode below 60 bytes."""
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(token) < 60 and "." not in token and "/" not in token for token in tokens)


def test_a_process_is_there_until_it_ends():
    assert is_local(new_token())
    assert not is_gone(new_token())


def test_a_killed_process_is_gone_before_anybody_has_waited_for_it(path, holder):
    token = holder_of(path)
    assert not is_gone(token)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    assert is_gone(token)


def test_a_stopped_process_is_there(path, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    assert not is_gone(holder_of(path))


def test_a_number_that_was_given_to_another_process_does_not_deceive():
    host, pid, start, number = new_token().split("-")
    assert is_gone(f"{host}-{pid}-{int(start) - 1}-{number}")


@pytest.mark.parametrize("token", ["", "x", "a-b-c-d", "1-2-3", "ffffffffffff-1-1-0", "?17"])
def test_of_others_nothing_is_known(token):
    assert not is_gone(token)
    assert not is_local(token)


def test_processes_that_the_system_hides_are_there(monkeypatch):
    """Where /proc shows nothing, a signal that does nothing tells."""
    from persidict import owners

    monkeypatch.setattr(owners, "_state_of", lambda pid: None)
    assert not is_gone(new_token())


def test_a_process_that_could_not_see_its_own_start_is_there(monkeypatch):
    """It had no descriptor left to look, say, when it was asked who it is."""
    from persidict import owners

    monkeypatch.setattr(owners, "_state_of", lambda pid: None)
    owners._identity.cache_clear()
    token = new_token()
    owners._identity.cache_clear()
    monkeypatch.undo()
    assert not is_gone(token)


def test_a_number_of_any_size_is_no_process():
    host = new_token().split("-")[0]
    assert not is_local(f"{host}-{'9' * 30}-1-1")
    assert not is_gone(f"{host}-{'9' * 19}-1-1") or is_local(f"{host}-{'9' * 19}-1-1")


REUSED = """
import os
from persidict.owners import is_gone, new_token

def child(act):
    pid = os.fork()
    if not pid:
        try:
            os._exit(act())
        finally:
            os._exit(99)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

read, write = os.pipe()
told, tell = os.pipe()

def ancestor():
    global number
    number = os.getpid()
    new_token()  # it knows who it is
    child(heir)
    return 0

def heir():
    os.close(tell)
    assert os.read(told, 1) == b""  # the ancestor is gone
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(number - 1))
    pid = child(namesake)
    os.write(write, bytes([pid == number, ended(pid)]))
    return 0

def namesake():
    return is_gone(new_token())

first = child(ancestor)
os.close(told)
os.close(write)
ended(first)
os.close(tell)
print(*os.read(read, 2))
"""


def test_a_process_with_the_number_of_a_dead_ancestor_is_another_one(python):
    """Numbers are used again; whoever forks knows those that its parents had."""
    wrapped = f"""
import subprocess, sys
code = {REUSED!r}
command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
if subprocess.run([*command[:4], "true"], capture_output=True).returncode:
    command[1:1] = ["--user", "--map-root-user"]
done = subprocess.run(command, capture_output=True, text=True)
print(done.stdout or done.stderr)
"""
    assert python(wrapped) == "1 0"


@pytest.mark.skipif(not hasattr(sys, "getswitchinterval"), reason="CPython's interpreters")
def test_two_interpreters_of_a_process_are_told_apart(python):
    code = """
try:
    import _interpreters as interpreters
    options = ["legacy"]
except ImportError:
    import _xxsubinterpreters as interpreters
    options = []
import os, sys
make = "import os, sys; sys.path[:] = %r; from persidict.owners import new_token; " % sys.path
make += "os.write(%d, (new_token() + ' ').encode())"
read, write = os.pipe()
for _ in range(2):
    interpreters.run_string(interpreters.create(*options), make % write)
os.close(write)
first, second = os.read(read, 1000).split()
print(first != second, first.split(b"-")[:3] == second.split(b"-")[:3])
"""
    assert python(code) == "True True"


UNSEEN = """
import os, subprocess, sys
from persidict.owners import is_gone, is_local, new_token
mine = new_token()
theirs = subprocess.run(
    [sys.executable, "-c", "from persidict.owners import new_token; print(new_token())"],
    capture_output=True, text=True, check=True,
).stdout.strip()
print(is_gone(mine), is_local(mine), is_gone(theirs), is_local(theirs))
"""


def test_a_container_that_sees_the_processes_of_another_believes_nothing(tmp_path):
    """Its /proc shows who has these numbers elsewhere."""
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", UNSEEN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:  # not root
        command[1:1] = ["--user", "--map-root-user"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "False", "False"], done.stderr


def test_a_child_is_somebody_else():
    assert is_gone(dead_token())


# -- locks --------------------------------------------------------------------------------------


def test_the_lock_is_there_while_it_is_held_and_then_no_more(path):
    assert locked(path, 5, lambda _: is_local(holder_of(path)))
    assert not os.path.lexists(path)


def test_an_error_inside_frees_it(path):
    with pytest.raises(ZeroDivisionError):
        locked(path, 5, lambda _: 1 / 0)
    assert not os.path.lexists(path)


def test_one_thread_at_a_time(path):
    inside, most = [], []

    def act(_):
        inside.append(None)
        most.append(len(inside))
        inside.pop()

    threads = [
        threading.Thread(target=lambda: [locked(path, 60, act) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 800


def test_inside_of_itself_it_does_not_wait(path):
    """A signal handler or a finalizer may write the very item that is being written."""
    assert locked(path, 5, lambda _: locked(path, 0, lambda _: "inner")) == "inner"
    assert not os.path.lexists(path)


def test_waiting_ends_when_the_holder_releases(path, holder, monkeypatch):
    def let_go(_):
        if holder.returncode is None:
            holder.communicate("\n")

    monkeypatch.setattr(file_lock.time, "sleep", let_go)
    assert locked(path, 60, lambda _: "mine") == "mine"


def test_a_holder_that_lives_is_never_robbed(path, holder, monkeypatch):
    """However long it is silent: the lease is for those of other hosts."""
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    with pytest.raises(LockTimeoutError, match=r"held by others for 0\.3 s.*lock_timeout|stopped"):
        locked(path, 0.3, lambda _: None)
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(LockTimeoutError) as caught:
        locked(path, 0.3, lambda _: None)
    assert isinstance(caught.value, BackendError)
    assert isinstance(caught.value, TimeoutError)
    assert PublicLockTimeoutError is LockTimeoutError
    os.kill(holder.pid, signal.SIGCONT)
    holder.communicate("\n")
    assert locked(path, 0.3, lambda _: "mine") == "mine"


def test_a_dead_holder_is_found_out(path, dead):
    assert holder_of(path) == dead
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_a_breaker_that_died_is_broken_too(path, dead):
    """Locks of dead processes, each in the way of breaking the one before."""
    obstacle = path
    for _ in range(3):
        obstacle = lock_path(obstacle, dead)
        os.symlink(dead, obstacle)
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_breaking_removes_no_lock_but_that_of_the_dead(path, dead):
    """Somebody decided long ago that the holder was dead; by now the lock is another's."""
    os.unlink(path)
    theirs = new_token()
    os.symlink(theirs, path)
    break_lock(path, dead, 5)
    assert holder_of(path) == theirs


def test_one_breaker_at_a_time(path, dead):
    os.symlink(new_token(), lock_path(path, dead))  # somebody else is at it, and lives
    with pytest.raises(LockTimeoutError):
        break_lock(path, dead, 0.1)
    assert holder_of(path) == dead


@pytest.mark.parametrize("token", ["ffffffffffff-1-1-0", "somebody else's"])
def test_owners_on_other_hosts_have_a_lease(path, monkeypatch, token):
    os.symlink(token, path)
    with pytest.raises(LockTimeoutError):
        locked(path, 0.2, lambda _: None)
    monkeypatch.setattr(file_lock, "LEASE", 0.05)
    assert locked(path, 5, lambda _: "mine") == "mine"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_folder_that_cannot_be_listed_keeps_no_lease_open(path, monkeypatch, pretend, number):
    """Where names are remembered, a look at the folder says if the lock is still there."""
    pretend("nfs")
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    os.symlink("ffffffffffff-1-1-0", path)
    refusing(monkeypatch, os.path.dirname(path), [number], names=["listdir"])
    assert locked(path, 5, lambda _: "mine") == "mine"


def test_a_local_folder_that_may_not_be_listed_needs_no_listing(path, monkeypatch):
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    os.symlink("ffffffffffff-1-1-0", path)
    monkeypatch.delattr(os, "listdir")
    assert locked(path, 5, lambda _: "mine") == "mine"


def test_the_lease_begins_anew_with_each_holder(path, monkeypatch):
    """What is measured is silence: others who take turns are alive."""
    monkeypatch.setattr(file_lock, "LEASE", 0.05)
    numbers = iter(range(10**6))

    def somebody_else(_):
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(f"ffffffffffff-1-1-{next(numbers)}", path)

    somebody_else(None)
    monkeypatch.setattr(file_lock.time, "sleep", somebody_else)
    with pytest.raises(LockTimeoutError):
        locked(path, 0.3, lambda _: None)


def test_a_lost_answer_does_not_lock_us_out(path, monkeypatch, pauses):
    symlink = os.symlink

    def lose(target, link):
        monkeypatch.setattr(os, "symlink", symlink)
        symlink(target, link)
        raise FileExistsError

    monkeypatch.setattr(os, "symlink", lose)
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert not os.path.lexists(path)


def refusing(monkeypatch, path, numbers, names=("symlink", "open")):
    """Let calls that make something at `path` fail with these errors, one after the other."""
    left = iter(numbers)

    def around(call):
        def called(*args, **kwargs):
            number = next(left, None) if path in map(str, args) else None
            if number is not None:
                raise OSError(number, os.strerror(number))
            return call(*args, **kwargs)

        return called

    for name in names:
        monkeypatch.setattr(os, name, around(getattr(os, name)))


def test_a_lock_that_cannot_be_made_for_a_moment_is_made_then(path, monkeypatch, pauses):
    refusing(monkeypatch, path, [errno.EACCES] * 4)  # as a link and as a file
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert len(pauses) == 2


NO_LINKS = [errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL]


@pytest.mark.parametrize("number", NO_LINKS, ids=errno.errorcode.get)
def test_whatever_a_link_is_refused_with_a_file_does_the_same(path, monkeypatch, pauses, number):
    refusing(monkeypatch, path, itertools.repeat(number), names=["symlink"])
    assert locked(path, 5, lambda _: is_local(holder_of(path)) and not os.path.islink(path))
    assert os.listdir(os.path.dirname(path)) == []
    assert pauses == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSYS], ids=errno.errorcode.get)
def test_where_neither_can_be_made_the_error_is_ours(path, monkeypatch, number):
    refusing(monkeypatch, path, itertools.repeat(number))
    with pytest.raises(BackendError, match="exact=False"):
        locked(path, 5, lambda _: None)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENOSPC], ids=errno.errorcode.get
)
def test_what_is_true_of_the_folder_stays_the_error_it_is(path, monkeypatch, pauses, number):
    refusing(monkeypatch, path, itertools.repeat(number))
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        locked(path, 5, lambda _: None)
    assert caught.value.errno == number


# -- locks that cannot be removed ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["unlink", "readlink"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
def test_a_lock_that_could_not_be_removed_once_is_in_nobodys_way(
    path, monkeypatch, caplog, name, number
):
    """What was done is done: no error, but a line in the log; and the lock goes soon."""
    refusing(monkeypatch, path, [number], names=[name])
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert f"the lock {path} could not be removed" in caplog.text
    while file_lock._stuck:
        os.sched_yield()
    assert holder_of(path) == ""


def test_the_next_operation_removes_what_is_stuck(path, monkeypatch):
    monkeypatch.setattr(file_lock, "_is_freeing", True)  # by a thread that does nothing
    refusing(monkeypatch, path, [errno.EIO], names=["unlink"])
    locked(path, 5, lambda _: None)
    assert is_local(holder_of(path))
    assert locked(f"{path}-of-another", 5, lambda _: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_other_threads_break_what_is_stuck(path, monkeypatch):
    monkeypatch.setattr(file_lock, "_is_freeing", True)
    refusing(monkeypatch, path, [errno.EIO] * 2, names=["unlink"])
    locked(path, 5, lambda _: None)  # it fails, and again before the next one
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_one_thread_removes_all_that_is_stuck(tmp_path, monkeypatch):
    """However many there are; and another one what is stuck after it has ended."""
    started, unlink, ended = [], os.unlink, threading.Event()

    def start(target, **options):
        started.append(target)
        return threading.Thread(target=lambda: (target(), ended.set()), **options)

    def refuse(path):
        raise OSError(errno.EIO, "not now")

    monkeypatch.setattr(file_lock, "Thread", start)
    for count in (1, 2):
        ended.clear()
        monkeypatch.setattr(os, "unlink", refuse)
        for number in range(5):
            locked(str(tmp_path / str(number)), 5, lambda _: None)
        monkeypatch.setattr(os, "unlink", unlink)
        assert ended.wait(20)
        assert len(started) == count
        assert os.listdir(tmp_path) == []


def test_a_child_leaves_alone_what_is_stuck_in_its_parent(path, python):
    code = """
import os, sys
from persidict import _file_lock
_file_lock._stuck["token"] = sys.argv[1]
_file_lock._threads["token"] = 1
child = os.fork()
if not child:
    os._exit(bool(_file_lock._stuck or _file_lock._threads))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(code, path) == "0"


def test_a_fence_that_is_a_folder_goes_with_its_dead_holder(tmp_path):
    """A holder that was killed before it had a lock, where there are no links."""
    living = f".__tmp__{new_token()}"
    os.mkdir(tmp_path / living)
    os.mkdir(tmp_path / f".__tmp__{dead_token()}")
    assert len(FileDirDict(base_dir=tmp_path)) == 0
    assert os.listdir(tmp_path) == [living]


# -- what others put there ----------------------------------------------------------------------


def make_fifo(path):
    os.mkfifo(path)


@pytest.mark.parametrize("make", [os.mkdir, make_fifo])
def test_what_is_no_lock_is_an_error_at_once(tmp_path, make):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    make(lock_path(d._store.where("a_btax.pkl")))
    for change in (lambda: d.__setitem__("a", 2), lambda: d.discard("a")):
        with pytest.raises(BackendError, match="move it away"):
            change()
    assert dict(d) == {("a",): 1}
    assert len(os.listdir(tmp_path)) == 2


FOREIGN = [b"\xff\xfe", b"/etc/\xff", b"../../x", b"a-1-2-\x00", b"1-2-3-4/../../x", b""]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("as_link", [True, False])
def test_any_text_in_a_lock_is_the_name_of_a_holder(tmp_path, monkeypatch, text, as_link):
    d = FileDirDict(base_dir=tmp_path, lock_timeout=0.05)
    d["a"] = 1
    path = lock_path(d._store.where("a_btax.pkl"))
    if as_link and text and b"\x00" not in text:
        os.symlink(text, path.encode())
    else:
        with open(path, "wb") as file:
            file.write(text)
    assert len(d) == 1
    with pytest.raises(LockTimeoutError):
        d["a"] = 2
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    d["a"] = 3
    assert os.listdir(tmp_path) == ["a_btax.pkl"]


# -- no room ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("when", ["fence", "lock"])
def test_without_inodes_items_can_be_removed(tmp_path, monkeypatch, number, when):
    """A lock needs an inode; the removal of an item gives one back."""
    d = FileDirDict(base_dir=tmp_path)
    d.update({"a": 1, "b": 2, "c": 3, "d": 4})
    symlink, etag = os.symlink, d.etag("d")

    def refuse(target, path):
        if (target == ".") == (when == "fence"):
            raise OSError(number, os.strerror(number))
        symlink(target, path)

    monkeypatch.setattr(os, "symlink", refuse)
    assert d.discard("a")
    assert not d.discard("a")
    del d["b"]
    with pytest.raises(OSError, match=os.strerror(number)):
        d.discard_item_if("d", condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert dict(d) == {("c",): 3, ("d",): 4}
    d.clear()
    assert os.listdir(tmp_path) == []


def test_while_somebody_holds_a_lock_others_read_and_writers_change_nothing(tmp_path):
    d = FileDirDict(base_dir=tmp_path, durability="relaxed", lock_timeout=0.05)
    d["a"] = "old"
    etag = d.etag("a")
    os.symlink(new_token(), lock_path(d._store.where("a_btax.pkl")))
    before = sorted(os.listdir(tmp_path))
    writes = [
        lambda: d.__setitem__("a", "new"),
        lambda: d.__delitem__("a"),
        lambda: d.discard("a"),
        lambda: d.pop("a"),
        lambda: d.transform_item("a", transformer=lambda value: "new"),
        lambda: d.set_item_if("a", value=1, condition=ETAG_IS_THE_SAME, expected_etag=etag),
        lambda: d.discard_item_if("a", condition=ETAG_IS_THE_SAME, expected_etag=etag),
    ]
    for write in writes:
        with pytest.raises(LockTimeoutError):
            write()
        assert (d["a"], d.etag("a"), len(d)) == ("old", etag, 1)
        assert d.setdefault("a", "new") == "old"
        assert sorted(os.listdir(tmp_path)) == before
    d["b"] = "others"
    assert d["b"] == "others"


# -- interrupts ---------------------------------------------------------------------------------


INTERRUPTED = """
import os, signal, sys
from persidict import FileDirDict
from persidict._file_lock import lock_path

class Interrupt(Exception):
    pass

def interrupt(*_):
    raise Interrupt

d = FileDirDict(base_dir=sys.argv[1], serialization_format="txt", base_class_for_values=str,
                durability="relaxed", lock_timeout=5)
lock = lock_path(d._store.where("a_btax.txt"))
signal.signal(signal.SIGALRM, interrupt)
hits = left = 0
for n in range(4000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 2e-6 + (n % 150) * 1e-6)
        d["a"] = str(n)
        d.discard("a")
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupt:
        hits += 1
    left += os.path.lexists(lock)
assert hits > 500, hits
print(left)
"""


def test_an_interrupt_at_any_moment_leaves_no_lock(tmp_path, python):
    """A notebook's user presses the button; the process lives on, and so would its locks."""
    assert python(INTERRUPTED, tmp_path / "store") == "0"


class Interrupting(dict):
    """What the library notes of a lock, with an interrupt at one of the notes."""

    def __init__(self, moment):
        self.moment = moment

    def __setitem__(self, token, thread):
        super().__setitem__(token, thread)
        if self.moment == "noted":
            raise KeyboardInterrupt

    def pop(self, token, default):
        super().pop(token, default)
        if self.moment == "forgotten":
            raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["noted", "forgotten"])
def test_an_interrupt_around_the_act_leaves_no_lock(path, monkeypatch, moment):
    """The same at the moments that chance hits least."""
    noted = Interrupting(moment)
    monkeypatch.setattr(file_lock, "_threads", noted)
    with pytest.raises(KeyboardInterrupt):
        locked(path, 5, lambda _: None)
    assert not os.path.lexists(path)
    assert noted == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError])
@pytest.mark.parametrize("name", ["readlink", "unlink"])
def test_an_interrupt_of_the_release_leaves_no_lock(path, monkeypatch, name, error):
    original, left = getattr(os, name), [1]

    def interrupted(*args):
        if left[0]:
            left[0] -= 1
            raise error
        return original(*args)

    monkeypatch.setattr(os, name, interrupted)
    with pytest.raises(error):
        locked(path, 5, lambda _: None)
    assert not os.path.lexists(path)
    assert (file_lock._stuck, file_lock._threads) == ({}, {})


# -- without symbolic links ---------------------------------------------------------------------


@pytest.fixture
def no_links(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EPERM, "not on this file system")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)


def test_without_symbolic_links_an_exclusive_file_does_the_same(path, no_links):
    assert locked(path, 5, lambda _: is_local(holder_of(path)) and not os.path.islink(path))
    assert not os.path.lexists(path)
    with open(path, "w") as file:
        file.write(new_token())
    with pytest.raises(LockTimeoutError):
        locked(path, 0.1, lambda _: None)


def test_a_lock_whose_maker_died_before_it_had_a_name_has_a_lease(path, no_links, monkeypatch):
    with open(path, "w"):
        pass
    monkeypatch.setattr(file_lock, "LEASE", 0.05)
    assert locked(path, 5, lambda _: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_without_any_links_a_dict_is_exact_all_the_same(tmp_path, no_links):
    d = FileDirDict(base_dir=tmp_path, durability="relaxed")
    barrier, winners = threading.Barrier(4), []

    def insert(n):
        for index in range(50):
            barrier.wait()
            if d.setdefault(str(index), n) == n:
                winners.append(index)

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == list(range(50))


def test_where_no_lock_can_be_made_the_error_says_what_to_do(tmp_path, no_links, monkeypatch):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1

    lock = lock_path(d._store.where("a_btax.pkl"))
    refusing(monkeypatch, lock, itertools.repeat(errno.EOPNOTSUPP), names=["open"])
    with pytest.raises(BackendError, match="exact=False"):
        d["a"] = 2
    assert d["a"] == 1
    FileDirDict(base_dir=tmp_path, exact=False)["a"] = 2
    assert d["a"] == 2
    assert os.listdir(tmp_path) == ["a_btax.pkl"]
