"""The table: what is in view, in which order, and where the cursor stands when rows come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tui.hostile import FORBIDDEN, STRINGS
from tests.tui.painting import watched
from textual.app import ComposeResult
from textual.pilot import Pilot

from dg.tui.themed import Themed
from dg.tui.widgets.table import Column, Table


@dataclass(frozen=True)
class Row:
    key: str
    name: str
    size: float | None = 0


COLUMNS = (
    Column[Row]("name", "name", lambda row: [(row.name, "fg")], 10, lambda row: row.name, flex=True),
    Column[Row]("size", "size", lambda row: [(str(row.size), "muted")], 6, lambda row: row.size, right=True),
    Column[Row]("key", "key", lambda row: [(row.key, "dim")], 8, needs=60),
)


class Lone(Themed[None]):
    """One table."""

    def __init__(self, table: Table[Row]) -> None:
        super().__init__()
        self.table = table
        self.heard: list[object] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_table_opened(self, event: Table.Opened) -> None:
        self.heard.append(event.key)

    def on_table_moved(self, event: Table.Moved) -> None:
        self.heard.append((event.key,))


@asynccontextmanager
async def shown(rows: int = 0, **how: object) -> AsyncIterator[tuple[Table[Row], Pilot[None]]]:
    table = Table[Row](COLUMNS, lambda row: row.key, **how)  # type: ignore[arg-type]
    app = Lone(table)
    async with app.run_test(size=(50, 11)) as pilot:
        table.replace(numbered(rows))
        table.focus()
        await pilot.pause()
        yield table, pilot


def numbered(count: int) -> Iterator[Row]:
    return (Row(str(number), f"row {number}", number) for number in range(count))


def screen(table: Table[Row]) -> list[str]:
    return [strip.text.rstrip() for strip in table.render_lines(table.size.region)]


async def test_only_rows_in_view_are_drawn() -> None:
    async with shown(100_000) as (table, pilot):
        assert screen(table)[0].split() == ["name", "size"]
        assert screen(table)[1].split() == ["▌", "row", "0", "0"]
        await pilot.press("end")
        await pilot.pause()
        assert screen(table)[-1].split() == ["▌", "row", "99999", "99999"]
        assert table.cursor == "99999"


async def test_columns_appear_where_there_is_room() -> None:
    async with shown(1) as (table, pilot):
        assert "key" not in screen(table)[0]
        await pilot.resize_terminal(80, 11)
        await pilot.pause()
        assert screen(table)[0].split() == ["name", "size", "key"]


async def test_columns_give_up_what_they_can_where_a_flexible_one_has_too_little() -> None:
    columns = (replace(COLUMNS[0]), replace(COLUMNS[1], width=20, least=6))
    app = Lone(Table[Row](columns, lambda row: row.key))
    async with app.run_test(size=(40, 11)) as pilot:
        assert [width for _, width in app.table._laid_out()[0]] == [30, 6]
        await pilot.resize_terminal(30, 11)
        await pilot.pause()
        assert [width for _, width in app.table._laid_out()[0]] == [20, 6]
        await pilot.resize_terminal(80, 11)
        await pilot.pause()
        assert [width for _, width in app.table._laid_out()[0]] == [54, 20]


async def test_the_cursor_stays_with_its_row_when_others_come_before_it() -> None:
    async with shown(20, sort="size") as (table, pilot):
        table.select("5")
        table.update(Row("new", "first", -1))
        await pilot.pause()
        assert table.cursor == "5"
        assert screen(table)[1].split()[0] == "first"


async def test_the_view_stays_with_the_cursor_when_rows_come_above() -> None:
    async with shown(100, sort="size") as (table, pilot):
        table.select("50")
        await pilot.pause()
        before = screen(table)
        table.update(Row("new", "first", -1))
        await pilot.pause()
        assert screen(table) == before


async def test_a_changed_row_moves_to_its_place() -> None:
    async with shown(5, sort="size") as (table, _):
        table.update(Row("0", "row 0", 2.5))
        assert table.keys == ["1", "2", "0", "3", "4"]
        assert table.cursor == "0"


async def test_the_cursor_takes_the_next_row_when_its_own_goes() -> None:
    async with shown(3) as (table, _):
        table.select("1")
        table.discard("1")
        assert table.cursor == "2"
        table.discard("2")
        table.discard("0")
        assert [table.cursor, table.selected] == [None, None]


async def test_a_filter_keeps_the_order_and_says_when_nothing_is_left() -> None:
    async with shown(30, empty="nothing matches") as (table, pilot):
        table.filter(lambda row: "7" in row.key)
        assert table.keys == ["7", "17", "27"]
        assert (len(table), table.total) == (3, 30)
        table.filter(lambda row: False)
        await pilot.pause()
        assert "nothing matches" in screen(table)[2]
        table.filter(None)
        assert len(table) == 30


async def test_a_row_that_no_longer_matches_leaves_the_view() -> None:
    async with shown(3) as (table, _):
        table.filter(lambda row: row.size != 9)
        table.update(Row("1", "row 1", 9))
        assert table.keys == ["0", "2"]
        table.update(Row("1", "row 1", 1))
        assert table.keys == ["0", "1", "2"]


async def test_keys_sort_by_each_column_in_turn_and_turn_the_order_round() -> None:
    async with shown(3) as (table, pilot):
        await pilot.press("o")
        assert table.sorted_by == ("name", False)
        await pilot.press("O")
        assert (table.sorted_by, table.keys) == (("name", True), ["2", "1", "0"])
        await pilot.press("o", "o")
        assert table.sorted_by[0] is None


async def test_values_of_any_kind_can_be_sorted_and_what_is_missing_comes_last() -> None:
    async with shown(sort="size") as (table, _):
        table.replace([Row("a", "x", None), Row("b", "y", 2), Row("c", "z", 1)])
        assert table.keys == ["c", "b", "a"]


async def test_sorting_by_what_cannot_be_sorted_is_an_error() -> None:
    async with shown(1) as (table, _):
        with pytest.raises(KeyError):
            table.sort("key")


async def test_a_click_moves_a_second_one_opens_and_one_on_a_title_sorts() -> None:
    async with shown(5) as (table, pilot):
        await pilot.click(table, offset=(4, 3))
        assert table.cursor == "2"
        await pilot.click(table, offset=(4, 3), times=2)
        assert "2" in pilot.app.heard  # type: ignore[attr-defined]
        await pilot.click(table, offset=(4, 0))
        assert table.sorted_by == ("name", False)


async def test_moves_and_enter_are_told() -> None:
    async with shown(3) as (_, pilot):
        await pilot.press("j", "enter")
        assert pilot.app.heard[-2:] == [("1",), "1"]  # type: ignore[attr-defined]


async def test_one_changed_row_repaints_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(1000) as (table, pilot):
        drawn = watched(table, monkeypatch)
        table.update(Row("3", "another name", 3))
        await pilot.pause()
        assert drawn == [4]


async def test_the_same_rows_again_repaint_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(100) as (table, pilot):
        drawn = watched(table, monkeypatch)
        table.replace(numbered(100))
        table.redraw()
        await pilot.pause()
        assert drawn == []


async def test_hostile_cells_come_out_plain() -> None:
    async with shown() as (table, pilot):
        table.replace(Row(str(at), text) for at, text in enumerate(STRINGS))
        for _ in range(3):
            await pilot.press("pagedown")
            await pilot.pause()
            strips = table.render_lines(table.size.region)
            assert not FORBIDDEN & set("".join(strip.text for strip in strips))
            assert {strip.cell_length for strip in strips} == {table.size.width}


steps = st.lists(
    st.tuples(st.sampled_from(["update", "discard", "filter", "sort"]), st.integers(0, 9), st.integers(0, 5)),
    max_size=25,
)


@given(steps)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happens_order_and_cursor_are_those_of_a_plain_list(
    does: list[tuple[str, int, int]],
) -> None:
    rows, least, sort, descending = dict[str, Row](), 0, None, False
    async with shown() as (table, _):
        for what, one, other in does:
            match what:
                case "update":
                    row = Row(str(one), f"n{other}", other)
                    rows[row.key] = row
                    table.update(replace(row))
                case "discard":
                    rows.pop(str(one), None)
                    table.discard(str(one))
                case "filter":
                    least = other
                    table.filter(lambda row, least=least: (row.size or 0) >= least)  # type: ignore[misc]
                case _:
                    sort, descending = ("size" if one % 2 else "name"), other % 2 == 1
                    table.sort(sort, descending=descending)
            wanted = {key for key, row in rows.items() if (row.size or 0) >= least}
            assert set(table.keys) == wanted
            if sort:
                ranks = [getattr(rows[key], sort) for key in table.keys]
                assert ranks == sorted(ranks, reverse=descending)
            assert (table.cursor in wanted) if wanted else (table.cursor is None)
