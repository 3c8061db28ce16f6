"""The line behind `:` on a real server: it asks what keys ask, shows what is wanted, offers what one may."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.tui.conftest import House
from tests.tui.hostile import FORBIDDEN, STRINGS
from tests.tui.house import client, dashboard, finish, text, until
from tests.tui.test_actions import closed, head, viewer
from textual.pilot import Pilot
from textual.widgets import Input

from dg.core.types import Environment
from dg.tui.access.screen import Access
from dg.tui.app import Dashboard
from dg.tui.command.history import History
from dg.tui.command.screen import CommandLine
from dg.tui.deployments.detail import Detail
from dg.tui.deployments.screen import Deployments
from dg.tui.environments.screen import Environments
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.sheet import Sheet
from dg.tui.overview.screen import Overview
from dg.tui.store import Link, LinkState

STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION
WRITES = (
    "deploy web good to staging",
    "rollback web in production",
    "cancel latest",
    "reject latest because no",
    "retry latest",
    "lock web staging for 1h because no",
    "unlock web staging",
    "freeze all for 1h because no",
    "thaw all",
)


async def said(app: Dashboard, pilot: Pilot[Any], line: str) -> None:
    """Type a line, and enter."""
    await typed(app, pilot, line)
    await pilot.press("enter")


async def typed(app: Dashboard, pilot: Pilot[Any], line: str) -> Input:
    if not isinstance(app.screen, CommandLine):
        await pilot.press("colon")
        await until(pilot, lambda: isinstance(app.screen, CommandLine))
    field = app.screen.query_one("#said", Input)
    field.value = line
    field.cursor_position = len(line)
    await pilot.pause()
    return field


async def asked(app: Dashboard, pilot: Pilot[Any], line: str) -> Confirm:
    """The question that a line leads to, with the server's look at it."""
    await said(app, pilot, line)
    await until(pilot, lambda: isinstance(app.screen, Confirm) and app.screen.look is not None)
    screen = app.screen
    assert isinstance(screen, Confirm)
    await pilot.pause()
    return screen


async def test_a_line_deploys_after_the_question_that_the_key_asks(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        before = await head(house.home)
        await asked(app, pilot, "deploy web bad to staging because a try")
        shown = text(app.screen)
        assert "Make it bad" in shown
        assert "dg deploy web bad --env staging --note 'a try'" in shown
        await pilot.press("enter", "enter")
        assert await head(house.home) == before
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: any(each.note == "a try" for each in app.store.deployments.values()))


async def test_a_line_rolls_production_back_only_when_its_name_is_typed(house: House) -> None:
    for ref in ("good", "slow"):
        house.repository.joinpath("go").touch()
        await finish(house.home, ref, PRODUCTION)
    async with dashboard(partial(client, house.home)) as (app, pilot):
        before = await head(house.home)
        await asked(app, pilot, "rollback web in production to #1 because it is slow")
        target = next(each.id for each in app.store.deployments.values() if each.number == 1)
        await pilot.press("ctrl+t")
        assert app.clipboard == f"dg rollback web --env production --to {target} --reason 'it is slow'"
        await pilot.press("enter", *"y", "enter")
        assert await head(house.home) == before
        await pilot.press("ctrl+u", *"production", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: any(each.kind == "rollback" for each in app.store.deployments.values()))


async def test_lines_lock_freeze_and_open_lanes(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):

        def states() -> set[str]:
            return {lane.state for lane in app.store.lanes.values()}

        await asked(app, pilot, "lock web staging for 2h because a fair")
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: app.store.lanes["web", "staging"].state == "locked")
        await asked(app, pilot, "unlock web staging")
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: states() == {"open"})
        await asked(app, pilot, "freeze all for 30m because the database moves")
        await pilot.press("y")
        assert isinstance(app.screen, Confirm)
        await pilot.press("ctrl+u", *"production", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: states() == {"frozen"})
        await asked(app, pilot, "thaw all")
        assert "the database moves" in text(app.screen)
        await pilot.press(*"production", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: states() == {"open"})


