"""Folders on file systems that are mounted for a test, in a mount namespace of its own."""

import functools
import os
import shutil
import subprocess
import sys

import pytest

HEAD = """
import os, subprocess, sys
from persidict import *

def mount(kind, where, *options):
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, kind, where], check=True)
    return where

"""


@functools.cache
def namespace():
    """Return what runs a command in a mount namespace; nothing where that is not allowed."""
    for options in (["-m"], ["-rm"]):
        command = ["unshare", *options, "--propagation", "private"]
        test = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which("unshare") and not subprocess.run(test, capture_output=True).returncode:
            return command
    return []


@pytest.fixture
def run(tmp_path):
    """Run code among mounts of its own, in an empty folder; return what it printed."""
    if not namespace():
        pytest.skip("mounts are allowed neither to this user nor in a namespace of users")

    def run(code):
        command = [*namespace(), sys.executable, "-c", HEAD + code]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


USE = """
def use(d):
    d["a"] = d["f", "b"] = 1
    assert d.setdefault("c", 2) == 2 and not d.setdefault_if("c", default_value=3,
        condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE).value_was_mutated
    assert d.transform_item("a", transformer=lambda v: v + 1).new_value == 2
    etag = d.etag("a")
    assert d.set_item_if("a", value=3, condition=ETAG_IS_THE_SAME,
        expected_etag=etag).condition_was_satisfied
    assert d.get_with_etag("a").actual_etag == d.etag("a") != etag
    assert {k.strings: v for k, v in d.items()} == {("a",): 3, ("f", "b"): 1, ("c",): 2}
    d.discard("c")
    assert "c" not in d and len(d) == 2
"""


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_local_file_systems_are_exact(run, kind):
    code = """
base = mount("tmpfs", "base")
if kind == "overlay":
    for name in ("lower", "upper", "work"):
        os.mkdir(f"base/{name}")
    folders = "lowerdir=base/lower,upperdir=base/upper,workdir=base/work"
    base = mount("overlay", "over", "-o", folders)
d = FileDirDict(base_dir=base)
use(d)
print(*d.file_system)
assert repr(d).endswith("'pkl')")
"""
    assert run(f"kind = {kind!r}" + USE + code) == f"{kind} True True True True"


def test_a_dictionary_may_lie_on_several_file_systems(run):
    assert (
        run(
            USE
            + """
d = FileDirDict(base_dir=mount("tmpfs", "base"), digest_len=0)
mount("tmpfs", "base/f")
use(d)
inside = os.stat("base/f/b.pkl"), os.stat("base/a.pkl")
print(inside[0].st_dev != inside[1].st_dev, d.etag(("f", "b")).count(":"))
"""
        )
        == "True 2"
    )


def test_a_read_only_file_system_can_be_read(run):
    assert run("""
FileDirDict(base_dir=mount("tmpfs", "base"))["a"] = 1
subprocess.run(["mount", "-o", "remount,ro", "base"], check=True)
d = FileDirDict(base_dir="base")
print(d["a"], "a" in d, "b" in d, list(d.items()), len(d.etag("a")) > 5, d.get_subdict("f"))
print(*d.file_system)
for call in (lambda: d.update(a=2), lambda: d.setdefault("b", 1), lambda: d.discard("a")):
    try:
        call()
    except OSError as error:
        print(error.strerror)
""").splitlines()[1:] == ["tmpfs True True None None", *["Read-only file system"] * 3]


SSHFS = """
import atexit

def connect(where):
    os.makedirs(where, exist_ok=True)
    subprocess.run(["sshfs", "-o", "ssh_command=" + os.path.abspath("server"),
        "here:" + os.path.abspath("shared"), where], check=True)
    atexit.register(subprocess.run, ["umount", "-l", os.path.abspath(where)])  # and sshfs ends
    return where

with open("server", "w") as file:
    file.write(f"#!/bin/sh\\nexec {server}\\n")
os.chmod("server", 0o755)
os.mkdir("shared")
one, two = (FileDirDict(base_dir=connect(n), durability="relaxed") for n in ("one", "two"))
"""


@functools.cache
def sftp_server():
    places = ("/usr/lib/openssh", "/usr/libexec", "/usr/libexec/openssh", "/usr/lib/ssh")
    found = shutil.which("sftp-server", path=os.pathsep.join(places))
    return found if shutil.which("sshfs") and os.path.exists("/dev/fuse") else None


@pytest.fixture
def run_sshfs(run):
    """Run code with a dictionary in a folder that is mounted twice, as by two hosts."""
    if not sftp_server():
        pytest.skip("sshfs, sftp-server or /dev/fuse is not there")
    return lambda code: run(f"server = {sftp_server()!r}" + SSHFS + code)


def test_names_and_versions_over_sshfs_are_those_of_the_server(run_sshfs):
    assert (
        run_sshfs(
            USE
            + """
use(one)
assert repr(one).endswith("on fuse.sshfs: names are remembered, made-up inodes")
assert "x" not in two and two.get("x") is None
one["x"] = 10
assert "x" in two and two["x"] == 10 and one.etag("x") == two.etag("x")
seen = one.etag("x")
one["x"] = 11
assert two.etag("x") == one.etag("x") != seen and two["x"] == 11
result = two.set_item_if("x", value=12, condition=ETAG_IS_THE_SAME, expected_etag=seen)
assert not result.condition_was_satisfied
assert two.transform_item("x", transformer=lambda v: v + 1).new_value == 12 == one["x"]
etag = one.etag("x")
del two["x"]
assert "x" not in one and one.get("x") is None and not one.discard("x")
one["y"] = 1
etag = one.etag("y")
subprocess.run("umount one", shell=True, check=True)
connect("one")
print(FileDirDict(base_dir="one").etag("y") == etag)
"""
        )
        == "True"
    )


def test_increments_over_sshfs_are_counted(run_sshfs):
    assert (
        run_sshfs("""
code = '''
import sys
from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1], durability="relaxed")
for _ in range(2):
    d.transform_item("n", transformer=lambda v: v + 1, n_retries=None)
'''
one["n"] = 0
running = [subprocess.Popen([sys.executable, "-c", code, n]) for n in ("one", "two", "one", "two")]
print([process.wait() for process in running], two["n"])
""")
        == "[0, 0, 0, 0] 8"
    )
