"""Socket Mode: the sockets of the app, the envelopes that go over them, and how sockets end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMessage, WSMsgType, web

from dg.core.clock import Ids
from dg.core.tasks import Tasks
from dg.slacksim.answers import ACK_SECONDS, Answer, Kind
from dg.slacksim.api import abort
from dg.slacksim.faults import Faults
from dg.slacksim.timing import within
from dg.slacksim.workspace import Workspace

Reason = Literal["warning", "refresh_requested", "link_disabled", "too_many_websockets"]
MOST_SOCKETS = 10
LIFETIME_SECONDS = 18_000.0
WARNING_SECONDS = 10.0
"""Between the warning of a socket's end and the end."""

GRACE_SECONDS = 2.0
"""Between the word that a socket ends and its close."""

DEAD_SECONDS = 30.0
"""How long a dead socket lets its other side wait for a close."""

MOST_MESSAGE = 1_000_000


@dataclass
class Socket:
    """One connection. A `silent` one is open but nothing goes through; a `draining` one is about to end."""

    number: int
    wire: web.WebSocketResponse
    transport: asyncio.Transport
    silent: bool = False
    draining: bool = False
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return not self.draining and not self.wire.closed

    def fail(self) -> None:
        """Let go of who waits for an acknowledgement that cannot come any more."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError())


class Sockets:
    """All connections of the app."""

    def __init__(
        self, slack: Workspace, tasks: Tasks, faults: Faults, lifetime: float = LIFETIME_SECONDS
    ) -> None:
        self._slack = slack
        self._tasks = tasks
        self._faults = faults
        self._lifetime = lifetime
        self._ids = Ids(slack.clock)
        self._numbers = itertools.count(1)
        self._turn = itertools.count()
        self._open: list[Socket] = []
        self.opened = 0
        """Connections since the start."""

        self.refused = 0
        """Handshakes with a bad ticket since the start."""

    def open(self) -> list[Socket]:
        return list(self._open)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The handshake at `/link/` and the life of the socket: 403 for a bad ticket."""
        if slow := self._faults.take("link", "slow_handshake"):
            await self._slack.clock.sleep(slow.seconds)
        good = self._slack.passes.redeem(request.query.get("ticket", ""))
        if self._faults.take("link", "dead_tickets") or not good:
            self.refused += 1
            return web.Response(status=403, text="bad ticket")
        wire = web.WebSocketResponse(autoping=False, autoclose=False, max_msg_size=MOST_MESSAGE)
        if not wire.can_prepare(request).ok:
            return web.Response(status=400, text="a WebSocket is expected here")
        await wire.prepare(request)
        assert request.transport is not None  # noqa: S101  it was just upgraded
        socket = Socket(next(self._numbers), wire, request.transport)
        if len(self._open) >= MOST_SOCKETS:
            await self._end(socket, "too_many_websockets")
            return wire
        await self._live(socket)
        return wire

    async def _live(self, socket: Socket) -> None:
        self._open.append(socket)
        self.opened += 1
        self._slack.changed()
        retirement = self._tasks.spawn(f"socket {socket.number} grows old", self._retire(socket))
        try:
            await socket.wire.send_json(self._hello())
            async for message in socket.wire:
                await self._receive(socket, message)
            await self._let_go(socket)
        except ConnectionError:
            # The other side left: nothing is owed to it.
            pass
        finally:
            retirement.cancel()
            if socket in self._open:
                self._open.remove(socket)
            socket.fail()
            self._slack.changed()

    async def _let_go(self, socket: Socket) -> None:
        """Answer a close; a dead socket does not."""
        if socket.silent:
            await self._slack.clock.sleep(DEAD_SECONDS)
            socket.transport.abort()
        else:
            await socket.wire.close()

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "connection_info": {"app_id": self._slack.app.id},
            "debug_info": {
                "host": "slack-sim",
                "build_number": 1,
                "approximate_connection_time": int(self._lifetime),
            },
        }

    async def _receive(self, socket: Socket, message: WSMessage) -> None:
        if socket.silent:
            return
        if message.type == WSMsgType.PING:
            await socket.wire.pong(message.data)
        elif message.type == WSMsgType.TEXT:
            self._acknowledge(socket, message.data)

    def _acknowledge(self, socket: Socket, text: str) -> None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        name = said.get("envelope_id") if isinstance(said, dict) else None
        future = socket.waiting.get(name) if isinstance(name, str) else None
        if future is not None and not future.done():
            future.set_result(said.get("payload"))

    async def send(self, kind: Kind, payload: dict[str, Any], attempt: int = 0, reason: str = "") -> Answer:
        """Send an envelope over the next socket in turn and wait for its acknowledgement."""
        usable = [each for each in self._open if each.usable]
        if not usable:
            return Answer("no_socket")
        socket = usable[next(self._turn) % len(usable)]
        envelope = self._envelope(kind, payload, attempt, reason)
        name = envelope["envelope_id"]
        future = socket.waiting[name] = asyncio.get_running_loop().create_future()
        began = self._slack.clock.monotonic()
        try:
            if not socket.silent:
                await socket.wire.send_json(envelope)
            body = await within(self._slack.clock, ACK_SECONDS, future)
        except TimeoutError:
            return Answer("timeout", seconds=ACK_SECONDS)
        except ConnectionError:
            return Answer("socket_closed")
        finally:
            socket.waiting.pop(name, None)
            # A failure that nobody waits for any more is no news.
            if future.done() and not future.cancelled():
                future.exception()
        return Answer(body=body, seconds=self._slack.clock.monotonic() - began)

    def _envelope(self, kind: Kind, payload: dict[str, Any], attempt: int, reason: str) -> dict[str, Any]:
        event = {"retry_attempt": attempt, "retry_reason": reason} if kind == "events_api" else {}
        return {
            "envelope_id": self._ids.new(),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
            **event,
        }

    async def _retire(self, socket: Socket) -> None:
        clock = self._slack.clock
        await clock.sleep(max(0.0, self._lifetime - WARNING_SECONDS))
        await self._warn(socket)
        await clock.sleep(WARNING_SECONDS)
        await self._end(socket, "refresh_requested", GRACE_SECONDS)

    async def _warn(self, socket: Socket) -> None:
        if not socket.silent and not socket.wire.closed:
            await socket.wire.send_json(_disconnect("warning"))

    async def _end(self, socket: Socket, reason: Reason, grace: float = 0.0) -> None:
        socket.draining = True
        if not socket.silent and not socket.wire.closed:
            await socket.wire.send_json(_disconnect(reason))
            await self._slack.clock.sleep(grace)
            await socket.wire.close()

    async def warn(self, number: int | None = None) -> None:
        """Say that a socket, or every one, ends soon; it goes on."""
        for socket in self._chosen(number):
            await self._warn(socket)

    def refresh(self, number: int | None = None, reason: Reason = "refresh_requested") -> None:
        """End a socket, or every one, as Slack does now and then: nothing more is sent, soon it is closed."""
        for socket in self._chosen(number):
            self._tasks.spawn(f"socket {socket.number} ends", self._end(socket, reason, GRACE_SECONDS))

    def abort(self, number: int | None = None) -> None:
        """Reset the connection of a socket, or of every one."""
        for socket in self._chosen(number):
            abort(socket.transport)

    def silence(self, number: int | None = None) -> None:
        """Let nothing through a socket, or every one, which stays open."""
        for socket in self._chosen(number):
            socket.silent = True

    def _chosen(self, number: int | None) -> Iterator[Socket]:
        return (each for each in list(self._open) if number in (None, each.number))


def _disconnect(reason: Reason) -> dict[str, Any]:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "slack-sim"}}
