"""The dashboards that run now: how many there may be, and the way between each one's browser and process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from dg.core.clock import Clock
from dg.core.errors import TooMany, Unauthenticated
from dg.core.tasks import Tasks
from dg.web.children import Child, Manner, open_child
from dg.web.packets import DATA, META, Garbled, packets, pong, translated
from dg.web.visits import Visit

log = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds between two looks whether somebody is still there."""


@dataclass(frozen=True)
class Caps:
    """How many dashboards run at once, of all and of one person; how long one nobody touches, in s."""

    most: int
    each: int
    idle: float


@dataclass(eq=False)
class Seat:
    """One tab, and when it was touched last in monotonic seconds."""

    person: str
    touched: float


class Dashboards:
    """Runs a process for each tab, within `caps`."""

    def __init__(self, caps: Caps, manner: Manner, clock: Clock, tasks: Tasks) -> None:
        self._caps, self._manner = caps, manner
        self._clock, self._tasks = clock, tasks
        self._seats: set[Seat] = set()

    def check_room(self, person: str) -> None:
        """Raises TooMany when one more of this person would be too many."""
        if len(self._seats) >= self._caps.most:
            raise TooMany(
                f"all {self._caps.most} dashboards that may run here at once are in use: try again when "
                "somebody has closed one, or run `dg tui`",
                reason="dashboards_full",
            )
        if sum(seat.person == person for seat in self._seats) >= self._caps.each:
            raise TooMany(
                f"you have {self._caps.each} dashboards open here already: close one of those tabs",
                reason="own_dashboards_full",
            )

    async def run(
        self, visit: Visit, seat: Seat, socket: web.WebSocketResponse, size: tuple[int, int]
    ) -> None:
        """One dashboard in one tab, until either is closed, nobody touches it, or its person may no more."""
        async with open_child(self._manner, size, os.environ) as child:
            words = self._tasks.spawn("web: last words", child.last_words())
            await self._until_one_ends(visit, seat, child, socket)
        if code := child.process.returncode:
            log.warning("a dashboard's process ended with %d: %s", code, await words or "it said nothing")

    async def _until_one_ends(
        self, visit: Visit, seat: Seat, child: Child, socket: web.WebSocketResponse
    ) -> None:
        parts = {
            "browser": self._from_browser(seat, child, socket),
            "dashboard": self._to_browser(child, socket),
            "tokens": self._give_tokens(visit, child),
            "idle": self._until_idle(visit, seat),
            "over": visit.over.wait(),
        }
        running = [self._tasks.spawn(f"web: {name}", _orderly(part)) for name, part in parts.items()]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in running:
                await self._tasks.stop(task)

    @contextmanager
    def seat(self, person: str) -> Iterator[Seat]:
        """Take one of the places. Raises TooMany."""
        self.check_room(person)
        seat = Seat(person, self._clock.monotonic())
        self._seats.add(seat)
        try:
            yield seat
        finally:
            self._seats.discard(seat)

    async def _from_browser(self, seat: Seat, child: Child, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                raise Garbled("a browser sends what is no text")
            packet = translated(message.data)
            if packet is None:
                await socket.send_str(pong(message.data))
                continue
            if packet[:1] == DATA:
                seat.touched = self._clock.monotonic()
            await child.type(packet)

    async def _to_browser(self, child: Child, socket: web.WebSocketResponse) -> None:
        async with aclosing(packets(child.output)) as written:
            async for kind, payload in written:
                if kind == DATA:
                    await socket.send_bytes(payload)
                elif kind == META and b'"exit"' in payload:
                    return

    async def _give_tokens(self, visit: Visit, child: Child) -> None:
        try:
            await child.serve_tokens(visit.client)
        except Unauthenticated as problem:
            visit.stop(problem.message)

    async def _until_idle(self, visit: Visit, seat: Seat) -> None:
        while True:
            now = self._clock.monotonic()
            visit.seen = now
            left = self._caps.idle - (now - seat.touched)
            if left <= 0:
                return
            await self._clock.sleep(min(left, LOOK))


async def _orderly(part: Coroutine[object, object, object]) -> None:
    """One part of a dashboard; what its browser, its process or the server ends it with is no error here."""
    try:
        await part
    except Garbled as garbled:
        log.warning("a dashboard was ended: %s", garbled)
    except ConnectionError:
        return
