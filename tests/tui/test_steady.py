"""What goes wrong inside the dashboard or on the way to the server ends nothing."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, deploy, text, until
from textual.widgets import Input

from dg.client.app import Client
from dg.client.errors import Unintelligible
from dg.client.feed import Events
from dg.client.models import Event
from dg.core.errors import TooMany
from dg.core.types import Environment
from dg.tui.app import Dashboard
from dg.tui.background import begin
from dg.tui.deployments.detail import Detail
from dg.tui.deployments.screen import Deployments
from dg.tui.frame.help import Help
from dg.tui.overview.screen import Overview
from dg.tui.steady import LARGEST, Troubles
from dg.tui.store import LinkState
from dg.tui.views import LaneView
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Table


def nowhere() -> Client:
    return Client("http://127.0.0.1:9", "tok.en")


async def test_an_error_in_the_feed_is_shown_and_the_next_try_follows(
    lived_in: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "state" / "dashboard.log"
    async with dashboard(partial(client, lived_in.home), log=log, errs=True) as (app, pilot):
        with monkeypatch.context() as broken:
            broken.setattr(LaneView, "of", raising(KeyError("closed_by")))
            await deploy(lived_in.home, "good")
            await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
            await until(pilot, lambda: "the dashboard erred (KeyError: 'closed_by'" in text(app.screen))
        await pilot.press("r")
        await until(pilot, lambda: app.store.link.live)
        assert "KeyError: 'closed_by'" in log.read_text()
        assert "Traceback" in log.read_text()
        assert log.stat().st_mode & 0o777 == 0o600
        assert log.parent.stat().st_mode & 0o777 == 0o700


async def test_a_box_that_cannot_be_drawn_says_so_and_the_others_are_drawn(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        with monkeypatch.context() as broken:
            broken.setattr(app.screen.query_one("#activity", Panel), "_draw", raising(ZeroDivisionError()))
            await until(pilot, lambda: "✗ this cannot be drawn" in text(app.screen))
            await until(pilot, lambda: "the dashboard erred (ZeroDivisionError" in text(app.screen))
            assert "✓ success" in text(app.screen)
            await pilot.press("2")
            assert isinstance(app.screen, Deployments)
            await pilot.press("1")
        await until(pilot, lambda: "✗ this cannot be drawn" not in text(app.screen))


async def test_a_list_whose_lines_cannot_be_drawn_draws_again_when_they_can(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        await pilot.press("2")
        table = app.screen.query_one("#list", Table)
        with monkeypatch.context() as broken:
            broken.setattr(table, "_line", raising(ValueError("no such column")))
            table.refresh()
            await until(pilot, lambda: "no such column" in text(app.screen))
            assert table.render_line(1).text.strip() == ""
        table.refresh()
        await until(pilot, lambda: "success" in text(app.screen))


async def test_a_key_whose_action_fails_does_no_harm_to_the_next_key(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        monkeypatch.setattr(Overview, "action_deploy", raising(RuntimeError("no form")))
        monkeypatch.setattr(Dashboard, "action_help", raising(RuntimeError("no help")))
        monkeypatch.setattr(Table, "action_open", raising(RuntimeError("no way in")), raising=False)
        await pilot.press("d", "question_mark")
        await until(pilot, lambda: app.troubles.count == 2)
        await pilot.press("down", "2")
        await until(pilot, lambda: isinstance(app.screen, Deployments))


async def test_a_field_that_has_gone_deaf_keeps_no_key_to_itself(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        monkeypatch.setattr(Input, "_on_key", raising(RuntimeError("no such key")))
        await pilot.press("2", "slash", "x")
        await until(pilot, lambda: app.troubles.last == "RuntimeError: no such key")
        await until(pilot, lambda: app.focused is None)
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, Overview))


async def test_leaving_a_screen_twice_closes_nothing_below_it(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        opened = app.screen
        assert isinstance(opened, Help)
        opened.action_leave()
        opened.action_leave()
        await until(pilot, lambda: app.screen is not opened)
        await pilot.pause()
        assert isinstance(app.screen, Detail)


async def test_work_in_the_background_that_fails_ends_alone(lived_in: House) -> None:
    async def fail() -> None:
        raise LookupError("it is gone")

    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        begin(app.screen, "some", fail)
        await until(pilot, lambda: "LookupError: it is gone" in text(app.screen))
        assert app.store.link.live
        assert app.return_code is None


async def test_a_screen_that_cannot_be_opened_is_left_again(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        monkeypatch.setattr(Detail, "on_mount", raising(RuntimeError("half made")))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await until(pilot, lambda: app.troubles.last == "RuntimeError: half made")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Overview))


async def test_a_second_that_passes_before_a_screen_has_its_parts_is_no_error(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        opened = app.push_screen(Detail(next(iter(app.store.deployments.values())), "overview"))
        app._tick()
        app.store.on_change("deployments")
        app._bring()
        await opened
        await pilot.pause()
        assert app.troubles.count == 0


async def test_why_there_is_no_connection_is_said() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        await until(pilot, lambda: "▲ http://127.0.0.1:9 cannot be reached" in text(app.screen))


async def test_an_error_on_the_way_out_does_not_change_how_it_ends(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home), errs=True) as (app, pilot):
        app.exit(return_code=128 + signal.SIGTERM)
        app._handle_exception(RuntimeError("too late"))
        await pilot.pause()
    assert app.return_code == 128 + signal.SIGTERM


async def test_a_server_that_has_enough_of_requests_is_limited_not_lost(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        with monkeypatch.context() as full:
            full.setattr("dg.client.lanes.Lanes.list", raising(TooMany("enough", retry_after=1.5)))
            made = await deploy(lived_in.home, "good", Environment.DEVELOPMENT)
            await until(pilot, lambda: app.store.link.state is LinkState.LIMITED)
            await until(pilot, lambda: "◐ limited" in text(app.screen))
            assert not app.screen.has_class("-stale")
        await until(pilot, lambda: app.store.link.state is LinkState.LIVE)
        await until(pilot, lambda: app.store.deployments[made.id].status == "success")


async def test_where_streams_are_refused_the_server_is_asked(
    lived_in: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = partial(ending, Unintelligible("a proxy answered without an event stream"))
    monkeypatch.setattr(Events, "listen", refused)
    monkeypatch.setattr("dg.tui.feed.POLL", 0.2)
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await until(pilot, lambda: "◐ polling" in text(app.screen))
        before = app.store.seq
        made = await deploy(lived_in.home, "good", Environment.DEVELOPMENT)
        await until(pilot, lambda: made.id in app.store.deployments)
        await until(pilot, lambda: app.store.deployments[made.id].status == "success")
        seqs = [fact.seq for fact in app.store.activity if before is not None and fact.seq > before]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert app.store.link.state is LinkState.POLLING


def test_one_kind_of_error_is_written_once_and_counted(tmp_path: Path) -> None:
    troubles = Troubles(tmp_path / "log", lambda: 5.0)
    for _ in range(3):
        troubles.note(ValueError("bad \x1b[31m column\nsecond line"))
    assert "(ValueError: bad ␛[31m column, 3 times)" in troubles.sentence()
    assert (tmp_path / "log").read_text().count("ValueError") == 1
    assert "\x1b" not in (tmp_path / "log").read_text()


def test_an_error_is_shown_for_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    troubles = Troubles(tmp_path / "log", lambda: now[0])
    assert troubles.sentence() == ""
    troubles.note(ValueError("x"))
    assert troubles.sentence()
    now[0] = 61.0
    assert troubles.sentence() == ""


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * LARGEST)
    Troubles(path, lambda: 0.0).note(ValueError("one more"))
    assert path.stat().st_size == LARGEST


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    troubles = Troubles(tmp_path / "log", lambda: 0.0)
    troubles.note(ValueError("x"))
    assert f"{tmp_path / 'log'} could not be written" in troubles.sentence()
    assert (tmp_path / "elsewhere").read_text() == ""


async def ending(error: Exception | None, **_: object) -> AsyncGenerator[Event | int]:
    """A stream that says nothing and ends with an error."""
    if error is not None:
        raise error
    yield 0


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
