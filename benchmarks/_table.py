"""Results for people (a table in the terminal, Markdown for the docs) and for programs (JSON)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks._harness import Figures, Result, Target

HEADINGS = ("", "median", "ratio", "min – max", "target")
NOISE = "the same again: noise"


def show(results: list[Result], machine: dict[str, str], console: Console) -> None:
    """Print one section for each race."""
    table = Table(title="persidict and its peers, side by side")
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if index in (0, 4) else "right", no_wrap=True)
    for result in results:
        table.add_row(f"[bold]{result.title}[/]")
        for figures, row in _rows(result):
            table.add_row(*map(escape, row[:4]), _coloured(figures, row[4]))
        table.add_section()
    console.print(table)
    console.print(f"[dim]{_sentence(machine)}[/]", soft_wrap=True)


def markdown(results: list[Result], machine: dict[str, str], command: str) -> str:
    """Return the same as a piece of a page."""
    blocks = [f"`{command}`\n\n{_sentence(machine)}\n"]
    for result in results:
        lines = [
            f"### {result.title[0].upper()}{result.title[1:]}\n",
            "| " + " | ".join(HEADINGS) + " |",
            "|---|--:|--:|--:|---|",
            *("| " + " | ".join(row) + " |" for _, row in _rows(result)),
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def save_json(results: list[Result], machine: dict[str, str], path: Path) -> None:
    """Write every single measurement."""
    data = {"machine": machine, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def seconds_text(seconds: float) -> str:
    """Return a time in three digits and a fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            value = seconds * factor
            return f"{value:,.{max(0, 3 - len(str(int(value))))}f} {unit}"
    raise AssertionError("unreachable")


def _rows(result: Result) -> list[tuple[Figures, list[str]]]:
    base, noise = result.baseline, result.noise
    text = seconds_text if result.is_time else "{:,.3g}".format
    rows = [(base, [base.name, text(base.median_seconds), "1", "", ""])]
    rows.append((noise, [NOISE, "", *_ratio_texts(noise), ""]))
    for figures in result.others:
        cells = [text(figures.median_seconds), *_ratio_texts(figures)]
        rows.append((figures, [figures.name, *cells, target_text(figures.target)]))
    return rows


def _ratio_texts(figures: Figures) -> list[str]:
    low, high = min(figures.ratios), max(figures.ratios)
    return [f"{figures.median_ratio:.2f}", f"{low:.2f} – {high:.2f}"]


def target_text(target: Target | None) -> str:
    """Return a target in words, or nothing."""
    if target is None:
        return ""
    bounds = [] if target.ratio is None else [f"≤ {target.ratio:.3g} x"]
    bounds += [] if target.seconds is None else [f"≤ {seconds_text(target.seconds)}"]
    return ", ".join(bounds)


def is_met(figures: Figures) -> bool:
    """True if the medians keep the target."""
    target = figures.target or Target()
    return (target.ratio is None or figures.median_ratio <= target.ratio) and (
        target.seconds is None or figures.median_seconds <= target.seconds
    )


def _coloured(figures: Figures, text: str) -> str:
    return f"[{'green' if is_met(figures) else 'yellow'}]{text}[/]" if text else ""


def _sentence(machine: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in machine.items()) + "."
