"""Servers on loopback that receive what dg sends, and misbehave as they are told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from dg.core.tasks import open_tasks


@dataclass
class Received:
    """One request as it came over the wire. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]
"""What becomes of one request; the connection is closed after it."""


def answering(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """Answers every request alike; `_` in a header's name is a dash."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return behave


async def hanging(_: Received, __: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
    """Answers with a body that has no end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()


async def endless_head(_: Received, writer: asyncio.StreamWriter) -> None:
    """Answers with headers that have no end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    with suppress(ConnectionError):
        while True:
            writer.write(b"x-more: " + b"x" * 8192 + b"\r\n")
            await writer.drain()


async def dripping(_: Received, writer: asyncio.StreamWriter) -> None:
    """Answers with one byte of its body after another, so that no single wait is long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    with suppress(ConnectionError):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)


async def garbage(_: Received, writer: asyncio.StreamWriter) -> None:
    """Answers with something that is not HTTP."""
    writer.write(b"-ERR unknown command\r\n")


@dataclass
class Receiver:
    """Listens on `host`; `behaviour` may be exchanged at any time."""

    host: str
    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            self.received.append(request)
            await self.behaviour(request, writer)
            await writer.drain()
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


@asynccontextmanager
async def receiving(
    behaviour: Behaviour | None = None, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A server that ends with the block, and whoever hangs in it too."""
    receiver = Receiver(host, behaviour or answering())
    writers: list[asyncio.StreamWriter] = []
    async with open_tasks() as tasks:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            tasks.spawn("a connection", receiver.serve(reader, writer))

        server = await asyncio.start_server(connected, host, 0, ssl=tls)
        receiver.port = server.sockets[0].getsockname()[1]
        try:
            yield receiver
        finally:
            server.close()
    for writer in writers:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
