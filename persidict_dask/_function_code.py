"""The code of a persisted function: its fingerprint for each call, and the state of its runs."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

from persidict_dask._code import Data, Fingerprint, digest_before, fingerprint, holds_data, running
from persidict_dask._digest import digest
from persidict_dask._errors import UnstableKeyError
from persidict_dask._warn import warn_caller

CODE_DIGITS: Final = 16
"""How much of a fingerprint is a part of keys."""


class FunctionCode:
    """What of a function counts in its keys besides the arguments.

    Args:
        function: the plain function.
        label: what it is called in warnings.
        version: stands for the code; what the function holds besides counts all the same.
        by_value: names of modules whose code counts.
        ignored: globals that do not count, as `module.name`.
        is_named: the user has given the name, and so answers for what tells it from others.
        shipped: fingerprints that another process has found, by the class of a method.
    """

    def __init__(
        self,
        function: Any,
        *,
        label: str,
        version: str | None = None,
        by_value: tuple[str, ...] = (),
        ignored: tuple[str, ...] = (),
        is_named: bool = False,
        shipped: Mapping[str, Fingerprint] | None = None,
    ) -> None:
        self._function = function
        self._label = label
        self._version = version
        self._settings = by_value, ignored
        self._is_named = is_named
        self._shipped = dict(shipped or {})
        self._owners: dict[str, weakref.ref[type]] = {}
        self._defaults: tuple[Fingerprint | None, dict[str, str]] = None, {}
        self._said: set[str] = set()
        self._compared: Fingerprint | None = None
        self._is_other = False
        self.data = Data(function)
        self._may_be_method = version is None and _may_be_method(function)

    def of(self, owner: type | None = None) -> Fingerprint:
        """The fingerprint; of a method, as one of its class."""
        place = _place(owner)
        sent = self._shipped.get(place)
        if sent is not None:
            return self._agreed(sent, owner)
        if owner is not None and place not in self._owners:
            self._owners[place] = weakref.ref(owner)
        return self._found(owner)

    def _agreed(self, sent: Fingerprint, owner: type | None) -> Fingerprint:
        """Return the fingerprint that came with the function, if it is that of what runs here.

        The function has travelled, but not the modules that it uses. What was made differently
        on the way counts as it was sent.
        """
        try:
            here = self._found(owner)
        except UnstableKeyError:
            return sent
        if self._compared is not here:
            self._compared, self._is_other = here, bool(_others(sent, here))
        return here if self._is_other else sent

    def others(self) -> list[str]:
        """Name what of the code is not as the sender of the function has it."""
        sent = self._shipped.get("")
        return [] if sent is None else _others(sent, self.of())

    def shipped(self) -> dict[str, Fingerprint]:
        """The fingerprints known here, for processes that cannot find them again."""
        owners = [owner for ref in self._owners.values() if (owner := ref()) is not None]
        return {_place(owner): self.of(owner) for owner in (None, *owners)}

    def digits(self, owner: type | None = None) -> str:
        """What of the fingerprint is a part of keys."""
        return self.of(owner).hexdigest[:CODE_DIGITS]

    def _found(self, owner: type | None) -> Fingerprint:
        if self._version is None:
            return fingerprint(self._function, *self._settings, owner)
        parts = ("version", self._version)
        components = {"version": self._version}
        if not holds_data(self._function):
            return Fingerprint(digest(*parts), components)
        try:
            data = fingerprint(self.data, *self._settings)
        except UnstableKeyError as error:
            if self._is_named:
                return Fingerprint(digest(*parts), components)
            raise UnstableKeyError(
                f"{error.reason}; or give the function a name= of its own", error.path
            ) from error
        return Fingerprint(
            digest(*parts, data.hexdigest), components | data.components, data.values
        )

    def of_defaults(self, defaults: Mapping[str, Any], code: Fingerprint) -> dict[str, str]:
        """Digests of defaults as they were before runs changed them, by the argument's name."""
        if self._defaults[0] is not code:
            found = {}
            for name, value in defaults.items():
                with suppress(UnstableKeyError):  # the argument itself is refused, if it is used
                    found[name] = digest_before(value, self._settings[0])
            self._defaults = code, found
        return self._defaults[1]

    @contextmanager
    def running(self, owner: type | None = None, reached: Iterable[Any] = ()) -> Iterator[None]:
        """Run the function: what changes meanwhile is state, of which the user learns once.

        Also in the code that is `reached` through arguments.
        """
        subject = self._function if self._version is None else self.data
        changed: list[str] = []
        with ExitStack() as stack:
            for each in reached:
                stack.enter_context(running(each, self._settings[0], changed=changed))
            stack.enter_context(running(subject, *self._settings, owner, changed=changed))
            yield
        fresh = [each for each in dict.fromkeys(changed) if each and each not in self._said]
        if fresh:
            self._said.update(fresh)
            warn_caller(
                f"a run of {self._label} has changed {', '.join(fresh)}: that is taken for state, "
                "and counts as it was before the first run. If results do not depend on it, "
                f"ignore={tuple(fresh)!r} says so, and this is not said again; if they do, make it "
                "an argument"
            )

    def is_as(self, code: Fingerprint, owner: type | None = None) -> bool:
        """Is the fingerprint still that one? It is not if something was edited meanwhile."""
        try:
            return self.of(owner).hexdigest == code.hexdigest
        except Exception:  # the function has run: its value matters more
            return False

    def owner_of(self, first: Any) -> type | None:
        """The class of a first argument that the function is a method of; `None` for others."""
        if not self._may_be_method:
            return None
        cls = first if isinstance(first, type) else type(first)
        return cls if _is_member(cls, self._function) else None


def _place(owner: type | None) -> str:
    return "" if owner is None else f"{owner.__module__}.{owner.__qualname__}"


def _may_be_method(function: Any) -> bool:
    qualname = getattr(function, "__qualname__", "")
    holder = qualname.rpartition(".")[0]
    return bool(holder) and not holder.endswith("<locals>")


@functools.lru_cache(maxsize=1024)
def _is_member(cls: Any, function: Any) -> bool:
    name = function.__name__
    found = (vars(base).get(name) for base in cls.__mro__)
    plain = (getattr(each, "__func__", each) for each in found)
    return any(inspect.unwrap(each, stop=lambda f: f is function) is function for each in plain)


def _others(sent: Fingerprint, here: Fingerprint) -> list[str]:
    """Name what both know and what is not the same, of that which does not travel."""
    known = here.components
    return [
        name
        for name, seen in sent.components.items()
        if known.get(name, seen) != seen and not _travels(name)
    ]


def _travels(component: str) -> bool:
    _, _, name = component.partition(" ")
    return name.startswith("__main__.") or "<" in name
