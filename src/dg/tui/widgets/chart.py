"""A chart over time in dots: gaps stay gaps, peaks stay peaks, deployments are marked. Usable without dg."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from dg.core.clock import SECOND, to_datetime
from dg.tui.ink import Inks, Piece
from dg.tui.signs import BRAILLE
from dg.tui.widgets.spark import bucket

LABEL = 7
"""Cells of the value axis."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, by row and column (Unicode 22.10)."""
NICE = (1, 2, 4, 5, 6, 8, 10)
AREA = 0.13
"""How much of a series' colour the area below it has."""


@dataclass(frozen=True)
class Series:
    """Evenly spaced values, oldest first; None is a gap. `area` fills what is below."""

    name: str
    values: Sequence[float | None]
    ink: str = "primary"
    area: bool = False


@dataclass(frozen=True)
class Marker:
    """Something that happened at a moment (microseconds), such as a deployment of the version `label`."""

    at: int
    label: str


@dataclass(frozen=True)
class Picture:
    """What a chart shows. The last values are those of `end` (microseconds), `step` seconds lie between two.

    `top` is the upper end of the scale, None for the next round number.
    """

    series: tuple[Series, ...]
    end: int
    step: float
    threshold: float | None = None
    markers: tuple[Marker, ...] = ()
    top: float | None = None

    @property
    def span(self) -> float:
        """Seconds from the first value to the last."""
        return max(1, max((len(each.values) for each in self.series), default=1) - 1) * self.step

    @property
    def scale(self) -> float:
        """The value at the upper end."""
        if self.top is not None:
            return self.top
        found = [value for each in self.series for value in each.values if value is not None]
        return rounded(max([*found, self.threshold or 0.0], default=0.0) * 1.02)


