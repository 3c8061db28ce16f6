"""The hours in which a channel hears only of what cannot wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from dg.core.clock import SECOND, to_datetime
from dg.settings.slack import SlackQuiet

_SATURDAY = 5
_DAYS = 4
"""A quiet that begins before a weekend is over by then."""


class QuietHours:
    """The quiet hours of the settings."""

    def __init__(self, settings: SlackQuiet) -> None:
        self._begins = time.fromisoformat(settings.begins or "00:00")
        self._ends = time.fromisoformat(settings.ends or "00:00")
        self._daily = settings.begins is not None
        self._weekends = settings.weekends
        self._zone = ZoneInfo(settings.timezone)

    def end(self, moment: int) -> int | None:
        """When the quiet that is at `moment` ends (microseconds); None where it is not quiet then."""
        local = to_datetime(moment).astimezone(self._zone)
        if not self._is_quiet(local):
            return None
        later = (each for each in self._bounds(local) if each > local and not self._is_quiet(each))
        return int(min(later).timestamp()) * SECOND

    def _is_quiet(self, local: datetime) -> bool:
        if self._weekends and local.weekday() >= _SATURDAY:
            return True
        at = local.time()
        if not self._daily:
            return False
        if self._begins < self._ends:
            return self._begins <= at < self._ends
        return at >= self._begins or at < self._ends

    def _bounds(self, local: datetime) -> Iterator[datetime]:
        """The moments of the next days at which a quiet may end."""
        for ahead in range(_DAYS):
            day = local.date() + timedelta(days=ahead)
            for at in (time(0), self._ends):
                yield datetime.combine(day, at, self._zone)
