"""Locks in folders: who holds them, who is dead, who is only slow, and what is left behind."""

import errno
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
def hold():
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


def test_a_child_is_somebody_else():
    assert is_gone(dead_token())


# -- locks --------------------------------------------------------------------------------------


def test_the_lock_is_there_while_it_is_held_and_then_no_more(path):
    assert locked(path, 5, lambda: is_local(holder_of(path)))
    assert not os.path.lexists(path)


def test_an_error_inside_frees_it(path):
    with pytest.raises(ZeroDivisionError):
        locked(path, 5, lambda: 1 / 0)
    assert not os.path.lexists(path)


def test_one_thread_at_a_time(path):
    inside, most = [], []

    def act():
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
    assert locked(path, 5, lambda: locked(path, 0, lambda: "inner")) == "inner"
    assert not os.path.lexists(path)


def test_waiting_ends_when_the_holder_releases(path, holder, monkeypatch):
    def let_go(_):
        if holder.returncode is None:
            holder.communicate("\n")

    monkeypatch.setattr(file_lock.time, "sleep", let_go)
    assert locked(path, 60, lambda: "mine") == "mine"


def test_a_holder_that_lives_is_never_robbed(path, holder, monkeypatch):
    """However long it is silent: the lease is for those of other hosts."""
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    with pytest.raises(LockTimeoutError, match=r"held by others for 0\.3 s.*lock_timeout|stopped"):
        locked(path, 0.3, lambda: None)
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(LockTimeoutError) as caught:
        locked(path, 0.3, lambda: None)
    assert isinstance(caught.value, BackendError)
    assert isinstance(caught.value, TimeoutError)
    assert PublicLockTimeoutError is LockTimeoutError
    os.kill(holder.pid, signal.SIGCONT)
    holder.communicate("\n")
    assert locked(path, 0.3, lambda: "mine") == "mine"


def test_a_dead_holder_is_found_out(path, dead):
    assert holder_of(path) == dead
    assert locked(path, 5, lambda: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_a_breaker_that_died_is_broken_too(path, dead):
    """Locks of dead processes, each in the way of breaking the one before."""
    obstacle = path
    for _ in range(3):
        obstacle = lock_path(obstacle + dead)
        os.symlink(dead, obstacle)
    assert locked(path, 5, lambda: "mine") == "mine"
    assert os.listdir(os.path.dirname(path)) == []


def test_breaking_removes_no_lock_but_that_of_the_dead(path, dead):
    """Somebody decided long ago that the holder was dead; by now the lock is another's."""
    os.unlink(path)
    theirs = new_token()
    os.symlink(theirs, path)
    break_lock(path, dead, 5)
    assert holder_of(path) == theirs


def test_one_breaker_at_a_time(path, dead):
    os.symlink(new_token(), lock_path(path + dead))  # somebody else is at it, and lives
    with pytest.raises(LockTimeoutError):
        break_lock(path, dead, 0.1)
    assert holder_of(path) == dead


@pytest.mark.parametrize("token", ["ffffffffffff-1-1-0", "somebody else's"])
def test_owners_on_other_hosts_have_a_lease(path, monkeypatch, token):
    os.symlink(token, path)
    with pytest.raises(LockTimeoutError):
        locked(path, 0.2, lambda: None)
    monkeypatch.setattr(file_lock, "LEASE", 0.05)
    assert locked(path, 5, lambda: "mine") == "mine"


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
        locked(path, 0.3, lambda: None)


def test_a_lost_answer_does_not_lock_us_out(path, monkeypatch, pauses):
    symlink = os.symlink

    def lose(target, link):
        monkeypatch.setattr(os, "symlink", symlink)
        symlink(target, link)
        raise FileExistsError

    monkeypatch.setattr(os, "symlink", lose)
    assert locked(path, 5, lambda: "mine") == "mine"
    assert not os.path.lexists(path)


def test_a_lock_that_cannot_be_made_for_a_moment_is_made_then(path, monkeypatch, pauses):
    symlink, failures = os.symlink, iter([errno.EACCES, errno.ESTALE])

    def fail(target, link):
        number = next(failures, None)
        if number is not None:
            raise OSError(number, os.strerror(number))
        symlink(target, link)

    monkeypatch.setattr(os, "symlink", fail)
    assert locked(path, 5, lambda: "mine") == "mine"
    assert len(pauses) == 2


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


class Interrupting(set):
    """What the library notes of a lock, with an interrupt at one of the notes."""

    def __init__(self, moment):
        self.moment = moment

    def note(self, name, mine):
        getattr(super(), name)(mine)
        if name == self.moment:
            raise KeyboardInterrupt

    def add(self, mine):
        self.note("add", mine)

    def discard(self, mine):
        self.note("discard", mine)


@pytest.mark.parametrize("moment", ["add", "discard"])
def test_an_interrupt_around_the_act_leaves_no_lock(path, monkeypatch, moment):
    """The same at the two moments that chance hits least."""
    noted = Interrupting(moment)
    monkeypatch.setattr(file_lock, "_inside", noted)
    with pytest.raises(KeyboardInterrupt):
        locked(path, 5, lambda: None)
    assert not os.path.lexists(path)
    assert noted == set()


# -- without symbolic links ---------------------------------------------------------------------


@pytest.fixture
def no_links(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EPERM, "not on this file system")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)


def test_without_symbolic_links_an_exclusive_file_does_the_same(path, no_links):
    assert locked(path, 5, lambda: is_local(holder_of(path)) and not os.path.islink(path))
    assert not os.path.lexists(path)
    with open(path, "w") as file:
        file.write(new_token())
    with pytest.raises(LockTimeoutError):
        locked(path, 0.1, lambda: None)


def test_a_lock_whose_maker_died_before_it_had_a_name_has_a_lease(path, no_links, monkeypatch):
    with open(path, "w"):
        pass
    monkeypatch.setattr(file_lock, "LEASE", 0.05)
    assert locked(path, 5, lambda: "mine") == "mine"
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

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(file_lock, "open", refuse, raising=False)
    with pytest.raises(BackendError, match="exact=False"):
        d["a"] = 2
    assert d["a"] == 1
    FileDirDict(base_dir=tmp_path, exact=False)["a"] = 2
    assert d["a"] == 2
    assert os.listdir(tmp_path) == ["a_btax.pkl"]
