"""Who is gone, for processes that see those of another namespace under `/proc`."""

import os

import pytest

INSIDE = """
import os, sys
from persidict.owners import is_gone, new_token
from tests.hosts.test_owners import forked_as

tokens, told = os.pipe(), os.pipe()

def live():
    os.write(tokens[1], new_token().encode())
    os.read(told[0], 1)

child = forked_as(int(sys.argv[1]), live)
token = os.read(tokens[0], 1000).decode()
print("lives", flush=True)
sys.stdin.readline()
print(is_gone(token), flush=True)
os.write(told[1], b".")
"""
OUTSIDE = f"""
import signal, subprocess, sys
from tests.hosts.test_owners import forked_as

def began(pid):
    return open(f"/proc/{{pid}}/stat").read().split()[21]

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

def is_gone_inside(pid):
    first = forked_as(pid, signal.pause)
    since = began(first)
    apart = ["unshare", "--pid", "--fork", "--kill-child"]
    inside = subprocess.Popen(
        [*apart, sys.executable, "-c", {INSIDE!r}, str(pid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert inside.stdout.readline() == "lives\\n"
    other = first
    while began(other) == since:  # times are told in hundredths of a second
        end(other)
        other = forked_as(pid, signal.pause)
    answer, _ = inside.communicate("\\n")
    end(other)
    return answer.strip()
"""


def forked_as(pid, act):
    """Let a child with this number act."""
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(pid - 1))
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    assert child == pid
    return child


@pytest.mark.skipif(
    not os.path.exists("/proc/sys/kernel/ns_last_pid"),
    reason="no choice of the next process's number",
)
def test_a_namespace_without_a_proc_of_its_own(hosts):
    """The number of a living process is there that of others, which come and go."""
    north, _ = hosts
    assert north.python(OUTSIDE)("is_gone_inside(os.getpid() + 500)") == "False"
