"""Runs an application on uvicorn: the socket, TLS, the door where connections are counted, and the stop.

`dg serve` calls `listen`; what happens on one connection is in `protocols.py`.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from dg.api.door import Door, receive, watch_for_dead_ends
from dg.api.peers import Cap, Peers, is_loopback
from dg.api.protocols import Config, HttpProtocol, reply
from dg.core.clock import SystemClock
from dg.core.errors import Refused
from dg.core.tasks import open_tasks
from dg.settings.server import Server

log = logging.getLogger(__name__)

BACKLOG = 2048
SPARE_FILES = 128
"""Descriptors kept for databases, logs and runners."""
FEWEST_CONNECTIONS = 16
_MISTAKES_OF_PEERS = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",
        "ASGI callable returned without completing handshake.",
    }
)


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
    most = connections_that_fit(settings.max_connections)
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    clock = SystemClock()
    cap = Cap(settings.max_connections_per_address, "server.max_connections_per_address")
    door = Door(most, cap, Peers(settings.trusted_proxies), clock)
    with bind(settings.host, settings.port) as listener:
        config = Config(app, settings)
        server = _Server(config)
        async with open_tasks() as tasks:
            serving = tasks.spawn("http server", server.serve(sockets=[]))
            while not server.started and not serving.done():
                await asyncio.wait([serving], timeout=0.005)
            receiving = tasks.spawn(
                "door",
                receive(
                    listener,
                    door,
                    lambda place: HttpProtocol(config, server.server_state, place),
                    tasks,
                    clock,
                    context=context,
                    handshake=settings.header_timeout,
                    refusal=reply,
                ),
            )
            port = listener.getsockname()[1]
            try:
                yield Listening(reached(settings, port), port)
            finally:
                await tasks.stop(receiving)
                listener.close()
                server.should_exit = True
                await serving


def check_bind(settings: Server) -> None:
    """Raises Refused where tokens would cross a network in the clear."""
    if settings.tls_certificate or settings.allow_plain or _is_private(settings.host):
        return
    raise Refused(
        f"tokens would reach {settings.host} over plain HTTP; set server.tls_certificate and server.tls_key, "
        "or say --insecure-bind (server.allow_plain) when a proxy in front speaks TLS",
        reason="insecure_bind",
    )


def _is_private(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    return host == "localhost" or is_loopback(host)


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
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why, _, _ = str(error.strerror).partition(" (while attempting")
        raise Refused(
            f"cannot listen on {host} port {port}: {why}; choose another with --host and --port",
            reason="address_unavailable",
        ) from None
    listener.setblocking(False)
    watch_for_dead_ends(listener)
    return listener


def reached(settings: Server, port: int) -> str:
    """The URL for commands on this machine: with a certificate, the one whose name it bears."""
    if settings.tls_certificate and settings.public_url:
        return settings.public_url
    return address(settings.host, port)


def address(host: str, port: int) -> str:
    """The URL under which this machine reaches the server; a wildcard is reached by loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def connections_that_fit(most: int) -> int:
    """Ask for as many files as `most` connections need; how many of them the machine has room for.

    A server without a free descriptor can neither answer nor start a deployment, so the cap comes down
    instead. Raises Refused where there is no room even for a few.
    """
    wanted = most + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    fit = soft - SPARE_FILES
    if fit < FEWEST_CONNECTIONS:
        raise Refused(
            f"only {soft} files may be open, too few for a server: raise the limit (ulimit -n, LimitNOFILE=)",
            reason="file_limit",
        )
    log.warning(
        "only %d files may be open: %d connections are let in, not server.max_connections = %d; "
        "raise the limit (ulimit -n, LimitNOFILE=)",
        soft,
        fit,
        most,
    )
    return fit
