"""All that can be pressed and said, for those who may change nothing: not one request changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from tests.tui.between import Between, between
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, text, until
from tests.tui.test_command import said
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen

from dg.client.app import Client
from dg.core.grammar.verbs import BY_NAME
from dg.tui.access.offers import OFFERS as ON_ACCESS
from dg.tui.app import Dashboard
from dg.tui.command.screen import CommandLine
from dg.tui.command.words import CHANGES
from dg.tui.environments.offers import OFFERS as ON_ENVIRONMENTS
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.prompt import Prompt
from dg.tui.frame.view import RIGHTS
from dg.tui.handover import HandoverSheet
from dg.tui.keys import bindings
from dg.tui.overview.screen import Overview
from dg.tui.past import Past
from dg.tui.store import LinkState

Shown = TypeVar("Shown", bound=Screen[None])

CHANGING = {
    *(f"act.{action.replace('_', '-')}" for action in RIGHTS),
    *(f"environments.{action.replace('_', '-')}" for action in ON_ENVIRONMENTS if action not in RIGHTS),
    *(f"access.{action.replace('_', '-')}" for action in ON_ACCESS),
    "handover.post",
    "confirm.yes",
}
"""Keys that lead to a change, as a keymap names them: all of them are in a table of offers."""
WAYS = ("app.", "table.", "log.", "command.", "view.", "detail.", "diff.", "deployments.", "past.")
"""How keys are named that only look, move, or keep something on one's own machine."""
LOOKS = {
    *("access.next", "access.back", "access.verify", "access.may", "access.filter", "access.clear"),
    *("environments.next", "environments.back", "environments.compare", "environments.window"),
    *("environments.list", "confirm.leave", "confirm.copy"),
    *("handover.copy", "handover.write", "handover.since", "handover.again", "handover.leave"),
    *("help.close", "jump.leave", "keep.leave", "may.close", "once.close", "once.copy", "prompt.leave"),
    *("save.leave", "save.save", "sheet.close", "sheet.copy"),
}
RENAMED = {"environments.try-probe": "environments.try"}


def test_every_key_that_there_is_looks_or_is_in_a_table_of_what_changes() -> None:
    known = {bound.id for bound in bindings()}
    changing = {RENAMED.get(name, name) for name in CHANGING}
    assert changing <= known
    assert {name for name in known - changing - LOOKS if not name.startswith(WAYS)} == set()


@asynccontextmanager
async def looking(house: House, who: str) -> AsyncIterator[tuple[Dashboard, Pilot[None], Between]]:
    """The dashboard of somebody who can change nothing, with a proxy that hears every request."""
    async with client(house.home) as dg:
        role = "viewer" if who == "viewer" else "admin"
        token = (await dg.tokens.create(name=who.replace(" ", "-"), role=role)).secret
    with between(house.server.url) as way:
        read_only = who == "read only"
        async with dashboard(lambda: Client(way.url, token), read_only=read_only) as (app, pilot):
            yield app, pilot, way


@pytest.mark.long
@pytest.mark.parametrize("who", ["viewer", "read only", "offline"])
async def test_who_may_change_nothing_sends_nothing_by_any_way_that_is_open_everywhere(
    lived_in: House, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handover, the past and the line: what `H`, `@` and `:` lead to."""
    for name, seconds in (("BEAT", 0.1), ("LATE", 1.0), ("LOST", 2.0)):
        monkeypatch.setattr(f"dg.tui.feed.{name}", seconds)
    async with looking(lived_in, who) as (app, pilot, way):
        await pilot.press("H")
        sheet = await shown(app, pilot, HandoverSheet)
        await until(pilot, lambda: sheet.text)
        if who == "offline":
            way.flows.clear()
            await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
        await hand_nothing_over(app, pilot, sheet)
        await change_nothing_of_the_past(app, pilot)
        for verb in dict.fromkeys(BY_NAME.values()):
            await say_in_vain(app, pilot, verb.example.replace("api", "web").replace("#42", "#2"))
        assert way.writes == []


async def shown(app: Dashboard, pilot: Pilot[Any], kind: type[Shown]) -> Shown:
    """The screen of that kind, once it is there."""
    await until(pilot, lambda: isinstance(app.screen, kind))
    screen = app.screen
    assert isinstance(screen, kind)
    return screen


async def hand_nothing_over(app: Dashboard, pilot: Pilot[Any], sheet: HandoverSheet) -> None:
    """It is read and copied, and not posted."""
    assert not sheet.check_action("post", ())
    await pilot.press("p", "y", "r", "p")
    assert app.screen is sheet
    await pilot.press("s")
    await shown(app, pilot, Prompt)
    await pilot.press(*"1h", "enter")
    await until(pilot, lambda: app.screen is sheet)
    await pilot.press("p")
    assert app.screen is sheet
    await pilot.press("escape")
    await shown(app, pilot, Overview)


async def change_nothing_of_the_past(app: Dashboard, pilot: Pilot[Any]) -> None:
    """Every key that would change something, and a line that would."""
    await pilot.press("at")
    await shown(app, pilot, Prompt)
    await pilot.press(*"1ms", "enter")
    past = await shown(app, pilot, Past)
    await pilot.press(*(bound.keys[0] for bound in bindings() if bound.id.startswith("act.")))
    assert app.screen is past
    await say_in_vain(app, pilot, "lock web staging for 1h because no")
    await until(pilot, lambda: app.screen is past)
    await pilot.press("escape")
    await shown(app, pilot, Overview)


async def say_in_vain(app: Dashboard, pilot: Pilot[Any], line: str) -> None:
    """What leads nowhere is left; what leads to a question would be an offer."""
    below = app.screen
    await said(app, pilot, line)
    read = app.screen._vocabulary.read(line) if isinstance(app.screen, CommandLine) else None
    if isinstance(read, CHANGES):
        await until(pilot, lambda: "not sent: " in text(app.screen))
        assert isinstance(app.screen, CommandLine)
    await pilot.pause(0.1)
    while isinstance(app.screen, ModalScreen) and app.screen is not below:
        assert not isinstance(app.screen, Confirm), line
        await pilot.press("escape")
        await pilot.pause()
    if app.screen is not below:
        await pilot.press("1")
        await shown(app, pilot, Overview)
