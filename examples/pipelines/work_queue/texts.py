"""Files of generated text, and what is done with them: plain functions."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

VOCABULARY = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "ter") for b in ("da", "ren", "sol", "t")]
LINE = 12  # words


def write_files(folder: Path, files: int, words: int) -> list[Path]:
    """Write text files of so many words each, the same whenever it is called."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = [1 / rank for rank in range(1, len(VOCABULARY) + 1)]
    paths = [folder / f"text-{number:03}.txt" for number in range(files)]
    for number, path in enumerate(paths):
        text = random.Random(number).choices(VOCABULARY, weights, k=words)
        lines = (" ".join(text[at : at + LINE]) for at in range(0, words, LINE))
        path.write_text("\n".join(lines), encoding="utf-8")
    return paths


def count_words(path: Path) -> dict[str, Any]:
    """The number of words in a file, and the most frequent one."""
    counts: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        counts.update(line.split())
    return {"words": counts.total(), "most frequent": counts.most_common(1)[0][0]}
