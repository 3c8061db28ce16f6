"""Counts what each caller asks for against a rate: GCRA, one number for each caller and no timer.

A caller may send `limit` requests at once; what it spent comes back evenly, `limit` in one window.
`limits.py` holds one meter for each class of requests.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from dg.settings.units import Rate

MOST_CALLERS = 20_000
"""Callers whose spending is remembered. Whoever is forgotten has sent nothing for longest."""
_SLACK = 1e-6
"""Of a request's share: sums of floats must not cost the last one its place."""


class Reading(NamedTuple):
    """Where a caller stands. `full` and `wait` are in seconds from now."""

    remaining: int
    full: float
    """Until nothing is spent any more."""
    wait: float
    """Until the refused request would be let in; zero when it was not refused."""


class Meter:
    """The callers of one class. Times are seconds of a clock that never goes back."""

    def __init__(self, rate: Rate, most: int = MOST_CALLERS) -> None:
        self._window = rate.window
        self._share = rate.window / rate.limit
        self._most = most
        self._spent_until: OrderedDict[str, float] = OrderedDict()

    def spend(self, caller: str, now: float) -> Reading:
        """Count one request, unless it is one too many: then it costs nothing and `wait` says when."""
        before = max(self._spent_until.get(caller, now), now)
        after = before + self._share
        wait = after - now - self._window
        if wait > self._share * _SLACK:
            return self._read(before, now, wait)
        self._spent_until[caller] = after
        self._spent_until.move_to_end(caller)
        if len(self._spent_until) > self._most:
            self._spent_until.popitem(last=False)
        return self._read(after, now, 0.0)

    def look(self, caller: str, now: float) -> Reading:
        """Where the caller stands; costs nothing."""
        until = max(self._spent_until.get(caller, now), now)
        return self._read(until, now, max(0.0, until + self._share - now - self._window))

    def _read(self, until: float, now: float, wait: float) -> Reading:
        remaining = math.floor((self._window - (until - now)) / self._share + _SLACK)
        return Reading(max(0, remaining), until - now, wait)

    @property
    def callers(self) -> int:
        """How many are remembered."""
        return len(self._spent_until)
