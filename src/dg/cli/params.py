"""Kinds of values that commands take: words of the domain, spans of time, moments."""

from __future__ import annotations

import importlib
import re
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import click
from click.shell_completion import CompletionItem

SPAN = re.compile(r"([0-9]{1,6}(ms|s|m|h|d)){1,4}")


class Word(click.ParamType[Any]):
    """A member of an enumeration, which may be shortened as long as it is clear: `--env prod`.

    `place` is `module:class`; the module is imported when a value comes.
    """

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self._place = place

    def members(self) -> list[Enum]:
        module, _, kind = self._place.partition(":")
        return list(getattr(importlib.import_module(module), kind))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Enum:
        if isinstance(value, Enum):
            return value
        members = self.members()
        found = [member for member in members if value and str(member.value).startswith(str(value).lower())]
        if len(found) != 1:
            self.fail(
                f"{value!r} is not one of {', '.join(str(member.value) for member in members)}.", param, ctx
            )
        return found[0]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        words = (str(member.value) for member in self.members())
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class Shortened(Word):
    """Like Word, but what is none of its members is kept as it is written: the server may know it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value.value if isinstance(value, Enum) else value)
        found = [str(member.value) for member in self.members() if str(member.value).startswith(text)]
        return found[0] if len(found) == 1 and text else text


class Span(click.ParamType[str]):
    """A span of time such as `30m`, `2h` or `1d12h`, kept as it is written."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).replace(" ", "")
        if not SPAN.fullmatch(text):
            self.fail(f"{value!r} is not a duration such as 30m, 2h or 1d12h.", param, ctx)
        return text


class Key(click.ParamType[str]):
    """What makes a repeated request the same request, in characters that a header can carry."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[!#-\[\]-~]{1,255}", str(value)):
            self.fail("must be 1 to 255 visible ASCII characters without quotes and backslashes.", param, ctx)
        return str(value)


class Moment(click.ParamType[int]):
    """A time to come, as microseconds since the epoch: `2026-11-27T09:00Z`, `09:00`, or `2h` from now.

    Without a zone it is this machine's local time; a time of day is the next one.
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dg.cli.remote import now
        from dg.core.clock import to_datetime, to_micros

        if isinstance(value, int):
            return value
        moment = moment_of(str(value), to_datetime(now()).astimezone())
        if moment is None:
            self.fail(f"{value!r} is not a time; write it like 2026-11-27T09:00Z, 09:00 or 2h.", param, ctx)
        return to_micros(moment)


class Before(click.ParamType[int]):
    """A time that is over, as microseconds since the epoch: `08:20`, `2h` ago, `2026-11-26T08:20:00Z`.

    Without a zone it is this machine's local time; a time of day is the last one.
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dg.cli.remote import now
        from dg.client.moments import HINT, moment_before

        if isinstance(value, int):
            return value
        at, found = now(), moment_before(str(value), now())
        if found is None or found > at:
            self.fail(f"{value!r} is not {HINT}.", param, ctx)
        return found


def moment_of(text: str, now: datetime) -> datetime | None:
    """The moment that a person means by `text` at the local time `now`, None when it is none."""
    from dg.settings.units import seconds_of

    if SPAN.fullmatch(text.removeprefix("+")):
        return now + timedelta(seconds=seconds_of(text.removeprefix("+")))
    if clock := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text):
        today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


ENVIRONMENT = Word("environment", "dg.core.types:Environment")
ROLE = Shortened("role", "dg.core.access.models:Role")
"""A given role, which may be shortened, or one of the server's own: their names begin no given one's."""
ACTION = Shortened("action", "dg.core.access.models:Action")
