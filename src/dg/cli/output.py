"""Words, tables and JSON lines on a stream; everything that the commands print goes through here.

Every text is made harmless first, so that no commit message or step's output can act on the terminal.
"""

from __future__ import annotations

import json
import shutil
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TextIO

from dg.client import words
from dg.core.text import plain

RESET = "\x1b[0m"


class Meaning(Enum):
    """What a colour says; the value is its ANSI code."""

    OK = "\x1b[32m"
    WARN = "\x1b[33m"
    ERR = "\x1b[31m"
    BUSY = "\x1b[36m"
    DIM = "\x1b[2m"
    STRONG = "\x1b[1m"


Text = str | tuple[str, Meaning]
"""A piece of output, and what it means if it means anything."""

_MEANINGS = {
    "ok": Meaning.OK,
    "warn": Meaning.WARN,
    "err": Meaning.ERR,
    "busy": Meaning.BUSY,
    "dim": Meaning.DIM,
}
STATUS = {
    word: (glyph, stand_in, _MEANINGS[meaning]) for word, (glyph, stand_in, meaning) in words.STATUS.items()
}
"""Glyph, its ASCII stand-in, and meaning: a status never speaks by colour alone."""


@dataclass(frozen=True)
class Output:
    """Where a command's results go."""

    stream: TextIO
    json: bool
    environ: Mapping[str, str]

    def to(self, stream: TextIO) -> Output:
        """The same manners on another stream."""
        return replace(self, stream=stream)

    @property
    def terminal(self) -> bool:
        """Whether a person watches."""
        return self.stream.isatty()

    @property
    def coloured(self) -> bool:
        """Colour is for terminals that have it and people who want it (no-color.org)."""
        return self.terminal and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"

    def status(self, word: str) -> tuple[str, Meaning]:
        """A status as glyph and word."""
        glyph, meaning = self.glyph(word)
        return f"{glyph} {word.replace('_', ' ')}", meaning

    def glyph(self, word: str) -> tuple[str, Meaning]:
        """A status as its glyph alone, for where the word stands beside it."""
        glyph, stand_in, meaning = STATUS.get(word, ("?", "?", Meaning.DIM))
        return glyph if self.encodes(glyph) else stand_in, meaning

    def line(self, *texts: Text) -> None:
        """One line; its parts are set apart by a space."""
        self._write(" ".join(self._paint(text) for text in texts))

    def table(
        self,
        rows: Sequence[Sequence[Text]],
        header: Sequence[str] = (),
        right: frozenset[int] = frozenset(),
        *,
        whole: bool = False,
    ) -> None:
        """Aligned columns, those in `right` to the right.

        On a terminal the last column is cut to fit, or wrapped below itself where it is wanted `whole`.
        """
        titles: list[Sequence[Text]] = [[(name, Meaning.DIM) for name in header]] if header else []
        cells = [[_pair(text) for text in row] for row in (*titles, *rows)]
        if not cells:
            return
        widths = [max(map(width, (row[column][0] for row in cells))) for column in range(len(cells[0]))]
        room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if self.terminal and widths[-1] > room >= 8:
            widths[-1] = room
        if whole:
            cells = [piece for row in cells for piece in _wrapped(row, widths[-1])]
        for row in cells:
            padded = (
                self._padded(cell, size, index in right)
                for index, (cell, size) in enumerate(zip(row, widths, strict=True))
            )
            self._write("  ".join(padded).rstrip())

    def record(self, value: object) -> None:
        """One JSON value on a line of its own."""
        self._write(json.dumps(value, separators=(",", ":"), default=str))

    def _write(self, text: str) -> None:
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")

    def encodes(self, glyph: str) -> bool:
        """Whether the stream can show a character."""
        try:
            glyph.encode(self.stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def _paint(self, text: Text) -> str:
        words, meaning = _pair(text)
        return f"{meaning.value}{words}{RESET}" if meaning and words and self.coloured else words

    def _padded(self, cell: tuple[str, Meaning | None], size: int, right: bool) -> str:
        text = fitted(cell[0], size)
        space = " " * (size - width(text))
        painted = self._paint((text, cell[1]) if cell[1] else text)
        return space + painted if right else painted + space


def _wrapped(row: list[tuple[str, Meaning | None]], size: int) -> Iterator[list[tuple[str, Meaning | None]]]:
    """The row, its last cell on as many lines as it takes."""
    words, meaning = row[-1]
    first, *more = textwrap.wrap(words, max(size, 1), break_on_hyphens=False) or [""]
    yield [*row[:-1], (first, meaning)]
    for each in more:
        yield [*[("", None)] * (len(row) - 1), (each, meaning)]


def _pair(text: Text) -> tuple[str, Meaning | None]:
    return (plain(text), None) if isinstance(text, str) else (plain(text[0]), text[1])


def width(text: str) -> int:
    """Terminal cells that a text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fitted(text: str, size: int) -> str:
    """A text cut to `size` cells, with `…` where something is missing."""
    if width(text) <= size:
        return text
    kept, used = "", 1
    for character in text:
        used += _cells(character)
        if used > size:
            break
        kept += character
    return kept + "…"
