"""Moments as people write and read them, in the zone that they live in: for what looks back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo

from dg.core.clock import SECOND, to_datetime, to_micros
from dg.settings.units import seconds_of

HINT = "a time that is over, such as 08:20, 2h, 2026-11-26 08:20 or 2026-11-26T08:20:00Z"
_SPAN = re.compile(r"([0-9]{1,6}(ms|s|m|h|d)){1,4}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(\.[0-9]{1,6})?)?")


def moment_before(text: str, now: int, zone: tzinfo | None = None) -> int | None:
    """The moment that a person means by `text`, in microseconds as `now`; None when it is none.

    `2h` is so long ago, `08:20` the last time that clocks showed that. Without a zone of its own it is meant
    in `zone`, which is that of this machine where none is given. It may lie after `now`.
    """
    text = text.strip()
    if _SPAN.fullmatch(text):
        return now - round(seconds_of(text) * SECOND)
    if clock := _CLOCK.fullmatch(text):
        return max((each for each in _shown(_time(clock), now, zone) if each <= now), default=None)
    try:
        moment = datetime.fromisoformat(text)
        return to_micros(moment if moment.tzinfo else _placed(moment, zone))
    except (ValueError, OverflowError):
        return None


def spoken(at: int, zone: tzinfo | None = None) -> str:
    """A moment in `zone`, that of this machine without one, to the second: `2026-11-26 08:20:00 CET`."""
    local = to_datetime(at).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname() or 'UTC'}"


def clock_at(at: int, now: int) -> str:
    """`08:20`, with its day where that is another than the one at `now`; in UTC."""
    moment = to_datetime(at)
    return f"{moment:%H:%M}" if moment.date() == to_datetime(now).date() else f"{moment:%Y-%m-%d %H:%M}"


def _time(found: re.Match[str]) -> time:
    hours, minutes, seconds, rest = found.groups()
    return time(int(hours), int(minutes), int(seconds or 0), round(float(rest or 0) * SECOND))


def _shown(at: time, now: int, zone: tzinfo | None) -> Iterator[int]:
    """When clocks showed that lately; twice on a night on which they are put back."""
    today = to_datetime(now).astimezone(zone).date()
    for days in (0, 1):
        for fold in (0, 1):
            moment = datetime.combine(today - timedelta(days=days), at).replace(fold=fold)
            yield to_micros(_placed(moment, zone))


def _placed(moment: datetime, zone: tzinfo | None) -> datetime:
    return (moment.replace(tzinfo=zone) if zone else moment.astimezone()).astimezone(UTC)
