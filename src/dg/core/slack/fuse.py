"""The storm fuse: when one channel would get very many new messages at once, the others come together."""

from __future__ import annotations

from dataclasses import dataclass, field

from dg.core.clock import SECOND, Clock

_MINUTE = 60 * SECOND
_CALM = 120 * SECOND
"""Microseconds without a new message after which a storm is over."""


@dataclass
class _Traffic:
    """New messages of one channel within the last minute, by their ids, and the storm that is on."""

    begun: dict[str, int] = field(default_factory=dict)
    storm: int | None = None
    last: int = 0


class Fuse:
    """Lets `most` new messages a minute through to each channel."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._channels: dict[str, _Traffic] = {}

    def blown(self, channel: str, message_id: str) -> int | None:
        """Since when (microseconds) there has been a storm that this new message adds to; None for none."""
        now = self._clock.micros()
        traffic = self._channels.setdefault(channel, _Traffic())
        calm = now - traffic.last > _CALM
        traffic.begun = {name: at for name, at in traffic.begun.items() if now - at < _MINUTE}
        if message_id in traffic.begun:
            return None
        traffic.last = now
        if traffic.storm is not None and not calm:
            return traffic.storm
        traffic.storm = None if len(traffic.begun) < self._most else now
        if traffic.storm is None:
            traffic.begun[message_id] = now
        return traffic.storm
