"""Each of some 380 kinds of values has one digest everywhere, or is refused with its path.

`kinds.py` makes them; processes with other hash seeds digest them, in other orders.
"""

from __future__ import annotations

import ast
import collections
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
AS_MODULE = "import sys; sys.path.insert(0, sys.argv[1]); import kinds; kinds.main()"


def names():
    """The keys of the tables in the source: an import here would load all the libraries."""
    tree = ast.parse((HERE / "kinds.py").read_text(encoding="utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    keys = [key for table in tables if isinstance(table, ast.Dict) for key in table.keys]
    return [key.value for key in keys if key is not None]


def start(arguments, seed, folder):
    settings = {"PYTHONHASHSEED": seed, "KINDS_FOLDER": str(folder)}
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, env=os.environ | settings, text=True
    )


def answers(processes):
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return found


def found_by(arguments, folder):
    """The answers of three processes; the first of them writes the files."""
    first = answers([start(arguments, "1", folder)])
    return first + answers([start(arguments, seed, folder) for seed in ("2", "3")])


@pytest.fixture(scope="module")
def imported(tmp_path_factory, told_once):
    """What three processes find out that import the classes from a module."""
    arguments = ["-c", AS_MODULE, str(HERE)]
    return told_once("kinds", lambda: found_by(arguments, tmp_path_factory.mktemp("kinds")))


@pytest.fixture(scope="module")
def in_scripts(tmp_path_factory, told_once):
    """What three processes find out in which the classes are those of `__main__`."""
    script = [str(HERE / "kinds.py")]
    return told_once("kinds-of-scripts", lambda: found_by(script, tmp_path_factory.mktemp("kinds")))


def judge(found):
    """One digest, whatever happened to the value; or the path to what is refused."""
    assert [one.get("failed") for one in found] == [None] * 3
    refused = [one["refused"] for one in found if "refused" in one]
    if refused:
        assert len(refused) == 3
        assert all(path.startswith("args[0]") for path in refused)
        return
    different = [{key for key in one if one[key] != found[0]["first"]} for one in found]
    assert different == [set()] * 3


@pytest.mark.parametrize("name", names())
def test_a_kind_has_one_digest_everywhere(name, imported):
    """In three processes, made again, pickled, cloudpickled and used."""
    judge([found[name] for found in imported])


@pytest.mark.parametrize("name", names())
def test_a_kind_has_one_digest_in_every_script(name, in_scripts):
    """The same where the classes of the project stand in `__main__`."""
    judge([found[name] for found in in_scripts])


def test_kinds_of_different_content_have_different_digests(imported):
    """Nothing is mistaken for something else."""
    kinds = collections.defaultdict(list)
    for name, found in imported[0].items():
        kinds[found.get("first", name)].append(name)
    assert [same for same in kinds.values() if len(same) > 1] == []


def test_few_kinds_are_refused(imported):
    """The error is for what has no content that lasts, not a way out."""
    assert set(imported[0]) == set(names())
    assert len(imported[0]) >= 380
    refused = {name for name, found in imported[0].items() if "refused" in found}
    assert len(refused) < len(imported[0]) / 10
