"""The log: what it keeps, follows, finds and copies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.tui.hostile import FORBIDDEN, STRINGS
from textual.app import ComposeResult
from textual.pilot import Pilot

from dg.tui.themed import Themed
from dg.tui.widgets.log import LONGEST, Level, Line, Log, level


class Lone(Themed[None]):
    """One log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log_widget = log

    def compose(self) -> ComposeResult:
        yield self.log_widget


@asynccontextmanager
async def shown(lines: int = 0, capacity: int = 1000) -> AsyncIterator[tuple[Log, Pilot[None]]]:
    log = Log(capacity=capacity, rate=100)
    app = Lone(log)
    async with app.run_test(size=(60, 8)) as pilot:
        log.append(numbered(0, lines))
        log.focus()
        await painted(log, pilot)
        yield log, pilot


async def painted(log: Log, pilot: Pilot[None]) -> None:
    """Wait until what was appended is on the screen."""
    while log._due:
        await pilot.pause(0.01)
    await pilot.pause()


def numbered(first: int, count: int) -> list[Line]:
    return [Line(f"line {number}") for number in range(first, first + count)]


def screen(log: Log) -> list[str]:
    return [strip.text.strip() for strip in log.render_lines(log.size.region)]


def test_a_line_for_a_file_is_dated_and_acts_on_no_terminal() -> None:
    line = Line("\x1b[31mred", 1_790_000_000_000_000, "build\x9b")
    assert line.written == "2026-09-21T14:13:20Z build� ␛[31mred"
    assert Line("plain").written == "plain"


async def test_what_is_picked_is_the_marked_range_or_all_that_is_shown() -> None:
    async with shown(20) as (log, pilot):
        assert len(log.picked) == 20
        log.filter("line 1")
        assert len(log.picked) == 11
        await pilot.press("g", "v", "down", "down")
        assert [line.text for line in log.picked] == ["line 1", "line 10", "line 11"]


async def test_a_line_may_say_what_it_is_written_in() -> None:
    async with shown() as (log, pilot):
        log.append([Line("+added", ink="ok")])
        await painted(log, pilot)
        segment = next(each for each in log.render_line(0) if "+added" in each.text)
        assert segment.style == log.rich_style + log._inks.style("ok")


async def test_the_last_line_is_in_view_while_it_follows() -> None:
    async with shown(20) as (log, pilot):
        assert screen(log)[-1] == "line 19"
        log.append(numbered(20, 5))
        await painted(log, pilot)
        assert screen(log)[-1] == "line 24"


async def test_a_view_that_does_not_follow_holds_still() -> None:
    async with shown(50) as (log, pilot):
        await pilot.press("home")
        before = screen(log)
        log.append(numbered(50, 500))
        await painted(log, pilot)
        assert screen(log) == before
        assert log.said == "line 1 · 550 lines"
        await pilot.press("f")
        await pilot.pause()
        assert screen(log)[-1] == "line 549"


async def test_a_full_log_drops_the_oldest_lines_and_says_how_many() -> None:
    async with shown(100, capacity=100) as (log, pilot):
        log.append(numbered(100, 150))
        await painted(log, pilot)
        assert (len(log), log.dropped) == (100, 150)
        assert screen(log)[-1] == "line 249"
        log.append([], left_out=7)
        await painted(log, pilot)
        assert log.said == "following · 100 lines · 157 dropped"


async def test_a_view_holds_still_while_lines_fall_out_above_it() -> None:
    async with shown(100, capacity=100) as (log, pilot):
        await pilot.press("up", *["up"] * 20)
        await pilot.pause()
        before = screen(log)
        log.append(numbered(100, 30))
        await painted(log, pilot)
        assert screen(log) == before


async def test_a_filter_also_holds_for_lines_to_come() -> None:
    async with shown(30) as (log, pilot):
        log.filter("line .?7$")
        assert [line.text for line in log.lines] == ["line 7", "line 17", "line 27"]
        log.append(numbered(30, 10))
        await painted(log, pilot)
        assert log.said == "following · 4 of 40 lines"
        log.filter(None)
        assert len(log) == 40


async def test_a_filter_that_is_no_expression_changes_nothing() -> None:
    async with shown(3) as (log, _):
        with pytest.raises(re.error):
            log.filter("(")
        assert len(log) == 3


