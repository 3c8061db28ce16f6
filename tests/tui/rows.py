"""What stands on a terminal behind the bytes that were written to it."""

from __future__ import annotations

import codecs
import re

from rich.cells import cell_len

DRAWN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-OQ-Z\\^-~]"
    r"|(?P<text>[^\x00-\x1f]+)"
    r"|[\x00-\x1a\x1c-\x1f]"
)
"""A move of the cursor, a sequence or a sign that moves nothing, or some text."""


class Rows:
    """The screen of a terminal, as far as dg draws one: by moves to a place and text from there on."""

    def __init__(self, width: int, height: int) -> None:
        self._cells = [[" "] * width for _ in range(height)]
        self._row = self._column = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unread = ""

    def write(self, block: bytes) -> None:
        """Draw more; what ends in the middle of a sequence waits for its rest."""
        unread, at = self._unread + self._decoder.decode(block), 0
        while found := DRAWN.match(unread, at):
            at = found.end()
            if found["row"]:
                self._row, self._column = int(found["row"]) - 1, int(found["column"]) - 1
            self._put(found["text"] or "")
        self._unread = unread[at:]

    def __str__(self) -> str:
        return "\n".join("".join(cells).rstrip() for cells in self._cells)

    def _put(self, text: str) -> None:
        for sign in text:
            if self._row < len(self._cells) and self._column < len(self._cells[0]):
                self._cells[self._row][self._column] = sign
            self._column += cell_len(sign)
