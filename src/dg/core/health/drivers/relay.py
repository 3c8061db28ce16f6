"""A way to a target for a library that dials and reads by itself: a port of this machine that leads there,
and lets no more come back than is wanted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from dg.core.errors import Problem
from dg.core.health.drivers.attempts import Failed
from dg.core.health.drivers.dial import Stream
from dg.core.tasks import Tasks, open_tasks

Dial = Callable[[], AbstractAsyncContextManager[Stream]]

_PIECE = 16 << 10
_MOST_CONNECTIONS = 4
"""A library tries again without TLS, or with it; nobody else is to come in meanwhile."""


class Relay:
    """Made by `relaying`. `failure` is why the way ended, where it was not the library that ended it."""

    def __init__(self, tasks: Tasks, dial: Dial, most: int) -> None:
        self._server: asyncio.Server | None = None
        self.failure: Exception | None = None
        self._tasks = tasks
        self._dial = dial
        self._left = most
        self._joined: list[asyncio.Task[Any]] = []

    def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead a connection to the target."""
        if len(self._joined) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._joined.append(self._tasks.spawn("relay", self._lead(reader, writer)))

    async def open(self) -> None:
        self._server = await asyncio.start_server(self.join, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None  # noqa: S101 - `relaying` opens it
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Lead nobody on any more: whoever is connected finds the connection gone."""
        if self._server is not None:
            self._server.close()
        for each in self._joined:
            each.cancel()

    async def finish(self) -> None:
        """Wait until what the library said last is on its way; it must have closed before."""
        await asyncio.gather(*self._joined)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        led = False
        try:
            async with self._dial() as target:
                there = self._tasks.spawn("relay there", _pour(reader, target.writer))
                try:
                    await self._fetch(target.reader, writer)
                finally:
                    await self._tasks.stop(there)
            writer.close()
            led = True
        except (Failed, Problem, OSError, ssl.SSLError) as error:
            self.failure = error
        finally:
            if not led:
                writer.transport.abort()

    async def _fetch(self, source: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await source.read(_PIECE):
            self._left -= len(piece)
            if self._left < 0:
                raise Failed("says more than anybody asked for")
            writer.write(piece)
            await writer.drain()


async def _pour(source: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    except OSError:
        # Whoever fetches the other way finds it broken too.
        return
    finally:
        writer.close()


@asynccontextmanager
async def relaying(dial: Dial, most: int) -> AsyncIterator[Relay]:
    """A port on loopback whose connections `dial` leads on, with `most` bytes back in all. Raises OSError."""
    async with open_tasks() as tasks:
        relay = Relay(tasks, dial, most)
        await relay.open()
        try:
            yield relay
        finally:
            relay.cut()
