"""Socket Mode: a few sockets that dg opens, each opened anew at a fresh address whenever it is not well.

Three signs say that one is not: no greeting in time, no answer to a ping, or its reader's end.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

from dg.bot.client import SlackApi, SlackProblem
from dg.core.clock import Clock
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

Dispatch = Callable[[dict[str, Any]], Awaitable[Any]]
"""Handles one request and gives what the acknowledgement carries; None acknowledges nothing."""

GREETING = 10.0
PING = 5.0
"""Seconds between pings; the answer may take half of that."""
_FIRST, _LONGEST = 0.5, 30.0
_LARGEST = 4 << 20


@dataclass
class Vitals:
    """How one socket is. Moments are of the monotonic clock."""

    connected: bool = False
    opened: int = 0
    heard_at: float = 0.0
    trouble: str = "not connected yet"


class Sockets:
    """Keeps the sockets open. `run` is one socket's life."""

    def __init__(
        self,
        api: SlackApi,
        dispatch: Dispatch,
        clock: Clock,
        tasks: Tasks,
        random: Random,
        count: int,
    ) -> None:
        self._api = api
        self._dispatch = dispatch
        self._clock = clock
        self._tasks = tasks
        self._random = random
        self.vitals = [Vitals() for _ in range(count)]

    def start(self) -> None:
        """Open them all."""
        for at in range(len(self.vitals)):
            self._tasks.spawn(f"slack socket {at + 1}", self.run(self.vitals[at]))

    async def run(self, vitals: Vitals) -> None:
        """Keep one socket open until cancelled. Each begins at a fresh address, for one is good once."""
        failures = 0
        while True:
            opened, asked = self._clock.monotonic(), 0.0
            try:
                vitals.trouble = await self._live(vitals)
            except SlackProblem as problem:
                vitals.trouble, asked = problem.code, problem.retry_after or 0.0
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                vitals.trouble = type(error).__name__
            finally:
                lived = vitals.connected
                vitals.connected = False
            failures = 0 if lived else failures + 1
            if failures == 3:
                log.warning("no socket to Slack can be opened: %s", vitals.trouble)
            pause = min(_LONGEST, _FIRST * 2.0 ** min(failures, 10)) * self._random.uniform(0.5, 1.0)
            if failures or self._clock.monotonic() - opened < _FIRST:
                await self._clock.sleep(max(pause, asked))

    async def _live(self, vitals: Vitals) -> str:
        """One socket from its address to its end; why it ended."""
        url = await self._api.socket_url()
        async with self._api.session.ws_connect(
            url, heartbeat=PING, max_msg_size=_LARGEST, timeout=aiohttp.ClientWSTimeout(ws_close=2.0)
        ) as socket:
            greeting = await socket.receive(timeout=GREETING)
            if _kind(greeting) != "hello":
                return "no greeting"
            vitals.connected, vitals.opened = True, vitals.opened + 1
            vitals.heard_at = self._clock.monotonic()
            async for message in socket:
                vitals.heard_at = self._clock.monotonic()
                if (envelope := _read(message)) is None:
                    continue
                if envelope.get("type") == "disconnect":
                    return f"Slack asked for another: {envelope.get('reason', '')}"[:80]
                if "envelope_id" in envelope:
                    self._tasks.spawn("slack request", self._handle(socket, envelope))
            error = socket.exception()
            return f"it ended: {type(error).__name__ if error else socket.close_code}"

    async def _handle(self, socket: aiohttp.ClientWebSocketResponse, envelope: dict[str, Any]) -> None:
        answer = await self._dispatch(envelope)
        if answer is None:
            return
        said = {"envelope_id": envelope["envelope_id"]} | ({"payload": answer} if answer else {})
        # Without an acknowledgement Slack sends it again, by another socket.
        with suppress(ConnectionError, aiohttp.ClientError):
            await socket.send_str(json.dumps(said))


def _kind(message: aiohttp.WSMessage) -> object:
    return (_read(message) or {}).get("type")


def _read(message: aiohttp.WSMessage) -> dict[str, Any] | None:
    if message.type is not aiohttp.WSMsgType.TEXT:
        return None
    try:
        found = json.loads(message.data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