async def test_lines_that_look_open_a_screen_or_answer(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        answers = {
            "why web production": "production",
            "status web in staging": "staging",
            "who": "http://127.0.0.1",
            "help": "deploy api v1.4.2 to production",
            "help lock": "Close one lane for a while.",
        }
        for line, answer in answers.items():
            await said(app, pilot, line)
            await until(pilot, lambda: isinstance(app.screen, Sheet))
            await until(pilot, lambda answer=answer: answer in text(app.screen))  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, Sheet))
        await said(app, pilot, "show #2")
        await until(pilot, lambda: isinstance(app.screen, Detail) and app.screen.deployment.number == 2)
        await said(app, pilot, "env production")
        await until(pilot, lambda: isinstance(app.screen, Environments))
        await until(pilot, lambda: "PRODUCTION" in text(app.screen) and " config " in text(app.screen))
        await said(app, pilot, "health staging")
        await until(pilot, lambda: getattr(app.screen, "_place", "") == "staging")
        await said(app, pilot, "status")
        await until(pilot, lambda: isinstance(app.screen, Overview))


async def test_the_dashboards_own_words_go_to_screens_and_change_its_look(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await said(app, pilot, "deployments status=failed")
        await until(pilot, lambda: "deployments · status=failed" in text(app.screen))
        assert [row.number for row in app.screen.rows.values()] == [2]  # type: ignore[attr-defined]
        await said(app, pilot, "go 0 decision=allowed")
        await until(pilot, lambda: isinstance(app.screen, Access))
        await until(pilot, lambda: "audit · decision=allowed" in text(app.screen))
        await said(app, pilot, "theme day")
        await until(pilot, lambda: app.theme == "dg-day")
        await said(app, pilot, "keys")
        await until(pilot, lambda: "name in a keymap" in text(app.screen))
        await pilot.press("escape")
        for line, why in {
            "theme pink": "there are night, day",
            "go nowhere": "there are overview, deployments",
            "overview now": "nothing can stand behind overview",
            "environments mars": "there are development, staging, production",
            "deployments @none": "no filter is kept as @none",
        }.items():
            await said(app, pilot, line)
            await until(pilot, lambda why=why: why in text(app.screen))  # type: ignore[misc]
        await said(app, pilot, "q")
        await until(pilot, lambda: not app.is_running)


async def test_what_is_none_says_where_and_what_to_type_instead(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        for line, hint in {
            "deplyo web": "Did you mean `deploy`?",
            "deploymnts": "Did you mean `deployments`?",
            "deploy web main to prodction": "Did you mean `production`?",
            "approve #999": "there is no deployment 999",
            "lock wbe staging for 1h because no": "there is no lane wbe/staging; services: web",
            "subscribe web": "subscribes in Slack, or by `dg slack subscribe`",
            "mute for 2h": "muted in Slack, or by `dg slack mute`",
        }.items():
            await said(app, pilot, line)
            await until(pilot, lambda hint=hint: "✗ " in text(app.screen) and hint in text(app.screen))  # type: ignore[misc]
            assert isinstance(app.screen, CommandLine)


async def test_tab_completes_from_what_there_is(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        field = await typed(app, pilot, "depl")
        assert "deploy" in text(app.screen)
        assert "deployments" in text(app.screen)
        field = await typed(app, pilot, "rollback w")
        await pilot.press("tab")
        assert field.value == "rollback web "
        field = await typed(app, pilot, "rollback web in p")
        await pilot.press("tab")
        assert field.value == "rollback web in production "
        field = await typed(app, pilot, "deploy web ")
        await pilot.press("tab")
        first = field.value
        await pilot.press("tab")
        assert field.value != first
        await pilot.press("shift+tab")
        assert field.value == first
        assert {first, field.value} <= {f"deploy web {ref}" for ref in ("good", "bad")}
        field = await typed(app, pilot, "retry ")
        assert "#2" in text(app.screen).splitlines()[-3]
        assert "#1" not in text(app.screen).splitlines()[-3]
        await typed(app, pilot, "theme d")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.theme == "dg-day")


async def test_lines_that_were_carried_out_come_back(lived_in: House, tmp_path: Path) -> None:
    async with dashboard(partial(client, lived_in.home), state=tmp_path) as (app, pilot):
        await said(app, pilot, "deploymnts")
        for line in ("theme day", "theme night"):
            await said(app, pilot, line)
            await until(pilot, lambda line=line: app.theme == f"dg-{line[6:]}")  # type: ignore[misc]
    kept = tmp_path / "history"
    assert kept.read_text() == "theme day\ntheme night\n"
    assert kept.stat().st_mode & 0o077 == 0
    async with dashboard(partial(client, lived_in.home), state=tmp_path) as (app, pilot):
        field = await typed(app, pilot, "sta")
        await pilot.press("up")
        assert field.value == "theme night"
        await pilot.press("up", "up")
        assert field.value == "theme day"
        await pilot.press("down", "down", "down")
        assert field.value == "sta"


def test_a_history_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "history")
    history.add("status")
    assert history.lines == ("status",)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    History(tmp_path / "link").add("status")
    assert not (tmp_path / "elsewhere").exists()


def test_a_long_history_is_cut_to_its_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"show #{number}\n" for number in range(1, 2001)) + "\x1b]0;owned\x07\n")
    lines = History(path).lines
    assert len(lines) == 500
    assert lines[-2] == "show #2000"
    assert not FORBIDDEN & set(lines[-1])
    assert len(path.read_text().splitlines()) == 500


