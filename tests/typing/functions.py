"""The static types of persisted functions and methods; never run, read by the type checkers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from persidict import NonEmptySafeStrTuple, PersiDict
from persidict_dask import RetryPolicy, open_store, persist


class Flight:
    """Some class of the user."""


@persist("cache")
def delay(flight: Flight, hours: int = 1, *, unit: str = "min") -> float:
    return 1.0


@persist("cache")
async def fetched(url: str) -> bytes:
    return b""


class Model:
    """Methods of every kind."""

    @persist("cache")
    def fit(self, data: list[int], *, steps: int = 1) -> Flight:
        return Flight()

    @persist("cache")
    async def ask(self, question: str) -> int:
        return 1

    @classmethod
    @persist("cache")
    def load(cls, path: str) -> Flight:
        return Flight()

    @staticmethod
    @persist("cache")
    def clean(text: str) -> str:
        return text

    def again(self) -> Flight:
        return self.fit([1])


def functions(flight: Flight) -> None:
    assert_type(delay(flight, 2, unit="h"), float)
    assert_type(delay.key_of(flight), NonEmptySafeStrTuple)
    assert_type(delay.is_cached(flight, hours=3), bool)
    assert_type(delay.refresh(flight), float)
    assert_type(delay.forget(flight), bool)
    plain: Callable[[Flight], float] = delay
    assert_type(plain(flight), float)


async def coroutines(model: Model) -> None:
    assert_type(await fetched("url"), bytes)
    assert_type(await fetched.refresh("url"), bytes)
    assert_type(await model.ask("why"), int)
    assert_type(await asyncio.gather(fetched("a"), model.ask("b")), tuple[bytes, int])
    later: Callable[[str], Coroutine[Any, Any, bytes]] = fetched
    assert_type(await later("url"), bytes)


def methods(model: Model) -> None:
    assert_type(model.fit([1], steps=2), Flight)
    assert_type(model.fit.key_of([1]), NonEmptySafeStrTuple)
    assert_type(model.fit.refresh([1]), Flight)
    assert_type(Model.fit(model, [1]), Flight)
    assert_type(Model.fit.is_cached(model, [1]), bool)
    assert_type(Model.load("path"), Flight)
    assert_type(model.load("path"), Flight)
    assert_type(Model.clean("text"), str)
    assert_type(model.clean("text"), str)


def policies(store: PersiDict[Any]) -> None:
    @RetryPolicy(attempts=2)
    def tried(n: int) -> str:
        return ""

    assert_type(tried(1), str)
    assert_type(open_store("cache"), PersiDict[Any])


def mistakes(model: Model, flight: Flight) -> None:
    delay()  # type: ignore[call-arg]
    delay("text")  # type: ignore[arg-type]
    delay(flight, minutes=1)  # type: ignore[call-arg]
    delay.key_of(1)  # type: ignore[arg-type]
    model.fit()  # type: ignore[call-arg]
    model.fit("text")  # type: ignore[arg-type]
    model.fit([1], 2)  # type: ignore[call-arg]
    model.fit.key_of("text")  # type: ignore[arg-type]
    Model.load(1)  # type: ignore[arg-type]
    Model.clean(1)  # type: ignore[arg-type]
    _number: int = model.fit([1])  # type: ignore[assignment]
