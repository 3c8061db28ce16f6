"""The environments screen on a real server: what it shows, what it changes, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.tui.conftest import House, served
from tests.tui.hostile import FORBIDDEN, STRINGS
from tests.tui.house import WIDE, client, dashboard, finish, text, until
from tests.tui.test_actions import asked, closed, head, viewer
from textual.pilot import Pilot
from textual.widgets import Input

from dg.client.app import Client
from dg.core.clock import SECOND
from dg.core.drift.models import Acceptance, Deployed, DriftStatus, ServiceDrift
from dg.core.environments.models import (
    Difference,
    EnvironmentDiff,
    EnvironmentState,
    Kind,
    SecretState,
    UpdateEnvironment,
    Version,
)
from dg.core.errors import Invalid, Stale
from dg.core.health.models import (
    EnvironmentHealth,
    HealthHistory,
    Reading,
    Series,
    ServiceHealth,
    Span,
    Status,
)
from dg.core.types import Environment
from dg.tui.app import Dashboard
from dg.tui.environments import editing
from dg.tui.environments.drawing import document, health, probes
from dg.tui.environments.reading import Known
from dg.tui.environments.screen import Environments
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.pages import Pages
from dg.tui.frame.sheet import Sheet
from dg.tui.store import Link, LinkState
from dg.tui.widgets.table import Table

DEVELOPMENT, STAGING, PRODUCTION = Environment
CANARY = "canary-9f27c1d4"
SIZES = [(160, 45), (120, 36), (80, 24), (60, 15), (20, 6), (2, 1)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Environments with settings and secrets; in production the database answers and the worker does not."""
    folder = tmp_path_factory.mktemp("shop")
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text('[outbound]\nallow = ["127.0.0.0/8"]\n')
    # Bound and not listening: who connects is refused, and nobody else gets the port.
    with socket.socket() as silent, served(folder) as house:
        silent.bind(("127.0.0.1", 0))
        asyncio.run(configure(house, silent.getsockname()[1]))
        yield house


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[House]:
    """A house whose server runs commands that say what runs."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text("[drift]\ncommands = true\n")
    with served(tmp_path) as house:
        yield house


async def configure(house: House, silent: int) -> None:
    port = int(house.server.url.rpartition(":")[2])
    there = {"kind": "tcp", "service": "db", "host": "127.0.0.1", "port": port, "interval": "1s"}
    gone = {"kind": "tcp", "service": "worker", "host": "127.0.0.1", "port": silent, "interval": "1s"}
    async with client(house.home) as dg:
        for name in Environment:
            config = {"workers": 4, "database_url": f"postgres://u:{CANARY}@db/shop"}
            await dg.environments.update(
                name, UpdateEnvironment(domain=f"{name}.example.com", config=config, reason="the first one")
            )
            await dg.environments.set_secret(name, "stripe_key", CANARY)
        await dg.health.set_probe(PRODUCTION, "db", there)
        await dg.health.set_probe(PRODUCTION, "worker", {**gone, "depends_on": ["db"]})


@asynccontextmanager
async def environments(
    connect: Any, size: tuple[int, int] = WIDE, at: Environment = DEVELOPMENT, **how: Any
) -> AsyncIterator[tuple[Dashboard, Pilot[None], Environments]]:
    """The dashboard on its environments screen, with the cursor on one of them and everything read."""
    async with dashboard(connect, size, **how) as (app, pilot):
        await pilot.press("3")
        screen = app.screen
        assert isinstance(screen, Environments)
        await until(pilot, lambda: len(screen.known) == 3)
        await pilot.press("g", *["down"] * list(Environment).index(at))
        await until(pilot, lambda: screen.found.other is not None and bool(screen.found.versions))
        yield app, pilot, screen


def page(screen: Environments) -> Pages:
    return screen.query_one(Pages)


async def turn(pilot: Pilot[Any], screen: Environments, name: str) -> None:
    """Go to a page, and into it."""
    for _ in page(screen).names:
        if page(screen).current != name:
            await pilot.press("right_square_bracket")
    assert page(screen).current == name
    page(screen).table.focus()
    await pilot.pause()


async def type_in(pilot: Pilot[Any], *values: str) -> None:
    """Fill in the fields from the focused one on, each in place of what stands there."""
    for value in values:
        await pilot.press("ctrl+u", *value, "enter")


async def changed_by_somebody(home: Path, name: Environment, key: str, value: object) -> None:
    async with client(home) as dg:
        state = await dg.environments.get(name)
        wish = editing.wished(state, f"config.{key}", document.text(value), "somebody else")
        await dg.environments.update(name, wish)


async def test_health_is_shown_with_children_below_what_they_depend_on(shop: House) -> None:
    async with environments(partial(client, shop.home), at=PRODUCTION) as (_, pilot, screen):
        await until(pilot, lambda: "✗ UNHEALTHY" in text(screen))
        rows = text(screen).splitlines()
        at = next(number for number, row in enumerate(rows) if " db " in row and "● healthy" in row)
        assert "└ worker" in rows[at + 1]
        assert "✗ unhealthy" in rows[at + 1]
        assert "1/2 services" in text(screen)
        assert "✗ worker" in text(screen).partition("trouble")[2]
        await pilot.press("w")
        await until(pilot, lambda: "health · 6h" in text(screen))


async def test_a_probe_is_tried_and_says_what_it_found(shop: House) -> None:
    async with environments(partial(client, shop.home), at=PRODUCTION) as (app, pilot, screen):
        await until(pilot, lambda: len(screen.query_one("#probes", Table)) == 2)
        screen.query_one("#probes", Table).focus()
        await pilot.press("end", "T")
        await until(pilot, lambda: isinstance(app.screen, Sheet) and "✗ unhealthy" in text(app.screen))
        await pilot.press("escape")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Sheet) and "depends on" in text(app.screen))


def value(form: Confirm, field: str) -> Input:
    return form.query_one(f"#field-{field}", Input)


async def preview(pilot: Pilot[Any], form: Confirm) -> None:
    """Have the server say what would come of what stands in a form."""
    form.query_one(f"#field-{form.act.fields[-1].name}").focus()
    await pilot.pause()
    await pilot.press("enter")
    await until(pilot, lambda: form.look is not None)
    await pilot.pause()


async def test_a_probe_is_added_changed_rested_and_taken_away(shop: House) -> None:
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        table = screen.query_one("#probes", Table)
        table.focus()
        form = await asked(app, pilot, "n")
        for field, typed in (
            ("name", "names"),
            ("kind", "dns"),
            ("service", "web"),
            ("settings", "host=localhost"),
        ):
            value(form, field).value = typed
        await preview(pilot, form)
        assert "+ host  localhost" in text(app.screen)
        assert form.act.command(form.values) == (
            "dg probe set development names kind=dns service=web host=localhost"
        )
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: len(table) == 1)
        table.focus()
        form = await asked(app, pilot, "e")
        assert value(form, "settings").value == "host=localhost"
        value(form, "settings").value = "host=localhost interval=20s"
        await preview(pilot, form)
        assert "+ interval  20s" in text(app.screen)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: _state(screen).probes["names"].get("interval") == "20s")
        form = await asked(app, pilot, "P")
        await preview(pilot, form)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: "maintenance" in _state(screen).probes["names"])
        form = await asked(app, pilot, "P")
        await until(pilot, lambda: "- maintenance" in text(app.screen))
        await pilot.press("enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "maintenance" not in _state(screen).probes["names"])
        table.focus()
        form = await asked(app, pilot, "delete")
        assert form.act.command(form.values) == "dg probe remove development names"
        await pilot.press("enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "names" not in _state(screen).probes)


async def test_a_probe_that_cannot_be_is_not_saved(shop: House) -> None:
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        before = _state(screen).version
        screen.query_one("#probes", Table).focus()
        form = await asked(app, pilot, "n")
        for field, typed in (("name", "no"), ("kind", "smoke"), ("service", "web")):
            value(form, field).value = typed
        for settings, why in (("", "kind"), ("url", "KEY=VALUE"), ("url='x", "quote")):
            value(form, "settings").value = settings
            form.query_one("#field-reason").focus()
            await pilot.press("enter")
            await until(pilot, lambda why=why: why in text(app.screen).partition("the same")[2])  # type: ignore[misc]
            assert form.look is None
        assert _state(screen).version == before


async def test_a_heartbeat_is_sent_its_beat(shop: House) -> None:
    async with client(shop.home) as dg:
        await dg.health.set_probe(STAGING, "job", {"kind": "heartbeat", "service": "job", "interval": "1h"})
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        await until(pilot, lambda: len(screen.query_one("#probes", Table)) == 1)
        form = await asked(app, pilot, "T")
        await pilot.press(*"the disk is full", "enter")
        await until(pilot, lambda: form.look is not None)
        await pilot.press("y")
        await closed(app, pilot)
    async with client(shop.home) as dg:
        (state,) = await dg.health.probes(STAGING)
        assert (state.status, state.message) == (Status.UNHEALTHY, "the disk is full")
        await dg.health.set_probe(STAGING, "job", None)


async def test_lanes_show_what_closes_them_and_open_again(shop: House) -> None:
    async with client(shop.home) as dg:
        await dg.lanes.block("web", DEVELOPMENT, "good", reason="it eats orders")
        await dg.lanes.freeze(reason="a fair", lasting="1h", environment=DEVELOPMENT)
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        await turn(pilot, screen, "lanes")
        await until(pilot, lambda: screen.found.blocks and screen.found.freezes)
        await until(pilot, lambda: "freeze of all here" in text(screen) and "└ not good" in text(screen))
        for kind in ("freeze", "block"):
            key = next(key for key in page(screen).table.keys if key.startswith(kind))
            page(screen).table.select(key)
            await pilot.pause()
            await asked(app, pilot, "U")
            await pilot.press(*(["x", "enter"] if kind == "block" else []), "y")
            await closed(app, pilot)
        await until(pilot, lambda: [key for key in page(screen).table.keys if "lane" not in key] == [])
        page(screen).table.select("lane web")
        await pilot.pause()
        form = await asked(app, pilot, "B")
        await pilot.press(*"good", "enter", *"again", "enter")
        await until(pilot, lambda: form.look is not None)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: any(key.startswith("block") for key in page(screen).table.keys))
        async with client(shop.home) as dg:
            await dg.lanes.lock("web", DEVELOPMENT, reason="a move", lasting="1h")
        page(screen).table.select("lane web")
        await until(pilot, lambda: screen.check_action("unlock", ()))
        form = await asked(app, pilot, "U")
        assert form.act.command(form.values) == "dg lane unlock web development"
        await pilot.press("enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: screen.lane is not None and screen.lane.state == "open")


async def test_no_secret_is_on_any_page(shop: House) -> None:
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        shown = ""
        for name in page(screen).names:
            await turn(pilot, screen, name)
            shown += text(screen)
            await pilot.press("enter")
            await pilot.pause(0.2)
            shown += text(app.screen)
            if isinstance(app.screen, Sheet):
                await pilot.press("escape")
        assert "********" in shown
        assert "config.database_url" in shown
        assert CANARY not in shown


async def test_an_edit_shows_what_would_change_before_it_is_saved(shop: House) -> None:
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        await turn(pilot, screen, "config")
        page(screen).table.select("config.workers")
        form = await asked(app, pilot, "e")
        await type_in(pilot, "8", "more load")
        await until(pilot, lambda: form.look is not None)
        await pilot.pause()
        assert "dg env set development workers=8 --reason 'more load'" in text(app.screen)
        assert "nothing changes" not in text(app.screen)
        assert screen.state is not None
        before = screen.state.version
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: screen.state is not None and screen.state.version == before + 1)
        await turn(pilot, screen, "history")
        await until(pilot, lambda: "more load" in text(screen))
        await pilot.press("home", "enter")
        await until(pilot, lambda: "config.workers" in text(app.screen))


async def test_an_edit_without_a_difference_or_of_a_wrong_key_is_not_sent(shop: House) -> None:
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        before = await head(shop.home)
        await turn(pilot, screen, "config")
        form = await asked(app, pilot, "n")
        await type_in(pilot, "domain", "staging.example.com", "")
        await until(pilot, lambda: form.look is not None and "nothing changes" in text(app.screen))
        await pilot.press("y")
        assert isinstance(app.screen, Confirm)
        for key, why in (("nonsense", "write domain, or config.NAME"), ("secrets.a", "is a secret")):
            form.query_one("#field-key").focus()
            await type_in(pilot, key, "x", "")
            await until(pilot, lambda why=why: why in text(app.screen))  # type: ignore[misc]
        assert await head(shop.home) == before


async def test_a_change_by_somebody_else_meanwhile_can_only_be_looked_at_again(shop: House) -> None:
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        form = await asked(app, pilot, "n")
        await type_in(pilot, "config.colour", "red", "")
        await until(pilot, lambda: form.look is not None)
        await changed_by_somebody(shop.home, STAGING, "speed", 3)
        await until(pilot, lambda: "it has changed while this was open" in text(app.screen))
        await pilot.press("y")
        assert isinstance(app.screen, Confirm)
        await pilot.press("escape")
        await until(pilot, lambda: "config.speed" in [row.key for row in document.entries(_state(screen))])
        assert "colour" not in _state(screen).config


def _state(screen: Environments) -> EnvironmentState:
    assert screen.state is not None
    return screen.state


async def test_who_was_faster_is_named(shop: House) -> None:
    async with client(shop.home) as dg:
        state = await dg.environments.get(STAGING)
        await changed_by_somebody(shop.home, STAGING, "retries", 2)
        act = editing.edit(state)
        values = {"key": "config.retries", "value": "9", "reason": ""}
        for attempt in (act.look(dg, values), act.send(dg, values, "a-key")):
            with pytest.raises(Stale, match=r"staging is at version \d+ by now: .+ changed it"):
                await attempt


async def test_a_secret_is_typed_unseen_and_forgotten(shop: House) -> None:
    typed = "s3cret-typed-7b"
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        form = await asked(app, pilot, "s")
        await type_in(pilot, "mail_key", typed, "for the mails")
        field = form.query_one("#field-value", Input)
        assert field.value == typed
        shown = text(app.screen)
        await until(pilot, lambda: form.look is not None)
        shown += text(app.screen)
        await pilot.press("y")
        await closed(app, pilot)
        assert field.value == ""
        await until(pilot, lambda: "mail_key" in _state(screen).secrets)
        assert typed not in shown + text(screen) + app.clipboard
        await turn(pilot, screen, "config")
        page(screen).table.select("secrets.mail_key")
        await asked(app, pilot, "delete")
        await pilot.press("enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "mail_key" not in _state(screen).secrets)


async def test_a_secret_tells_who_uses_it_and_stays_sealed(shop: House) -> None:
    async with client(shop.home) as dg:
        await dg.environments.seal_secret(STAGING, "sealed_key", CANARY)
    async with environments(partial(client, shop.home), at=STAGING) as (app, pilot, screen):
        await turn(pilot, screen, "config")
        page(screen).table.select("secrets.sealed_key")
        await pilot.press("enter")
        await until(pilot, lambda: "named by" in text(app.screen))
        assert "no step that you may see" in text(app.screen)
        await pilot.press("escape")
        form = await asked(app, pilot, "e")
        await type_in(pilot, "another", "")
        await until(pilot, lambda: form.look is not None)
        assert "dg secret set staging sealed_key --sealed" in text(app.screen)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: _state(screen).secrets["sealed_key"].version == 2)
        assert _state(screen).secrets["sealed_key"].grade == "sealed"


async def test_a_secret_for_the_runner_alone_is_not_typed_here() -> None:
    state = settled(
        secrets={
            "k": SecretState(version=1, fingerprint="f", grade="runner_only", changed_at=1, changed_by="a")
        }
    )
    act = editing.set_secret(state, "k")
    async with nowhere() as dg:
        look = await act.look(dg, {"name": "k", "value": "x", "reason": ""})
    assert not look.ready


async def test_a_secret_that_is_left_is_forgotten_too(shop: House) -> None:
    async with environments(partial(client, shop.home)) as (app, pilot, _):
        form = await asked(app, pilot, "s")
        field = form.query_one("#field-value", Input)
        await type_in(pilot, "left_key", "s3cret")
        assert field.value == "s3cret"
        await pilot.press("escape")
        await closed(app, pilot)
        assert field.value == ""


async def test_production_is_changed_only_when_its_name_is_typed(shop: House) -> None:
    async with environments(partial(client, shop.home), at=PRODUCTION) as (app, pilot, screen):
        before = _state(screen).version
        form = await asked(app, pilot, "n")
        await type_in(pilot, "config.colour", "red", "")
        await until(pilot, lambda: form.look is not None)
        await pilot.press("y", "enter")
        assert isinstance(app.screen, Confirm)
        assert "CONFIGURE PRODUCTION" in text(app.screen)
        await type_in(pilot, "production")
        await closed(app, pilot)
        await until(pilot, lambda: _state(screen).version == before + 1)


async def test_an_older_version_comes_back_as_a_new_one(shop: House) -> None:
    await changed_by_somebody(shop.home, DEVELOPMENT, "level", "debug")
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        await turn(pilot, screen, "history")
        newest = _state(screen).version
        page(screen).table.select(str(newest))
        await pilot.pause()
        assert screen.check_action("restore", ()) is False
        page(screen).table.select(str(newest - 1))
        await pilot.pause()
        await asked(app, pilot, "v")
        assert "config.level" in text(app.screen)
        await pilot.press(*"too loud", "enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "level" not in _state(screen).config)
        await until(pilot, lambda: "too loud" in text(screen))


async def test_environments_are_compared_with_one_another(shop: House) -> None:
    await changed_by_somebody(shop.home, STAGING, "only_here", True)
    async with environments(partial(client, shop.home), at=STAGING) as (_, pilot, screen):
        await turn(pilot, screen, "compare")
        sides = set()
        for _ in range(2):
            await until(pilot, lambda: "config.only_here" in text(screen) and "missing" in text(screen))
            title = str(page(screen).border_title)
            sides.add(title.partition("→")[2].partition("@")[0].strip())
            await pilot.press("c")
            await until(pilot, lambda title=title: str(page(screen).border_title) != title)  # type: ignore[misc]
        assert sides == {"development", "production"}


async def test_a_backup_is_made_and_restored_from(shop: House) -> None:
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        await asked(app, pilot, "b")
        await pilot.press("ctrl+u", *"before-the-move", "enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: [each.id for each in screen.found.backups] == ["before-the-move"])
        await changed_by_somebody(shop.home, DEVELOPMENT, "moved", True)
        await until(pilot, lambda: "moved" in _state(screen).config)
        await turn(pilot, screen, "backups")
        assert "not tried" in text(screen)
        await asked(app, pilot, "v")
        assert "config.moved" in text(app.screen)
        await pilot.press("enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "moved" not in _state(screen).config)


@pytest.mark.long
async def test_drift_is_seen_and_accepted_for_a_while(looking: House) -> None:
    await finish(looking.home, "good")
    async with client(looking.home) as dg:
        check = {"web": {"command": ["echo", "0000000"], "interval": 10}}
        wish = {"domain": "staging.example.com", "config": {}, "runs": check}
        await dg.environments.update(STAGING, UpdateEnvironment.model_validate(wish))
    async with environments(partial(client, looking.home), at=STAGING) as (app, pilot, screen):
        await turn(pilot, screen, "drift")
        await until(pilot, lambda: "✗ drifted" in text(screen), within=60)
        assert "✗ web" in text(screen).partition("trouble")[2]
        form = await asked(app, pilot, "A")
        await pilot.press(*"a hotfix", "enter", "enter")
        assert form.act.command(form.values) == (
            "dg env drift staging --accept web --reason 'a hotfix' --for 1d"
        )
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: "◇ accepted" in text(screen))
        await asked(app, pilot, "W")
        assert "accepted: a hotfix" in text(app.screen)
        await pilot.press(*"it is over", "enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: "✗ drifted" in text(screen))


async def test_who_may_only_look_changes_no_environment(shop: House) -> None:
    looker = await viewer(shop.home)
    before = await head(shop.home)
    async with environments(looker, at=STAGING) as (app, pilot, screen):
        for name in page(screen).names:
            await turn(pilot, screen, name)
            await pilot.press("e", "n", "s", "delete", "v", "A", "W", "b", "T", "P", "U", "B")
            assert app.screen is screen
        assert "Edit" not in text(screen).splitlines()[-1]
        app.push_screen(Confirm(editing.edit(_state(screen))))
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await type_in(pilot, "config.colour", "red", "")
        await until(pilot, lambda: "environment:update" in text(app.screen))
        await pilot.press("y")
        assert isinstance(app.screen, Confirm)
    newer = await head(shop.home)
    async with client(shop.home) as dg:
        seen = [fact.type async for fact in dg.events.all() if before < fact.seq <= newer]
    assert set(seen) <= {"access.denied", "environment.health_changed"}


async def test_a_dashboard_that_only_looks_changes_no_environment(shop: House) -> None:
    async with environments(partial(client, shop.home), read_only=True) as (app, pilot, screen):
        await turn(pilot, screen, "config")
        await pilot.press("e", "n", "s", "delete", "v", "A", "b", "T")
        assert app.screen is screen


async def test_nothing_is_changed_without_a_connection(shop: House) -> None:
    async with environments(partial(client, shop.home)) as (app, pilot, screen):
        form = await asked(app, pilot, "n")
        await type_in(pilot, "config.colour", "red", "")
        await until(pilot, lambda: form.look is not None)
        before, link = _state(screen).version, app.store.link
        app.store.link = Link(LinkState.DISCONNECTED)
        await pilot.press("y")
        await until(pilot, lambda: "not sent: no connection" in text(app.screen))
        assert screen.check_action("edit", ()) is not True
        app.store.link = link
    async with client(shop.home) as dg:
        assert (await dg.environments.get(DEVELOPMENT)).version == before


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_every_page(shop: House, size: tuple[int, int]) -> None:
    async with environments(partial(client, shop.home), size, at=PRODUCTION) as (_, pilot, screen):
        for _ in range(len(page(screen).names) + 1):
            await pilot.press("right_square_bracket")
            await pilot.pause()
            assert text(screen)
        if size[0] >= 80:
            assert "production" in text(screen)


async def test_where_there_is_room_for_one_page_health_is_one_of_them(shop: House) -> None:
    async with environments(partial(client, shop.home), (80, 24), at=PRODUCTION) as (_, pilot, screen):
        assert not screen.query_one("#probes").is_on_screen
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "└ worker" in text(screen))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "config.workers" in text(screen))


def hostile(string: str, name: str) -> Known:
    """An environment whose every text attacks."""
    environment = Environment(name)
    probe = Reading(
        name=string,
        kind=string,
        service=string,
        status=Status.UNHEALTHY,
        severity="critical",
        since=SECOND,
        last_checked=SECOND,
        message=string,
        because=string,
        depends_on=(string,),
    )
    service = ServiceHealth(name=string, status=Status.UNHEALTHY, message=string, readings=(probe,))
    secret = SecretState(version=1, fingerprint=string, changed_at=SECOND, changed_by=string)
    deployed = Deployed(deployment=string, number=1, version=string, commit_sha=string)
    accepted = Acceptance(reason=string, by=string, by_name=string, at=SECOND, until=SECOND)
    different = Difference(key=string, after=Kind(type="secret", fingerprint=string))
    spans = (Span(at=SECOND, failed=1, response_time=0.1),)
    version = Version(version=3, at=SECOND, by=string, by_name=string, reason=string, changed=(string,))
    return Known(
        state=EnvironmentState(
            name=environment,
            domain=string,
            config={string: string},
            secrets={string: secret},
            targets=acts_targets(string),
            links={string: string},
            protection={string: [string]},
            version=3,
            changed_at=SECOND,
            changed_by=string,
            changed_by_name=string,
        ),
        health=EnvironmentHealth(
            name=environment,
            status="unhealthy",
            known=True,
            message=string,
            since=SECOND,
            services=(service,),
        ),
        past=HealthHistory(
            since=0,
            until=2 * SECOND,
            step=1,
            items=(Series(probe=string, service=string, spans=spans),),
        ),
        versions=(version,),
        drift=(
            ServiceDrift(
                service=string,
                environment=environment,
                status=DriftStatus.DRIFTED,
                sentence=string,
                found=string,
                deployed=deployed,
                acceptance=accepted,
            ),
        ),
        other=EnvironmentDiff(before=string, after=string, items=(different,)),
        wrong={"backups": string},
    )


def acts_targets(string: str) -> Any:
    return {"hosts": (string,)}


def nowhere() -> Client:
    return Client("http://127.0.0.1:9", "tok.en")


async def test_nothing_of_the_outside_is_drawn_as_it_came() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        await pilot.press("3")
        screen = app.screen
        assert isinstance(screen, Environments)
        pages = screen.query_one(Pages)
        for string in STRINGS:
            for environment in Environment:
                screen.known[environment.value] = hostile(string, environment.value)
            screen.show_all()
            for name in pages.names:
                pages.open(name, focus=True)
                await pilot.pause()
                assert not FORBIDDEN & set(text(screen).replace("\n", ""))
        for name in pages.names:
            pages.open(name, focus=True)
            await pilot.press("enter")
            await pilot.pause()
            assert not FORBIDDEN & set(text(app.screen).replace("\n", ""))
            if isinstance(app.screen, Sheet):
                app.screen.fill([[(string, "fg")] for string in STRINGS])
                await pilot.pause()
                assert not FORBIDDEN & set(text(app.screen).replace("\n", ""))
                await pilot.press("escape")
                await until(pilot, lambda: app.screen is screen)


def settled(**others: Any) -> EnvironmentState:
    found = {
        "name": STAGING,
        "domain": "a.example.com",
        "config": {"workers": 4, "database_url": "********"},
        "secrets": {},
        "targets": acts_targets("web-1"),
        "links": {},
        "version": 3,
    }
    return EnvironmentState.model_validate({**found, **others})


def test_keys_are_set_taken_away_and_refused() -> None:
    state = settled()
    assert editing.wished(state, "domain", "b.example.com", None).domain == "b.example.com"
    assert editing.wished(state, "config.workers", "8", None).config == {"workers": 8}
    assert editing.wished(state, "config.note", "eight", None).config == {"workers": 4, "note": "eight"}
    assert editing.wished(state, "config.workers", "", None).config == {}
    assert editing.wished(state, "targets.hosts", '["web-2"]', None).targets.hosts == ("web-2",)
    assert editing.wished(state, "links.runbook", "https://r.example.com", "why").reason == "why"
    for key, value in (
        ("config.database_url", "x"),
        ("config.api_keys.mail", "x"),
        ("secrets.a", "x"),
        ("config", "1"),
        ("nothing.a", "1"),
        ("config.missing", ""),
        ("targets.hosts", "7"),
    ):
        with pytest.raises(Invalid):
            editing.wished(state, key, value, None)


def test_children_stand_below_their_parent_and_circles_end() -> None:
    def reading(name: str, *up: str) -> Reading:
        return Reading(
            name=name,
            kind="tcp",
            service=name,
            status=Status.HEALTHY,
            severity="critical",
            depends_on=up,
        )

    found = (reading("web", "api"), reading("api", "db"), reading("db"), reading("x", "y"), reading("y", "x"))
    services = tuple(ServiceHealth(name=each.name, status=each.status, readings=(each,)) for each in found)
    health = EnvironmentHealth(name=STAGING, status="healthy", known=True, message="", services=services)
    rows = [(row.key, row.depth) for row in probes.rows(health, None)]
    assert rows == [("db", 0), ("api", 1), ("web", 2), ("x", 0), ("y", 1)]


def test_the_past_shows_the_worst_of_each_time_and_gaps() -> None:
    spans = (
        Span(at=0, passed=9, failed=1),
        Span(at=SECOND, passed=5),
        Span(at=2 * SECOND, passed=5, slow=1),
        Span(at=2 * SECOND, unknown=1),
    )
    probe = Reading(name="a", kind="tcp", service="a", status=Status.HEALTHY, severity="critical")
    row = probes.ProbeRow(probe, 0, spans, 0, 4 * SECOND)
    assert "".join(piece for piece, _ in probes.ribbon(row, 4)) == "×▂▅┄"
    past = HealthHistory(since=0, until=4 * SECOND, step=1, items=())
    slow = (Span(at=SECOND, passed=1, response_time=0.01, slowest=0.2), Span(at=3 * SECOND, failed=1))
    values, step = probes.times(Series(probe="a", service="a", spans=slow), past)
    assert (values, step) == ([None, 200.0, None, None], 1)


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0, "0.00 %"), (0.99999, "99.99 %"), (0.5, "50.00 %"), (1.0, "100 %")]
)
def test_a_share_never_rounds_up_to_all(value: float | None, said: str) -> None:
    assert health.share(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "–"), (0.0004, "<1 ms"), (0.0214, "21 ms"), (1.5, "1.5 s")]
)
def test_how_long_an_answer_took_is_said(seconds: float | None, said: str) -> None:
    assert health.took(seconds) == said


def test_what_nobody_asked_for_yet_is_not_said_to_be_missing() -> None:
    state = EnvironmentState(
        name=PRODUCTION, domain="", config={}, secrets={}, targets=acts_targets(""), links={}, version=0
    )
    found = Known(state=state)
    assert health.standing(found) == [("not read yet", "dim")]
    assert "".join(text for row in health.trouble({}, 30) for text, _ in row) == "not read yet"
    assert (
        "".join(text for row in health.trouble({"production": found}, 30) for text, _ in row)
        == "not read yet"
    )
    rows = ["".join(text for text, _ in row) for row in health.head(found, 80, 4, 0)]
    assert "not read yet" in rows[1]
    found.wrong["health"] = "you may not look"
    rows = ["".join(text for text, _ in row) for row in health.head(found, 80, 4, 0)]
    assert "unknown" in rows[1]
    assert "you may not look" in rows[2]
