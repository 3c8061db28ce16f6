"""What is typed into the forms of the access screen: lists of words, spans, moments; options of commands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dg.core.clock import to_datetime, to_micros
from dg.tui.actions import Field, Values

if TYPE_CHECKING:
    from dg.core.types import Environment

WHERE = Field("environment", "only there; empty for all of them")
SERVICE = Field("service", "only this one; empty for all of them")


def words(text: str) -> tuple[str, ...]:
    """Words with spaces or commas between them."""
    return tuple(text.replace(",", " ").split())


def option(values: Values, name: str, flag: str = "") -> tuple[str, ...]:
    """A field as an option of the command line, where something was typed into it."""
    return (flag or f"--{name}", values[name]) if values[name] else ()


def options(values: Values, name: str, flag: str) -> tuple[str, ...]:
    """A field with several words as an option that is given for each of them."""
    return tuple(part for word in words(values[name]) for part in (flag, word))


def environment_of(text: str) -> Environment | None:
    """The environment that was typed, None for nothing. Raises Invalid."""
    from dg.core.errors import Invalid
    from dg.core.types import Environment

    try:
        return Environment(text) if text else None
    except ValueError:
        raise Invalid("environment must be development, staging or production", field="environment") from None


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
