"""Many clients that listen to WebSocket frames: dg's, or those of a bare TCP server.

Reads a JSON line `{host, port, count, token}` from standard input (no token: bare) and prints
`{"open": true}` when all are connected. Then, for each message that all have received, `{"text", "times"}`:
the message and when each client had it, in nanoseconds since the epoch. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import sys
import time
from asyncio.transports import BaseTransport
from collections import defaultdict
from typing import Any, cast

import uvloop

TEXT, PING, PONG = 0x1, 0x9, 0xA
AT_ONCE = 50


class Arrivals:
    """Gathers when each message came, by its number on its connection, until all clients have it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._times: defaultdict[int, list[int]] = defaultdict(list)

    def note(self, number: int, text: bytes) -> None:
        """Some client received its message number `number` now."""
        times = self._times[number]
        times.append(time.time_ns())
        if len(times) == self._count:
            del self._times[number]
            print(json.dumps({"text": text.decode("utf-8"), "times": times}), flush=True)


class Listener(asyncio.Protocol):
    """One client; `greeting` is sent once the connection stands."""

    def __init__(self, arrivals: Arrivals, greeting: bytes, *, upgrade: bool) -> None:
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals = arrivals
        self._greeting = greeting
        self._upgrade = upgrade
        self._received = bytearray()
        self._number = 0

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._upgrade:
            self.open.set_result(None)

    def ask(self, host: str) -> None:
        """Begin the WebSocket handshake (RFC 6455, 4.1)."""
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        self._transport.write(
            f"GET /ws/deployments HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode("ascii")
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.open.done():
            self._opened()
        while (end := frame_end(self._received)) is not None:
            frame = bytes(self._received[:end])
            del self._received[:end]
            self._take(frame)

    def _opened(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._received.startswith(b"HTTP/1.1 101 "):
            self.open.set_exception(RuntimeError(f"no WebSocket: {bytes(self._received)!r}"))
            return
        del self._received[: end + 4]
        self._transport.write(masked(TEXT, self._greeting))
        self.open.set_result(None)

    def _take(self, frame: bytes) -> None:
        kind, payload = frame[0] & 0xF, frame[payload_start(frame) :]
        if kind == TEXT:
            self._arrivals.note(self._number, payload)
            self._number += 1
        elif kind == PING:
            self._transport.write(masked(PONG, payload))
        else:
            raise RuntimeError(f"unexpected frame: {frame!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        raise RuntimeError("the server let a listener go") from exc


def payload_start(frame: bytes | bytearray) -> int:
    """Where the payload of an unmasked frame begins (RFC 6455, 5.2)."""
    return {126: 4, 127: 10}.get(frame[1], 2)


def frame_end(data: bytearray) -> int | None:
    """Where the first frame of `data` ends; None while it is not whole."""
    if len(data) < 2 or len(data) < (start := payload_start(data)):
        return None
    size = data[1] if start == 2 else int.from_bytes(data[2:start], "big")
    return start + size if len(data) >= start + size else None


def masked(kind: int, payload: bytes) -> bytes:
    """A client's frame; the mask may be zero (RFC 6455, 5.3 asks for entropy against proxies only)."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | kind,)) + length + bytes(4) + payload


async def run(spec: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    bare = spec["token"] is None
    arrivals = Arrivals(spec["count"])
    greeting = b"" if bare else json.dumps({"type": "auth", "token": spec["token"]}).encode("ascii")
    for first in range(0, spec["count"], AT_ONCE):
        batch = [
            await loop.create_connection(
                lambda: Listener(arrivals, greeting, upgrade=not bare), spec["host"], spec["port"]
            )
            for _ in range(min(AT_ONCE, spec["count"] - first))
        ]
        if not bare:
            for _, listener in batch:
                listener.ask(spec["host"])
        await asyncio.gather(*(listener.open for _, listener in batch))
    print(json.dumps({"open": True}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(json.loads(sys.stdin.readline())))
