"""Charts and sparks: a fixed scale, peaks that stay, gaps that are gaps, and marked deployments."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tui.painting import watched
from textual.app import ComposeResult

from dg.core.clock import SECOND
from dg.tui.signs import BRAILLE
from dg.tui.themed import Themed
from dg.tui.widgets.chart import Marker, Picture, Plot, Series, TimeChart, plot, rounded, spoken
from dg.tui.widgets.spark import Spark, bucket, spark

END = 1_790_000_000 * SECOND
FLAT = Picture((Series("p95", [100.0] * 60),), END, 60, top=200)

values = st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=300)


def signs(cells: Plot) -> list[str]:
    return ["".join(cell.sign for cell in row) for row in cells]


def drawn(cells: Plot) -> set[int]:
    """Columns in which a series has a dot."""
    return {at for row in cells for at, cell in enumerate(row) if ord(cell.sign) > BRAILLE}


def text(rows: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(part for part, _ in row) for row in rows]


def test_a_flat_line_is_flat_and_where_the_scale_says() -> None:
    rows = signs(plot(FLAT, 30, 9))
    assert [at for at, row in enumerate(rows) if any(ord(sign) > BRAILLE for sign in row)] == [4]


def test_a_gap_stays_a_gap() -> None:
    series = Series("p95", [1.0] * 20 + [None] * 20 + [1.0] * 20)
    assert drawn(plot(Picture((series,), END, 60), 30, 9)) == {*range(10), *range(20, 30)}


def test_one_peak_among_thousands_is_seen() -> None:
    quiet = [1.0] * 5000
    quiet[2500] = 100
    cells = plot(Picture((Series("p95", quiet),), END, 1, top=100), 40, 8)
    assert any(ord(cell.sign) > BRAILLE for cell in cells[0])


def test_deployments_are_marked_with_their_version() -> None:
    picture = replace(
        FLAT, markers=(Marker(END - 1770 * SECOND, "1.4.2"), Marker(END - 9999 * SECOND, "old"))
    )
    cells = plot(picture, 30, 9)
    assert "▾ 1.4.2" in signs(cells)[0]
    assert all(cells[row][14].ink in ("prod", "primary") for row in range(9))
    assert "old" not in "".join(signs(cells))


def test_labels_do_not_cover_one_another() -> None:
    near = tuple(Marker(END - (1800 + at) * SECOND, f"1.4.{at}") for at in (0, 30, 60))
    top = signs(plot(replace(FLAT, markers=near), 40, 9))[0]
    assert top.count("1.4.") == 1


def test_the_threshold_is_a_line() -> None:
    assert "╌" * 30 in signs(plot(replace(FLAT, threshold=150), 30, 9))


@pytest.mark.parametrize(("value", "up"), [(0, 1), (0.7, 0.8), (183, 200), (327, 400), (1.0, 1), (9.1, 10)])
def test_scales_end_at_numbers_that_are_good_to_read(value: float, up: float) -> None:
    assert rounded(value) == pytest.approx(up)


@pytest.mark.parametrize(
    ("value", "said"), [(300, "300"), (0.25, "0.25"), (0.5, "0.5"), (12_000, "12k"), (0, "0")]
)
def test_values_are_short(value: float, said: str) -> None:
    assert spoken(value) == said


@given(values, st.integers(8, 80), st.integers(3, 20))
def test_any_values_fit_any_size(found: list[float | None], width: int, height: int) -> None:
    picture = Picture((Series("a", found, area=True),), END, 15, threshold=10, markers=(Marker(END, "v"),))
    cells = plot(picture, width, height)
    assert [len(row) for row in cells] == [width] * height
    assert all(len(cell.sign) == 1 for row in cells for cell in row)


@given(values, st.integers(1, 80))
def test_buckets_keep_the_greatest_and_the_newest(found: list[float | None], width: int) -> None:
    peaks = bucket(found, width)
    assert len(peaks) == width
    known = [value for value in found if value is not None]
    if len(found) >= width and known:
        assert max(peak for peak in peaks if peak is not None) == max(known)


def test_a_spark_has_a_scale_that_stays() -> None:
    assert text(spark([181, 182, 183, 182], 4, 1, 400)) == ["▄▄▄▄"]
    assert text(spark([1, 400], 2, 1, 400)) == ["▁█"]


def test_a_spark_has_the_newest_at_the_right_and_gaps() -> None:
    assert text(spark([400, None, 400], 6, 1, 400)) == ["┄┄┄█┄█"]


def test_a_spark_of_two_rows_has_sixteen_steps() -> None:
    assert text(spark([300], 1, 2, 400)) == ["▄", "█"]


def test_values_over_the_threshold_are_in_another_ink() -> None:
    assert spark([100, 280, 320], 3, 1, 400, 300)[0] == [("▂", "calm"), ("▆", "warn"), ("▆", "err")]


class Lone(Themed[None]):
    """A chart and a spark."""

    CSS = "Spark { height: 1; }"

    def compose(self) -> ComposeResult:
        yield TimeChart()
        yield Spark(top=400)


async def test_axes_say_what_and_when() -> None:
    app = Lone()
    async with app.run_test(size=(60, 12)) as pilot:
        chart = app.query_one(TimeChart)
        assert "no values yet" in chart.render_line(0).text
        chart.show(replace(FLAT, end=1_790_003_600 * SECOND))
        await pilot.pause()
        rows = [strip.text for strip in chart.render_lines(chart.size.region)]
        assert [row[:8].strip() for row in rows if row[:7].strip()] == [
            "200 ┤",
            "150 ┤",
            "100 ┤",
            "50 ┤",
            "0 ┤",
        ]
        assert rows[-1].split() == ["14:14", "14:43", "now"]


async def test_a_chart_says_so_where_there_is_no_room() -> None:
    app = Lone()
    async with app.run_test(size=(14, 6)) as pilot:
        chart = app.query_one(TimeChart)
        chart.show(FLAT)
        await pilot.pause()
        assert "no room" in chart.render_line(0).text


async def test_the_same_values_again_repaint_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Lone()
    async with app.run_test(size=(60, 12)) as pilot:
        for widget, show in ((app.query_one(TimeChart), FLAT), (app.query_one(Spark), [1, 2])):
            widget.show(show)  # type: ignore[arg-type]
            await pilot.pause()
            drawn = watched(widget, monkeypatch)
            widget.show(show)  # type: ignore[arg-type]
            await pilot.pause()
            assert drawn == []
