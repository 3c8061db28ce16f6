"""Several tables in one place, one of which is seen: what they are called stands in a line above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical

from dg.tui.ink import Piece, Pieces, measure
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Table


class Pages(Vertical):
    """Tables by the name of their page. `current` is the one that is seen."""

    DEFAULT_CSS = """
    Pages { height: 1fr; }
    Pages > #names { height: 1; }
    Pages > Table { display: none; height: 1fr; }
    Pages > Table.-current { display: block; }
    """

    def __init__(
        self,
        tables: Mapping[str, Table[Any]],
        *,
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._tables = dict(tables)
        self.current = next(iter(self._tables))
        self._names = Panel(self._draw_names, id="names")

    def compose(self) -> ComposeResult:
        yield self._names
        yield from self._tables.values()

    def on_mount(self) -> None:
        self.open(self.current)

    @property
    def names(self) -> tuple[str, ...]:
        """The pages from left to right."""
        return tuple(self._tables)

    @property
    def table(self) -> Table[Any]:
        """What is seen."""
        return self._tables[self.current]

    def page_of(self, table: Table[Any]) -> str:
        """The page of a table, which keys may have turned since it was looked at. Raises KeyError."""
        for name, each in self._tables.items():
            if each is table:
                return name
        raise KeyError(table.id)

    def open(self, name: str, *, focus: bool = False) -> None:
        """Show this page. Raises KeyError."""
        before, table = self.table, self._tables[name]
        focus = focus or before.has_focus
        self.current = name
        for each in self._tables.values():
            each.set_class(each is table, "-current")
        self._names.redraw()
        if focus:
            table.focus()

    def places(self) -> Iterator[tuple[str, int]]:
        """The names that are seen, and the cell in which each begins."""
        at = 0
        for name in self._shown(self._names.size.width):
            yield name, at
            at += measure(self._words([name]))

    def _shown(self, width: int) -> list[str]:
        """All names, or as many around the current one as there is room for."""
        shown = list(self._tables)
        while len(shown) > 1 and measure(self._words(shown)) > width:
            shown.pop(-1 if shown[-1] != self.current else 0)
        return shown

    def _draw_names(self, width: int, _: int) -> list[Pieces]:
        return [self._words(self._shown(width))]

    def _words(self, shown: list[str]) -> Pieces:
        pieces: list[Piece] = []
        for name in shown:
            on = name == self.current
            pieces.append((f" {name} ", "primary badge" if on else "muted"))
        return pieces
