"""The gallery: every widget, in every theme."""

from __future__ import annotations

import subprocess
import sys

from dg.tui.gallery import Gallery
from dg.tui.palette import PALETTES
from dg.tui.widgets.log import Log
from dg.tui.widgets.table import Table


def screen(app: Gallery) -> str:
    """What stands on the screen."""
    strips = app.screen._compositor.render_strips()
    return "".join(strip.text for strip in strips)


async def test_every_widget_is_shown_in_every_theme_and_in_ascii() -> None:
    app = Gallery(rows=50, theme="dg-night")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert len(app.query_one(Table)) == 50
        assert len(app.query_one(Log)) > 0
        seen = set()
        for _ in PALETTES:
            await pilot.press("t")
            seen.add(app.theme)
        assert seen == set(PALETTES)
        await pilot.press("a")
        await pilot.pause()
        assert screen(app).isascii()


def test_it_is_a_program_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dg.tui.gallery", "--help"], capture_output=True, text=True, check=True
    )
    assert "--theme" in done.stdout