def rounded(value: float) -> float:
    """The next number above that is good to read: 1, 2, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(nice * power for nice in NICE if value <= nice * power * 1.0001)


@dataclass
class Cell:
    """One cell of the plot: the sign and what it is written in, and the ink of the area behind it."""

    sign: str = " "
    ink: str = ""
    area: str = ""


Plot = list[list[Cell]]


def plot(picture: Picture, width: int, height: int) -> Plot:
    """The plot alone, without axes: `height` rows of `width` cells."""
    cells = [[Cell() for _ in range(width)] for _ in range(height)]
    _draw_grid(cells, height)
    _draw_threshold(cells, picture, height)
    _draw_markers(cells, picture, width)
    for series in reversed(picture.series):
        _draw_series(cells, series, picture.scale, width, height)
    _draw_labels(cells, picture, width)
    return cells


def ticks(height: int) -> dict[int, float]:
    """Rows of the plot that have a value on the axis, and which share of the scale that is."""
    count = 3 if height < 8 else 5
    return {round((1 - part / (count - 1)) * (height - 1)): part / (count - 1) for part in range(count)}


def _draw_grid(cells: Plot, height: int) -> None:
    for row in ticks(height):
        for at in range(0, len(cells[row]), 4):
            cells[row][at] = Cell("·", "border")


def _draw_threshold(cells: Plot, picture: Picture, height: int) -> None:
    if picture.threshold is None or picture.threshold > picture.scale:
        return
    row = min(height - 1, max(0, round((1 - picture.threshold / picture.scale) * (height - 1))))
    for cell in cells[row]:
        cell.sign, cell.ink = "╌", "warn"


def _places(picture: Picture, width: int) -> Iterator[tuple[int, str]]:
    """The columns of the markers that are in view."""
    for marker in picture.markers:
        at = math.floor((1 - (picture.end - marker.at) / SECOND / picture.span) * (width - 1))
        if 0 <= at < width:
            yield at, marker.label


def _draw_markers(cells: Plot, picture: Picture, width: int) -> None:
    for at, _ in _places(picture, width):
        for row in cells:
            row[at] = Cell("┊", "prod")


def _draw_labels(cells: Plot, picture: Picture, width: int) -> None:
    free = 0
    for at, label in sorted(_places(picture, width)):
        cells[0][at].sign, cells[0][at].ink = "▾", "prod"
        start = at + 2 if at + 2 + len(label) <= width else at - 1 - len(label)
        if start < free:
            continue
        for offset, sign in enumerate(label[: width - start]):
            cells[0][start + offset] = Cell(sign, "prod")
        free = start + len(label) + 1


def _draw_series(cells: Plot, series: Series, top: float, width: int, height: int) -> None:
    dots = [[0] * width for _ in range(height)]
    last: int | None = None
    for x, value in enumerate(bucket(series.values, width * 2)):
        if value is None:
            last = None
            continue
        y = round((1 - min(max(value, 0), top) / top) * (height * 4 - 1))
        for between in range(min(y, y if last is None else last), max(y, y if last is None else last) + 1):
            dots[between // 4][x // 2] |= DOTS[between % 4][x % 2]
        last = y
        if series.area:
            for row in range(y // 4 + 1, height):
                cells[row][x // 2].area = series.ink
    for row, line in enumerate(dots):
        for at, bits in enumerate(line):
            if bits:
                cells[row][at].sign, cells[row][at].ink = chr(BRAILLE + bits), series.ink


def spoken(value: float) -> str:
    """A value for the axis: `1.3k`, `300`, `0.25`."""
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0")


class TimeChart(Widget):
    """A picture of values over time with both axes; nothing is drawn where there is no room for it."""

    DEFAULT_CSS = "TimeChart { height: 1fr; min-height: 4; background: $surface; }"

    def __init__(
        self,
        *,
        empty: str = "no values yet",
        id: str | None = None,  # noqa: A002  the name that Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._empty = empty
        self._picture: Picture | None = None
        self._plotted: tuple[object, Plot] | None = None
        self._inks = Inks(self)

    def show(self, picture: Picture) -> None:
        """Draw this picture from now on."""
        if picture != self._picture:
            self._picture = picture
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        picture, across, down = self._picture, width - LABEL - 1, height - 1
        if picture is None or not any(each.values for each in picture.series):
            return self._inks.strip([(self._empty if y == 0 else "", "muted")], width)
        if across < 8 or down < 3:
            return self._inks.strip([("no room for a chart" if y == 0 else "", "muted")], width)
        if y == down:
            return self._inks.strip(_hours(picture, across), width)
        asked = (picture, across, down)
        if self._plotted is None or self._plotted[0] != asked:
            self._plotted = asked, plot(*asked)
        return self._row(self._plotted[1][y], ticks(down).get(y), picture.scale, width)

    def _row(self, cells: list[Cell], tick: float | None, scale: float, width: int) -> Strip:
        value = "" if tick is None else spoken(tick * scale)
        axis: list[Piece] = [(f"{value:>{LABEL - 1}} ", "muted"), ("│" if tick is None else "┤", "border")]
        strips = [self._inks.strip(axis, LABEL + 1)]
        for area, group in groupby(cells, key=lambda cell: cell.area):
            same = list(group)
            pieces = [(cell.sign, cell.ink) for cell in same]
            strips.append(self._inks.strip(_joined(pieces), len(same), self.rich_style + self._ground(area)))
        return Strip.join(strips).simplify().adjust_cell_length(width, self.rich_style)

    def _ground(self, ink: str) -> Style:
        if not ink or self.app.no_color:
            return Style.null()
        colour = Color.from_rich_color(self._inks.colour(ink))
        return Style(bgcolor=self.background_colors[1].blend(colour, AREA).rich_color)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours in the same ink as one piece."""
    return [
        ("".join(sign for sign, _ in same), ink) for ink, same in groupby(pieces, key=lambda piece: piece[1])
    ]


def _hours(picture: Picture, across: int) -> list[Piece]:
    """The time axis: moments in UTC, `now` at its end."""
    count = max(1, across // 18)
    line = [" "] * (LABEL + 1 + across)
    for part in range(count + 1):
        moment = picture.end - round(picture.span * SECOND * (1 - part / count))
        said = "now" if part == count else f"{to_datetime(moment):%H:%M}"
        at = LABEL + 1 + round((across - 1) * part / count) - len(said) // 2
        at = max(LABEL + 1, min(at, len(line) - len(said)))
        line[at : at + len(said)] = said
    return [("".join(line), "muted")]
