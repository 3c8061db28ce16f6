"""Cuts a line into words with their places, and knows what the words for environments are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dg.core.types import Environment

LONGEST = 2000
"""Characters of a line that is read."""

ENVIRONMENTS = {
    "production": Environment.PRODUCTION,
    "prod": Environment.PRODUCTION,
    "staging": Environment.STAGING,
    "stage": Environment.STAGING,
    "stg": Environment.STAGING,
    "development": Environment.DEVELOPMENT,
    "dev": Environment.DEVELOPMENT,
}
"""What people call the environments; the whole name comes before its short forms."""

SEVERITIES = ("degraded", "unhealthy")
"""How bad a service is, the less bad first."""

_QUOTES = '"“”„‟'
_DASHES = "(?:--|[—–])"
_WORD = re.compile(
    rf"[{_QUOTES}](?P<quoted>(?:\\.|[^{_QUOTES}\\])*)(?:[{_QUOTES}]|\Z)"
    rf"|{_DASHES}(?P<flag>[A-Za-z][A-Za-z-]*)(?:=|(?=\s)|\Z)"
    r"|(?P<bare>\S+)",
    re.DOTALL,
)
"""Phones make typographic quotes and dashes of plain ones. A quote that nobody closed ends with the line."""


@dataclass(frozen=True)
class Word:
    """One word, without its quotes, from `start` up to `end` of the line.

    `flag` is the name in `--name`. What was quoted is a value and never a word of the grammar.
    """

    text: str
    start: int
    end: int
    quoted: bool = False
    flag: str | None = None

    @property
    def plain(self) -> str:
        """The word as the grammar looks for it; empty for a quoted one."""
        return "" if self.quoted else self.text.lower()

    @property
    def environment(self) -> Environment | None:
        return ENVIRONMENTS.get(self.plain)


def words(line: str) -> Iterator[Word]:
    """The words of a line, in order."""
    for found in _WORD.finditer(line):
        start, end = found.span()
        if (quoted := found["quoted"]) is not None:
            yield Word(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL), start, end, quoted=True)
        elif flag := found["flag"]:
            yield Word(found[0].rstrip("="), start, end, flag=flag.lower())
        else:
            yield Word(found["bare"], start, end)


def quote(value: str) -> str:
    """`value` as one word that `words` gives back as it is."""
    return '"' + re.sub(rf"([{_QUOTES}\\])", r"\\\1", value) + '"'
