"""How a server is while it suffers: how fast it answers, how much it holds."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from tests.scenarios.house import House


@contextlib.asynccontextmanager
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The owner's, without the client's own retries."""
    headers = {"Authorization": f"Bearer {house.token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=90.0) as client:
        yield client


class Reads:
    """The seconds that requests took which only read."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @property
    def p99(self) -> float:
        assert self.seconds, "nothing was read"
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@contextlib.asynccontextmanager
async def reading(client: httpx.AsyncClient, path: str = "/v1/deployments?limit=5") -> AsyncIterator[Reads]:
    """Meanwhile `path` is read again and again, at least once, each time with success."""
    reads = Reads()
    enough = asyncio.Event()

    async def ask() -> None:
        while not reads.seconds or not enough.is_set():
            began = time.perf_counter()
            answer = await client.get(path)
            reads.seconds.append(time.perf_counter() - began)
            assert answer.status_code == 200, answer.text
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), 0.02)

    asking = asyncio.create_task(ask())
    try:
        yield reads
    finally:
        enough.set()
        await asking


def memory(pid: int, name: str = "VmRSS") -> int:
    """Bytes, as /proc says."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def files(pid: int) -> int:
    """Open ones, sockets among them."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
