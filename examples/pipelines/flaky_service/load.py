"""What arrived at the service, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

BUCKET = 0.1  # seconds in which requests are counted together
WIDTH = 0.5  # seconds over which a rate is taken


@dataclass(frozen=True)
class Load:
    """Phases with their beginnings, requests with their answers, in seconds since the first phase.

    Args:
        phases: (second, name), in order.
        requests: (second, status, how many), in order.
    """

    phases: list[tuple[float, str]]
    requests: list[tuple[float, int, int]]

    @classmethod
    def of(cls, log: dict[str, Any]) -> Self:
        """Read the log of the service."""
        phases = [(begin, name) for begin, name in log["phases"]]
        return cls(phases, [(second, status, n) for second, status, n in log["requests"]])

    @property
    def end(self) -> float:
        """When the last request had come."""
        return self.requests[-1][0] + BUCKET if self.requests else 0.0

    def span(self, phase: str) -> tuple[float, float]:
        """When a phase began first, and when it was over."""
        at = [name for _, name in self.phases].index(phase)
        begins = [begin for begin, _ in self.phases]
        return begins[at], begins[at + 1] if at + 1 < len(begins) else self.end

    def arrived(self, since: float = 0.0, until: float = float("inf")) -> int:
        return sum(n for second, _, n in self.requests if since <= second + BUCKET / 2 < until)

    def rates(self) -> list[tuple[float, float]]:
        """Requests per second around the middle of each bucket."""
        moments = [(number + 0.5) * BUCKET for number in range(round(self.end / BUCKET))]
        return [(moment, self._rate(moment)) for moment in moments]

    def _rate(self, moment: float) -> float:
        since, until = max(0.0, moment - WIDTH / 2), min(self.end, moment + WIDTH / 2)
        return self.arrived(since, until) / (until - since)
