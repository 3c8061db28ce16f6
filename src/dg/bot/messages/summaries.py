"""The one message of what was not told one by one: while Slack was away, in a quiet, in a storm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.text import code, moment
from dg.core.text import counted

KINDS = ("deployment", "health change", "lock", "freeze")
_MOST = 15
_ROOM = 2800
_TIMES = {
    "away": "Slack could not be reached from {since} to {until}. Meanwhile:",
    "quiet": "In the quiet until {until}:",
    "mute": "While dg was muted here, until {until}:",
    "storm": "Much at once from {since} to {until}, so it is told together:",
}
_PLAIN = {
    "away": "while Slack could not be reached",
    "quiet": "in the quiet",
    "mute": "while dg was muted",
    "storm": "at once",
}


class Line(NamedTuple):
    """One thing that happened: `what` is one of KINDS. The lower the `rank` the sooner it should be read."""

    rank: int
    what: str
    text: str


@dataclass(frozen=True)
class Meanwhile:
    """What came together, in the order in which it began; `more` of it is only counted."""

    why: str
    since: int
    until: int
    lines: Sequence[Line]
    more: int = 0


def meanwhile(shown: Meanwhile) -> Rendered:
    """What went wrong comes first, and what is left out is said."""
    head = _TIMES[shown.why].format(since=moment(shown.since), until=moment(shown.until))
    lines = _fitting([each.text for each in sorted(shown.lines, key=lambda each: each.rank)])
    left = len(shown.lines) - len(lines) + shown.more
    more = [f"_and {left} more: {code('/dg status')}_"] if left else []
    plain = f"{_counts(shown)} {_PLAIN[shown.why]}"
    return Rendered(plain, (b.section(f"*{_counts(shown)}*. {head}"), b.section("\n".join([*lines, *more]))))


def _fitting(lines: Sequence[str]) -> list[str]:
    """The first of them for which there is room: half a line might be half of a sign."""
    kept: list[str] = []
    for each in lines[:_MOST]:
        if sum(map(len, kept)) + len(each) > _ROOM:
            break
        kept.append(each)
    return kept


def _counts(shown: Meanwhile) -> str:
    numbers = Counter(each.what for each in shown.lines)
    found = [counted(numbers[kind], kind) for kind in KINDS if numbers[kind]]
    found += [f"{shown.more} more"] if shown.more else []
    return ", ".join(found) or "Nothing that is still there"
