"""Somebody's handover: its Markdown as Slack shows it, and nothing in it but text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block, Rendered
from dg.bot.messages.text import escape

_MARKS = re.compile(r"\\([\\`*_\[\]<>|~&])|(\*\*)")
_LINE = 700
_SECTION = 2800
_ROOM = 12_000
"""Characters of all sections: Slack takes 13,200 in one message."""


def handover(text: str, by: str) -> Rendered:
    """The message; `by` is how whoever posts it is named."""
    title, *lines = text.splitlines() or [""]
    head = title.lstrip("# ") or "Handover"
    found: list[Block] = [b.header(head), b.context(f"Posted by {by}")]
    room = _ROOM
    for part in _sections(lines):
        room -= len(part)
        if room < 0:
            found.append(b.context("… and more: `dg handover` shows all of it"))
            break
        found.append(b.section(part))
    return Rendered(escape(head), tuple(found))


def _sections(lines: list[str]) -> Iterator[str]:
    """As many lines together as fit into one block."""
    part = ""
    for line in map(_shown, lines):
        if part and len(part) + len(line) >= _SECTION:
            yield part
            part = ""
        part = f"{part}\n{line}" if part else line
    if part.strip():
        yield part


def _shown(line: str) -> str:
    """One line of Markdown in Slack's mark-up."""
    if line.startswith("#"):
        return f"*{escape(line.lstrip('# '), _LINE).replace('*', '')}*"
    bullet = line.startswith("- ")
    text = _MARKS.sub(lambda found: found[1] or "*", line.removeprefix("- "))
    return f"{'• ' if bullet else ''}{escape(text, _LINE)}"
