"""A wire between a client and a server that can be cut, or go dead, at a chosen word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

from dg.core.tasks import Tasks, open_tasks


class Fault(Enum):
    """What befalls the message that holds the word."""

    LOST = "lost"
    """It never arrives; both sides see the wire cut."""
    UNANSWERED = "unanswered"
    """It arrives and is done; the client sees the wire cut before the answer."""
    HALF_OPEN = "half open"
    """It never arrives; the client sees the wire cut, the server never does."""


class Wire:
    """Forwards from `port` on loopback to `target`. Made by `open_wire`."""

    def __init__(self, target: int, tasks: Tasks) -> None:
        self.port = 0
        self.dead = False
        """While it is set, nothing gets through and nobody is told."""
        self._target = target
        self._tasks = tasks
        self._word = b""
        self._fault: Fault | None = None
        self._ends: list[asyncio.StreamWriter] = []

    def strike(self, word: bytes, fault: Fault) -> None:
        """Let `fault` befall the next message that holds `word`."""
        self._word, self._fault = word, fault

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side or a fault ends it."""
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends += [writer, to_server]
        answers = self._tasks.spawn("answers", self._forward(from_server, writer))
        fault = None
        with suppress(ConnectionError):
            fault = await self._requests(reader, to_server, from_server, answers)
        await self._tasks.stop(answers)
        writer.close()
        if fault is not Fault.HALF_OPEN:
            to_server.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        answers: asyncio.Task[None],
    ) -> Fault | None:
        while data := await reader.read(1 << 16):
            fault = self._fault if self._word in data else None
            if fault is Fault.UNANSWERED:
                await self._tasks.stop(answers)
            if fault is None or fault is Fault.UNANSWERED:
                await self._send(to_server, data)
            if fault is Fault.UNANSWERED:
                await from_server.read(1)
            if fault is not None:
                self._fault = None
                return fault
        return None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._send(writer, data)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not self.dead:
            writer.write(data)
            await writer.drain()

    def close(self) -> None:
        for end in self._ends:
            end.close()


@asynccontextmanager
async def open_wire(target: int) -> AsyncIterator[Wire]:
    """A wire to `target` on loopback that ends with the block."""
    async with open_tasks() as tasks:
        wire = Wire(target, tasks)
        server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            server.close()
            wire.close()
