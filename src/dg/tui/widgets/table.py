"""A table that draws only the rows in view, so that 100,000 of them cost what 40 do. Usable without dg."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from dg.tui.ink import Inks, Piece, Pieces, changed, column
from dg.tui.steady import Steady, drawn

Row = TypeVar("Row")
Rank = tuple[int, float, str]
Look = tuple[Pieces, bool, bool, str, int]

HEADER = 1
"""Lines above the first row."""
GAP = 2
"""Cells between columns, and before the first one."""
TIGHT = 1
"""Cells between columns where there is no room to spare."""
ENOUGH = 24
"""Cells of a flexible column below which the others give up what they can."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column. `cell` gives what a row shows in it, `rank` what it is sorted by (None: not sortable).

    `width` is in cells; `flex` columns share what the others leave. It is shown where the table is at least
    `needs` cells wide. Where those that share get too little, it is only `least` cells wide, if that is set.
    """

    key: str
    title: str
    cell: Callable[[Row], Pieces]
    width: int
    rank: Callable[[Row], str | float | None] | None = None
    flex: bool = False
    right: bool = False
    needs: int = 0
    least: int = 0


class Table(Steady, ScrollView, Generic[Row], can_focus=True):
    """Rows by key, in the order they came or sorted by a column, the cursor staying with its row.

    `key` names a row; `title` and `empty` are what the border and an empty table say. Rows are values: a
    changed row is given again with `update`.
    """

    DEFAULT_CSS = """
    Table {
        background: $surface; color: $foreground; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="table.page-up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="table.page-down"),
        Binding("home,g", "first", "First", show=False, id="table.first"),
        Binding("end,G", "last", "Last", show=False, id="table.last"),
        Binding("enter", "open", "Open", id="table.open"),
        Binding("o", "sort", "Sort", show=False, id="table.sort"),
        Binding("O", "reverse", "Reverse", show=False, id="table.reverse"),
    ]

    class Opened(Message):
        """Enter or a second click on the row with `key`."""

        def __init__(self, table: Table[Any], key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table[Any]:
            return self.table

    class Moved(Message):
        """The cursor stands on another row, or on none."""

        def __init__(self, table: Table[Any], key: str | None) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table[Any]:
            return self.table

    def __init__(
        self,
        columns: Iterable[Column[Row]],
        key: Callable[[Row], str],
        *,
        empty: str = "nothing here",
        sort: str | None = None,
        descending: bool = False,
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._key = key
        self.empty = empty
        self._sort = next((each for each in self._columns if each.key == sort), None)
        self._descending = descending
        self._match: Callable[[Row], bool] | None = None
        self._rows: dict[str, Row] = {}
        self._arrivals: dict[str, int] = {}
        self._ranks: dict[str, Rank] = {}
        self._order: list[tuple[Rank, str]] = []
        self._cursor: str | None = None
        self._drawn: dict[int, Look] = {}
        self._inks = Inks(self)

    # What it holds

    def __len__(self) -> int:
        """How many rows are shown."""
        return len(self._order)

    def __bool__(self) -> bool:
        return True

    @property
    def total(self) -> int:
        """How many rows there are, shown or filtered out."""
        return len(self._rows)

    @property
    def keys(self) -> list[str]:
        """The keys of the rows that are shown, from top to bottom."""
        found = [key for _, key in self._order]
        return found[::-1] if self._descending else found

    @property
    def cursor(self) -> str | None:
        """The key of the row that the cursor stands on."""
        return self._cursor

    @property
    def selected(self) -> Row | None:
        """The row that the cursor stands on."""
        return None if self._cursor is None else self._rows.get(self._cursor)

    @property
    def sorted_by(self) -> tuple[str | None, bool]:
        """The sorting column's key, and whether the greatest comes first."""
        return (self._sort.key if self._sort else None), self._descending

    def replace(self, rows: Iterable[Row]) -> None:
        """These rows instead of the ones that there are."""
        with self._steady():
            self._rows = {self._key(row): row for row in rows}
            self._arrivals = {key: number for number, key in enumerate(self._rows)}
            self._arrange()

    def update(self, row: Row) -> None:
        """One row, new or changed. A row that keeps its place costs one line on the screen."""
        key = self._key(row)
        before = self._ranks.get(key)
        self._rows[key] = row
        self._arrivals.setdefault(key, len(self._arrivals))
        after = self._rank(key, row) if self._match is None or self._match(row) else None
        if before == after:
            if after is not None:
                self._redraw(self._index(key))
            return
        with self._steady():
            self._take_out(key)
            if after is not None:
                self._ranks[key] = after
                insort(self._order, (after, key))

    def discard(self, key: str) -> None:
        """The row with `key`, if there is one."""
        if self._rows.pop(key, None) is not None:
            with self._steady():
                self._arrivals.pop(key)
                self._take_out(key)

    def filter(self, match: Callable[[Row], bool] | None) -> None:
        """Show the rows that match, None for all."""
        with self._steady():
            self._match = match
            self._arrange()

    def sort(self, key: str | None, *, descending: bool = False) -> None:
        """Sort by a column, None for the order in which rows came. Raises KeyError."""
        if key is not None and not any(each.key == key and each.rank for each in self._columns):
            raise KeyError(key)
        with self._steady():
            self._sort = next((each for each in self._columns if each.key == key), None)
            self._descending = descending
            self._arrange()

    def select(self, key: str) -> None:
        """Put the cursor on a row and show it; nothing for one that is not there."""
        if key in self._ranks and key != self._cursor:
            before, self._cursor = self._cursor, key
            for each in (before, key):
                if each in self._ranks:
                    self._redraw(self._index(each))
            self._reveal()
            self.post_message(self.Moved(self, key))

    def redraw(self) -> None:
        """Draw what looks different by now, such as ages."""
        for line in range(self.size.height):
            drawn, look = self._drawn.get(line), self._look(line)
            if drawn is None or drawn[1:] != look[1:]:
                self.refresh(Region(0, line, self.size.width, 1))
            elif drawn != look:
                first, end = changed(drawn[0], look[0], self.size.width)
                self.refresh(Region(first, line, end - first, 1))

    # Order

    def _rank(self, key: str, row: Row) -> Rank:
        if self._sort is None or self._sort.rank is None:
            return 0, self._arrivals[key], ""
        value = self._sort.rank(row)
        if value is None:
            return 2, 0.0, ""
        return (1, 0.0, value) if isinstance(value, str) else (0, value, "")

    def _arrange(self) -> None:
        match = self._match
        self._ranks = {
            key: self._rank(key, row) for key, row in self._rows.items() if match is None or match(row)
        }
        self._order = sorted((rank, key) for key, rank in self._ranks.items())

    def _take_out(self, key: str) -> None:
        rank = self._ranks.pop(key, None)
        if rank is not None:
            del self._order[bisect_left(self._order, (rank, key))]

    def _index(self, key: str) -> int:
        """Where a shown row stands, from the top."""
        at = bisect_left(self._order, (self._ranks[key], key))
        return len(self._order) - 1 - at if self._descending else at

    def _at(self, index: int) -> str:
        return self._order[-1 - index if self._descending else index][1]

    @contextmanager
    def _steady(self) -> Iterator[None]:
        """Around a change of the order: cursor and view stay with the cursor's row."""
        before, kept = self._cursor, self._index(self._cursor) if self._cursor in self._ranks else 0
        yield
        if self._cursor not in self._ranks:
            self._cursor = self._at(min(kept, len(self._order) - 1)) if self._order else None
        top = round(self.scroll_y)
        moved = self._index(self._cursor) - kept if self._cursor is not None else 0
        self._resize()
        if top and moved and self._cursor == before:
            self.scroll_to(y=max(0, top + moved), animate=False, immediate=True, force=True)
        self._reveal()
        self.redraw()
        if self._cursor != before:
            self.post_message(self.Moved(self, self._cursor))

    # View

    def _resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._order) + HEADER)

    def on_mount(self) -> None:
        self._resize()

    def on_resize(self) -> None:
        self._resize()
        self._reveal()

    def _reveal(self) -> None:
        if self._cursor not in self._ranks or self.size.height <= HEADER:
            return
        at, top, room = self._index(self._cursor), round(self.scroll_y), self.size.height - HEADER
        if at < top or at >= top + room:
            self.scroll_to(y=at if at < top else at - room + 1, animate=False, immediate=True, force=True)

    def _redraw(self, index: int) -> None:
        line = index + HEADER - round(self.scroll_y)
        if HEADER <= line < self.size.height:
            self.refresh(Region(0, line, self.size.width, 1))

    def _laid_out(self) -> tuple[list[tuple[Column[Row], int]], int]:
        """The columns that are shown with their widths, and the cells between two of them."""
        shown = [each for each in self._columns if self.size.width >= each.needs]
        flexible = sum(each.flex for each in shown)
        fixed = {each.key: each.width for each in shown if not each.flex}
        gap = GAP
        if self._left(fixed, len(shown), gap) < ENOUGH * flexible:
            gap = TIGHT
            fixed = {each.key: each.least or each.width for each in shown if not each.flex}
        share = self._left(fixed, len(shown), gap) // flexible if flexible else 0
        return [(each, fixed.get(each.key, max(each.width, share))) for each in shown], gap

    def _left(self, fixed: Mapping[str, int], many: int, gap: int) -> int:
        """Cells that are left for the flexible ones of so many columns."""
        return self.size.width - GAP - gap * many - sum(fixed.values())

    def _pieces(self, line: int) -> list[Piece]:
        """What stands in a line of the widget."""
        if line == 0:
            return self._header()
        index = line - HEADER + round(self.scroll_y)
        if index >= len(self._order):
            said = self.empty if not self._order and line == HEADER + 1 else ""
            return [("  " + said, "muted")]
        key = self._at(index)
        row = self._rows[key]
        mark = "▌" if key == self._cursor and self.has_focus else " "
        pieces: list[Piece] = [(mark.ljust(GAP), "primary")]
        shown, gap = self._laid_out()
        for each, width in shown:
            pieces += [*column(each.cell(row), width, right=each.right), (" " * gap, "")]
        return pieces

    def _header(self) -> list[Piece]:
        pieces: list[Piece] = [(" " * GAP, "")]
        shown, gap = self._laid_out()
        for each, width in shown:
            arrow = (" ↓" if self._descending else " ↑") if each is self._sort else ""
            pieces += [*column([(each.title + arrow, "muted")], width, right=each.right), (" " * gap, "")]
        return pieces

    def _look(self, line: int) -> Look:
        """What makes a line look as it does: two that are equal look the same."""
        return self._pieces(line), self._stands(line), self.has_focus, self.app.theme, self.size.width

    def _stands(self, line: int) -> bool:
        index = line - HEADER + round(self.scroll_y)
        return line >= HEADER and index < len(self._order) and self._at(index) == self._cursor

    def render_line(self, y: int) -> Strip:
        return drawn(self, partial(self._line, y))

    def _line(self, y: int) -> Strip:
        look = self._drawn[y] = self._look(y)
        pieces, stands, *_ = look
        base = self.rich_style
        if stands:
            base += self._inks.ground("row" if self.has_focus else "panel")
        return self._inks.strip(pieces, self.size.width, base)

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    # Keys and mouse

    def _go(self, index: int) -> None:
        if self._order:
            self.select(self._at(max(0, min(index, len(self._order) - 1))))

    def action_move(self, rows: int) -> None:
        self._go(self._index(self._cursor) + rows if self._cursor in self._ranks else 0)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - HEADER - 1))

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(len(self._order) - 1)

    def action_open(self) -> None:
        if self._cursor is not None:
            self.post_message(self.Opened(self, self._cursor))

    def action_sort(self) -> None:
        """Sort by the next column, behind the last one by none."""
        keys = [None, *(each.key for each, _ in self._laid_out()[0] if each.rank)]
        now = self._sort.key if self._sort else None
        self.sort(keys[(keys.index(now) + 1) % len(keys) if now in keys else 0])

    def action_reverse(self) -> None:
        self.sort(self._sort.key if self._sort else None, descending=not self._descending)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        if at.y == 0:
            self._sort_at(at.x)
            return
        index = at.y - HEADER + round(self.scroll_y)
        if index < len(self._order):
            again = self._at(index) == self._cursor
            self._go(index)
            if again and event.chain > 1:
                self.action_open()

    def _sort_at(self, x: int) -> None:
        left = GAP
        shown, gap = self._laid_out()
        for each, width in shown:
            if left <= x < left + width and each.rank is not None:
                same = each is self._sort
                self.sort(each.key, descending=same and not self._descending)
            left += width + gap
