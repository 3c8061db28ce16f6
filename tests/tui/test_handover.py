"""`H`: the shift is shown, copied and written to a new file, and to no other."""

from __future__ import annotations

import stat
from functools import partial
from pathlib import Path

import pytest
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, text, until
from textual.widgets import Input

from dg.tui.app import Dashboard
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.prompt import Prompt
from dg.tui.frame.saving import Save
from dg.tui.handover import HandoverSheet
from dg.tui.overview.screen import Overview


def sheet(app: Dashboard) -> HandoverSheet | None:
    """The handover, once it was read."""
    return app.screen if isinstance(app.screen, HandoverSheet) and app.screen.text else None


def written(folder: Path) -> list[Path]:
    """The handovers in a folder."""
    return list(folder.glob("handover-*.md"))


async def test_the_shift_is_shown_and_copied(lived_in: House, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        await pilot.press("H")
        await until(pilot, lambda: sheet(app))
        await until(pilot, lambda: "Deployments (3)" in text(app.screen))
        assert "#2 web in PRODUCTION bad" in text(app.screen)
        await pilot.press("y")
        await until(pilot, lambda: copied)
        assert copied[0].startswith("# Handover of ")
        await pilot.press("escape")
        assert isinstance(app.screen, Overview)


async def test_it_is_written_to_a_new_file_and_never_over_one(
    lived_in: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("H")
        await until(pilot, lambda: sheet(app))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.focused, Save))
        await pilot.press("enter")
        await until(pilot, lambda: written(tmp_path))
        (file,) = written(tmp_path)
        await until(pilot, lambda: not isinstance(app.focused, Save))
        assert file.read_text().startswith("# Handover of ")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.write_text("mine")
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.focused, Save))
        app.screen.query_one(Save).value = file.name
        await pilot.press("enter")
        await until(pilot, lambda: any("is there already" in each.message for each in app._notifications))
        assert file.read_text() == "mine"


async def test_a_shift_begins_when_one_says(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("H")
        await until(pilot, lambda: sheet(app))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press(*"25:00", "enter")
        await until(pilot, lambda: "that is not a time" in text(app.screen))
        app.screen.query_one(Input).value = "3h"
        await pilot.press("enter")
        await until(pilot, lambda: (found := sheet(app)) and "(3h00)" in found.text)


async def test_without_a_connection_it_says_so_and_has_nothing_to_pass_on(house: House) -> None:
    async with dashboard(partial(client, house.home)) as (app, pilot):
        house.server.stop()
        await until(pilot, lambda: not app.store.link.live)
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, HandoverSheet) and "✗" in text(app.screen))
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(app.screen, HandoverSheet)


async def test_posting_it_asks_first_and_says_why_it_cannot_be(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("H")
        await until(pilot, lambda: sheet(app))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: "the bot posts it in the channel of the first route" in text(app.screen))
        await pilot.press("y")
        await until(pilot, lambda: "Slack is not set up here" in text(app.screen))
