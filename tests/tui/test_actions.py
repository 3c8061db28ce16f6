"""What the dashboard changes, on a real server: previews, what a yes takes, and all that sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.tui.conftest import House, served
from tests.tui.house import client, dashboard, deploy, finish, text, until
from textual import events
from textual.pilot import Pilot

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, LaneState
from dg.core.types import Environment
from dg.tui.app import Dashboard
from dg.tui.deployments import lanes
from dg.tui.deployments.detail import Detail
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.view import RIGHTS
from dg.tui.store import Link, LinkState

STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION
KEYS = {
    "d": "deploy",
    "R": "roll_back",
    "x": "cancel",
    "t": "retry",
    "L": "lock",
    "U": "unlock",
    "F": "freeze",
    "exclamation_mark": "override",
    "A": "abandon",
    "B": "block",
}


async def head(home: Path) -> int:
    """The number of the newest fact: also a refused try is one."""
    async with client(home) as dg:
        return [fact.seq async for fact in dg.events.all()][-1]


async def asked(app: Dashboard, pilot: Pilot[Any], key: str) -> Confirm:
    """The question that a key leads to, once the server has said what would happen."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, Confirm))
    screen = app.screen
    assert isinstance(screen, Confirm)
    if not screen.act.later:
        await until(pilot, lambda: screen.look is not None)
        await pilot.pause()
    return screen


async def closed(app: Dashboard, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: not isinstance(app.screen, Confirm))


async def test_a_form_deploys_after_showing_what_would_happen(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        screen = await asked(app, pilot, "d")
        await pilot.press(*"bad", "enter", *"a try", "enter")
        await until(pilot, lambda: screen.look is not None)
        await until(pilot, lambda: "1 file " in text(app.screen) or "2 files" in text(app.screen))
        shown = text(app.screen)
        assert "dg deploy web bad --env staging --note 'a try'" in shown
        assert "Make it bad" in shown
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: any(each.note == "a try" for each in app.store.deployments.values()))


async def test_production_goes_back_only_when_its_name_is_typed(house: House) -> None:
    for ref in ("good", "slow"):
        house.repository.joinpath("go").touch()
        await finish(house.home, ref, PRODUCTION)
    async with dashboard(partial(client, house.home)) as (app, pilot):
        before = await head(house.home)
        screen = await asked(app, pilot, "R")
        assert "ROLL BACK WEB IN PRODUCTION" in text(app.screen)
        assert "Make it slow" in text(app.screen)
        assert "Afterwards web/production will be locked for 30m." in text(app.screen)
        await pilot.press("enter")
        for typed in ("staging", "PRODUCTION", "productio", ""):
            await pilot.press("ctrl+u", *typed, "enter")
        screen.query_one("#typed").post_message(events.Paste("production"))
        await pilot.pause()
        await pilot.press("enter")
        assert "not sent: that is not the name" in text(app.screen)
        assert await head(house.home) == before
        await pilot.press(*"production", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: any(each.kind == "rollback" for each in app.store.deployments.values()))


async def test_what_has_moved_meanwhile_can_only_be_left(house: House) -> None:
    for ref in ("good", "good"):
        await finish(house.home, ref, PRODUCTION)
    async with dashboard(partial(client, house.home)) as (app, pilot):
        await asked(app, pilot, "R")
        async with client(house.home) as dg:
            await dg.lanes.lock("web", PRODUCTION, reason="somebody else was faster", lasting="1h")
        await until(pilot, lambda: "it has changed while this was open" in text(app.screen))
        before = await head(house.home)
        await pilot.press("enter", *"production", "enter")
        assert isinstance(app.screen, Confirm)
        assert await head(house.home) == before
        await pilot.press("escape")
        await closed(app, pilot)


async def test_one_that_runs_is_cancelled_and_one_that_failed_is_taken_up_again(house: House) -> None:
    async with dashboard(partial(client, house.home)) as (app, pilot):
        made = await deploy(house.home, "slow")
        await until(pilot, lambda: made.id in app.store.progress)
        await asked(app, pilot, "x")
        await pilot.press(*"wrong day", "enter", "y")
        await closed(app, pilot)
        await until(pilot, lambda: app.store.deployments[made.id].status == "failed")
        async with client(house.home) as dg:
            await dg.lanes.unlock("web", STAGING)
        await until(pilot, lambda: app.store.lanes["web", "staging"].state == "open")
        house.repository.joinpath("go").touch()
        await asked(app, pilot, "t")
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: len(app.store.deployments) == 2)


