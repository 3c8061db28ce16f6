"""What a channel asked to be told, as an answer to whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.text import day
from dg.core.slack.models import SlackSubscription

_MOST = 20


def answer(channel: str, found: Sequence[SlackSubscription], people: Mapping[str, str]) -> Rendered:
    """The subscriptions of a channel; `people` are those who made them, as mark-up."""
    if not found:
        text = f"<#{channel}> subscribed to nothing: it hears of what the settings' routes say."
        return Rendered(text, (b.section(text),))
    lines = [f"• {_lanes(each)} · since {day(each.since)}, by {people[each.by]}" for each in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"and {len(found) - _MOST} more")
    text = f"What <#{channel}> hears of, beside the routes:"
    return Rendered(text, tuple(map(b.section, [text, *lines])))


def _lanes(each: SlackSubscription) -> str:
    service = f"`{each.service}`" if each.service else "all services"
    where = f" in {each.environment}" if each.environment else " everywhere"
    return f"{service}{where}{', when unhealthy' if each.severity == 'unhealthy' else ''}"
