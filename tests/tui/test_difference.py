"""What a deployment changes in the files, and what is saved of it: on a real server and its repository."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, text, until
from tests.tui.test_actions import viewer
from textual.pilot import Pilot

from dg.client.app import Client
from dg.core.deployments.receipt import verify
from dg.tui.app import Dashboard
from dg.tui.deployments.detail import Detail
from dg.tui.deployments.difference import Difference, lines
from dg.tui.frame.saving import Save
from dg.tui.widgets.log import Level, Log
from dg.tui.widgets.table import Table

PATCH = """\
diff --git a/one b/one
index 8baef1b..f7a6ee2 100644
--- a/one
+++ b/one
@@ -1,2 +1,2 @@ class One
 same
--- not a header
+++ nor this
diff --git a/two b/two
Binary files a/two and b/two differ
"""


@asynccontextmanager
async def detail(
    connect: Callable[[], Client], size: tuple[int, int] = (160, 45)
) -> AsyncIterator[tuple[Dashboard, Pilot[None], Detail]]:
    """The dashboard on #2, everything of which was read."""
    async with dashboard(connect, size) as (app, pilot):
        found = next(each for each in app.store.deployments.values() if each.number == 2)
        app.open_deployment(found.id)
        await until(pilot, lambda: isinstance(app.screen, Detail))
        screen = app.screen
        assert isinstance(screen, Detail)
        await until(pilot, lambda: any(len(log) > 2 for log in screen.query(Log)))
        await until(pilot, lambda: "2 commits" in text(screen))
        await until(pilot, lambda: bool(screen.check_action("receipt", ())))
        yield app, pilot, screen


async def save(pilot: Pilot[Any], path: Path) -> None:
    """Give the path that is asked for."""
    field = pilot.app.screen.query_one(Save)
    await until(pilot, lambda: field.has_focus)
    field.value = str(path)
    await pilot.press("enter")


def told(app: Dashboard) -> str:
    """The messages of the last seconds, which the screen may show broken into lines."""
    return "\n".join(each.message for each in app._notifications)


def is_told(app: Dashboard, said: str) -> bool:
    return said in told(app)


def test_lines_of_a_patch_are_told_apart_by_where_they_stand() -> None:
    found = list(lines(PATCH, cut=True))
    assert [each.text for each in found if each.level is Level.ERROR] == [
        "diff --git a/one b/one",
        "diff --git a/two b/two",
    ]
    inks = {each.text: each.ink for each in found}
    assert inks["--- a/one"] == "muted"
    assert inks["--- not a header"] == "err"
    assert inks["+++ nor this"] == "ok"
    assert inks[" same"] == "fg"
    assert inks["Binary files a/two and b/two differ"] == "muted"
    assert found[-1].level is Level.WARNING


async def test_the_files_of_a_deployment_are_shown_together_and_one_by_one(lived_in: House) -> None:
    async with detail(partial(client, lived_in.home)) as (app, pilot, _):
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Difference) and bool(app.screen.query(Log)))
        screen = app.screen
        log, table = screen.query_one(Log), screen.query_one(Table)
        await until(pilot, lambda: "diff --git a/bad b/bad" in [line.text for line in log.lines])
        assert table.keys[0] == ""
        assert "bad" in table.keys
        assert "PRODUCTION" in text(screen)
        assert "› #2 › diff" in text(screen)
        await pilot.press(*["down"] * table.keys.index("bad"))
        await until(pilot, lambda: str(log.border_title) == "bad")
        assert sum(line.text.startswith("diff --git") for line in log.lines) == 1
        assert "+bad" in [line.text for line in log.lines]
        await pilot.press("escape")
        assert isinstance(app.screen, Detail)


async def test_next_goes_from_file_to_file(lived_in: House) -> None:
    async with detail(partial(client, lived_in.home)) as (app, pilot, _):
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Difference) and bool(app.screen.query(Log)))
        await pilot.press("enter", "n")
        log = app.screen.query_one(Log)
        await until(pilot, lambda: log.has_focus and len(log) > 0)
        assert "file" in log.said
        assert "error" not in log.said


async def test_what_is_saved_is_a_new_file_of_ones_own_and_no_other_is_touched(
    lived_in: House, tmp_path: Path
) -> None:
    target, taken = tmp_path / "saved.log", tmp_path / "taken.log"
    taken.write_text("mine")
    async with detail(partial(client, lived_in.home)) as (app, pilot, screen):
        await pilot.press("slash", *"packing", "enter", "ctrl+s")
        await save(pilot, taken)
        await until(pilot, lambda: "is there already" in told(app))
        assert screen.query_one(Save).has_focus
        await save(pilot, target)
        await until(pilot, target.exists)
        await until(pilot, lambda: not screen.query_one(Save).has_class("-on"))
    assert taken.read_text() == "mine"
    assert target.stat().st_mode & 0o777 == 0o600
    (line,) = target.read_text().splitlines()
    moment, source, said = line.split(" ", 2)
    assert moment.endswith("Z")
    assert (source, said.split()[0]) == ("pack", "packing")


async def test_leaving_the_question_saves_nothing(lived_in: House, tmp_path: Path) -> None:
    target = tmp_path / "no.log"
    async with detail(partial(client, lived_in.home)) as (_, pilot, screen):
        await pilot.press("ctrl+s")
        screen.query_one(Save).value = str(target)
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(Log).has_focus)
        assert screen.is_current
    assert not target.exists()


async def test_a_path_that_cannot_be_is_said_and_asked_again(lived_in: House, tmp_path: Path) -> None:
    async with detail(partial(client, lived_in.home)) as (app, pilot, screen):
        await pilot.press("ctrl+s")
        for path, why in (
            (tmp_path / "no" / "such" / "folder", "cannot be written"),
            (Path("~nobody-of-that-name/x"), "is no path of a file"),
        ):
            await save(pilot, path)
            await until(pilot, partial(is_told, app, why))
        assert screen.query_one(Save).has_focus


async def test_a_saved_receipt_is_the_signed_one_byte_for_byte(lived_in: House, tmp_path: Path) -> None:
    target = tmp_path / "receipt.json"
    async with detail(partial(client, lived_in.home)) as (_, pilot, screen):
        await pilot.press("E")
        await save(pilot, target)
        await until(pilot, target.exists)
        await until(pilot, lambda: not screen.query_one(Save).has_class("-on"))
        async with client(lived_in.home) as dg:
            assert target.read_bytes() == await dg.deployments.receipt(screen.deployment.id)
    verify(target.read_bytes())
    assert json.loads(target.read_bytes())["receipt"]["deployment"]["number"] == 2


async def test_who_may_see_no_source_has_no_key_for_it(lived_in: House) -> None:
    looker = await viewer(lived_in.home)
    async with detail(looker) as (app, pilot, screen):
        assert not screen.check_action("diff", ())
        await pilot.press("D")
        assert app.screen is screen
        assert "files" not in text(screen)


@pytest.mark.parametrize("size", [(160, 45), (80, 24), (60, 15), (20, 6), (2, 1)])
async def test_every_size_is_served(lived_in: House, size: tuple[int, int]) -> None:
    async with detail(partial(client, lived_in.home)) as (app, pilot, _):
        await pilot.resize_terminal(*size)
        await pilot.press("i")
        await pilot.press("escape" if size[0] >= 100 else "i")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Difference) and app.screen.is_mounted)
        await pilot.press("down", "tab", "ctrl+s", "escape")
        assert text(app.screen)
