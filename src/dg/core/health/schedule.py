"""When each probe is due: on monotonic time, spread at random, and never made up for.

What comes late by more than a moment (the machine slept, the loop was held up) is left out until its next
regular time, so that nothing ever wakes up to a storm.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LATEST = 1.0
"""Seconds by which something may come late and still be done."""


@dataclass(frozen=True)
class Due(Generic[K]):
    """`key` is due now, `late` seconds after its time."""

    key: K
    late: float


class Schedule(Generic[K]):
    """Keys with an interval each. `chance` gives numbers from 0 to 1; times are monotonic seconds."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._intervals: dict[K, float] = {}
        self._next: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def hold(self, intervals: Mapping[K, float], now: float) -> None:
        """Keep to these from now on. Those that are new, or have another interval, begin within it."""
        for key in self._intervals.keys() - intervals.keys():
            del self._next[key]
        for key, interval in intervals.items():
            if self._intervals.get(key) != interval:
                self._put(key, now + self._chance() * interval)
        self._intervals = dict(intervals)

    def postpone(self, key: K, until: float) -> None:
        """Its next time is `until`, and its interval goes on from there."""
        if key in self._intervals:
            self._put(key, until)

    def wait(self, now: float) -> float | None:
        """Seconds until the next is due; None when there is none."""
        self._drop_outdated()
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def take(self, now: float) -> Due[K] | None:
        """The next that is due; it is due again one interval later."""
        while (wait := self.wait(now)) is not None and wait == 0.0:
            at, _, key = heapq.heappop(self._heap)
            interval = self._intervals[key]
            late = now - at
            # The moments it keeps to stay the same, however many of them have passed.
            self._put(key, at + interval * (1 + late // interval))
            if late <= LATEST:
                return Due(key, late)
        return None

    def _put(self, key: K, at: float) -> None:
        self._next[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))

    def _drop_outdated(self) -> None:
        while self._heap and self._next.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
