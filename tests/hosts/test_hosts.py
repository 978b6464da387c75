"""Two hosts are really two: they share a folder, and nothing that runs on one outlives it."""

import os
import subprocess
import sys

import pytest

from tests.coordination.faults.fleet import until
from tests.hosts.host import ROOT
from tests.hosts.namespaces import AS_USER, refusal


@pytest.mark.parametrize("made", ["hosts", "hosts_of_user"])
def test_they_share_a_folder_and_no_more(made, request):
    """Names, processes, clocks and paths are their own."""
    hosts = request.getfixturevalue(made)
    north, south = (host.python("import socket, time") for host in hosts)
    north("open(folder + '/x', 'w').close()")
    assert south("os.listdir(folder)") == ["x"] == os.listdir(hosts.folder)
    for expression in ("socket.gethostname()", "folder", "os.readlink('/proc/self/ns/pid')"):
        assert north(expression) != south(expression)
    assert south("time.monotonic()") - north("time.monotonic()") > 50_000
    for process in (north, south):
        assert process("[int(name) for name in os.listdir('/proc') if name.isdigit()]") == [
            1,
            process.pid,
        ]


def test_a_host_is_killed_with_all_its_processes(hosts):
    """And another comes in its place."""
    north, south = hosts
    process = north.python("import fcntl; lock = open(folder + '/lock', 'w')")
    process("fcntl.flock(lock, fcntl.LOCK_EX)")
    process.stop()
    north.kill()
    other = south.python("import fcntl; lock = open(folder + '/lock')")
    assert other("fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)") is None
    north, _ = hosts
    assert north.python("import socket")("socket.gethostname()") == "north"


def test_hosts_end_with_the_test(hosts, tmp_path):
    """Also if that was killed: the kernel has no lock of theirs any more."""
    code = """
import os, sys
from pathlib import Path
from tests.hosts.host import Host
base = Path(sys.argv[1])
here = base / "here"
here.mkdir()
process = Host("x", base, here, 1, as_user=True).python("import fcntl")
process("fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT).returncode == -9
    process = next(iter(hosts)).python("import fcntl")
    until(lambda: process(f"fcntl.flock(os.open({str(tmp_path)!r}, 0), fcntl.LOCK_EX)") is None)


def test_without_namespaces_a_line_says_why(hosts, tmp_path):
    """Here the kernel refuses another namespace of processes, and a real run of pytest tells it."""
    (tmp_path / "test_tiny.py").write_text("def test_it(hosts): assert False")
    forbid = "echo 0 > /proc/sys/user/max_pid_namespaces; exec "
    test = f"{sys.executable} -m pytest -rs -p tests.hosts.conftest --rootdir {tmp_path} {tmp_path}"
    done = subprocess.run(
        ["unshare", *AS_USER, "sh", "-c", forbid + test], cwd=ROOT, capture_output=True, text=True
    )
    [line] = [line for line in done.stdout.split("\n") if line.startswith("SKIPPED")]
    assert "no hosts on this machine: unshare: unshare failed: No space left on device" in line


def test_without_the_program_too(monkeypatch, tmp_path):
    """As on a system that is no Linux."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal.__wrapped__(as_user=False) == "there is no program `unshare`"
