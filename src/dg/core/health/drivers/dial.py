"""Connections of probes: to an address that was vetted, and to no other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from dg.core import addresses
from dg.core.clock import SECOND, Clock
from dg.core.health.drivers.attempts import Attempt
from dg.core.http import Outbound

_DAY = 86_400
_BUFFER = 256 << 10


@dataclass(frozen=True)
class Stream:
    """An open connection; `certificate` is the other side's, empty without TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    certificate: dict[str, Any]

    def days_left(self, clock: Clock) -> int | None:
        """Whole days until the certificate ends; None without one."""
        ends = self.certificate.get("notAfter")
        if ends is None:
            return None
        return int((ssl.cert_time_to_seconds(ends) - clock.micros() / SECOND) // _DAY)


@asynccontextmanager
async def dialled(
    outbound: Outbound, attempt: Attempt[Any], host: str, port: int, *, tls: bool = False
) -> AsyncIterator[Stream]:
    """A connection to `host`, looked up once and vetted. Raises Problem as `Outbound.reach`, OSError."""
    attempt.host = None if addresses.is_loopback(host) else host.lower()
    found = await outbound.reach(host, port)
    stream = await _first(outbound, attempt, host, port, [str(address) for address in found], tls=tls)
    attempt.connected = True
    try:
        yield stream
    finally:
        stream.writer.transport.abort()


async def _first(
    outbound: Outbound, attempt: Attempt[Any], host: str, port: int, found: list[str], *, tls: bool
) -> Stream:
    """The first address that takes the connection; those before the last have a share of the time each."""
    for address in found[:-1]:
        try:
            async with asyncio.timeout(attempt.probe.limit / len(found)):
                return await _open(outbound, attempt, host, address, port, tls=tls)
        except (OSError, TimeoutError):
            continue
    return await _open(outbound, attempt, host, found[-1], port, tls=tls)


async def _open(
    outbound: Outbound, attempt: Attempt[Any], host: str, address: str, port: int, *, tls: bool
) -> Stream:
    if addresses.is_loopback(address):
        attempt.host = None
    attempt.facts["address"] = address
    reader, writer = await asyncio.open_connection(
        address,
        port,
        limit=_BUFFER,
        ssl=outbound.tls if tls else None,
        server_hostname=host if tls else None,
    )
    return Stream(reader, writer, cast("dict[str, Any]", writer.get_extra_info("peercert") or {}))
