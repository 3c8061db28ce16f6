"""A look at a PostgreSQL database without opening it: version, latency, what it may lose."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from dg.core.clock import Clock
from dg.core.database.address import Address

if TYPE_CHECKING:
    from dg.core.database.session import Connection

_QUESTIONS = 5


@dataclass(frozen=True)
class Look:
    """What a PostgreSQL database says of itself. `latency` is in seconds, for one question and its answer."""

    database: str
    version: str
    latency: float
    encrypted: bool
    """or on this machine"""
    durable: bool
    """Whether the server waits for its disk at all."""
    active: str | None
    """Where the server runs that was active last."""


def vitals(address: Address, clock: Clock) -> Look:
    """Ask it. Raises Refused for a database that cannot be used."""
    # They bring the driver along.
    import psycopg

    from dg.core.database.claim import active
    from dg.core.database.session import connect, unreachable

    try:
        with connect(address) as connection:
            info = connection.info
            row = connection.execute("SELECT current_setting('server_version'), current_setting('fsync')")
            version, fsync = row.fetchone() or ("", "")
            last = active(connection)
            return Look(
                database=str(address),
                version=version,
                latency=statistics.median(_seconds(connection, clock)),
                encrypted=info.pgconn.ssl_in_use or info.host.startswith("/") or _is_loopback(info.hostaddr),
                durable=fsync == "on",
                active=f"{last['host']}:{last['path']}" if last else None,
            )
    except psycopg.Error as error:
        raise unreachable(address, error) from None


def _seconds(connection: Connection, clock: Clock) -> Iterator[float]:
    for _ in range(_QUESTIONS):
        asked = clock.monotonic()
        connection.execute("SELECT 1")
        yield clock.monotonic() - asked


def _is_loopback(address: str) -> bool:
    return bool(address) and ip_address(address).is_loopback
