"""mypy and pyright agree with the promised types, and find every mistake."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ["api.py", "functions.py", "misuse.py"]


def mypy(*files):
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    command += ["--warn-unused-ignores", "--ignore-missing-imports", *map(str, files)]
    env = os.environ | {"MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=HERE, env=env, capture_output=True, text=True, check=False)


def pyright(*files, **settings):
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("{"), done.stderr
    return [
        (pathlib.Path(found["file"]).name, found["range"]["start"]["line"] + 1, found["message"])
        for found in json.loads(done.stdout)["generalDiagnostics"]
        if found["severity"] == "error"
    ]


@pytest.mark.parametrize("file", FILES)
def test_mypy_is_content(file):
    done = mypy(HERE / file)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", ["api.py", "functions.py"])
def test_pyright_is_content(file):
    assert pyright(HERE / file) == []


@pytest.fixture(params=["misuse.py", "functions.py"])
def unguarded(request, tmp_path):
    """The mistakes without the comments that excuse them."""
    text = (HERE / request.param).read_text(encoding="utf-8")
    file = tmp_path / "unguarded.py"
    file.write_text(re.sub(r"# type: ignore\[[\w, -]+\]", "# mistake", text), encoding="utf-8")
    return file


def mistakes(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# mistake" in line}


def test_mypy_finds_every_mistake(unguarded):
    found = {int(number) for number in re.findall(r":(\d+): error", mypy(unguarded).stdout)}
    assert found == mistakes(unguarded)


def test_pyright_finds_every_mistake(unguarded):
    found = {line for _, line, _ in pyright(unguarded)}
    assert found == mistakes(unguarded)
