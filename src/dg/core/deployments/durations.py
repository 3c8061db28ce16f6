"""Durations as people write them in a pipeline: `"15m"`, `"1h30m"`, `"2d"`, or seconds as a number."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from dg.settings.units import DURATION_MILLIS, seconds_of

LONGEST = 24 * 3600.0
LONGEST_WAIT = 31 * LONGEST
_FORM = re.compile("".join(f"(?:[0-9]{{1,9}}{unit})?" for unit in DURATION_MILLIS))
"""Stricter than settings are: whole numbers, the largest unit first, each once."""


def seconds(value: object) -> float:
    """Read a duration over 0 and at most 24 hours.

    Raises:
        ValueError: it is something else; the message shows the form.
    """
    length = length_of(value)
    if length is None or not 0 < length <= LONGEST:
        raise ValueError('must be a duration such as "90s", "15m" or "1h30m", over 0 and at most 24h')
    return length


def seconds_or_off(value: object) -> float:
    """Read a duration of at most 24 hours, where 0 means off.

    Raises:
        ValueError: it is something else; the message shows the form.
    """
    length = length_of(value)
    if length is None or not 0 <= length <= LONGEST:
        raise ValueError('must be a duration such as "90s", "15m" or "1h30m", at most 24h; 0 turns it off')
    return length


def wait(value: object) -> float:
    """Read how long people or the calendar may keep something waiting: over 0 and at most 31 days.

    Raises:
        ValueError: it is something else; the message shows the form.
    """
    length = length_of(value)
    if length is None or not 0 < length <= LONGEST_WAIT:
        raise ValueError('must be a duration such as "20m", "63h" or "2d", over 0 and at most 31d')
    return length


def length_of(value: object) -> float | None:
    """Read a duration of any length in seconds; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if -1 < value <= LONGEST_WAIT else None
    if not isinstance(value, str) or not value or not _FORM.fullmatch(value):
        return None
    return seconds_of(value)


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds, over 0 and at most 24 hours."""

DurationOrOff = Annotated[float, BeforeValidator(seconds_or_off)]
"""Seconds, at most 24 hours; 0 is off."""

Wait = Annotated[float, BeforeValidator(wait)]
"""Seconds, over 0 and at most 31 days."""
