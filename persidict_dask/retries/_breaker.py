"""CircuitBreaker: what has failed too often is left alone by all workers, and tried by one."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from persidict_dask._seconds import Seconds, seconds
from persidict_dask._stats import register_gauge
from persidict_dask.coordination._places import Somewhere, positive, whole
from persidict_dask.coordination._records import Record
from persidict_dask.retries._breaker_rules import Rules
from persidict_dask.retries._breaker_view import Probe, State, View
from persidict_dask.retries._budget_local import Shared, local_of


class CircuitBreaker(Shared):
    """Refuses calls everywhere once too many have failed anywhere, until a single probe succeeds.

    The circuit opens after `failures` failures within `window`, of all workers together, with no
    success in between. After `reset` one call among all workers may probe: if that succeeds the
    circuit is closed for all, if it fails it stays open for another `reset`. Others see within a
    second what has changed. While the store is away, each process goes by what it has seen last,
    and by its own failures.

    Args:
        store: a dictionary, or the URL of one.
        name: the same for all who call the same service.
        failures: how many open the circuit.
        window: seconds for which a failure counts.
        reset: seconds before a probe.
    """

    kind: ClassVar[str] = "breaker"

    def __init__(
        self,
        store: Somewhere,
        name: str,
        *,
        failures: int = 5,
        window: Seconds = 30.0,
        reset: Seconds = 15.0,
    ) -> None:
        whole("failures", failures)
        window = positive("window", seconds("window", window))
        reset = positive("reset", seconds("reset", reset))
        super().__init__(store, name, failures=failures, window=window, reset=reset)

    def admit(self) -> Probe | None:
        """Let a call go on; a `Probe` if it is the one that finds out, to be given back after.

        Raises `CircuitOpenError` if the call is not to be made. No request while the circuit is
        closed and the breaker in use; else it asks the store, for a second at most.
        """
        view = self._view
        if view.is_clear:
            view.is_used = True
            return None
        return view.admit(self.name)

    def needs_store(self) -> bool:
        """True if `admit` would ask the store now; costs no request."""
        view = self._view
        return not view.is_clear and view.needs_store()

    @property
    def is_calm(self) -> bool:
        """True if a success is no news to others; costs no request."""
        return bool(self._view.is_clean)

    def succeeded(self, probe: Probe | None = None) -> None:
        """Tell that a call has succeeded. No request unless there were failures before."""
        view = self._view
        if probe is not None:
            view.ended(probe, is_well=True)
        elif not view.is_clean:
            view.succeeded()

    def failed(self, probe: Probe | None = None) -> None:
        """Tell that a call has failed; a read and a write, while the circuit is closed.

        Blocks for a quarter of a second at most.
        """
        view = self._view
        if probe is None:
            view.failed()
        else:
            view.ended(probe, is_well=False)

    def abandoned(self, probe: Probe | None = None) -> None:
        """Tell that a call has ended in a way that says nothing; another may be the probe."""
        if probe is not None:
            self._view.ended(probe, is_well=None)

    def close(self) -> None:
        """Close the circuit for all, by hand. Raises what the store raises."""
        self._view.close()

    @property
    def state(self) -> State:
        """What the circuit is, as far as this process has seen; asks like `admit`."""
        return self._view.state()

    def show(self) -> None:
        """Let the figures of this process tell the state; asks like `admit`."""
        self._view.look_first()

    @cached_property
    def _view(self) -> View:
        def made() -> View:
            record = Record(self._place, self._key)
            view = View(record, self._ident, Rules(**self._settings))
            register_gauge(self.kind, self.name, view.figures, self)
            return view

        found: View = local_of(self._ident, made)
        return found
