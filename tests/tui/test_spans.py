"""A picture that changed in some places: those cells go to the terminal, and the picture is right."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from tests.tui.rows import Rows
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from dg.tui.spans import Spans

WIDTH = 24
BOLD = Style(bold=True)
BEFORE = ("│ web  1.2.0 │ 58s ago   ", "│ 日本語 x   │ 10m       ")
AFTER = ("│ web  1.2.0 │ 59s ago   ", "│ 日本語 y   │ 11m       ")
MOVE = len("\x1b[1;16H")
WIDGETS = (13, WIDTH)
"""Where each of the two widgets beside one another ends."""


def update(rows: tuple[str, ...], spans: list[tuple[int, int, int]]) -> Spans:
    whole = [Strip([Segment(row[:5], BOLD), Segment(row[5:])]) for row in rows]
    chops = [dict(zip((0, WIDGETS[0]), row.divide(WIDGETS), strict=True)) for row in whole]
    return Spans.of(ChopsUpdate(chops, spans, [[*WIDGETS] for _ in rows]))


def written(*updates: Spans) -> tuple[str, int]:
    """What stands there after them, and the bytes of the last one."""
    rows, count = Rows(WIDTH, len(BEFORE)), 0
    for each in updates:
        block = each.render_segments(Console(file=StringIO(), force_terminal=True)).encode()
        rows.write(block)
        count = len(block)
    return str(rows).replace(" ", ""), count


def test_what_changed_stands_there_afterwards_and_nothing_else_was_written() -> None:
    whole = [(y, 0, WIDTH) for y in range(len(BEFORE))]
    drawn, _ = written(update(AFTER, whole))
    ages = [(0, 15, 18), (1, 15, 18)]
    assert written(update(BEFORE, whole), update(AFTER, [*ages, (1, 9, 10)])) == (drawn, 3 * MOVE + 7)


def test_a_span_over_two_widgets_is_written_in_both() -> None:
    whole = [(y, 0, WIDTH) for y in range(len(BEFORE))]
    over = [(0, 10, 20), (1, 8, 20)]
    assert written(update(BEFORE, whole), update(AFTER, over))[0] == written(update(AFTER, whole))[0]
