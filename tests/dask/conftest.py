"""Projects made of source text, logs of what was really executed, a cluster of processes."""

from __future__ import annotations

import fcntl
import importlib
import itertools
import json
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from persidict import FileDirDict

COUNTING = """
def ran(what):
    with open({log!r}, "a") as log:
        log.write(what + "\\n")
"""
_seeds = itertools.count(1)


class Runs(list):
    """What was executed in this process; it belongs to no key, though functions close over it."""

    def __persist_token__(self):
        return "runs"


class Project:
    """A folder with modules, scripts, a store, and a log of what was really executed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.cache = folder / "cache"
        self.log = folder / "log"
        self.log.touch()
        self.write("counting.py", COUNTING.format(log=str(self.log)))

    def write(self, name: str, source: str) -> Path:
        """Write a file; `{cache}` in the text becomes the path of the store."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source).replace("{cache}", str(self.cache)))
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that is there."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def run(self, script: str, *args: object, cwd: Path | None = None, timeout: float = 100) -> str:
        """Run a script in a new interpreter with a hash seed of its own; return what it printed."""
        command = [sys.executable, self.folder / script, *map(str, args)]
        env = {**os.environ, "PYTHONHASHSEED": str(next(_seeds)), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def executed(self) -> list[str]:
        """What was executed since the last question, sorted."""
        lines = sorted(self.log.read_text().split())
        self.log.write_text("")
        return lines

    def load(self, name: str, as_name: str | None = None) -> types.SimpleNamespace:
        """Execute a file as a module of this process that nobody can import, `__main__` at will."""
        namespace = {"__name__": as_name or Path(name).stem}
        code = compile((self.folder / name).read_text(), self.folder / name, "exec")
        exec(code, namespace)
        return types.SimpleNamespace(**namespace)


@pytest.fixture(scope="session")
def told_once(tmp_path_factory):
    """Make what many tests read once for all processes that run tests; plain JSON."""
    inside = tmp_path_factory.getbasetemp()
    folder = inside.parent if "PYTEST_XDIST_WORKER" in os.environ else inside

    def told(name, make):
        path = folder / f"{name}.json"
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                path.write_text(json.dumps(make()))
        return json.loads(path.read_text())

    return told


@pytest.fixture
def runs():
    return Runs()


@pytest.fixture
def store(tmp_path):
    """A folder in which everything is allowed."""
    return FileDirDict(base_dir=str(tmp_path / "store"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that this process can import from."""
    made = Project(tmp_path / "project")
    yield from _importable(made, monkeypatch)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Make projects that only their own scripts import from."""
    return lambda: Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory):
    """One project for all tests of a module."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield from _importable(Project(tmp_path_factory.mktemp("project")), monkeypatch)


def _importable(made, monkeypatch):
    monkeypatch.syspath_prepend(made.folder)
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield made
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(made.folder)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def client(shared_project):
    """A client of two worker processes that can import from the shared project."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        made.run(sys.path.insert, 0, str(shared_project.folder))
        yield made
