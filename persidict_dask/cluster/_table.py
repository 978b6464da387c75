"""Figures for people: as text, as HTML, and as a page of the dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

Table = tuple[str, Sequence[str], list[Sequence[Any]]]

_COLUMNS = {
    "hits": "hits",
    "misses": "misses",
    "errors": "errors",
    "attempts": "attempts",
    "retries": "retries",
    "seconds_waiting": "waited s",
    "refused": "refused",
    "deaths": "deaths",
    "seconds_saved": "saved s",
}
_MOST = 100
"""Rows of a table; the figures themselves have all."""
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 0 0 1.5em }
caption { text-align: left; font-weight: 600 }
th, td { padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
"""


def _tables(stats: Any) -> list[Table]:
    """Return the tables that have something to say; that of the functions in any case."""
    rows = _few([[name, *_figures(counts)] for name, counts in stats.functions.items()])
    total = [["total", *_figures(stats.total)]] if len(rows) > 1 else []
    beside: list[Table] = [
        ("Circuit breakers", ["name", "state"], [*map(list, stats.breakers.items())]),
        ("Retry budgets", ["name", "use"], [[n, _use(u)] for n, u in stats.budgets.items()]),
        (
            "Calls in quarantine",
            ["call", "key"],
            [[call, "/".join(key)] for key, call in stats.quarantined.items()],
        ),
    ]
    functions: Table = ("Persisted functions", ["function", *_COLUMNS.values()], [*rows, *total])
    return [functions, *((title, head, _few(rows)) for title, head, rows in beside if rows)]


def _figures(counts: Any) -> list[str]:
    return [f"{getattr(counts, name):.6g}" for name in _COLUMNS]


def _use(use: Any) -> str:
    return ", ".join(f"{what} {value:g}" for what, value in use.items())


def _head(stats: Any) -> str:
    """Say of what the figures are."""
    if not stats.is_cluster:
        return "this process only"
    said = f"{stats.workers} workers, {stats.workers_lost} lost, {stats.workers_retired} retired"
    if stats.tasks_suspicious:
        said += f"; tasks on lost workers {stats.tasks_suspicious}, given up {stats.tasks_killed}"
    return said


def text_of(stats: Any) -> str:
    """Return the figures as plain text."""
    parts = [f"<persidict stats: {_head(stats)}>"]
    for title, head, rows in _tables(stats):
        parts += [title, *_lines([head, *rows])]
    return "\n".join(parts)


def _lines(rows: list[Sequence[str]]) -> list[str]:
    # what others have named must not look like a line or a colour of ours
    clean = [["".join(c if c.isprintable() else "?" for c in cell) for cell in r] for r in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return ["  " + "  ".join(_aligned(row, widths)).rstrip() for row in clean]


def _aligned(row: Sequence[str], widths: list[int]) -> Iterable[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def html_of(stats: Any) -> str:
    """Return the figures as a piece of HTML."""
    return f"<p>{escape(_head(stats))}</p>" + "".join(_html_table(*t) for t in _tables(stats))


def _html_table(title: str, head: Sequence[str], rows: list[Sequence[Any]]) -> str:
    lines = [_html_row("th", head), *(_html_row("td", row) for row in rows)]
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _few(rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
    if len(rows) <= _MOST:
        return rows
    more = [f"... and {len(rows) - _MOST} more", *[""] * (len(rows[0]) - 1)]
    return [*rows[:_MOST], more]


def page_of(stats: Any) -> str:
    """Return the figures as a page that loads itself again every two seconds."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>persidict</title>'
        f'<meta http-equiv="refresh" content="2"><style>{_STYLE}</style></head><body>'
        f'<h1>persidict</h1>{html_of(stats)}<p><a href="persidict/stats.json">stats.json</a></p>'
        "</body></html>"
    )
