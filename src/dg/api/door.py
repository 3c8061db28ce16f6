"""Where connections come in: counted before anything is read of them or a TLS handshake begins.

`server.listen` runs it. What is turned away here has cost one `accept` and nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from dg.api.peers import Cap, Peers
from dg.core.clock import Clock
from dg.core.errors import Problem, Unavailable
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The machine has nothing left for another connection, which stays in the kernel's queue meanwhile."""
PAUSE = 0.5
"""Seconds until it is asked again."""

SILENCE = 60
"""Seconds after which the kernel asks an idle connection's other end whether it is still there."""
PROBES = 4
PROBE_INTERVAL = 15
UNACKNOWLEDGED = 30_000
"""Milliseconds for which sent bytes may stay without the other end's kernel having seen them."""

QUIET = 60.0
"""Seconds between two lines in the log about who was turned away."""


class Place:
    """One connection's place among those that are open."""

    def __init__(self, door: Door, key: str | None) -> None:
        self._door: Door | None = door
        self._key = key

    def leave(self) -> None:
        """The connection is over; safe to repeat."""
        if self._door is not None:
            self._door.left(self._key)
            self._door = None


class Door:
    """Lets so many connections in at a time, in all and from one address."""

    def __init__(self, most: int, cap: Cap, peers: Peers, clock: Clock) -> None:
        self._most = most
        self._cap = cap
        self._peers = peers
        self._clock = clock
        self._open = 0
        self._turned_away = 0
        self._said = -QUIET

    def enter(self, address: str) -> Place:
        """A place for a connection from `address`. Raises Unavailable or TooMany when there is none."""
        key = self._peers.counted(address)
        problem: Problem
        if self._open >= self._most:
            problem = Unavailable("too many connections are open; try again in a moment")
        elif self._cap.take(key):
            self._open += 1
            return Place(self, key)
        else:
            problem = self._cap.refusal(key)
        self._say(problem)
        raise problem

    def left(self, key: str | None) -> None:
        self._open -= 1
        self._cap.give_back(key)

    def _say(self, problem: Problem) -> None:
        """Once a minute at most: whoever is turned away must not fill the disk."""
        self._turned_away += 1
        now = self._clock.monotonic()
        if now - self._said >= QUIET:
            log.warning("connections turned away: %d, the last one: %s", self._turned_away, problem)
            self._said, self._turned_away = now, 0


def watch_for_dead_ends(listener: socket.socket) -> None:
    """Have the kernel end connections whose other end vanished; what is accepted inherits it (tcp(7))."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_KEEPIDLE", SILENCE),
        ("TCP_KEEPINTVL", PROBE_INTERVAL),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED),
    ):
        if option := getattr(socket, name, None):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


async def receive(
    listener: socket.socket,
    door: Door,
    make: Callable[[Place], asyncio.Protocol],
    tasks: Tasks,
    clock: Clock,
    *,
    context: ssl.SSLContext | None,
    handshake: float,
    refusal: Callable[[Problem], bytes],
) -> None:
    """Accept connections until cancelled; each gets the protocol that `make` makes for its place.

    A TLS handshake may take `handshake` seconds. `refusal` is what a peer in the clear is told at the door.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, address = await loop.sock_accept(listener)
        except OSError as error:
            if error.errno in NO_ROOM:
                log.warning("no connection can be accepted: %s", error.strerror)
                await clock.sleep(PAUSE)
            continue
        try:
            place = door.enter(address[0])
        except Problem as problem:
            _turn_away(connection, None if context else refusal(problem))
        else:
            tasks.spawn("connection", _connect(connection, place, make, context, handshake))


async def _connect(
    connection: socket.socket,
    place: Place,
    make: Callable[[Place], asyncio.Protocol],
    context: ssl.SSLContext | None,
    handshake: float,
) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(
            lambda: make(place),
            connection,
            ssl=context,
            ssl_handshake_timeout=handshake if context else None,
        )
    except (OSError, ssl.SSLError):
        # It did not speak TLS, took too long, or left: no line for what anybody can do all day.
        connection.close()
        place.leave()


def _turn_away(connection: socket.socket, answer: bytes | None) -> None:
    with connection, suppress(OSError):
        if answer is not None:
            # What is unread when a socket closes resets it, and takes the answer along.
            with suppress(BlockingIOError):
                connection.recv(1 << 16)
            connection.send(answer)
