"""`python -m dg.tui.gallery`: the dashboard's widgets, each with data of its own, to look at and to try."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer

from dg.core.clock import SECOND, Clock, SystemClock
from dg.tui import signs
from dg.tui.ink import Pieces, label
from dg.tui.palette import PALETTES
from dg.tui.themed import STYLE, Themed
from dg.tui.widgets.chart import Marker, Picture, Series, TimeChart
from dg.tui.widgets.log import Line, Log, level
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.spark import Spark
from dg.tui.widgets.table import Column, Table

STATUSES = ("success", "success", "failed", "rolled_back", "deploying", "building", "pending")
WORDS = (
    "checkout done",
    "3 errors in 2 files",
    "warning: deprecated option",
    "layer cached",
    "0 failed, 212 passed",
)
MINUTE = 60.0


@dataclass(frozen=True)
class Example:
    """A row of the table."""

    number: int
    status: str
    version: str
    seconds: float


COLUMNS: Sequence[Column[Example]] = (
    Column("number", "#", lambda row: [(str(row.number), "muted")], 7, lambda row: row.number, right=True),
    Column(
        "status",
        "state",
        lambda row: [(signs.said(row.status), signs.ink(row.status))],
        14,
        lambda row: row.status,
    ),
    Column(
        "version", "version", lambda row: [(row.version, "fg bold")], 12, lambda row: row.version, flex=True
    ),
    Column(
        "took",
        "took",
        lambda row: [(f"{row.seconds:.1f} s", "muted")],
        8,
        lambda row: row.seconds,
        right=True,
    ),
)


def examples(count: int, random: Random) -> list[Example]:
    """Rows as they might be."""
    return [
        Example(number, random.choice(STATUSES), f"1.{number // 40}.{number % 40}", random.uniform(2, 600))
        for number in range(1, count + 1)
    ]


def latencies(count: int) -> list[float | None]:
    """A day's curve in milliseconds with a gap in it and a steep end."""
    return [
        None
        if count * 0.45 < at < count * 0.52
        else 180 + 25 * math.sin(at / 9) + 12 * math.sin(at * 1.7) + max(0.0, at - count * 0.85) * 4
        for at in range(count)
    ]


class Gallery(Themed[None]):
    """All widgets on one screen."""

    CSS = (
        STYLE
        + """
    #left { width: 3fr; } #right { width: 2fr; }
    #sparks { height: 4; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "theme", "Theme", id="gallery.theme"),
        Binding("a", "ascii", "ASCII", id="gallery.ascii"),
        Binding("tab", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, *, rows: int = 100_000, clock: Clock | None = None, theme: str | None = None) -> None:
        super().__init__(theme=theme)
        self._clock = clock or SystemClock()
        self._random = Random(7)  # noqa: S311  the same pictures every time
        self._count = rows

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="left"):
                yield Table[Example](
                    COLUMNS, lambda row: str(row.number), sort="number", descending=True, classes="box"
                )
                yield Log(classes="box")
            with Vertical(id="right"):
                yield TimeChart(classes="box")
                with Vertical(id="sparks", classes="box"):
                    yield Spark(top=400, threshold=300, id="high")
                    yield Spark(top=400, threshold=300, id="calm")
                yield Panel(self._inks, classes="box")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(Table)
        table.border_title = label(f"table · {self._count:,} rows")
        table.replace(examples(self._count, self._random))
        table.focus()
        now = self._clock.micros()
        curve = latencies(240)
        chart = self.query_one(TimeChart)
        chart.border_title = label("time chart · a gap, a threshold, two deployments")
        markers = tuple(
            Marker(now - minutes * 60 * SECOND, name) for minutes, name in ((180, "1.4.1"), (36, "1.4.2"))
        )
        chart.show(Picture((Series("p95", curve, area=True),), now, MINUTE, threshold=300, markers=markers))
        self.query_one("#sparks").border_title = label("sparks · one scale, 0 to 400")
        self.query_one("#high", Spark).show(curve)
        self.query_one("#calm", Spark).show([181, 183] * 60)
        self.query_one(Panel).border_title = label("inks")
        self.query_one(Log).border_title = label("log")
        self._lines = 0
        self.set_interval(0.5, self._speak)
        self._speak()

    def _speak(self) -> None:
        lines = []
        for _ in range(self._random.randint(1, 4)):
            self._lines += 1
            text = f"{self._random.choice(WORDS)}  ({self._lines})"
            lines.append(
                Line(text, self._clock.micros(), self._random.choice(("build", "release")), level(text))
            )
        self.query_one(Log).append(lines)

    def on_log_changed(self, event: Log.Changed) -> None:
        event.control.border_subtitle = label(event.control.said)

    def _inks(self, width: int, _: int) -> list[Pieces]:
        statuses = ("success", "deploying", "pending", "needs_approval", "rolled_back", "failed", "locked")
        rows: list[Pieces] = [[(signs.said(each), signs.ink(each))] for each in statuses]
        badges = [(" ✗ FAILED ", "err badge"), (" ", ""), (" ▲ LOCKED ", "warn badge"), (" ", "")]
        return [*rows, [], [*badges, (" PRODUCTION ", "prod badge")], [], signs.bar(width, 0.62)]

    def action_theme(self) -> None:
        """The next of dg's themes."""
        names = [*PALETTES]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.tell(self.theme)

    def action_ascii(self) -> None:
        """Signs in Unicode or in ASCII."""
        self.ascii_only = not self.ascii_only


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dg.tui.gallery", description="Look at dg's widgets.")
    parser.add_argument("--theme", choices=[*PALETTES], help="the terminal's colours decide when left out")
    parser.add_argument("--rows", type=int, default=100_000, help="of the table (default: %(default)s)")
    asked = parser.parse_args()
    Gallery(rows=asked.rows, theme=asked.theme).run()


if __name__ == "__main__":
    main()
