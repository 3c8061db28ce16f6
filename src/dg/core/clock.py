"""Time and identity as parameters: the one place that reads the clocks of the machine and makes ids."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000_000
"""Microseconds, the unit of every moment that is kept or passed on."""


class Clock(Protocol):
    """What the rest of dg knows of time."""

    def micros(self) -> int:
        """Wall clock as integer microseconds since the epoch, UTC: the unit of every table."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` on the monotonic clock."""
        ...


class SystemClock:
    """The machine's own time."""

    def micros(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Ids:
    """Makes UUIDv7 ids (RFC 9562): ordered by time across processes, unguessable within one millisecond."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self) -> str:
        millis = self._clock.micros() // 1000
        random = int.from_bytes(self._entropy(10), "big")
        high = random >> 68
        low = random & ((1 << 62) - 1)
        value = (millis & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
        digits = f"{value:032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def to_datetime(micros: int) -> datetime:
    """Table microseconds as an aware UTC datetime."""
    seconds, rest = divmod(micros, SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def to_micros(moment: datetime) -> int:
    """An aware datetime as table microseconds."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
