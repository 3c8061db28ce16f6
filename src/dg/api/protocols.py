"""uvicorn's protocols with the bounds that uvicorn leaves out: deadlines, caps, and aborts.

A peer that sends nothing, dribbles or stops reading costs a timer, never a task that waits for ever.
`server.py` runs them.
"""

from __future__ import annotations

import asyncio
from asyncio.transports import BaseTransport
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from dg.api import errors, headers
from dg.api.door import Place
from dg.api.feed.socket import EXTENSION
from dg.api.writing import Answer, Gathering, Turn, head
from dg.core.errors import Invalid, Problem
from dg.settings.server import Server

WS_MESSAGE_BYTES = 64 << 10
WS_PING = 20.0
PONG_BACKLOG = 256 << 10
"""Bytes that a WebSocket peer may leave unread when it asks for yet another pong."""
CLOSE_GRACE = 2.0
"""Seconds that a closed connection may take to let its last bytes go."""

HEAD_BYTES = 64 << 10
"""Largest head of a request: its line, its headers and trailers."""
PIPELINED = 16
"""Requests of one connection that may wait for the answer to the one before."""
FRAGMENTS = 1024
"""Frames that one WebSocket message may come in: empty ones cost nothing to send and do to keep."""


class Config(uvicorn.Config):
    """uvicorn's configuration with ours beside it, for the protocols."""

    def __init__(self, app: ASGIApp, limits: Server) -> None:
        self.limits = limits
        self.turn = Turn()
        super().__init__(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_per_message_deflate=False,
            ws_max_size=WS_MESSAGE_BYTES,
            ws_ping_interval=WS_PING,
            ws_ping_timeout=WS_PING,
            timeout_keep_alive=max(1, round(limits.idle_timeout)),
            timeout_graceful_shutdown=max(1, round(limits.graceful_stop)),
        )


class TooManyWait(Exception):
    """More requests came at once than `PIPELINED`: nothing more of the connection is read."""


class Deadline:
    """A timer that aborts a connection unless it is disarmed in time."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Start counting; no effect while it counts."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(self._seconds, self._transport.abort)

    def disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a deadline for headers and one for a peer that does not read.

    Neither the parser nor uvicorn bounds the size of a head or the number of pipelined requests, and neither
    asks for the one Host header that a request must have (RFC 9112, 3.2).
    """

    config: Config
    _gathering: Gathering
    _headers: Deadline
    _writing: Deadline
    _closing: Deadline
    _deaf = False
    _problem: Problem | None = None
    _head = 0
    _unheard = 0

    def __init__(self, config: Config, server_state: ServerState, place: Place) -> None:
        super().__init__(config, server_state, {})
        self._place = place
        self.ws_protocol_class = cast("type[asyncio.Protocol]", partial(WebSocketProtocol, place=place))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.config.turn)
        super().connection_made(self._gathering)
        self._headers = Deadline(transport, self.config.limits.header_timeout)
        self._writing = Deadline(transport, self.config.limits.body_timeout)
        self._closing = Deadline(transport, CLOSE_GRACE)
        self._headers.arm()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            # Blank lines end the idle timer and begin no message.
            self._headers.arm()
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > HEAD_BYTES and not self._deaf:
            self._problem = errors.HeadTooLarge(HEAD_BYTES)
            self.send_400_response("")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            # Ends the parsing; those that wait are still answered.
            raise TooManyWait
        self._headers.arm()
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            self._problem = Invalid("a request has one Host header; send it once", reason="bad_http")
            raise self._problem
        self._unheard = 0
        self._headers.disarm()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unheard = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            self._problem = errors.HeadTooLarge(HEAD_BYTES)
            raise self._problem

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, lambda scope, receive, send: app(scope, receive, Answer(cycle, send)))

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._gathering.release()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        self._writing.arm()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writing.disarm()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()
        self._headers.disarm()
        self._writing.disarm()
        self._closing.disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """The envelope instead of uvicorn's plain text, only where it cannot pass for another's answer."""
        self._deaf = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self._refuse()
        elif not cycle.more_body:
            # What cannot be read came behind a request that is still being answered.
            cycle.keep_alive = False
        elif cycle.response_started:
            self.transport.close()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._refuse()

    def _refuse(self) -> None:
        """Answer and close, but not before the peer had time to read it: what is unread would reset it."""
        problem = self._problem or Invalid("this is not an HTTP request that dg can read", reason="bad_http")
        self.transport.write(reply(problem))
        self.transport.write_eof()
        self._closing.arm()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket whose transport the hub may write to, and which ends even when its peer does not read."""

    config: Config
    _writing: Deadline
    _closing: Deadline

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], place: Place
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._place = place

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._writing = Deadline(self.transport, self.config.limits.body_timeout)
        self._closing = Deadline(self.transport, CLOSE_GRACE)

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = self.transport
        try:
            await super().run_asgi()
        finally:
            self._closing.arm()

    def pause_writing(self) -> None:
        self._writing.arm()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writing.disarm()
        super().resume_writing()

    def handle_ping(self) -> None:
        # Whoever asks for pongs and does not read them would fill the memory.
        if self.transport.get_write_buffer_size() > PONG_BACKLOG:
            self.transport.abort()
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS:
            self.transport.abort()
        else:
            super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._closing.arm()

    def shutdown(self) -> None:
        super().shutdown()
        self._closing.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()
        self._writing.disarm()
        self._closing.disarm()
        super().connection_lost(exc)


def reply(problem: Problem) -> bytes:
    """A whole HTTP answer for a peer whose request is not read."""
    body = errors.envelope(problem, "-")
    own = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **errors.headers(problem),
        "connection": "close",
    }
    fields = headers.finished((name.encode(), value.encode()) for name, value in own.items())
    return head(problem.status, fields) + body
