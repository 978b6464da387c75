"""What was installed, for the workers of this process and for the clusters it is a client of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from persidict_dask._where import running_worker

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """A cluster that this process is a client of, and the client that has installed something."""

    cluster: str
    client: Any = field(default=lambda: None, compare=False)
    """Returns the client, as long as there is one: a weak reference."""

    @property
    def is_open(self) -> bool:
        """True while the client is in use: of clusters that are closed nothing else is told."""
        return getattr(self.client(), "status", "closed") != "closed"


class Told(Generic[T]):
    """Something of each worker, by its id, and of each `Connection`; the latest comes last."""

    def __init__(self) -> None:
        self._told: dict[Any, T] = {}

    def tell(self, who: Any, what: T | None) -> None:
        """Keep it for as long as this worker or client says so; `None` takes it back."""
        self._told.pop(who, None)
        if what is not None:
            self._told[who] = what

    def of(self, who: Any) -> T | None:
        """Return what this worker or client says now."""
        return self._told.get(who)

    def everything(self) -> list[tuple[Any, T]]:
        """Return who has said what."""
        return list(self._told.items())

    def here(self) -> Iterator[list[tuple[Any, T]]]:
        """Yield who has said what, those first who count most where this runs.

        In a task that is its worker and nobody else. Elsewhere nobody knows whose the code is:
        there it is the clients of this process, those that are closed after the others, and at
        last the workers in it.
        """
        worker, said = running_worker(), self.everything()
        if worker is not None:
            yield [(who, what) for who, what in said if who == worker.id]
            return
        clients = [each for each in said if isinstance(each[0], Connection)]
        yield [each for each in clients if each[0].is_open]
        yield [each for each in clients if not each[0].is_open]
        yield [each for each in said if not isinstance(each[0], Connection)]

    def latest(self) -> T | None:
        """Return what was said last by those who count most here."""
        return next((group[-1][1] for group in self.here() if group), None)


policies: Told[Any] = Told()
"""The retry policies of the persisted functions that have none of their own."""


def default_policy() -> Any | None:
    """Return the policy that counts where this runs, if any is installed."""
    return policies.latest() if policies.everything() else None
