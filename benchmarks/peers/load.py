"""An HTTP load client: the same request again and again over keep-alive connections.

Reads a JSON line `{host, port, request, connections, status, seconds, rate}` from standard input. Without
`rate` each connection asks again as soon as it is answered; with it, all together ask so many times a second
and a latency counts from the moment at which the request was due. `{counted}` in the request becomes another
number of eight digits each time. Ends after `seconds`, or earlier with its
standard input, and prints `{"answers", "seconds", "latencies"}`. Another answer than `status` is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import threading
from asyncio.transports import BaseTransport
from typing import Any, cast

import uvloop

COUNTED = b"{counted}"
_numbers = itertools.count(1)


class Connection(asyncio.Protocol):
    """Sends the request whenever it is due and the one before is answered; keeps latencies in seconds."""

    def __init__(
        self, request: bytes, status: int, interval: float | None, ended: asyncio.Future[None]
    ) -> None:
        self.latencies: list[float] = []
        self._request = request
        self._counted = COUNTED in request
        self._expected = b"HTTP/1.1 %d " % status
        self._interval = interval
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._received = bytearray()
        self._size = 0

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self, at: float) -> None:
        """Ask for the first time at `at`, in the loop's time."""
        self._due = at
        self._loop.call_at(at, self._ask)

    def _ask(self) -> None:
        if self._interval is None:
            self._due = self._loop.time()
        request = self._request
        self._transport.write(
            request.replace(COUNTED, b"%08d" % next(_numbers)) if self._counted else request
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._size and (end := self._received.find(b"\r\n\r\n")) >= 0:
            self._size = end + 4 + content_length(self._received[: end + 2].lower())
        if self._size and len(self._received) >= self._size:
            self._answered()

    def _answered(self) -> None:
        if not self._received.startswith(self._expected):
            self._fail(RuntimeError(f"unexpected answer: {bytes(self._received[:2000])!r}"))
            return
        self.latencies.append(self._loop.time() - self._due)
        del self._received[: self._size]
        self._size = 0
        if self._interval is None:
            self._ask()
        else:
            self.begin(self._due + self._interval)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed a connection"))

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


def content_length(head: bytes | bytearray) -> int:
    """The body's length as the headers (lower case, each with its line end) say it."""
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError(f"an answer without a content-length: {bytes(head)!r}")
    return int(rest.partition(b"\r\n")[0])


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    rate: float | None = spec["rate"]
    interval = spec["connections"] / rate if rate else None

    def connection() -> Connection:
        return Connection(spec["request"].encode("latin-1"), spec["status"], interval, ended)

    opened = [
        (await loop.create_connection(connection, spec["host"], spec["port"]))[1]
        for _ in range(spec["connections"])
    ]
    threading.Thread(target=_until_told, args=(loop, ended), daemon=True).start()
    began = loop.time()
    for at, each in enumerate(opened):
        each.begin(began + (at / rate if rate else 0.0))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended, spec["seconds"])
    latencies = [latency for each in opened for latency in each.latencies]
    return {"answers": len(latencies), "seconds": loop.time() - began, "latencies": latencies}


def _until_told(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    """Wait for the end of standard input."""

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    sys.stdin.read()
    loop.call_soon_threadsafe(end)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(json.loads(sys.stdin.readline())))), flush=True)
