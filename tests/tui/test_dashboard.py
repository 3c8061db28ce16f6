"""The dashboard against a real server: what it shows, how one moves in it, what it does without one."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.client.servers import serving
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, deploy, finish, text, until
from textual import events
from textual.command import CommandList
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input

from dg.client.app import Client
from dg.client.errors import Unreachable
from dg.core.access.models import CreateRole
from dg.core.types import Environment
from dg.tui.app import Dashboard, picture_file
from dg.tui.deployments.detail import Detail
from dg.tui.deployments.screen import Deployments
from dg.tui.drawing import activity
from dg.tui.feed import LOST
from dg.tui.overview.screen import Overview
from dg.tui.store import ACTIVITY, LinkState, Store
from dg.tui.views import FactView
from dg.tui.widgets.log import Log
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Table

PRODUCTION = Environment.PRODUCTION


def nowhere() -> Client:
    return Client("http://127.0.0.1:9", "tok.en")


async def test_what_others_do_appears_by_itself(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        assert "nothing yet" in text(app.screen)
        made = await deploy(lived_in.home, "slow", Environment.DEVELOPMENT)
        await until(pilot, lambda: made.id in app.store.progress)
        await until(pilot, lambda: "release" in text(app.screen))
        await until(pilot, lambda: "↻ deploying" in text(app.screen))
        lived_in.repository.joinpath("go").touch()
        await until(pilot, lambda: app.store.deployments[made.id].status == "success")
        await until(pilot, lambda: "✓ success" in text(app.screen))
        await until(pilot, lambda: "0 under way" in text(app.screen))
        assert app.store.progress == {}


async def test_health_is_on_the_overview_and_follows_what_happens(house: House) -> None:
    async with dashboard(partial(client, house.home)) as (app, pilot):
        assert "service" not in text(app.screen).split("deployments")[1].splitlines()[0]
        async with client(house.home) as dg:
            pulse = {"kind": "heartbeat", "service": "web", "interval": 60}
            await dg.health.set_probe(PRODUCTION, "pulse", pulse)
            await dg.health.beat(PRODUCTION, "pulse")
            await until(pilot, lambda: "1/1 service" in text(app.screen))
            await until(pilot, lambda: "● healthy" in text(app.screen))
            await dg.health.beat(PRODUCTION, "pulse", ok=False, message="no workers")
            await until(pilot, lambda: "✗ UNHEALTHY" in text(app.screen))
            assert "✗ web unhealthy" in text(app.screen)
            assert "no workers" in text(app.screen)
            assert "0/1 service" in text(app.screen)
            await dg.health.set_probe(PRODUCTION, "pulse", None)
            await until(pilot, lambda: "UNHEALTHY" not in text(app.screen))


@pytest.mark.parametrize(
    ("name", "seen", "link"),
    [
        ("looker", ("deployment:read", "lane:read", "event:read"), LinkState.LIVE),
        ("locker", ("lane:read", "lane:lock", "deployment:read"), LinkState.POLLING),
        ("listener", ("event:read",), LinkState.LIVE),
        ("nobody", ("channel:read",), LinkState.POLLING),
    ],
)
async def test_it_opens_with_what_one_may_see_and_asks_for_nothing_else(
    lived_in: House, name: str, seen: tuple[str, ...], link: LinkState
) -> None:
    async with client(lived_in.home) as dg:
        await dg.roles.create(CreateRole(name=name, actions=seen))
        made = await dg.tokens.create(name=name, role=name)
        denied = len([fact async for fact in dg.events.all() if fact.type == "access.denied"])
    async with dashboard(lambda: Client(lived_in.server.url, made.secret)) as (app, _):
        assert app.store.link.state is link
        assert all(each.services == () for each in app.store.environments.values())
        assert "PRODUCTION" in text(app.screen)
        assert bool(app.store.deployments) is ("deployment:read" in seen)
        assert bool(app.store.lanes) is ("lane:read" in seen)
        assert app.screen.check_action("lock", ()) is ("lane:lock" in seen)
        shown = text(app.screen)
        assert ("you may not see deployments" in shown) is ("deployment:read" not in seen)
        assert ("you may not see what deploys here" in shown) is ("lane:read" not in seen)
        assert ("you may not see what happens" in shown) is ("event:read" not in seen)
        assert "no deployments yet" not in shown
    async with client(lived_in.home) as dg:
        assert len([fact async for fact in dg.events.all() if fact.type == "access.denied"]) == denied


async def test_a_detail_has_steps_log_commits_and_receipt(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("ctrl+p", *"open #2")
        await until(pilot, lambda: "open #2 web" in text(app.screen))
        entries = app.screen.query_one(CommandList)
        assert entries.virtual_size.height == entries.option_count
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await until(pilot, lambda: "released" in [line.text for line in app.screen.query_one(Log).lines])
        await until(pilot, lambda: "receipt" in text(app.screen))
        shown = text(app.screen)
        assert "› #2" in shown.splitlines()[0]
        assert "✗ smoke" in shown
        assert "FAILED" in shown
        assert "Make it bad" in shown
        log = app.screen.query_one(Log)
        whole = len(log)
        for left in (("enter", "escape"), ("escape",)):
            await pilot.press("slash", *"packing")
            assert len(log) == 1
            await until(pilot, lambda: "esc ends the find" in text(app.screen))
            await pilot.press(*left)
            assert isinstance(app.screen, Detail)
            assert len(log) == whole
            assert log.has_focus
        await pilot.press("escape")
        assert isinstance(app.screen, Overview)


async def test_help_stays_in_sight_where_there_is_no_room_for_all_keys(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home), (80, 24)) as (app, pilot):
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await until(pilot, lambda: text(app.screen).rstrip().endswith("? Help"))
        foot = text(app.screen).splitlines()[-1]
        assert "Follow" in foot
        assert "Command" not in foot


async def test_going_back_finds_everything_as_it_was_left(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("2", "slash", *"status=success env=staging", "enter")
        table = app.screen.query_one("#list", Table)
        await until(pilot, lambda: len(table) == 2)
        await pilot.press("down", "o")
        kept = table.cursor, table.sorted_by
        await pilot.press("1", "2")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await pilot.press("escape")
        table = app.screen.query_one("#list", Table)
        assert (table.cursor, table.sorted_by, len(table)) == (*kept, 2)
        assert "deployments · status=success env=staging" in text(app.screen)
        await pilot.press("escape")
        await until(pilot, lambda: len(table) >= 3)


async def test_a_filter_that_is_none_says_why_and_changes_nothing(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("2", "slash", *"colour=red", "enter")
        await until(pilot, lambda: "colour" in text(app.screen).split("✗", 1)[-1] and "✗" in text(app.screen))
        assert len(app.screen.query_one("#list", Table)) >= 3
        assert app.screen.query_one("#filter", Input).has_focus


async def test_help_lists_the_keys_that_do_something_here(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("2", "question_mark")
        await pilot.pause()
        shown = text(app.screen)
        assert "deployments.filter" in shown
        assert "table.open" in shown
        assert "log.follow" not in shown
        await pilot.press("escape")
        assert isinstance(app.screen, Deployments)


async def test_the_palette_finds_screens_and_deployments(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("ctrl+p", *"open #3")
        await until(pilot, lambda: "open #3 web" in text(app.screen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))


@pytest.mark.parametrize("size", [(160, 45), (120, 36), (80, 24), (60, 15), (20, 6), (2, 1)])
async def test_every_size_is_served(lived_in: House, size: tuple[int, int]) -> None:
    async with dashboard(partial(client, lived_in.home), size) as (app, pilot):
        for keys in ((), ("2",), ("enter",), ("escape", "question_mark")):
            await pilot.press(*keys)
            await pilot.pause(0.1)
            assert text(app.screen)
        if size[0] >= 60:
            await pilot.press("escape", "1")
            await pilot.pause(0.1)
            assert "PRODUCTION" in text(app.screen)


async def test_a_storm_of_sizes_ends_in_the_last_one(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        for width in range(20, 160, 7):
            await pilot.resize_terminal(width, width // 3)
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: len(text(app.screen).splitlines()) == 36)
        assert app.screen.has_class("-middle")


async def test_nothing_is_laid_out_for_a_size_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out = list[Size]()
    async with dashboard(nowhere, size=(120, 36), live=False) as (app, pilot):
        for _ in range(2):
            monkeypatch.setattr(app.screen, "_screen_resized", laid_out.append)
            for size in (Size(50, 20), app.size):
                app.screen.post_message(events.Resize(size, size))
                await pilot.pause()
            await pilot.press("?")
        assert set(laid_out) == {app.size}


async def test_a_killed_server_is_shown_at_once_and_its_successor_found(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        house.server.process.send_signal(signal.SIGKILL)
        await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED, within=LOST)
        await until(pilot, lambda: "disconnected" in text(app.screen))
        assert app.screen.has_class("-stale")
        subtitles = {str(box.border_subtitle) for box in app.screen.query(".box")}
        assert all(said.startswith("stale: as of ") for said in subtitles)
        house.server.process.wait()
        with serving(house.home):
            ended = await finish(house.home, "bad")
            await pilot.press("r")
            await until(pilot, lambda: app.store.link.live)
            await until(
                pilot, lambda: any(each.message.startswith("back after ") for each in app._notifications)
            )
            await until(pilot, lambda: app.store.deployments.get(ended.id) is not None)
            await until(pilot, lambda: app.store.deployments[ended.id].status == "rolled_back")
            await until(pilot, lambda: not app.screen.has_class("-stale"))


@pytest.mark.long
async def test_what_happened_while_the_server_was_killed_twice_is_on_the_screen_once(house: House) -> None:
    """Facts while it looks, facts that it hears of only later, and a log that goes on without a server."""
    away = threading.Event()

    def connect() -> Client:
        if away.is_set():
            raise Unreachable("no way to the server", url="")
        return client(house.home)

    await finish(house.home, "good")
    async with dashboard(connect) as (app, pilot):
        slow = await deploy(house.home, "slow", Environment.DEVELOPMENT)
        await until(pilot, lambda: slow.id in app.store.deployments)
        app.open_deployment(slow.id)
        await until(pilot, lambda: "packing slow" in text(app.screen))
        away.set()
        house.server.stop(signal.SIGKILL)
        await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
        with serving(house.home) as between:
            await finish(house.home, "bad")
            between.stop(signal.SIGKILL)
        house.repository.joinpath("go").touch()
        with serving(house.home):
            away.clear()
            await until(pilot, lambda: app.store.link.live)
            await finish(house.home, "good", Environment.PRODUCTION)
            await until(pilot, lambda: app.store.deployments[slow.id].final)
            await assert_log_is_whole(house, app, pilot, slow.id)
            await pilot.press("1")
            await until(pilot, lambda: isinstance(app.screen, Overview))
            await assert_shown_once(house, app, pilot)


async def assert_log_is_whole(house: House, app: Dashboard, pilot: Pilot[Any], deployment: str) -> None:
    """The log on the screen comes to be the whole one, each line once."""
    async with client(house.home) as dg:
        wanted = [line.text for line in (await dg.deployments.logs(deployment, wait=30)).items]
    assert {"packing slow", "released"} < set(wanted)
    log = app.screen.query_one("#log", Log)
    await until(pilot, lambda: [line.text for line in log.lines] == wanted)
    # It is drawn a moment after it has come.
    await until(
        pilot,
        lambda: [text(app.screen).count(f" {line} ") for line in wanted] == [wanted.count(x) for x in wanted],
    )


async def assert_shown_once(house: House, app: Dashboard, pilot: Pilot[Any]) -> None:
    """Deployments and activity on the screen come to be those of the ledger, each once and in order."""
    async with client(house.home) as dg:
        numbers = [each.number for each in (await dg.deployments.list(limit=50)).items]
        facts = [fact async for fact in dg.events.all()]
    panel, table = app.screen.query_one("#activity", Panel), app.screen.query_one("#deployments", Table)
    newest = fact_rows(map(FactView.of, facts), panel)
    assert len(newest) > 10

    def rows() -> list[str]:
        return [panel.render_line(y).text.rstrip() for y in range(panel.size.height)]

    await until(pilot, lambda: rows() == newest)
    await until(pilot, lambda: [app.store.deployments[key].number for key in table.keys] == numbers)
    assert [fact.seq for fact in app.store.activity] == [fact.seq for fact in facts][-ACTIVITY:]


def fact_rows(facts: Iterable[FactView], panel: Panel) -> list[str]:
    """What the box of activity has to show of all facts, the newest first."""
    drawn = activity(facts, *panel.size)
    return ["".join(piece for piece, _ in row).rstrip() for row in drawn]


@pytest.mark.long
async def test_a_server_that_says_nothing_more_is_slow_then_lost_then_back(house: House) -> None:
    async with dashboard(partial(client, house.home)) as (app, pilot):
        os.kill(house.server.process.pid, signal.SIGSTOP)
        try:
            await until(pilot, lambda: app.store.link.state is LinkState.SLOW, within=8)
            await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED, within=20)
        finally:
            os.kill(house.server.process.pid, signal.SIGCONT)
        await pilot.press("r")
        await until(pilot, lambda: app.store.link.live)


async def test_it_waits_for_a_server_that_is_not_there() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
        await until(pilot, lambda: "disconnected" in text(app.screen))
        assert "not connected yet" in text(app.screen)
        assert app.is_running


async def test_a_client_that_cannot_be_made_is_no_end() -> None:
    def refused() -> Client:
        raise Unreachable("no server is running", url="")

    async with dashboard(refused, live=False) as (app, pilot):
        await until(pilot, lambda: app.store.link.why == "no server is running")


async def test_the_last_picture_is_the_first_one_and_marked_as_old(lived_in: House, tmp_path: Path) -> None:
    picture = tmp_path / "cache" / "picture.json"
    async with dashboard(partial(client, lived_in.home), picture=picture):
        pass
    assert picture.stat().st_mode & 0o077 == 0
    async with dashboard(nowhere, live=False, picture=picture) as (app, pilot):
        await pilot.pause()
        shown = text(app.screen)
        assert "✓ success" in shown
        assert "stale: as of" in shown


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{}", "[]", '{"form": 1}', '{"form": 99}', "\x00", '{"form":1,"at":1,"lanes":[{"a":1}]}'),
        "[" * 100_000,
    ],
)
def test_a_damaged_picture_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "picture.json"
    path.write_text(damage)
    store = Store()
    assert not store.recall(path)
    assert store.deployments == {}


async def test_a_picture_with_values_of_another_kind_is_none(lived_in: House, tmp_path: Path) -> None:
    picture = tmp_path / "picture.json"
    async with dashboard(partial(client, lived_in.home), picture=picture):
        pass
    assert Store().recall(picture)
    document = json.loads(picture.read_text())
    for wrong in ("seven", None, 1.5, float("inf"), 10**40):
        picture.write_text(json.dumps({**document, "at": wrong}))
        assert not Store().recall(picture)
    document["deployments"][0]["number"] = "seven"
    picture.write_text(json.dumps(document))
    assert not Store().recall(picture)


def test_pictures_are_kept_apart_by_server_and_identity(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    files = {picture_file(environ, url, whose) for url in ("a", "b") for whose in ("x", "y")}
    assert len(files) == 4
    assert picture_file({}, "a", "x") is None
    assert picture_file({"XDG_CACHE_HOME": "/c"}, "a", "x") in {
        Path("/c/dg") / file.name for file in files if file
    }


async def test_a_viewer_and_a_look_only_are_told_so(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home), read_only=True) as (app, _):
        assert "read only" in text(app.screen)
        assert app.store.rights.may("deployment:create", "production", "web")
