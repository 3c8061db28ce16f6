"""Runs an application on uvicorn with the bounds that uvicorn leaves out: deadlines, caps, and aborts.

A peer that sends nothing, dribbles or stops reading costs a timer, never a task that waits for ever
(research/http 2, reliability 0.8).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
import ssl
from asyncio.transports import BaseTransport
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from dg.api import errors
from dg.api.feed.socket import EXTENSION
from dg.core.errors import Invalid, Problem, Refused, Unavailable
from dg.core.tasks import open_tasks
from dg.settings.tree import Server

log = logging.getLogger(__name__)

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

BACKLOG = 2048
SPARE_FILES = 128
"""Descriptors kept for databases, logs and runners."""
_MISTAKES_OF_PEERS = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",
        "ASGI callable returned without completing handshake.",
    }
)


class Config(uvicorn.Config):
    """uvicorn's configuration with ours beside it, for the protocols."""

    def __init__(self, app: ASGIApp, limits: Server, context: ssl.SSLContext | None) -> None:
        self.limits = limits
        super().__init__(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
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
            ssl_context_factory=None if context is None else lambda *_: context,
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
    """HTTP/1.1 with a deadline for headers, one for a peer that does not read, and a cap of connections.

    Neither the parser nor uvicorn bounds the size of a head or the number of pipelined requests.
    """

    config: Config
    _headers: Deadline
    _writing: Deadline
    _closing: Deadline
    _refused = False
    _deaf = False
    _problem: Problem | None = None
    _head = 0
    _unheard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.config.limits.max_connections:
            self._refused = True
            transport.write(_reply(Unavailable("too many connections are open; try again in a moment")))
            transport.close()
            return
        super().connection_made(transport)
        self._headers = Deadline(transport, self.config.limits.header_timeout)
        self._writing = Deadline(transport, self.config.limits.body_timeout)
        self._closing = Deadline(transport, CLOSE_GRACE)
        self._headers.arm()

    def data_received(self, data: bytes) -> None:
        if self._refused or self._deaf:
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

    def pause_writing(self) -> None:
        self._writing.arm()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writing.disarm()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._refused:
            return
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
        self.transport.write(_reply(problem))
        self.transport.write_eof()
        self._closing.arm()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket whose transport the hub may write to, and which ends even when its peer does not read."""

    config: Config
    _writing: Deadline
    _closing: Deadline

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

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._closing.arm()

    def shutdown(self) -> None:
        super().shutdown()
        self._closing.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writing.disarm()
        self._closing.disarm()
        super().connection_lost(exc)


def _is_ours(record: logging.LogRecord) -> bool:
    """False for what uvicorn says of a peer's mistakes, with which anybody could fill the disk, and of the
    requests that a stopping server cuts off, each with a traceback."""
    cut_off = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return record.msg not in _MISTAKES_OF_PEERS and not cut_off


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process's life is the caller's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Listening:
    """A server that accepts requests."""

    url: str
    port: int


@asynccontextmanager
async def listen(app: ASGIApp, settings: Server) -> AsyncIterator[Listening]:
    """Serve `app` while the block runs; leaving it waits up to `graceful_stop` for open requests.

    Raises Refused when the address is taken or not this machine's, when others could listen in on it, and
    when the certificate or its key cannot be used.
    """
    check_bind(settings)
    context = tls(settings)
    raise_file_limit(settings.max_connections)
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    with bind(settings.host, settings.port) as listener:
        server = _Server(Config(app, settings, context))
        async with open_tasks() as tasks:
            serving = tasks.spawn("http server", server.serve(sockets=[listener]))
            while not server.started and not serving.done():
                await asyncio.wait([serving], timeout=0.005)
            port = listener.getsockname()[1]
            try:
                yield Listening(reached(settings, port), port)
            finally:
                server.should_exit = True
                await serving


def check_bind(settings: Server) -> None:
    """Raises Refused where tokens would cross a network in the clear."""
    if settings.tls_certificate or settings.allow_plain or is_loopback(settings.host):
        return
    raise Refused(
        f"tokens would reach {settings.host} over plain HTTP; set server.tls_certificate and server.tls_key, "
        "or say --insecure-bind (server.allow_plain) when a proxy in front speaks TLS",
        reason="insecure_bind",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls(settings: Server) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the configured certificate, None without one. Raises Refused."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _check_private(key)
        # Without this, OpenSSL asks for a passphrase on the terminal and the server hangs.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except OSError as error:
        raise Refused(
            f"server.tls_certificate {certificate} and server.tls_key {key} cannot be used: "
            f"{error.strerror or error}; give a readable PEM certificate and the key that belongs to it",
            reason="tls",
        ) from None
    return context


def _check_private(key: Path) -> None:
    if key.stat().st_mode & 0o077:
        raise Refused(f"server.tls_key {key} can be read by others: chmod 600 {key}", reason="tls")


def _no_passphrase() -> str:
    raise Refused("server.tls_key has a passphrase; give a key without one", reason="tls")


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises Refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why, _, _ = str(error.strerror).partition(" (while attempting")
        raise Refused(
            f"cannot listen on {host} port {port}: {why}; choose another with --host and --port",
            reason="address_unavailable",
        ) from None


def reached(settings: Server, port: int) -> str:
    """The URL for commands on this machine: with a certificate, the one whose name it bears."""
    if settings.tls_certificate and settings.public_url:
        return settings.public_url
    return address(settings.host, port)


def address(host: str, port: int) -> str:
    """The URL under which this machine reaches the server; a wildcard is reached by loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def raise_file_limit(connections: int) -> None:
    """Ask for as many descriptors as the connections need, and say so when the machine gives fewer."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < connections + SPARE_FILES:
        log.warning(
            "only %d files may be open, too few for server.max_connections = %d: raise the limit (ulimit -n)",
            wanted,
            connections,
        )


def _reply(problem: Problem) -> bytes:
    """A whole HTTP answer for a peer whose request is not read."""
    body = errors.envelope(problem, "-")
    head = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in errors.headers(problem).items()),
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
