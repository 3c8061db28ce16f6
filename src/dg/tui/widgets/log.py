"""A log that keeps the newest lines and paints a few times a second, however many come. Usable without dg."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import accumulate
from typing import ClassVar

from rich.cells import chop_cells
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from dg.core.clock import to_datetime
from dg.core.text import counted, plain
from dg.tui.ink import Inks, Piece, column, fit
from dg.tui.steady import Steady, drawn

CAPACITY = 50_000
RATE = 5.0
"""Paints a second while lines arrive."""
LONGEST = 4096
"""Characters that are kept of one line."""
TAB = 4


class Level(IntEnum):
    """How bad a line is."""

    PLAIN = 0
    WARNING = 1
    ERROR = 2


INK = {Level.PLAIN: "fg", Level.WARNING: "warn", Level.ERROR: "err"}
SIGN = {Level.PLAIN: " ", Level.WARNING: "▲", Level.ERROR: "✗"}

_ERROR = re.compile(
    r"(?<![\w-])(?<!\b0 )(?:errors?|fatal|failed|failure|panic|exception|traceback|killed)\b", re.IGNORECASE
)
_ENDED = re.compile(
    r"^dg: .*(?:exited with (?!0\b)|was killed by|could not |timed out after|did not pass within)"
)
"""What dg itself writes below the output of a step that went wrong."""
_WARNING = re.compile(r"(?<![\w-])(?<!\b0 )(?:warn|warnings?|deprecated)\b", re.IGNORECASE)


def level(text: str) -> Level:
    """How bad a line of output sounds: steps print text, and nothing else says which lines matter.

    `0 failed` and `--fail-fast` are no errors, `2 failed` is one.
    """
    if _ERROR.search(text) or _ENDED.search(text):
        return Level.ERROR
    return Level.WARNING if _WARNING.search(text) else Level.PLAIN


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `at` in microseconds (0: not known), `source` such as a step's name."""

    text: str
    at: int = 0
    source: str = ""
    level: Level = Level.PLAIN
    ink: str = ""
    """What it is written in, where its level does not say it."""
    safe: str = field(init=False)
    """The text as it may be shown."""

    def __post_init__(self) -> None:
        text = self.text.expandtabs(TAB) if "\t" in self.text else self.text
        kept = plain(text, limit=LONGEST)
        if len(text) > LONGEST:
            kept += f" +{(len(text) - LONGEST) / 1024:.0f} KB"
        object.__setattr__(self, "safe", kept)

    @property
    def written(self) -> str:
        """The line for a file: its moment, its source and its text, safe to print."""
        moment = f"{to_datetime(self.at):%Y-%m-%dT%H:%M:%SZ}" if self.at else ""
        return " ".join(filter(None, (moment, plain(self.source), self.safe)))