async def test_keys_go_from_error_to_error() -> None:
    async with shown() as (log, pilot):
        log.append(Line(f"{n}", level=Level.ERROR if n in (3, 30) else Level.PLAIN) for n in range(40))
        await painted(log, pilot)
        await pilot.press("N")
        assert log.said.startswith("line 31 ·")
        await pilot.press("N")
        assert log.said.startswith("line 4 ·")
        await pilot.press("n")
        assert log.said.startswith("line 31 ·")
        assert "2 errors" in log.said


async def test_long_lines_are_wrapped_on_request() -> None:
    async with shown() as (log, pilot):
        log.append([Line("a" * 100), Line("日本" * 40), Line("end")])
        await painted(log, pilot)
        assert len([row for row in screen(log) if row]) == 3
        await pilot.press("w")
        await pilot.pause()
        rows = screen(log)
        assert "".join(rows).count("a") == 100
        assert "".join(rows).count("日") == 40
        assert [row for row in rows if row][-1] == "end"


async def test_a_line_that_is_cut_says_so() -> None:
    async with shown() as (log, pilot):
        log.append([Line("a" * 100), Line("日本" * 40), Line("b" * log.size.width)])
        await painted(log, pilot)
        cut = [row.rstrip().endswith("…") for row in screen(log) if row.strip()]
        assert len(cut) == 3
        assert all(cut)
        await pilot.press("w")
        await pilot.pause()
        assert "…" not in "".join(screen(log))


async def test_what_a_filter_found_is_seen_among_its_neighbours_when_it_ends() -> None:
    async with shown(100) as (log, pilot):
        log.filter("[36]7")
        await pilot.press("home")
        assert log.said.startswith("line 1 ·")
        log.filter(None)
        await painted(log, pilot)
        assert log.said.startswith("line 38 ·")
        assert any("line 37" in row for row in screen(log))
        assert any("line 36" in row for row in screen(log))


async def test_a_line_a_range_and_the_view_can_be_copied() -> None:
    async with shown(30) as (log, pilot):
        await pilot.press("home", "down", "y")
        assert pilot.app.clipboard == "line 1"
        await pilot.press("v", "down", "down", "y")
        assert pilot.app.clipboard == "line 1\nline 2\nline 3"
        await pilot.press("home", "Y")
        assert pilot.app.clipboard.splitlines() == [f"line {n}" for n in range(log.size.height)]


async def test_an_idle_log_has_no_timer() -> None:
    async with shown(5) as (log, _):
        assert not log._due
        assert not log.auto_refresh


async def test_hostile_lines_come_out_plain() -> None:
    async with shown() as (log, pilot):
        log.append(Line(text, source=text) for text in STRINGS)
        await painted(log, pilot)
        await pilot.press("w", "home")
        for _ in range(40):
            await pilot.press("pagedown")
            strips = log.render_lines(log.size.region)
            assert not FORBIDDEN & set("".join(strip.text for strip in strips))
            assert {strip.cell_length for strip in strips} == {log.size.width}


def test_a_line_that_is_too_long_says_how_much_is_missing() -> None:
    line = Line("x" * (LONGEST + 12 * 1024))
    assert line.safe.endswith("… +12 KB")
    assert len(line.safe) < LONGEST + 20


def test_tabs_are_expanded() -> None:
    assert Line("a\tb").safe == "a   b"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ERROR: no such file", Level.ERROR),
        ("Traceback (most recent call last):", Level.ERROR),
        ("2 failed, 210 passed", Level.ERROR),
        ("0 failed, 212 passed", Level.PLAIN),
        ("pytest --exit-on-failure", Level.PLAIN),
        ("warning: deprecated", Level.WARNING),
        ("0 warnings", Level.PLAIN),
        ("the mirror is ready", Level.PLAIN),
        ("dg: step `smoke` exited with 1", Level.ERROR),
        ("dg: check `up` did not pass within 1.5 s: GET / answered 500, not 200", Level.ERROR),
        ("dg: GET / answered 500, not 200", Level.PLAIN),
        ("the worker exited with 1", Level.PLAIN),
    ],
)
def test_lines_that_matter_are_known(text: str, found: Level) -> None:
    assert level(text) is found
