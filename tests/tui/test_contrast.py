"""Every sign that is drawn, on every kind of screen, in every theme, with and without a connection: it can be
read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.tui.house import until
from tests.tui.still import standing
from tests.tui.test_grids import KEYS, assert_becomes, read
from textual.color import Color
from textual.pilot import Pilot

from dg.tui.app import Dashboard
from dg.tui.fading import READABLE, contrast
from dg.tui.ink import STALE
from dg.tui.palette import FIGURES, PALETTES
from dg.tui.signs import LEVELS

BORDERS = frozenset("─│╭╮╰╯━┃┏┓┗┛▔▁▕▏▎▊█▌")
"""What stands around something that is told apart without it."""
GRID = frozenset("·┤")
"""Where values of a chart are to be looked for."""
DRAWN = frozenset(LEVELS) | {chr(code) for code in range(0x2800, 0x2900)}
"""Bars and lines."""
SIZE = (160, 45)
OVER = {
    "may": ("0", "c"),
    "as of": ("1", "at"),
    "command": ("1", "colon", *"sho"),
    "palette": ("1", "ctrl+p"),
    "help": ("1", "question_mark"),
    "letters": ("1", "f2"),
    "filter": ("2", "slash"),
}
"""What leads to what stands over the screens, and to the fields in it."""


def faint(app: Dashboard) -> set[tuple[str, str, str, float]]:
    """Signs of the topmost screen that cannot be read, in what and on what they stand, and the contrast."""
    found = set()
    for sign, ink, ground in signs(app):
        if sign not in BORDERS | GRID:
            ratio = contrast(ink, ground)
            if ratio < (FIGURES if sign in DRAWN else READABLE):
                found.add((sign, ink.hex, ground.hex, round(ratio, 2)))
    return found


def signs(app: Dashboard) -> Iterator[tuple[str, Color, Color]]:
    """Each sign that a widget of the topmost screen drew, with its ink and its ground."""
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        x = 0
        for segment in strip:
            style = segment.style
            for sign in segment.text:
                if not sign.isspace() and app.screen.get_widget_at(x, y)[0] is not app.screen:
                    assert style is not None
                    assert style.color
                    assert style.bgcolor
                    pair = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
                    yield sign, *(reversed(pair) if style.reverse else pair)
                x += 1


async def drawn(app: Dashboard, pilot: Pilot[Any]) -> set[tuple[str, Color, Color]]:
    """What is drawn when two looks one after the other found the same."""
    found, before = set(signs(app)), set[tuple[str, Color, Color]]()
    while found != before:
        await pilot.pause(0.1)
        found, before = set(signs(app)), found
    return found


def fade(app: Dashboard) -> None:
    """Draw the screen from now on as without a connection."""
    app.screen.add_class(STALE)
    for each in app.screen.query("*"):
        each.refresh()


@pytest.mark.long
@pytest.mark.parametrize("theme", PALETTES)
async def test_every_sign_on_the_screens_can_be_read_also_when_they_are_stale(theme: str) -> None:
    async with standing(SIZE) as (app, pilot):
        app.theme = theme
        for name, keys in KEYS.items():
            await pilot.press(*keys)
            await assert_becomes(app, pilot, read(name, SIZE))
            fresh = set(signs(app))
            assert faint(app) == set()
            # Nothing is awaited before it is looked at: the next second would bring the connection back.
            fade(app)
            assert set(signs(app)) != fresh
            assert faint(app) == set()


@pytest.mark.long
@pytest.mark.parametrize("theme", PALETTES)
async def test_every_sign_that_stands_over_the_screens_can_be_read(theme: str) -> None:
    async with standing((120, 36)) as (app, pilot):
        app.theme = theme
        for keys in OVER.values():
            under = await drawn(app, pilot)
            await pilot.press(*keys)
            await until(pilot, lambda under=under: set(signs(app)) != under)  # type: ignore[misc]
            await drawn(app, pilot)
            assert faint(app) == set()
            await pilot.press("escape", "escape")
