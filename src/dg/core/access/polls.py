"""How often a program may ask whether it was let in yet (RFC 8628, 3.5)."""

from __future__ import annotations

import math
from collections import OrderedDict

from dg.core.clock import Clock
from dg.core.errors import TooMany

SLOWER = 5.0
SLOWEST = 60.0
_TOLERANCE = 0.9
"""Clocks and networks are not exact: this part of the interval is enough."""
_MOST = 4096


class Polls:
    """The programs that ask, by their code's digest: whoever asks too soon must wait longer from then on."""

    def __init__(self, clock: Clock, interval: float) -> None:
        self.interval = interval
        self._clock = clock
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, digest: str) -> float:
        """Seconds until the next time. Raises TooMany (`slow_down`) for who asks before they are over."""
        now = self._clock.monotonic()
        last, interval = self._asked.pop(digest, (now - self.interval, self.interval))
        early = now - last < interval * _TOLERANCE
        if early:
            interval = min(interval + SLOWER, SLOWEST)
        self._asked[digest] = now, interval
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)
        if early:
            raise TooMany(
                f"that is too often: ask again in {interval:g} s",
                reason="slow_down",
                retry_after=math.ceil(interval),
            )
        return interval

    def forget(self, digest: str) -> None:
        """It asks no more."""
        self._asked.pop(digest, None)
