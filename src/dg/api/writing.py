"""How answers leave: heads checked as a whole, and what one turn of the event loop writes sent at its end.

`protocols.py` writes with these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGISendCallable, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MOST = 64 << 10
"""Bytes of one connection that wait for the end of a turn."""

_CONTROLS = bytes(code for code in (*range(32), 127) if code != ord("\t"))
_LINE_END = b"\r\n"


def head(status: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The lines before an answer's body. Raises ValueError for a field that would begin another line."""
    lines = [_status_line(status), *map(b": ".join, fields), b"", b""]
    found = _LINE_END.join(lines)
    if len(found.translate(None, _CONTROLS)) != len(found) - len(_LINE_END) * (len(lines) - 1):
        raise ValueError("a header of the answer holds a control character")
    return found


@cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()


def length(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The body's, where an answer's headers say that and nothing else of how its connection goes on."""
    found = dict(fields)
    if b"connection" in found or b"transfer-encoding" in found or b"content-length" not in found:
        return None
    return int(found[b"content-length"])


class Answer:
    """The ASGI `send` of one request: of an answer whose length is known, the head is written at once.

    uvicorn looks at every header by two patterns, which costs more than all the rest of an answer.
    """

    def __init__(self, cycle: RequestResponseCycle, send: ASGISendCallable) -> None:
        self._cycle = cycle
        self._send = send

    async def __call__(self, message: ASGISendEvent) -> None:
        if message["type"] != "http.response.start" or not self._begin(message):
            await self._send(message)

    def _begin(self, start: HTTPResponseStartEvent) -> bool:
        """Write the head, unless uvicorn has to look at it."""
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
            return False
        fields = [*cycle.default_headers, *start.get("headers", ())]
        size = length(fields)
        if size is None:
            return False
        if not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        cycle.transport.write(head(start["status"], fields))
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = False
        cycle.expected_content_length = size
        return True


class Turn:
    """The connections that something was written to in this turn of the event loop.

    A write wakes up whoever waits for it, which costs more than the write: of several in a row only the first
    does. And what one answer is written in leaves in one piece.
    """

    def __init__(self) -> None:
        self._written: list[Gathering] = []

    def add(self, connection: Gathering) -> None:
        """Flush `connection` when all that could run now has run."""
        if not self._written:
            asyncio.get_running_loop().call_soon(self._end)
        self._written.append(connection)

    def _end(self) -> None:
        written, self._written = self._written, []
        for connection in written:
            connection.flush()


class Gathering(asyncio.Transport):
    """A connection's transport as uvicorn's protocol uses it, which writes when the turn ends."""

    def __init__(self, inner: asyncio.Transport, turn: Turn) -> None:
        super().__init__()
        self._inner = inner
        self._turn = turn
        self._parts: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._parts:
            self._turn.add(self)
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST:
            self.flush()

    def flush(self) -> None:
        """Write what waits, unless the connection has ended."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            if not self._inner.is_closing():
                self._inner.write(b"".join(parts))

    def release(self) -> asyncio.Transport:
        """The transport itself, for whoever goes on without this one."""
        self.flush()
        return self._inner

    def write_eof(self) -> None:
        self.release().write_eof()

    def close(self) -> None:
        self.release().close()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)
