"""A box whose rows a function draws; only rows that look different are sent to the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from dg.tui.ink import Inks, Pieces, changed, column
from dg.tui.steady import Steady, tell_app

Draw = Callable[[int, int], Sequence[Pieces]]
"""Width and height in cells to rows of pieces, the first one on top; what is missing stays empty."""


class Panel(Steady, Widget):
    """Shows what `draw` gives. Call `redraw` when that may have changed."""

    DEFAULT_CSS = "Panel { height: 1fr; background: $surface; color: $foreground; }"

    def __init__(
        self,
        draw: Draw | None = None,
        *,
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._draw: Draw = draw or self.draw
        self._drawn: Sequence[Pieces] = ()
        self._size_drawn: object = None
        self._inks = Inks(self)

    def draw(self, width: int, height: int) -> Sequence[Pieces]:
        """For subclasses, in place of the function."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw again, and paint the rows that changed."""
        before, size = self._drawn, self.size
        if size != self._size_drawn:
            self.refresh()
            return
        self._drawn = self._rows()
        for row in range(size.height):
            old = before[row] if row < len(before) else ()
            new = self._drawn[row] if row < len(self._drawn) else ()
            first, end = changed(old, new, size.width)
            if end > first:
                self.refresh(Region(first, row, end - first, 1))

    def _rows(self) -> Sequence[Pieces]:
        try:
            return self._draw(*self.size)
        except Exception as error:  # noqa: BLE001  handed on
            tell_app(self, error)
        return [[("✗ this cannot be drawn", "err")]]

    def render_line(self, y: int) -> Strip:
        if self.size != self._size_drawn:
            self._size_drawn = self.size
            self._drawn = self._rows()
        row = self._drawn[y] if y < len(self._drawn) else ()
        return self._inks.strip(column(row, self.size.width), self.size.width)
