"""The examples of the README and the documentation run, and print what the pages say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOUNDARY = "--- end of block ---"
# its examples are test modules for a package of the reader's
NOT_SCRIPTS = {"testing.md"}
EXAMPLE = re.compile(r"^```python\n.*?^```$(?:\s+^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
OPENING = re.compile(r"^```(\w+)")


def pages_with_examples() -> list[Path]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    scripts = [page for page in pages if page.name not in NOT_SCRIPTS]
    return [page for page in scripts if "```python\n" in page.read_text(encoding="utf-8")]


def script_of(page: str) -> str:
    """Return the Python blocks of a page as one script that has the line numbers of the page."""
    lines, language = [], ""
    for line in page.splitlines():
        opening = OPENING.match(line)
        if language == "python":
            lines.append(line if line != "```" else f"print({BOUNDARY!r}, flush=True)")
        else:
            lines.append("")
        if opening or line == "```":
            language = opening.group(1) if opening else ""
    return "\n".join(lines)


def outputs_of(page: str) -> Iterator[str | None]:
    """Yield what each Python block should print: the text block right after it, if there is one."""
    for block in EXAMPLE.finditer(page):
        output = block.group(1)
        yield None if output is None else output.strip()


@pytest.mark.parametrize("page", pages_with_examples(), ids=lambda page: page.stem)
def test_examples_run_and_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    script = tmp_path / "page.py"
    script.write_text(script_of(text), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    printed = [part.strip() for part in done.stdout.split(BOUNDARY)[:-1]]
    expected = list(outputs_of(text))
    assert len(printed) == len(expected)
    for found, wanted in zip(printed, expected, strict=True):
        assert wanted is None or found == wanted


def test_the_tutorial_is_among_the_pages() -> None:
    assert {"README.md", "tutorial.md"} <= {page.name for page in pages_with_examples()}


def test_a_wrong_output_is_noticed() -> None:
    """The parser sees both what a block prints and what it should print."""
    page = "text\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n\n```python\nx = 1\n```\n"
    page += "\nwords\n\n```text\nnot an output\n```\n"
    assert list(outputs_of(page)) == ["2", None]
    assert script_of(page).splitlines()[3] == "print(1)"
    assert script_of(page).count(BOUNDARY) == 2