async def test_lanes_are_locked_unlocked_frozen_and_thawed(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):

        def lane() -> str:
            return app.store.lanes["web", "staging"].state

        for close, opened in (("L", LaneState.LOCKED), ("F", LaneState.FROZEN)):
            form = await asked(app, pilot, close)
            await pilot.press(*"a fair", *["enter"] * len(form.act.fields))
            await until(pilot, lambda form=form: form.look is not None)  # type: ignore[misc]
            await pilot.press("y")
            await closed(app, pilot)
            await until(pilot, lambda opened=opened: lane() == opened.value)  # type: ignore[misc]
            await asked(app, pilot, "U")
            await pilot.press(*(["enter"] if opened is LaneState.LOCKED else []), "y")
            await closed(app, pilot)
            await until(pilot, lambda: lane() == "open")


async def test_everything_is_frozen_only_when_production_is_typed(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        form = await asked(app, pilot, "F")
        await pilot.press(*"a fair", "enter", "enter", "ctrl+u", "enter", "enter")
        await until(pilot, lambda: form.look is not None)
        await pilot.pause()
        assert "dg freeze --all --for 1h --reason 'a fair'" in text(app.screen)
        assert "web/production  is closed" in text(app.screen)
        await pilot.press("y")
        assert isinstance(app.screen, Confirm)
        await pilot.press("ctrl+u", *"production", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: {lane.state for lane in app.store.lanes.values()} == {"frozen"})


async def test_a_version_is_kept_out_of_its_lane(house: House) -> None:
    made = await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        form = await asked(app, pilot, "B")
        await pilot.press(*"it eats orders", "enter")
        await until(pilot, lambda: form.look is not None)
        await pilot.press("y")
        await closed(app, pilot)
    async with client(house.home) as dg:
        (block,) = await dg.lanes.blocks("web", STAGING)
    assert (block.commit_sha, block.reason) == (made.commit_sha, "it eats orders")


ASKING = """
[[step]]
name = "migrate"
phase = "verify"
run = ["sh", "-c", "test -e {repository}/go"]
resume = "ask"
"""


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[House]:
    """A house with a step that is not run twice unless somebody agrees."""
    with served(tmp_path, ASKING.format(repository=tmp_path / "web")) as house:
        yield house


async def test_closed_gates_are_passed_by_who_may_with_the_version_typed(guarded: House) -> None:
    made = await asked_for(guarded, "1.4.2")
    async with dashboard(partial(client, guarded.home)) as (app, pilot):
        await until(pilot, lambda: app.store.deployments[made].state == "needs_approval")
        form = await asked(app, pilot, "exclamation_mark")
        await pilot.press(*"the shop is down", "enter", "enter")
        await until(pilot, lambda: form.look is not None)
        await pilot.pause()
        assert "approvals: " in text(app.screen)
        command = f"dg override {made} --gate approvals --reason 'the shop is down'"
        assert form.act.command(form.values) == command
        await pilot.press(*"1.4.2", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: app.store.deployments[made].status == "success")


async def asked_for(house: House, version: str) -> str:
    """The id of a deployment to production that somebody else has to agree to."""
    async with client(house.home) as dg:
        issued = await dg.tokens.create(name="ana", role="operator", kind="person")
        ana = Client(dg.url, issued.secret)
    request = CreateDeployment(environment=PRODUCTION, service="web", ref="good", version=version)
    async with ana:
        return (await ana.deployments.create(request)).id


async def test_a_step_that_asks_is_run_again_by_a_second_yes(asking: House) -> None:
    made = await finish(asking.home, "good")
    asking.repository.joinpath("go").touch()
    async with client(asking.home) as dg:
        await dg.lanes.unlock("web", STAGING)
    async with dashboard(partial(client, asking.home)) as (app, pilot):
        await until(pilot, lambda: app.store.deployments[made.id].status == "failed")
        await asked(app, pilot, "t")
        await pilot.press("y")
        await until(pilot, lambda: "the same answer again agrees" in text(app.screen))
        assert len(app.store.deployments) == 1
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: len(app.store.deployments) == 2)


