"""How often Slack may be asked for what: buckets that refill, with a reserve for what is urgent."""

from __future__ import annotations

from dg.core.clock import Clock


class Bucket:
    """At most `burst` at once and `rate` in a second. A call takes one, if `reserve` are left then."""

    def __init__(self, clock: Clock, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = clock.monotonic()
        self._closed_until = 0.0

    def take(self, reserve: float = 0.0) -> float:
        """Take one and return 0, or the seconds until there may be one."""
        now = self._clock.monotonic()
        if now < self._closed_until:
            return self._closed_until - now
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        needed = min(1.0 + reserve, self._burst)
        if self._left < needed:
            return (needed - self._left) / self._rate
        self._left -= 1.0
        return 0.0

    def close(self, seconds: float) -> None:
        """Slack asked for a pause: give nothing for so long."""
        self._closed_until = self._clock.monotonic() + seconds
        self._left = 0.0
        self._at = self._closed_until


class Budget:
    """What is documented of Slack's limits, with a little held back: one post a second to each channel, and
    fifty edits a minute to all of them together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._posts: dict[str, Bucket] = {}
        self.edits = Bucket(clock, 45 / 60, 7)

    def posts(self, channel: str) -> Bucket:
        """That of one channel."""
        return self._posts.setdefault(channel, Bucket(self._clock, 1.0, 1))
