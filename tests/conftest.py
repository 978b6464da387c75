"""What every test may ask for: pauses that cost no time, and a fresh interpreter.

And what no test has to ask for: what it has installed counts in this process until it ends.
"""

import subprocess
import sys
import time

import dask
import pytest

# Workers of Dask start in a fraction of the time, as in its own tests; what tests run in processes
# of their own, such as examples and notebooks, has the usual way.
dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})


@pytest.fixture
def pauses(monkeypatch):
    """The pauses asked of `time.sleep`, none of which is made."""
    taken = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.fixture(autouse=True)
def _taken_back():
    """Clients of a test that has ended tell this process of no stores and no policy any more."""
    before = _connections()
    yield
    for who in _connections() - before:
        sys.modules["persidict_dask._install"]._tell(who, {}, None)


def _connections():
    """The clusters of which this process was told something; none if it has not heard of Dask."""
    installing = sys.modules.get("persidict_dask._install")
    if installing is None:
        return set()
    told = installing._told.everything() + installing.policies.everything()
    return {who for who, _ in told if isinstance(who, installing.Connection)}


@pytest.fixture
def python(tmp_path):
    """Run code in a new interpreter and return what it printed."""

    def run(code, *args, env=None):
        command = [sys.executable, "-c", code, *map(str, args)]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