async def viewer(home: Path) -> Callable[[], Client]:
    async with client(home) as dg:
        issued = await dg.tokens.create(name="looker", role="viewer", kind="person")
        url = dg.url
    return lambda: Client(url, issued.secret)


async def test_who_may_only_look_has_no_keys_and_sends_nothing(house: House) -> None:
    await finish(house.home, "good")
    looker = await viewer(house.home)
    before = await head(house.home)
    async with dashboard(looker) as (app, pilot):
        await pilot.press(*KEYS)
        assert not isinstance(app.screen, Confirm)
        assert [action for action in RIGHTS if app.screen.check_action(action, ())] == []
        assert "Deploy" not in text(app.screen).splitlines()[-1]
        await refused(app, pilot, "that takes lane:lock on web/staging")
    assert await head(house.home) == before


async def test_a_dashboard_that_only_looks_sends_nothing_for_anybody(house: House) -> None:
    await finish(house.home, "good")
    before = await head(house.home)
    async with dashboard(partial(client, house.home), read_only=True) as (app, pilot):
        await pilot.press(*KEYS)
        assert not isinstance(app.screen, Confirm)
        await refused(app, pilot, "this dashboard only looks")
    assert await head(house.home) == before


async def refused(app: Dashboard, pilot: Pilot[Any], why: str) -> None:
    """Past the keys, the one place that sends says no too."""
    app.push_screen(Confirm(lanes.lock(app.store.lanes["web", "staging"])))
    await until(pilot, lambda: isinstance(app.screen, Confirm) and app.screen.look is not None)
    await pilot.press(*"because", "enter", "enter", "y")
    await until(pilot, lambda: why in text(app.screen))


async def test_nothing_is_sent_or_kept_for_later_without_a_connection(house: House) -> None:
    await finish(house.home, "good")
    before = await head(house.home)
    async with dashboard(partial(client, house.home)) as (app, pilot):
        await asked(app, pilot, "L")
        await pilot.press(*"because", "enter", "enter")
        link = app.store.link
        app.store.link = Link(LinkState.DISCONNECTED)
        await pilot.press("y")
        await until(pilot, lambda: "not sent: no connection" in text(app.screen))
        app.store.link = link
        await pilot.press("escape")
        await closed(app, pilot)
    assert await head(house.home) == before


async def test_the_command_that_does_the_same_can_be_copied(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        await asked(app, pilot, "L")
        await pilot.press(*"it's hot", "ctrl+t")
        assert app.clipboard == "dg lane lock web staging --for 1h --reason 'it'\"'\"'s hot'"


async def test_a_form_that_is_wrong_says_why(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        await asked(app, pilot, "d")
        await pilot.press(*"no-such-branch", "enter", "enter")
        await until(pilot, lambda: "no-such-branch" in text(app.screen).split("the same", 1)[-1])
        assert isinstance(app.screen, Confirm)
        assert app.screen.look is None
        await pilot.press("y")
        assert len(app.store.deployments) == 1


async def test_details_have_the_same_keys(house: House) -> None:
    await finish(house.home, "good")
    async with dashboard(partial(client, house.home)) as (app, pilot):
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await asked(app, pilot, "L")


async def test_an_approval_in_production_is_of_the_version(guarded: House) -> None:
    made = await asked_for(guarded, "1.4.2")
    async with dashboard(partial(client, guarded.home)) as (app, pilot):
        await until(pilot, lambda: app.store.deployments[made].state == "needs_approval")
        await asked(app, pilot, "p")
        shown = text(app.screen)
        assert "bound to the content" in shown
        assert "Type 1.4.2 and press enter." in shown
        await pilot.press(*"1.4.3", "enter")
        assert app.store.deployments[made].state == "needs_approval"
        await pilot.press("ctrl+u", *"1.4.2", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: app.store.deployments[made].status == "success")
