"""The door to the terminal: what comes out of it is plain, as wide as it should be, and never markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from tests.tui.hostile import FORBIDDEN, STRINGS
from textual._border import BORDER_CHARS
from textual.app import ComposeResult
from textual.color import BLACK
from textual.strip import Strip

from dg.client.words import STATUS
from dg.tui import signs
from dg.tui.ink import Door, Inks, apart, changed, column, fit, label, measure, paragraph, wrapped
from dg.tui.themed import Themed
from dg.tui.widgets.panel import Panel

TUI = Path(__file__).parents[2] / "src" / "dg" / "tui"


class Lone(Themed[None]):
    """One panel that shows hostile strings."""

    def compose(self) -> ComposeResult:
        yield Panel(lambda width, _: [[(text, "err bold")] for text in STRINGS])


@pytest.mark.parametrize("text", STRINGS)
def test_hostile_text_comes_out_plain(text: str) -> None:
    shown = [fit(text, 30), label(text).plain, paragraph([[(text, "err")]]).plain]
    assert not FORBIDDEN & set("".join(shown))
    assert cell_len(shown[0]) <= 30


@pytest.mark.parametrize("text", STRINGS)
def test_text_is_never_markup(text: str) -> None:
    assert label(text).spans == []


async def test_no_cell_of_a_widget_holds_what_could_act_on_a_terminal() -> None:
    app = Lone()
    async with app.run_test(size=(60, 30)):
        strips: list[Strip] = app.query_one(Panel).render_lines(app.screen.region)
        text = "".join(segment.text for strip in strips for segment in strip)
    assert not FORBIDDEN & set(text)
    assert {strip.cell_length for strip in strips} == {60}


def test_every_sign_has_a_stand_in_of_one_cell() -> None:
    for text in (*map(signs.said, STATUS), signs.LEVELS, *(part for part, _ in signs.bar(20, 0.51))):
        assert text.translate(signs.ASCII).isascii()
        assert cell_len(text.translate(signs.ASCII)) == cell_len(text)


def test_production_is_framed_like_nothing_else_in_ascii_too() -> None:
    heavy, round_ = ("".join(BORDER_CHARS[name][0]) + BORDER_CHARS[name][1][0] for name in ("heavy", "round"))
    assert not set(heavy.translate(signs.ASCII)) & set(round_.translate(signs.ASCII))


@pytest.mark.parametrize("text", STRINGS)
def test_the_door_lets_nothing_through_that_could_act_on_a_terminal(text: str) -> None:
    out = Door(ascii=False).apply([Segment("safe"), Segment(text)], BLACK)
    assert not FORBIDDEN & set("".join(segment.text for segment in out))


async def test_an_ink_that_there_is_not_is_an_error() -> None:
    app = Lone()
    async with app.run_test():
        with pytest.raises(KeyError):
            Inks(app.query_one(Panel)).style("purple")


async def test_what_is_wrong_stands_out_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Lone()
    async with app.run_test():
        inks = Inks(app.query_one(Panel))
        assert inks.style("err").reverse
        assert not inks.style("warn").reverse


async def test_a_theme_that_is_not_dgs_still_has_dgs_inks() -> None:
    app = Lone()
    async with app.run_test() as pilot:
        app.theme = "nord"
        await pilot.pause()
        assert Inks(app.query_one(Panel)).style("ok").color is not None


def test_columns_are_exactly_as_wide_as_asked() -> None:
    for text in STRINGS:
        assert measure(column([(text, "")], 12)) == 12
        assert measure(column([(text, ""), (text, "")], 12, right=True)) == 12
        assert measure(apart([(text, "")], [("right", "")], 40)) == 40


def test_numbers_stand_at_the_right() -> None:
    assert "".join(text for text, _ in column([("7", "")], 4, right=True)) == "   7"


def test_the_left_side_gives_way_to_the_right() -> None:
    line = "".join(text for text, _ in apart([("a long sentence", "")], [("3m", "")], 10))
    assert line == "a long… 3m"


def test_words_are_wrapped_and_the_last_line_is_cut() -> None:
    rows = wrapped([("one two three four five", "fg")], 9, 2)
    assert ["".join(text for text, _ in row).rstrip() for row in rows] == ["one two", "three fo…"]


pieces = st.lists(st.tuples(st.text("ab日", max_size=4), st.sampled_from(["fg", "err"])), max_size=5)


@given(pieces, pieces)
def test_what_lies_outside_of_a_change_is_the_same(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    first, end = changed(before, after, 40)
    old, new = cells(before), cells(after)
    assert old[:first] == new[:first]
    assert old[end:] == new[end:]
    assert (first < end) or old == new
    assert changed(tuple(before), list(before), 40) == (0, 0)


def cells(line: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each of 40 cells with its ink; a wide sign fills two."""
    found = [(sign, ink) for text, ink in line for sign in text for _ in range(cell_len(sign))]
    return [*found, *[(" ", "")] * (40 - len(found))]


def test_nothing_else_makes_segments_or_contents() -> None:
    """Text that did not come through `ink` could act on the terminal, or be read as markup."""
    makes = re.compile(r"\b(?:Segment|Content|Text)\(|from_markup|Content\.assemble")
    found = {path.name for path in TUI.rglob("*.py") if makes.search(path.read_text("utf-8"))}
    assert found == {"ink.py"}
