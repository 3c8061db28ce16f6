"""Text in Slack's mark-up: what came from outside is only ever text there, and never longer than its room."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dg.core.clock import SECOND, to_datetime
from dg.core.text import plain


def escape(text: str, limit: int = 300) -> str:
    """`text` in one line, as text and nothing else: no mention, no link."""
    shown = plain(text, limit=limit)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_COMMAND = re.compile(r": (dg [a-z][^\n]{2,200})$")
_IN_SLACK = (
    (re.compile(r"dg ((?:approve|cancel|reject|retry|thaw) \S+)"), r"\1"),
    (re.compile(r"dg lane (unlock \S+) (\S+)"), r"\1 in \2"),
    (re.compile(r"dg (deploy \S+ \S+) --env (\S+)"), r"\1 to \2"),
)
"""Commands of a shell that are said here, too, and how."""


def sentence(text: str, limit: int = 300) -> str:
    """What the core says, with the command at its end as code: as one of Slack's where it is the same."""
    shown = plain(text, limit=limit)
    found = _COMMAND.search(shown)
    if found is None:
        return escape(shown, limit)
    return f"{escape(shown[: found.start()], limit)}: {code(_here(found[1]), 220)}"


def _here(command: str) -> str:
    for form, words in _IN_SLACK:
        if found := form.fullmatch(command):
            return f"/dg {found.expand(words)}"
    return command


def stated(text: str) -> str:
    """A clause as a sentence of its own; what begins with a name stays as it is."""
    begin = text[:1].upper() + text[1:] if re.match(r"[a-z]+[ ,]", text) else text
    return begin if begin.endswith((".", "!", "?", "…")) else f"{begin}."


def code(text: str, limit: int = 80) -> str:
    """`text` as code, which Slack neither links nor formats."""
    return f"`{escape(text, limit).replace('`', chr(39)) or ' '}`"


def block_of_code(lines: Sequence[str], budget: int) -> str:
    """The last lines that fit into `budget` characters, as a block of code."""
    kept: list[str] = []
    left = budget - 8
    for line in reversed(lines):
        shown = escape(line, 500).replace("```", "'''")
        left -= len(shown) + 1
        if left < 0:
            break
        kept.append(shown)
    return "```\n" + "\n".join(reversed(kept)) + "\n```"


def person(principal: str, name: str | None, accounts: Mapping[str, str]) -> str:
    """Somebody by their account in Slack, else by what they are called here."""
    user = accounts.get(principal)
    return f"<@{user}>" if user else f"*{escape(name or principal, 60).replace('*', '')}*"


def moment(micros: int) -> str:
    """A moment as each reader's own clock shows it; UTC where Slack cannot."""
    return f"<!date^{micros // SECOND}^{{time}}|{to_datetime(micros):%H:%M} UTC>"


def day(micros: int) -> str:
    """A moment with its day."""
    shown = f"{to_datetime(micros):%Y-%m-%d %H:%M} UTC"
    return f"<!date^{micros // SECOND}^{{date_short_pretty}} {{time}}|{shown}>"


def span(seconds: float) -> str:
    """`42 s`, `3 min`, `1 h 20 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{rest} s"


def bar(percent: float, width: int = 16) -> str:
    """How far something is."""
    full = max(0, min(width, round(percent / 100 * width)))
    return "█" * full + "░" * (width - full)


def joined(parts: list[str], most: int = 5) -> str:
    """`a, b and 3 more`."""
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more
