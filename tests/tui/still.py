"""A morning of one house that stands still: every answer of its server in one file, its clock stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.tui.house import dashboard
from textual.pilot import Pilot

from dg.client.app import Client
from dg.core.clock import SystemClock
from dg.tui.app import Dashboard

ANSWERS = Path(__file__).with_name("grids") / "answers.json"
MOMENT = 1_772_443_800_000_000
"""2026-03-02 09:30:00 UTC, in microseconds: when the answers were so."""


class StillClock(SystemClock):
    """The wall clock stands; what waits goes on."""

    def micros(self) -> int:
        return MOMENT


class Standing(httpx.AsyncByteStream):
    """An event stream that says where it stands, and nothing more."""

    def __init__(self, seq: int) -> None:
        self._seq = seq

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield f"id: {self._seq}\n\n".encode()
        await asyncio.Event().wait()


class StillHouse:
    """Answers by method and path; `unknown` is what was asked and stands in no file."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self._answers: dict[str, Any] = json.loads(ANSWERS.read_text("utf-8"))

    def connect(self) -> Client:
        return Client("http://127.0.0.1:9", None, transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        asked = f"{request.method} {request.url.path}"
        if "text/event-stream" in request.headers.get("accept", ""):
            last = self._answers[asked]["items"][-1]["seq"]
            return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Standing(last))
        if asked in self._answers:
            return httpx.Response(200, json=self._answers[asked])
        self.unknown.append(asked)
        error = {"code": "NOT_FOUND", "message": f"{asked} has no answer here", "details": {}}
        return httpx.Response(404, json={"error": error})


@asynccontextmanager
async def standing(size: tuple[int, int]) -> AsyncIterator[tuple[Dashboard, Pilot[None]]]:
    """The dashboard before that house. Raises AssertionError when it asked what has no answer."""
    house = StillHouse()
    async with dashboard(house.connect, size, clock=StillClock()) as (app, pilot):
        yield app, pilot
    assert not house.unknown, house.unknown
