"""Slack's rate limits: token buckets by method, and by channel for posts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dg.core.clock import Clock
from dg.slacksim.bounded import Bounded

TIER_1, TIER_2, TIER_3, TIER_4 = 1, 20, 50, 100
"""Calls a minute."""

POST = 60
"""`chat.postMessage`: one a second in each channel."""

POST_BURST = 3
"""Slack says "short bursts" of posts; three is our choice."""

BURST_SECONDS = 10
"""Seconds of a tier's rate that may come at once: our choice too."""


@dataclass
class Bucket:
    """`rate` tokens a second, at most `burst` at once."""

    rate: float
    burst: float
    level: float
    at: float

    def take(self, now: float) -> float:
        """Take a token; 0, or the seconds until there is one."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.rate


class Limits:
    """All buckets of the app. `scale` makes every rate that many times as fast; 0 turns the limits off."""

    def __init__(self, clock: Clock, scale: float = 1.0) -> None:
        self._clock = clock
        self.scale = scale
        self._buckets: Bounded[tuple[str, str], Bucket] = Bounded(4_000)

    def take(self, method: str, per_minute: float, channel: str = "") -> int:
        """0 when the call may go on, else Slack's `Retry-After` in whole seconds."""
        if not self.scale:
            return 0
        bucket = self._buckets.get((method, channel))
        if bucket is None:
            bucket = self._buckets[method, channel] = self._new(per_minute, bool(channel))
        return math.ceil(bucket.take(self._clock.monotonic()))

    def _new(self, per_minute: float, post: bool) -> Bucket:
        rate = per_minute / 60 * self.scale
        burst = POST_BURST if post else max(1.0, per_minute / 60 * BURST_SECONDS)
        return Bucket(rate, burst, burst, self._clock.monotonic())
