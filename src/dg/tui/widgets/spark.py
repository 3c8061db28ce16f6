"""A small bar chart on a scale that stays: 181 ms among 183 ms is a flat line, and a gap is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from textual.strip import Strip
from textual.widget import Widget

from dg.tui.ink import Inks, Piece
from dg.tui.signs import LEVELS

NEAR = 0.85
"""Of the threshold: a value above that share is warned of."""

Values = Sequence[float | None]


def spark(
    values: Values, width: int, height: int, top: float, threshold: float | None = None
) -> list[list[Piece]]:
    """Rows of `width` cells, the newest value at the right; None in `values` is a gap.

    A cell that stands for several values shows the greatest, so that no peak is lost. `top` is the value of a
    full bar.
    """
    missing = max(0, width - len(values))
    peaks = [*[None] * missing, *bucket(values, width - missing)]
    return [_row(peaks, row, height, top, threshold) for row in reversed(range(height))]


def bucket(values: Values, width: int) -> list[float | None]:
    """The greatest value in each of `width` buckets of equal length, oldest first; None for a gap."""
    count = len(values)
    if not count or not width:
        return [None] * width
    starts = [at * count // width for at in range(width + 1)]
    parts = (values[start : max(end, start + 1)] for start, end in pairwise(starts))
    return [max((value for value in part if value is not None), default=None) for part in parts]


def _row(peaks: Values, row: int, height: int, top: float, threshold: float | None) -> list[Piece]:
    cells = [_cell(value, row, height, top, threshold) for value in peaks]
    return [
        ("".join(sign for sign, _ in same), ink) for ink, same in groupby(cells, key=lambda cell: cell[1])
    ]


def _cell(value: float | None, row: int, height: int, top: float, threshold: float | None) -> Piece:
    if value is None:
        return ("┄" if row == 0 else " "), "dim"
    steps = len(LEVELS) - 1
    filled = max(1, round(value / top * steps * height)) if top > 0 else 1
    return LEVELS[max(0, min(steps, filled - steps * row))], _ink(value, threshold)


def _ink(value: float, threshold: float | None) -> str:
    if threshold is None or value <= threshold * NEAR:
        return "calm"
    return "err" if value > threshold else "warn"


class Spark(Widget):
    """Values of one thing over time, in as many rows as it is high."""

    DEFAULT_CSS = "Spark { height: 1; width: 1fr; }"

    def __init__(
        self,
        *,
        top: float,
        threshold: float | None = None,
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._top, self._threshold = top, threshold
        self._values: Values = ()
        self._inks = Inks(self)

    def show(self, values: Values) -> None:
        """These values, oldest first and evenly spaced; None is a gap."""
        if list(values) != list(self._values):
            self._values = tuple(values)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        rows = spark(self._values, width, height, self._top, self._threshold)
        return self._inks.strip(rows[y], width)
