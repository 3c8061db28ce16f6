"""The dashboard at a moment that is over: it cannot be taken for now, and nothing is sent from it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from tests.tui.conftest import House
from tests.tui.hostile import FORBIDDEN, STRINGS
from tests.tui.house import client, dashboard, text, until
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Input

from dg.client.wire import rfc3339
from dg.core.clock import SECOND
from dg.core.deployments.models import Deployment
from dg.core.health.models import Status
from dg.core.past.models import PastEnvironment, PastHealth
from dg.core.types import Environment
from dg.tui.app import Dashboard
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.prompt import Prompt
from dg.tui.frame.view import RIGHTS, View
from dg.tui.overview.screen import Overview
from dg.tui.past import Past

PRODUCTION = Environment.PRODUCTION

IN_THE_PAST = "nothing can be changed in the past"


def ended(house: House) -> dict[int, Deployment]:
    """What has ended there, by number."""

    async def read() -> dict[int, Deployment]:
        async with client(house.home) as dg:
            return {each.number: each for each in (await dg.deployments.list()).items}

    return asyncio.run(read())


async def look_back(app: Dashboard, pilot: Pilot[None], then: int) -> Past:
    """Show how it was at `then`, as `@` does."""
    app.look_back(then)
    await until(pilot, lambda: isinstance(app.screen, Past))
    await until(pilot, lambda: "asking" not in text(app.screen))
    assert isinstance(app.screen, Past)
    return app.screen


@pytest.fixture(scope="module")
def moments(lived_in: House) -> dict[int, int]:
    """When each deployment had ended, by its number."""
    return {number: found.completed_at or 0 for number, found in ended(lived_in).items()}


async def test_a_moment_is_asked_for_and_shown_marked_and_escape_leads_back(
    lived_in: House, moments: dict[int, int]
) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("at")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press(*"soon", "enter")
        await until(pilot, lambda: "that is not a time that is over" in text(app.screen))
        app.screen.query_one(Input).value = rfc3339(moments[1])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Past))
        await until(pilot, lambda: "good" in text(app.screen))
        shown = text(app.screen)
        assert shown.count("AS OF 20") == 3
        assert "this is not now" in shown
        assert "PRODUCTION" in shown
        assert "web/staging was open" in shown or "web/development was open" in shown
        assert "not known" not in shown.replace("health not known", "")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Overview))


async def test_what_failed_midway_is_not_known_from_its_very_moment_on(
    lived_in: House, moments: dict[int, int]
) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        screen = await look_back(app, pilot, moments[2] - 1)
        assert "✗ not known" not in text(screen)
        assert "↻ busy" in text(screen)
        screen.go_to(moments[2])
        await until(pilot, lambda: "not known" in text(screen).replace("health not known", ""))


async def test_before_the_record_it_says_that_alone(lived_in: House, moments: dict[int, int]) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        screen = await look_back(app, pilot, moments[1] - 86_400 * SECOND)
        shown = text(screen)
        assert "✗ nothing is known of" in shown
        assert "as_of" not in shown
        assert "registered" not in shown
        screen.go_to(moments[1])
        await until(pilot, lambda: "good" in text(screen))


async def test_every_key_that_changes_something_refuses_with_the_reason(
    lived_in: House, moments: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        told: list[str] = []
        monkeypatch.setattr(app, "tell", lambda words, **how: told.append(words))
        await look_back(app, pilot, moments[3])
        keys = [each.key for each in View.BINDINGS if isinstance(each, Binding) and each.action in RIGHTS]
        assert len(keys) == len(RIGHTS)
        for key in keys:
            await pilot.press(key)
            await until(pilot, lambda: told)
            assert told.pop() == "nothing can be changed in the past: esc goes back to now", key
            assert isinstance(app.screen, Past)
        await pilot.press("colon")
        await until(pilot, lambda: bool(app.screen.query("#said")))
        app.screen.query_one("#said", Input).value = "lock web staging for 1h because no"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm) or IN_THE_PAST in text(app.screen))
        if isinstance(app.screen, Confirm):
            assert IN_THE_PAST in app.hands.objection(app.screen.act, app.screen.values)
            await pilot.press("escape")
        await pilot.press("escape")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Overview))
        assert app.hands._withheld() == ""


async def test_it_goes_back_and_on_and_never_into_the_future(
    lived_in: House, moments: dict[int, int]
) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        screen = await look_back(app, pilot, moments[3])
        await pilot.press("right_square_bracket")
        assert moments[3] < screen.then <= app.clock.micros()
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "the record begins at" in text(screen))
        assert "✗" in text(screen)


async def test_the_line_knows_as_of(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("colon")
        await until(pilot, lambda: bool(app.screen.query("#said")))
        app.screen.query_one("#said", Input).value = "as of 1ms"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Past))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 45), (40, 10)])
async def test_it_is_marked_at_every_size(
    lived_in: House, moments: dict[int, int], size: tuple[int, int]
) -> None:
    async with dashboard(partial(client, lived_in.home), size) as (app, pilot):
        await look_back(app, pilot, moments[3])
        shown = text(app.screen)
        assert shown.count("AS OF 20") >= 2
        assert "web" in shown


async def test_nothing_of_the_outside_acts_on_the_terminal(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        now = app.clock.micros() - SECOND
        async with client(lived_in.home) as dg:
            found = await dg.environments.past(PRODUCTION, now)
        (lane,) = found.lanes
        screen = await look_back(app, pilot, now)
        for string in STRINGS:
            hostile = PastEnvironment(
                **found.model_dump(exclude={"lanes", "services"}),
                lanes=(lane.model_copy(update={"service": string, "sentence": string}),),
                services=(PastHealth(service=string, status=Status.DEGRADED, since=now, message=string),),
            )
            screen._found = (hostile,)
            screen._draw()
            await pilot.pause()
            lines = text(screen).split("\n")
            assert not any(sign in line for sign in FORBIDDEN for line in lines), string
