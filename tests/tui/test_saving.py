"""Nobody at a browser writes to a file of the machine that `dg web` runs on."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from pathlib import Path

import pytest
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, text, until

from dg import tui
from dg.tui.app import Dashboard
from dg.tui.deployments.detail import Detail
from dg.tui.deployments.difference import Difference
from dg.tui.frame.help import active_keys
from dg.tui.frame.saving import ACTIONS
from dg.tui.handover import HandoverSheet

ROOM = Path(inspect.getfile(tui)).parent
WRITERS = {
    "frame/saving.py": "what keys lead to, as below",
    "filters.py": "the folder of what was typed, which `dg web` does not name",
    "command/history.py": "the same",
    "store.py": "the file of the picture, which it does not name either",
    "steady.py": "the file of the log, neither",
    "themed.py": "the folder of a home, which its processes do not have",
}
"""All that can write, and where to."""


def test_no_other_part_of_the_dashboard_writes_files() -> None:
    found = set()
    for path in ROOM.rglob("*.py"):
        text = path.read_text()
        if any(
            word in text for word in ("write_private(", "write_new(", "write_new,", "os.open(", "write_text(")
        ):
            found.add(path.relative_to(ROOM).as_posix())
    assert found == set(WRITERS)


def test_every_key_that_leads_to_a_file_is_known_as_one() -> None:
    found = set()
    for path in ROOM.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.FunctionDef) and "_save.ask(" in ast.unparse(each):
                found.add(each.name)
    assert found == {f"action_{name}" for name in ACTIONS}


@pytest.mark.parametrize("is_web", [False, True])
async def test_a_browser_has_no_key_that_saves(
    lived_in: House, monkeypatch: pytest.MonkeyPatch, is_web: bool
) -> None:
    monkeypatch.setattr(Dashboard, "is_web", property(lambda _: is_web))
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):

        def has(key: str) -> bool:
            return any(known.id == key for known in active_keys(app.screen))

        found = next(each for each in app.store.deployments.values() if each.number == 3)
        app.open_view(found)
        await until(pilot, lambda: isinstance(app.screen, Detail) and has("detail.diff"))
        await until(pilot, lambda: "receipt" in text(app.screen))
        assert has("detail.save") is has("detail.receipt") is not is_web
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Difference))
        assert has("diff.save") is not is_web
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, HandoverSheet) and app.screen.text)
        await until(pilot, lambda: "y copies" in text(app.screen))
        assert has("handover.write") is ("saves to a file" in text(app.screen)) is not is_web
        assert has("handover.copy")
