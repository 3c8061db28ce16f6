"""Targets on loopback that answer as a test wants: real sockets, each open until the end of a block."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Build: 42\r\n\r\nall well"


@asynccontextmanager
async def talking(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server whose connections `talk` has."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, EOFError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Talk:
    """Answers each request with the next of `answers`, the last one for ever."""
    waiting = list(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])
        await writer.drain()

    return talk


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Takes everything, and never says anything."""
    await reader.read()


async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""
    writer.close()


def drip(text: bytes) -> Talk:
    """Says `text` a byte at a time, for ever slower than anybody waits."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return talk
