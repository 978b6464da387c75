"""The command: run the chosen subjects and show what came out."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import (
    _machine,
    _table,
    arrays,
    coordination,
    folders,
    hashing,
    importing,
    listings,
    memoized,
    retries,
    s3,
    small_items,
    tasks,
)
from benchmarks._harness import Race, Result, run
from benchmarks._scale import FULL, QUICK, Scale

SUBJECTS: dict[str, Callable[[Path, Scale], Iterator[Race]]] = {
    "small": small_items.races,
    "folders": folders.races,
    "listings": listings.races,
    "arrays": arrays.races,
    "memoized": memoized.races,
    "hashing": hashing.races,
    "tasks": tasks.races,
    "coordination": coordination.races,
    "deaths": coordination.deaths,
    "retries": retries.races,
    "outages": retries.outages,
    "import": importing.races,
    "s3": s3.races,
}
LONG = ("listings", "arrays", "folders", "hashing", "tasks", "coordination", "retries")
VERY_LONG = ("s3", "deaths", "outages")
DEFAULT = tuple(name for name in SUBJECTS if name not in VERY_LONG)  # servers, and minutes


def main(argv: list[str]) -> None:
    """Run, print, and save where asked."""
    options = _parser().parse_args(argv)
    if "s3" in (options.only or ()) and not s3.READY.exists():
        _parser().error("s3 needs servers, which `make .servers/ready` installs")
    console = Console(width=None if sys.stdout.isatty() else 110)
    if _machine.is_busy():
        console.print("[yellow]The machine is busy: the noise will be large.[/]")
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="benchmarks-") as folder:
        machine = _machine.describe(Path(folder), _peers(set(options.only or ())))
        results = _measure(Path(folder), options, console)
    _table.show(results, machine, console)
    if options.json:
        _table.save_json(results, machine, options.json)
    if options.markdown:
        command = shlex.join(["python -m benchmarks", *_told(options)]).replace("'", "")
        text = _table.markdown(results, machine, command)
        options.markdown.write_text(text, encoding="utf-8")


def _peers(only: set[str]) -> tuple[str, ...]:
    if only == {"s3"}:
        return _machine.S3_PEERS
    if only and only <= {"coordination", "deaths"}:
        return coordination.PEERS
    return retries.PEERS if only and only <= {"retries", "outages"} else _machine.PEERS


def _measure(folder: Path, options: argparse.Namespace, console: Console) -> list[Result]:
    scale = QUICK if options.quick else FULL
    results = []
    with console.status("") as status:
        for name in options.only or DEFAULT:
            place = folder / name
            place.mkdir()
            for race in SUBJECTS[name](place, scale):
                status.update(f"{name}: {race.title}")
                results.append(run(race, _rounds(name, scale)))
    return results


def _rounds(name: str, scale: Scale) -> int:
    if name in VERY_LONG:
        return max(3, scale.long_rounds // 3)
    return scale.long_rounds if name in LONG else scale.rounds


def _told(options: argparse.Namespace) -> list[str]:
    only = [word for name in options.only or () for word in ("--only", name)]
    return (["--quick"] if options.quick else []) + only


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes")
    parser.add_argument(
        "--only", action="append", choices=SUBJECTS, help="this subject; repeatable"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="save every measurement")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="save the table for the docs")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="measure in a folder under DIR")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
