"""When the feed tries again: soon where nobody answers, ever later where somebody answers and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, cast

import httpx
import pytest
from tests.tui.house import WITHIN
from tests.tui.still import MOMENT, StillHouse

from dg.client.app import Client
from dg.core.access.models import Principal
from dg.core.errors import Unavailable
from dg.core.testing import ManualClock
from dg.tui.auth import Rights
from dg.tui.feed import BEAT, PAUSES, Feed
from dg.tui.store import LinkState, Store

Answer = Callable[[httpx.Request], httpx.Response]

TRIES = 12
BETWEEN = 2.0
"""Seconds in which a server that is back is to be found."""


class Longest(Random):
    """Draws the end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Server:
    """What the address answers from now on."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self._changed = asyncio.Event()
        self.store = Store(on_change=lambda _: self._changed.set())
        self.clock = ManualClock(MOMENT)
        self.feed = Feed(self.store, self._connect, self.clock, Longest())

    def _connect(self) -> Client:
        transport = httpx.MockTransport(lambda request: self.answer(request))
        return Client("http://127.0.0.1:9", None, transport=transport)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def pause(self, attempt: int) -> float:
        """Seconds until the try behind this one, which is then made at once."""
        await self.until(lambda: self.store.link.attempt == attempt)
        pause = self.store.link.again_at - self.clock.monotonic()
        self.feed.retry()
        return pause


@asynccontextmanager
async def followed(answer: Answer) -> AsyncIterator[Server]:
    server = Server(answer)
    following = asyncio.create_task(server.feed.run())
    try:
        yield server
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


async def test_a_connection_asks_once_who_one_is_and_each_look_says_it_anew() -> None:
    house, asked = StillHouse(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return house.answer(request)

    async with followed(answer) as server:
        await server.until(lambda: server.store.link.state is LinkState.LIVE)
        assert asked.count("/v1/whoami") == 1
        known = server.store.rights
        server.store.set_rights(Rights())
        await server.clock.advance(BEAT)
        await server.until(lambda: server.store.rights == known)


async def test_a_server_that_is_back_is_found_within_two_seconds_however_long_it_was_away() -> None:
    house = StillHouse()
    async with followed(gone) as server:
        pauses = [await server.pause(attempt) for attempt in range(1, TRIES)]
        assert max(pauses) <= BETWEEN
        server.answer = house.answer
        await server.until(lambda: server.store.link.state is LinkState.LIVE)
        assert server.store.deployments


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_a_server_that_refuses_is_asked_ever_less_often(status: int) -> None:
    def refused(request: httpx.Request) -> httpx.Response:
        error = {"code": "UNAVAILABLE", "message": "not now", "details": {}}
        return httpx.Response(status, json={"error": error})

    async with followed(refused) as server:
        pauses = [await server.pause(attempt) for attempt in range(1, TRIES)]
        assert pauses[: len(PAUSES)] == [pytest.approx(each * 1.2) for each in PAUSES]
        assert pauses == sorted(pauses)


async def test_what_a_screen_asks_behind_the_end_of_its_connection_is_no_error_of_the_dashboard() -> None:
    asked, ends = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.set()
        await ends.wait()
        return gone(request)

    async def ask(dg: Client) -> Principal:
        ends.set()
        await server.until(lambda: server.store.link.state is LinkState.DISCONNECTED)
        return await dg.whoami()

    async with followed(cast("Any", answer)) as server:
        async with asyncio.timeout(WITHIN):
            await asked.wait()
        with pytest.raises(Unavailable, match="the connection ended"):
            await server.feed.call(ask)
