"""Run with `python -m examples.pipelines.leader_table`; see the README beside this file."""

from __future__ import annotations

import argparse
import itertools
import queue
import time
from pathlib import Path
from typing import Any

from persidict import FileDirDict

from .candidate import TABLE, TTL
from .team import Event, Team

HERE = Path(__file__).parent
ROWS = 5  # that a leader writes before something is done to it


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="leader_table", description=__doc__)
    parser.add_argument("--store", default=str(HERE / "store"), help="folder of lease and table")
    parser.add_argument("--stops", type=int, default=2, help="how many leaders are stopped")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Let three compete, stop the leader again and again, and look at the table afterwards."""
    started = time.perf_counter()
    args = arguments(argv)
    store: FileDirDict[Any] = FileDirDict(base_dir=args.store)
    store.discard(TABLE)  # the tokens go on from where an earlier run has left them
    print(f"three candidates, a lease of {TTL} s; table in {args.store}", flush=True)
    with Team(args.store, ["ada", "ben", "cleo"]) as team:
        for _ in range(args.stops):
            stop_a_leader(team)
    rows = store.get(TABLE, [])
    for (token, leader), part in itertools.groupby(rows, lambda row: (row["token"], row["leader"])):
        numbers = [row["number"] for row in part]
        print(f"rows {numbers[0]}-{numbers[-1]}: {leader}, token {token}")
    tokens = [row["token"] for row in rows]
    in_order = "in order" if tokens == sorted(tokens) else "NOT IN ORDER"
    is_whole = [row["number"] for row in rows] == list(range(len(rows)))
    print(
        f"{len(rows)} rows, {'none' if is_whole else 'SOME'} missing, tokens {in_order};"
        f" {time.perf_counter() - started:.1f} s"
    )


def stop_a_leader(team: Team, patience: float = 10 * TTL) -> None:
    """Stop whoever leads until another has taken over and written, then let it go on."""
    written = itertools.count(1)
    old = team.wait_for(lambda e: e["event"] == "wrote" and next(written) >= ROWS)
    team.stop(old["name"])
    print(f"{old['name']} leads with token {old['token']}, and is stopped", flush=True)
    stopped = time.perf_counter()

    def is_successor(event: Event) -> bool:
        return event["event"] == "wrote" and event["token"] > old["token"]

    try:
        new = team.wait_for(is_successor, patience)
    except queue.Empty:  # it was stopped inside of a write: its lock of the file is never broken
        team.go_on(old["name"])
        stop_a_leader(team, patience)
        return
    print(
        f"{new['name']} has taken over with token {new['token']},"
        f" after {time.perf_counter() - stopped:.1f} s",
        flush=True,
    )
    team.go_on(old["name"])
    told = team.wait_for(lambda e: e["event"] == "refused" and e["name"] == old["name"])
    print(
        f"{old['name']} goes on, tries to write with token {told['token']}, is refused because"
        f" {told['newest']} has written, and stands down",
        flush=True,
    )


if __name__ == "__main__":
    main()
