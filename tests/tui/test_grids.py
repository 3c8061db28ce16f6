"""The five screens as text at the three sizes, each as a person looked at it and found it good.

`DG_GRIDS=write pytest tests/tui/test_grids.py` writes them anew; read them in the diff before they are kept.
"""

from __future__ import annotations

import os
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.tui.house import text, until
from tests.tui.still import standing
from textual.pilot import Pilot

from dg.core.deployments.models import LaneState, Status, StepStatus
from dg.core.drift.models import DriftStatus
from dg.core.health.models import Status as HealthStatus
from dg.tui.app import Dashboard
from dg.tui.signs import ASCII, FULL, HALF, bar, ink, sign

GRIDS = Path(__file__).with_name("grids")
SIZES = ((80, 24), (120, 36), (160, 45))
KEYS = {
    "overview": ("1",),
    "deployments": ("2",),
    "deployment": ("2", "g", *["down"] * 4, "enter"),
    "environments": ("3",),
    "access": ("0",),
}
"""What leads to each screen from any numbered one."""


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    width, height = request.param
    return width, height


def read(name: str, size: tuple[int, int]) -> str:
    return _file(name, size).read_text("utf-8")


def write(name: str, size: tuple[int, int], drawn: str) -> None:
    _file(name, size).write_text(drawn, "utf-8")


def _file(name: str, size: tuple[int, int]) -> Path:
    return GRIDS / f"{name}-{size[0]}x{size[1]}.txt"


def grid(app: Dashboard) -> str:
    """What stands on the screen, without the blanks at the ends of lines."""
    return "".join(f"{line.rstrip()}\n" for line in text(app.screen).splitlines())


async def assert_becomes(app: Dashboard, pilot: Pilot[Any], wanted: str) -> None:
    try:
        await until(pilot, lambda: grid(app) == wanted)
    except TimeoutError:
        assert grid(app) == wanted


@pytest.mark.long
async def test_every_screen_looks_as_it_was_looked_at(size: tuple[int, int]) -> None:
    async with standing(size) as (app, pilot):
        for name, keys in KEYS.items():
            await pilot.press(*keys)
            if os.environ.get("DG_GRIDS") == "write":
                # Everything has been asked and drawn by then, as whoever reads it in the diff sees.
                await pilot.pause(2)
                write(name, size, grid(app))
            await assert_becomes(app, pilot, read(name, size))


@pytest.mark.long
async def test_without_colours_the_same_stands_there_in_greys(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with standing(size) as (app, pilot):
        for name, keys in KEYS.items():
            await pilot.press(*keys)
            await assert_becomes(app, pilot, read(name, size))
            assert coloured(app) == set(), name


def coloured(app: Dashboard) -> set[str]:
    """Inks and grounds on the screen that are no greys."""
    styles = [each.style for strip in app.screen._compositor.render_strips() for each in strip if each.style]
    inks = {ink.get_truecolor() for style in styles for ink in (style.color, style.bgcolor) if ink}
    return {each.hex for each in inks if not each.red == each.green == each.blue}


@pytest.mark.parametrize("states", [Status, StepStatus, LaneState, HealthStatus, DriftStatus])
def test_what_differs_in_its_colour_differs_in_its_sign(states: type[StrEnum]) -> None:
    for one, other in combinations(states, 2):
        if ink(one) != ink(other):
            assert sign(one) != sign(other), (one, other)
            assert sign(one).translate(ASCII) != sign(other).translate(ASCII), (one, other)


@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 0.96, 1.0])
def test_a_bar_says_without_colours_how_far_it_is(share: float) -> None:
    drawn = "".join(piece for piece, _ in bar(50, share))
    assert len(drawn) == 50
    assert drawn.count(FULL) + drawn.count(HALF) / 2 == 50 * share
    assert drawn.translate(ASCII).count("#") == drawn.count(FULL)
