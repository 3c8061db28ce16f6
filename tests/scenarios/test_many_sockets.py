"""Ten thousand WebSockets, some of which never read and some of which vanish: everybody else is served."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.observed import Observed
from tests.scenarios.house import House, report, usual_steps
from tests.scenarios.probes import memory

from dg.core.clock import SystemClock
from dg.core.deployments.models import CreateDeployment
from dg.core.testing import eventually
from dg.core.types import Environment

SOCKETS = 10_000
SILENT = 100
VANISHING = 100
AT_ONCE = 100
MASK = bytes(4)

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("undisturbed")]


class Watcher(asyncio.Protocol):
    """A small WebSocket client, to have ten thousand of: it authenticates, listens and answers pings."""

    def __init__(self, token: str) -> None:
        self._hello = json.dumps({"type": "auth", "token": token}).encode()
        self._buffer = bytearray()
        self._upgraded = False
        self.transport: asyncio.Transport | None = None
        self.open = asyncio.get_running_loop().create_future()
        self.heard: list[float] = []
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            "GET /ws/deployments HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.open.set_exception(ConnectionError(head.decode("latin-1") + rest.decode("latin-1")))
                return
            self._upgraded = True
            self._buffer[:] = rest
            self._write(1, self._hello)
            self.open.set_result(None)
        self._frames()

    def _frames(self) -> None:
        while len(self._buffer) >= 2:
            size, start = self._buffer[1] & 0x7F, 2
            if size == 126:
                size, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + size:
                return
            kind, body = self._buffer[0] & 0x0F, bytes(self._buffer[start : start + size])
            del self._buffer[: start + size]
            if kind == 9:
                self._write(10, body)
            elif kind == 1:
                self.heard.append(time.monotonic())

    def _write(self, kind: int, body: bytes) -> None:
        assert self.transport is not None
        size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        self.transport.write(bytes([0x80 | kind]) + size + MASK + body)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True


@pytest.fixture
def undisturbed() -> Iterator[None]:
    """Ten thousand clients in this process, and no collector that stops them all to look at them."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[House]:
    """A server that lets ten thousand in, also from one address."""
    names = ("MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS", "MAX_WEBSOCKETS_PER_ADDRESS")
    room = {f"DG_SERVER__{name}": str(SOCKETS + 500) for name in names}
    house = House(tmp_path, {**room, "DG_LIMITS__STREAM": f"{SOCKETS}/1m"})
    try:
        house.start()
        yield house
    finally:
        house.close()


@asynccontextmanager
async def watching(house: House, count: int) -> AsyncIterator[list[Watcher]]:
    """So many that are let in, a few at a time."""
    loop = asyncio.get_running_loop()
    host, port = house.url.removeprefix("http://").split(":")
    turn = asyncio.Semaphore(AT_ONCE)
    watchers: list[Watcher] = []

    async def join() -> None:
        async with turn:
            _, watcher = await loop.create_connection(lambda: Watcher(house.token), host, int(port))
            watchers.append(watcher)
            await watcher.open

    try:
        await asyncio.gather(*(join() for _ in range(count)))
        yield watchers
    finally:
        for watcher in watchers:
            if watcher.transport is not None:
                watcher.transport.abort()


async def all_heard(watchers: list[Watcher], messages: int) -> None:
    """Wait until each has had so many; looks seldom, since looking at ten thousand takes its time."""
    async with asyncio.timeout(60):
        for watcher in watchers:
            while len(watcher.heard) < messages:  # noqa: ASYNC110 - ten thousand of them share this look
                await asyncio.sleep(0.05)


def probes(house: House, count: int) -> float:
    """The p99 in seconds of requests that read, one after the other; beside the loop of the watchers."""
    seconds = []
    headers = {"Authorization": f"Bearer {house.token}"}
    with httpx.Client(base_url=house.url, headers=headers, timeout=60.0) as client:
        for _ in range(count):
            began = time.perf_counter()
            assert client.get("/v1/deployments?limit=5").status_code == 200
            seconds.append(time.perf_counter() - began)
    return sorted(seconds)[int(count * 0.99)]


async def test_ten_thousand_websockets_leave_everybody_else_alone(roomy: House, observed: Observed) -> None:
    """R20: idle ones cost little, silent and vanished ones hold nobody up, and each message reaches all."""
    house = roomy
    headers = {"Authorization": f"Bearer {house.token}"}
    async with AsyncExitStack() as stack:
        dg = await stack.enter_async_context(house.client())
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60.0)
        )
        await dg.pipelines.register(house.pipeline(usual_steps()))
        later = SystemClock().micros() + 3600 * 1_000_000
        wish = CreateDeployment(environment=Environment.STAGING, ref="main", not_before=later)
        before = memory(house.pid)
        watchers = await stack.enter_async_context(watching(house, SOCKETS))
        per_socket = (memory(house.pid) - before) / SOCKETS / 1024

        async def are_counted() -> bool:
            await asyncio.sleep(0.5)
            text = (await client.get("/metrics")).text
            return f"dg_websocket_clients {SOCKETS}.0" in text

        await eventually(are_counted, 60)
        for silent in watchers[:SILENT]:
            assert silent.transport is not None
            silent.transport.pause_reading()
        for gone in watchers[SILENT : SILENT + VANISHING]:
            assert gone.transport is not None
            gone.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        healthy = watchers[SILENT + VANISHING :]
        idle = await asyncio.to_thread(probes, house, 300)

        slowest = []
        for number in range(1, 6):
            began = time.monotonic()
            await house.deploy(dg, wish)
            await all_heard(healthy, number)
            slowest.append(max(each.heard[number - 1] for each in healthy) - began)
        busy = await asyncio.to_thread(probes, house, 100)
        assert not any(each.lost for each in healthy)
    fault = f"{SOCKETS:,} WebSockets, {SILENT} of them silent, {VANISHING} half gone"
    report(f"{fault}: each message at the last of {len(healthy)} after {max(slowest):.2f} s at most")
    observed("R20", fault, "memory of each", per_socket, at_most=64, unit="KiB")
    observed("R20", fault, "p99 of reads meanwhile", max(idle, busy), at_most=1.0, unit="s")
    observed("R20", fault, "a message until it is at the last", max(slowest), at_most=20.0, unit="s")
