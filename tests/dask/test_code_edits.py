"""Every semantic edit of a function or of what it reaches is a miss, every cosmetic one a hit.

Each edit is a text before and after with a function `f`. Both are fingerprinted in processes of
their own, with other hash seeds, as a module, as a method, and as a closure. The keys of installed
packages, scripts and notebooks are compared in `test_code_installs`.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PLACES = ("module", "method", "closure")


def _edits(kind: str) -> dict[str, tuple[str, str]]:
    """Entries `=== name`, a text, `---`, the other text; under names of modules."""
    table = Path(__file__).with_name("test_code_edits") / f"{kind}.txt"
    entries = re.split(r"^=== (.*)\n", table.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(entries[::2], entries[1::2], strict=True)
    names = {f"{kind}_" + re.sub(r"\W", "_", name): text for name, text in pairs}
    return {name: tuple(text.split("---\n")) for name, text in names.items()}  # type: ignore[misc]


EDITS = _edits("semantic") | _edits("cosmetic")


def arranged(text: str, place: str) -> str:
    """The same definitions at another place; the name `target` stands for what is persisted."""
    if place == "module":
        return text + "\ntarget = f\n"
    if place == "closure":
        future, rest = _without_future(text)
        return (
            f"{future}def make():\n{textwrap.indent(rest, '    ')}\n    return f\ntarget = make()\n"
        )
    lines = text.splitlines(keepends=True)
    (node,) = [n for n in ast.parse(text).body if getattr(n, "name", None) == "f"]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    body = "".join(lines[first : node.end_lineno])
    method = re.sub(r"def f\(\s*", "def f(self, ", body, count=1)
    holder = "class Holder:\n" + textwrap.indent(method, "    ")
    rest = "".join(lines[:first]) + "".join(lines[node.end_lineno :])
    return f"{rest}\n{holder}\ntarget = Holder().f\n"


def _without_future(text: str) -> tuple[str, str]:
    future = "from __future__ import annotations\n"
    return (future, text.replace(future, "")) if future in text else ("", text)


def fingerprints(place: str, folder: Path) -> dict[str, str]:
    """What a child process reports: one fingerprint for each text in the folder."""
    from persidict_dask._code import fingerprint

    sys.path.insert(0, str(folder))
    return {path.stem: fingerprint(_target(place, path)).hexdigest for path in folder.glob("*.py")}


def _target(place: str, path: Path) -> object:
    if place == "module":
        return importlib.import_module(path.stem).target
    namespace: dict[str, object] = {"__name__": "__main__", "__package__": None}
    sys.modules["__main__"].__dict__["SCRIPTS"] = namespace
    # a closure inherits that annotations are text: as values they are cells of the function
    own = place != "closure"
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=own), namespace)
    return namespace["target"]


def _report(place: str, folder: Path, seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, place, str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _reports(place: str, tmp_path: Path) -> list[dict[str, str]]:
    folders = [tmp_path / "before", tmp_path / "after", tmp_path / "again" / "elsewhere"]
    for folder, version in zip(folders, (0, 1, 0), strict=True):
        folder.mkdir(parents=True)
        for name, texts in EDITS.items():
            (folder / f"{name}.py").write_text(arranged(texts[version], place))
    children = [_report(place, folder, seed) for folder, seed in zip(folders, "123", strict=True)]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    return [json.loads(output) for output in outputs]


@pytest.mark.parametrize("place", PLACES)
def test_a_semantic_edit_is_a_miss_and_a_cosmetic_one_a_hit(place, tmp_path):
    """Another meaning gives another fingerprint, another look the same; so does another process."""
    before, after, again = _reports(place, tmp_path)
    assert len(before) == len(EDITS)
    assert before == again
    hits = {name for name in EDITS if before[name] == after[name]}
    assert hits == {name for name in EDITS if name.startswith("cosmetic")}


if __name__ == "__main__":
    print(json.dumps(fingerprints(sys.argv[1], Path(sys.argv[2]))))
