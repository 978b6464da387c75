"""Stats: the figures of a cluster, or of this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from persidict_dask._stats import FunctionStats, with_savings
from persidict_dask.cluster._table import html_of, text_of
from persidict_dask.cluster._totals import newest

_KNOWN = {f.name for f in fields(FunctionStats)}
_WORST = {"closed": 0, "probing": 1, "open": 2}


@dataclass(frozen=True)
class Stats(Mapping[str, FunctionStats]):
    """Figures of all persisted functions, by name: `stats["pkg.f"].hits`; `total` is their sum.

    `breakers` tells the state of each, "closed", "probing" or "open", as it was seen last: workers
    that start look at those that others have used. `budgets` tells of each what
    all processes have used and may use. `quarantined` are the keys of the calls that are not
    started again, as far as processes have told, with the calls as people know them.

    Of a cluster, `workers` are those it has now, `workers_lost` those that went without a word and
    `workers_retired` the others; `tasks_suspicious` counts how often a task was on a worker that
    went, and `tasks_killed` those that Dask has given up for it. All are 0 for one process.
    """

    functions: Mapping[str, FunctionStats] = field(default_factory=dict)
    breakers: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    is_cluster: bool = False
    workers: int = 0
    workers_lost: int = 0
    workers_retired: int = 0
    tasks_suspicious: int = 0
    tasks_killed: int = 0

    def __getitem__(self, name: str) -> FunctionStats:
        return self.functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.functions)

    def __len__(self) -> int:
        return len(self.functions)

    @property
    def total(self) -> FunctionStats:
        """The sum over all functions."""
        return sum(self.functions.values(), FunctionStats())

    @property
    def hits(self) -> int:
        """Calls whose result was there."""
        return self.total.hits

    @property
    def misses(self) -> int:
        """Calls that were computed."""
        return self.total.misses

    @property
    def attempts(self) -> int:
        """Runs that began under a retry policy."""
        return self.total.attempts

    @property
    def retries(self) -> int:
        """Those of the attempts that were not the first."""
        return self.total.retries

    @property
    def seconds_waiting(self) -> float:
        """Pauses before retries."""
        return self.total.seconds_waiting

    @property
    def refused(self) -> int:
        """What a budget, an open circuit or a quarantine did not let run."""
        return self.total.refused

    @property
    def deaths(self) -> int:
        """Attempts whose process was gone."""
        return self.total.deaths

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as what JSON knows."""
        return {
            "functions": {name: asdict(stats) for name, stats in self.functions.items()},
            "total": asdict(self.total),
            "breakers": dict(self.breakers),
            "budgets": {name: dict(use) for name, use in self.budgets.items()},
            "quarantined": [{"key": [*k], "call": call} for k, call in self.quarantined.items()],
            "is_cluster": self.is_cluster,
            **{name: getattr(self, name) for name in _SEEN},
        }

    def __repr__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)


_SEEN = ("workers", "workers_lost", "workers_retired", "tasks_suspicious", "tasks_killed")


def stats_from(*reports: Mapping[str, Any]) -> Stats:
    """Put together what processes have told; the first report is that of a cluster, if any is."""
    seen = {**reports[0].get("workers", {})}
    return Stats(
        functions=_functions(reports),
        breakers=_breakers(_gauges(reports, "breaker")),
        budgets=_budgets(_gauges(reports, "budget")),
        quarantined=_held(told for report in reports for told in report["quarantined"]),
        is_cluster=bool(seen),
        workers=seen.get("now", 0),
        workers_lost=seen.get("lost", 0),
        workers_retired=seen.get("retired", 0),
        tasks_suspicious=seen.get("suspicious", 0),
        tasks_killed=seen.get("killed", 0),
    )


def _functions(reports: Iterable[Mapping[str, Any]]) -> dict[str, FunctionStats]:
    sums: dict[str, FunctionStats] = {}
    for report in reports:
        for name, counts in report["functions"].items():
            known = {field: value for field, value in counts.items() if field in _KNOWN}
            sums[name] = sums.get(name, FunctionStats()) + FunctionStats(**known)
    return {name: with_savings(sums[name]) for name in sorted(sums)}


def _gauges(reports: Iterable[Mapping[str, Any]], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    told = [gauge for report in reports for gauge in report["gauges"]]
    return sorted(((name, use) for of, name, use in told if of == kind), key=lambda g: g[0])


def _breakers(gauges: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return the state that was seen last; of states seen at the same time the worst."""
    newest: dict[str, tuple[float, int, str]] = {}
    for name, told in gauges:
        state = str(told.get("state", ""))
        seen = (told.get("at", 0), _WORST.get(state, -1), state)
        newest[name] = max(newest.get(name, seen), seen)
    return {name: seen[2] for name, seen in newest.items()}


def _budgets(gauges: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, float]] = {}
    for name, told in gauges:
        use = sums.setdefault(name, {})
        for what, value in told.items():
            if isinstance(value, int | float):
                use[what] = use.get(what, 0) + value
    return sums


def _held(told: Iterable[Any]) -> dict[tuple[str, ...], str]:
    states: dict[tuple[str, ...], tuple[str, bool, float]] = {}
    for key, *state in told:
        states[tuple(key)] = newest(states.get(tuple(key)), state)
    return {key: call for key, (call, is_held, _) in sorted(states.items()) if is_held}
