"""A client whose server is a function, on a clock that never waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random

import httpx
import pytest

from dg.client.app import Client

Handler = Callable[[httpx.Request], httpx.Response]
Connect = Callable[[Handler], Client]

URL = "http://127.0.0.1:8470"


class InstantClock:
    """Time passes only by sleeping, and at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def micros(self) -> int:
        return int(self.now * 1_000_000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> InstantClock:
    return InstantClock()


@pytest.fixture
async def connect(clock: InstantClock) -> AsyncIterator[Connect]:
    """Makes clients whose requests a function answers."""
    made: list[Client] = []

    def connect(handler: Handler) -> Client:
        transport = httpx.MockTransport(handler)
        client = Client(URL, "tok.en", transport=transport, clock=clock, random=Random(7))  # noqa: S311
        made.append(client)
        return client

    yield connect
    for client in made:
        await client.__aexit__(None, None, None)
