"""What is typed into the forms of the access screen: lists of words, spans, moments."""

from __future__ import annotations

from datetime import datetime, timedelta

from dg.core.clock import to_datetime, to_micros
from dg.tui.actions import Field, Values

WHERE = Field("environment", "only there; empty for all of them")
SERVICE = Field("service", "only this one; empty for all of them")


def words(text: str) -> tuple[str, ...]:
    """Words with spaces or commas between them."""
    return tuple(text.replace(",", " ").split())


def options(values: Values, name: str, flag: str) -> tuple[str, ...]:
    """A field with several words as an option that is given for each of them."""
    return tuple(part for word in words(values[name]) for part in (flag, word))


def span(text: str) -> float | None:
    """A span such as `12h` or `30d` in seconds, None for nothing. Raises Invalid."""
    from dg.core.deployments.durations import length_of
    from dg.core.errors import Invalid

    if not text:
        return None
    seconds = length_of(text)
    if not seconds:
        raise Invalid(f"{text} is no length of time: write it like 30m, 12h or 30d", field="lasting")
    return seconds


def moment_of(text: str, now: int) -> int | None:
    """A moment in microseconds: `2h` from `now`, or a time with its zone. Raises Invalid."""
    from dg.core.deployments.durations import length_of
    from dg.core.errors import Invalid

    if not text:
        return None
    if seconds := length_of(text):
        return to_micros(to_datetime(now) + timedelta(seconds=seconds))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Invalid(f"{text} is no time: write it like 2h or 2026-12-24T18:00Z", field="until")
    return to_micros(found)
