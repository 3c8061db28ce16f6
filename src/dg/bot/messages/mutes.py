"""The message of a channel that is to be left alone for a while."""

from __future__ import annotations

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.text import day, escape


def mute(who: str, until: int, reason: str | None, *, over: bool) -> Rendered:
    """That it is muted until a moment (microseconds), by `who` as mark-up; or that this is `over`."""
    if over:
        text = ":bell: dg tells this channel everything again."
        return Rendered(text, (b.section(text),))
    why = f": {escape(reason)}" if reason else ""
    text = f":no_bell: dg is muted here until {day(until)}{why}"
    rest = "What cannot wait is said all the same; the rest together, at the end or after `/dg unmute`."
    return Rendered("dg is muted here", (b.section(text), b.context(f"by {who} · {rest}")))