async def test_who_may_only_look_is_offered_no_change_and_sends_none(lived_in: House) -> None:
    looker = await viewer(lived_in.home)
    before = await head(lived_in.home)
    async with dashboard(looker) as (app, pilot):
        await refused(app, pilot, "that takes ")
    assert await head(lived_in.home) == before


async def test_a_dashboard_that_only_looks_has_no_line_that_changes(lived_in: House) -> None:
    before = await head(lived_in.home)
    async with dashboard(partial(client, lived_in.home), read_only=True) as (app, pilot):
        await refused(app, pilot, "this dashboard only looks")
    assert await head(lived_in.home) == before


async def test_no_line_is_sent_or_kept_for_later_without_a_connection(lived_in: House) -> None:
    before = await head(lived_in.home)
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        link = app.store.link
        app.store.link = Link(LinkState.DISCONNECTED)
        for line in WRITES:
            await said(app, pilot, line)
            await until(pilot, lambda: "not sent: no connection" in text(app.screen))
            assert isinstance(app.screen, CommandLine)
        app.store.link = link
        await pilot.press("escape")
    assert await head(lived_in.home) == before


async def refused(app: Dashboard, pilot: Pilot[Any], why: str) -> None:
    """No verb that changes is offered, and none is sent."""
    await typed(app, pilot, "")
    offered = " ".join(text(app.screen).splitlines()[-4:]).split()
    assert "status" in offered
    assert not {line.split()[0] for line in WRITES} & set(offered)
    for line in WRITES:
        await said(app, pilot, line)
        await until(pilot, lambda: why in text(app.screen))
        assert isinstance(app.screen, CommandLine)
    await said(app, pilot, "help")
    await until(pilot, lambda: isinstance(app.screen, Sheet))
    await until(pilot, lambda: ":status" in text(app.screen))
    assert ":deploy " not in text(app.screen)


@pytest.mark.long
@pytest.mark.parametrize("size", [(160, 45), (20, 6)])
async def test_nothing_that_is_typed_or_pasted_acts_on_the_terminal(
    lived_in: House, size: tuple[int, int]
) -> None:
    async with dashboard(partial(client, lived_in.home), size) as (app, pilot):
        before = await head(lived_in.home)
        for string in STRINGS:
            for line in (string, f"deploy {string} {string}", f"deployments @{string}"):
                field = await typed(app, pilot, line)
                await pilot.press("tab", "enter")
                await pilot.pause()
                assert not FORBIDDEN & set(text(app.screen).replace("\n", ""))
                assert not isinstance(app.screen, Confirm)
                assert field.is_attached or isinstance(app.screen, Deployments)
        assert await head(lived_in.home) == before
