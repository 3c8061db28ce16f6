"""The floor of the fan-out: a bare TCP server that writes the same bytes to every connection.

Reads an empty JSON object from standard input and prints its port. Each further line is a message: it sends
the message, stamped with the time in its `timestamp`, as a WebSocket frame to all who are connected.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.transports import BaseTransport
from typing import cast

import uvloop

from dg.api import wire
from dg.api.feed.messages import frame
from dg.api.json import write
from dg.core.clock import SystemClock


class Peer(asyncio.Protocol):
    """One connection, in `peers` while it stands."""

    def __init__(self, peers: set[asyncio.Transport]) -> None:
        self._peers = peers

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peers.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.discard(self._transport)


def send(peers: set[asyncio.Transport], text: str) -> None:
    stamped = json.loads(text) | {"timestamp": wire.timestamp(SystemClock().micros())}
    data = frame(write(stamped))
    for peer in peers:
        peer.write(data)


async def run() -> None:
    loop = asyncio.get_running_loop()
    peers: set[asyncio.Transport] = set()
    server = await loop.create_server(lambda: Peer(peers), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        send(peers, line)


if __name__ == "__main__":
    sys.stdin.readline()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