class Log(Steady, ScrollView, can_focus=True):
    """The newest `capacity` lines; those that fell out are counted. It follows: the last one is in view.

    `filter` shows matching lines alone, also of those to come. Lines are found, copied and wrapped by keys.
    Each has its moment, its sign and its source before it, unless `lead` is off; `finds` names what lines of
    the level ERROR are.
    """

    DEFAULT_CSS = """
    Log {
        background: $surface; color: $foreground; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="log.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="log.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="log.page-up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="log.page-down"),
        Binding("home,g", "first", "First", show=False, id="log.first"),
        Binding("end,G", "follow(True)", "Last", show=False, id="log.last"),
        Binding("f", "follow", "Follow", id="log.follow"),
        Binding("w", "wrap", "Wrap", id="log.wrap"),
        Binding("n", "find(1)", "Next error", id="log.next"),
        Binding("N", "find(-1)", "Previous error", show=False, id="log.previous"),
        Binding("y", "copy", "Copy", id="log.copy"),
        Binding("Y", "copy_view", "Copy what is in view", show=False, id="log.copy-view"),
        Binding("v", "mark", "Mark a range", show=False, id="log.mark"),
    ]

    class Changed(Message):
        """What `said` tells has changed."""

        def __init__(self, log: Log) -> None:
            super().__init__()
            self.log_widget = log

        @property
        def control(self) -> Log:
            return self.log_widget

    class Copied(Message):
        """So many lines went to the clipboard."""

        def __init__(self, log: Log, lines: int) -> None:
            super().__init__()
            self.log_widget, self.lines = log, lines

        @property
        def control(self) -> Log:
            return self.log_widget

    def __init__(
        self,
        *,
        capacity: int = CAPACITY,
        rate: float = RATE,
        empty: str = "no output yet",
        lead: bool = True,
        finds: str = "error",
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._capacity, self._pause, self.empty = capacity, 1 / rate, empty
        self._lead, self._finds = lead, finds
        self.ended = False
        """Whether no more lines will come: then there is nothing to follow."""
        self._lines: list[Line] = []
        self._view: list[Line] = []
        self._dropped = 0
        self._pattern: re.Pattern[str] | None = None
        self._tops: list[int] = []
        self._following, self._wrapping, self._due = True, False, False
        self._cursor = 0
        self._mark: int | None = None
        self._inks = Inks(self)

    # What it holds

    def __len__(self) -> int:
        """How many lines are shown."""
        return len(self._view)

    def __bool__(self) -> bool:
        return True

    @property
    def dropped(self) -> int:
        """Lines that fell out, or that the source left out."""
        return self._dropped

    @property
    def following(self) -> bool:
        return self._following

    @property
    def wrapping(self) -> bool:
        return self._wrapping

    @property
    def filtered(self) -> bool:
        """Whether only what a filter finds is shown."""
        return self._pattern is not None

    @property
    def lines(self) -> list[Line]:
        """The lines that are shown."""
        return self._view

    @property
    def picked(self) -> list[Line]:
        """The marked range, or all lines that are shown."""
        if self._mark is None:
            return list(self._view)
        first, last = sorted((self._cursor, self._mark))
        return self._view[first : last + 1]

    @property
    def said(self) -> str:
        """Its state in a few words: `following · 48 lines · 2 errors · 12 dropped`."""
        errors = sum(line.level is Level.ERROR for line in self._view)
        of = f" of {counted(len(self._lines), 'line')}" if self._pattern else ""
        parts = [
            "" if self.ended and self._following else self._stands,
            f"{len(self._view):,}{of}" if of else "",
            counted(len(self._view), "line") if self._lines and not of else "",
            counted(errors, self._finds) if errors else "",
            f"{self._dropped:,} dropped" if self._dropped else "",
            f"{abs(self._cursor - self._mark) + 1:,} marked" if self._mark is not None else "",
        ]
        return " · ".join(filter(None, parts))

    @property
    def _stands(self) -> str:
        return "following" if self._following else f"line {self._cursor + 1:,}"

    def append(self, lines: Iterable[Line], *, left_out: int = 0) -> None:
        """More lines; `left_out` of them were lost on the way and are counted as dropped."""
        fresh = list(lines)
        self._dropped += left_out
        self._lines += fresh
        self._show(fresh if self._pattern is None else list(filter(self._matches, fresh)))
        # A fifth more than is kept, so that the front is cut off rarely.
        if len(self._lines) > self._capacity + self._capacity // 5:
            self._cut()
        self._paint_soon()

    def clear(self) -> None:
        """Forget every line."""
        self._lines, self._dropped = [], 0
        self._following = True
        self._arrange()

    def filter(self, pattern: str | None) -> None:
        """Show only lines that match a regular expression, without regard to case. Raises re.error.

        The cursor stays on its line, or goes to the next one that is shown: so what was found is seen among
        its neighbours when the filter ends.
        """
        self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None
        self._arrange()

    def _matches(self, line: Line) -> bool:
        return self._pattern is None or self._pattern.search(line.safe) is not None

    def _show(self, fresh: list[Line]) -> None:
        self._view += fresh
        if self._wrapping:
            heights = map(self._height, fresh)
            self._tops += list(accumulate(heights, initial=self._tops[-1]))[1:]

    def _cut(self) -> None:
        surplus = len(self._lines) - self._capacity
        out = surplus if self._pattern is None else sum(map(self._matches, self._lines[:surplus]))
        gone = self._row(out)
        del self._lines[:surplus]
        self._dropped += surplus
        self._view = self._view[out:]
        self._cursor = max(0, self._cursor - out)
        self._mark = None if self._mark is None else max(0, self._mark - out)
        self._measure()
        if not self._following:
            self.scroll_to(y=max(0, self.scroll_y - gone), animate=False, immediate=True, force=True)

    def _arrange(self) -> None:
        held = self._view[self._cursor] if self._cursor < len(self._view) else None
        self._view, at = [], 0
        for line in self._lines:
            at = len(self._view) if line is held else at
            if self._matches(line):
                self._view.append(line)
        self._cursor = min(at, max(0, len(self._view) - 1))
        self._mark = None
        self._measure()
        self._paint()
        if not self._following:
            self._reveal()

    # Geometry: a line is `_height` rows high, `_tops[n]` rows stand above line n while lines are wrapped

    def _measure(self) -> None:
        if self._wrapping:
            self._tops = list(accumulate(map(self._height, self._view), initial=0))

    def _room(self) -> int:
        return max(8, self.size.width - self._margin())

    def _margin(self) -> int:
        """Cells before a line's text: time, sign and source."""
        return 0 if self.size.width < 40 or not self._lead else 11 + (SOURCE if self._has_sources() else 0)

    def _has_sources(self) -> bool:
        return bool(self._view and self._view[-1].source)

    def _height(self, line: Line) -> int:
        room = self._room()
        if line.safe.isascii():
            return max(1, -(-len(line.safe) // room))
        return max(1, len(chop_cells(line.safe, room)))

    def _row(self, index: int) -> int:
        return self._tops[index] if self._wrapping else index

    def _rows(self) -> int:
        return self._tops[-1] if self._wrapping else len(self._view)

    def _line_at(self, row: int) -> tuple[int, int]:
        """The line that a row belongs to, and which of its rows that is."""
        if not self._wrapping:
            return row, 0
        index = bisect_right(self._tops, row) - 1
        return index, row - self._tops[index]

    # Painting

    def _paint_soon(self) -> None:
        if not self._due and self.is_mounted:
            self._due = True
            self.set_timer(self._pause, self._paint)

    def _paint(self) -> None:
        self._due = False
        if not self.is_mounted:
            return
        self.virtual_size = Size(self.size.width, self._rows())
        if self._following:
            self._cursor = max(0, len(self._view) - 1)
            self.scroll_to(
                y=max(0, self._rows() - self.size.height), animate=False, immediate=True, force=True
            )
        self.refresh()
        self.post_message(self.Changed(self))

    def on_mount(self) -> None:
        self._paint()

    def on_resize(self) -> None:
        self._measure()
        self._paint()

    def render_line(self, y: int) -> Strip:
        return drawn(self, partial(self._line, y))

    def _line(self, y: int) -> Strip:
        row = y + round(self.scroll_y)
        width = self.size.width
        if row >= self._rows():
            return self._inks.strip([(self.empty if not self._view and y == 0 else "", "muted")], width)
        index, part = self._line_at(row)
        base = self.rich_style
        if self._is_marked(index):
            base += self._inks.ground("row")
        return self._inks.strip(self._pieces(self._view[index], part), width, base)

    def _is_marked(self, index: int) -> bool:
        if self._mark is None:
            return index == self._cursor and self.has_focus and not self._following
        return min(self._mark, self._cursor) <= index <= max(self._mark, self._cursor)

    def _pieces(self, line: Line, part: int) -> list[Piece]:
        margin = self._margin()
        lead: list[Piece] = [(" " * margin, "")]
        if part == 0 and margin:
            clock = f"{to_datetime(line.at):%H:%M:%S}" if line.at else " " * 8
            source = [*column([(line.source, "muted")], SOURCE - 1), (" ", "")] if self._has_sources() else []
            lead = [(clock, "dim"), (f" {SIGN[line.level]} ", INK[line.level]), *source]
        return [*lead, *self._found(self._part(line, part), line.ink or INK[line.level])]

    def _part(self, line: Line, part: int) -> str:
        """What of a line stands in one of its rows."""
        room = self._room()
        if not self._wrapping:
            return fit(line.safe, room)
        if line.safe.isascii():
            return line.safe[part * room : (part + 1) * room]
        return [*chop_cells(line.safe, room), ""][part]

    def _found(self, text: str, ink: str) -> list[Piece]:
        """The text with what the filter found underlined."""
        pieces, at = list[Piece](), 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.end() > match.start():
                pieces += [(text[at : match.start()], ink), (match.group(), f"{ink} bold underline")]
                at = match.end()
        return [*pieces, (text[at:], ink)]

    # Keys

    def _go(self, index: int) -> None:
        self._following = False
        self._cursor = max(0, min(index, len(self._view) - 1))
        self._reveal()
        self._paint()

    def _reveal(self) -> None:
        if self._cursor >= len(self._view):
            return
        first = self._row(self._cursor)
        last = self._row(self._cursor + 1) - 1 if self._wrapping else first
        top, height = round(self.scroll_y), max(1, self.size.height)
        if first < top:
            self.scroll_to(y=first, animate=False, immediate=True, force=True)
        elif last >= top + height:
            self.scroll_to(y=last - height + 1, animate=False, immediate=True, force=True)

    def action_move(self, lines: int) -> None:
        self._go(self._cursor + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._cursor + pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        self._go(0)

    def action_follow(self, on: bool | None = None) -> None:
        """Keep the last line in view, or stop that."""
        self._following = not self._following if on is None else on
        self._mark = None
        self._paint()

    def action_wrap(self) -> None:
        """Break long lines, or cut them."""
        self._wrapping = not self._wrapping
        self._measure()
        self._reveal()
        self._paint()

    def action_find(self, direction: int) -> None:
        """Go to the next line that is an error, or the one before."""
        ahead = range(self._cursor + 1, len(self._view)) if direction > 0 else range(self._cursor - 1, -1, -1)
        start = range(self._cursor, -1, -1) if self._following and direction < 0 else ahead
        for index in start:
            if self._view[index].level is Level.ERROR:
                self._go(index)
                return
        self.app.bell()

    def action_mark(self) -> None:
        """Begin a range at the cursor, or give it up."""
        self._following = False
        self._mark = self._cursor if self._mark is None else None
        self._paint()

    def action_copy(self) -> None:
        """Copy the line, or the marked range."""
        first, last = sorted((self._cursor, self._cursor if self._mark is None else self._mark))
        self._mark = None
        self._copy(self._view[first : last + 1])

    def action_copy_view(self) -> None:
        """Copy the lines that can be seen."""
        if self._view:
            top = round(self.scroll_y)
            last = min(top + self.size.height, self._rows()) - 1
            self._copy(self._view[self._line_at(top)[0] : self._line_at(last)[0] + 1])

    def _copy(self, lines: list[Line]) -> None:
        if lines:
            self.app.copy_to_clipboard("\n".join(line.safe for line in lines))
            self.post_message(self.Copied(self, len(lines)))
        self._paint()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        row = -1 if at is None else at.y + round(self.scroll_y)
        if 0 <= row < self._rows():
            self._go(self._line_at(row)[0])

    def on_mouse_scroll_up(self) -> None:
        self._following = False

    def on_mouse_scroll_down(self) -> None:
        self._following = self.scroll_y >= self.max_scroll_y - 1


SOURCE = 9
"""Cells for a line's source and the space behind it."""
