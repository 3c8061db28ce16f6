"""A service that is not well is one message, resolved in place; and how things are is answered in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.bot.office import DEPLOYS, STAGING, Office, buttons, open_office, words
from tests.core.deployments.world import ADMIN

from dg.bot import acting
from dg.core.outbox import store as outbox
from dg.core.slack import health
from dg.core.slack.routing import KIND
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION
PULSE = {"kind": "heartbeat", "service": "web", "interval": 60}


async def watch(office: Office, name: str = "pulse", **more: Any) -> None:
    """Look at the service, which is well."""
    core = office.world.core
    await core.environments.set_probe(ADMIN, PRODUCTION, name, {**PULSE, **more})
    await core.health.beat(ADMIN, PRODUCTION, name)


async def beat(office: Office, message: str = "", name: str = "pulse") -> None:
    """A beat of the service; with a message one of trouble."""
    await office.world.core.health.beat(ADMIN, PRODUCTION, name, ok=not message, message=message)


async def test_a_service_that_fails_and_heals_is_one_message(office: Office) -> None:
    await watch(office)
    await beat(office, "the <!channel> disk is full")
    told = await office.shown("is unhealthy since")
    assert "the &lt;!channel&gt; disk is full" in words(told)
    await beat(office)
    assert (await office.shown("is healthy again, after")).ts == told.ts
    assert len(office.slack.messages()) == 1


async def test_the_deployment_before_it_is_named_and_can_be_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A form on a busy machine opens without what comes of it.
    monkeypatch.setattr(acting, "_PREVIEW_WAIT", 60)
    async with open_office(tmp_path, approvals=0) as office:
        await watch(office)
        await office.world.deploy("v1")
        await office.world.deploy("v3")
        await beat(office, "answers 500")
        told = await office.shown("had begun shortly before")
        assert "|#2>" in words(told)
        assert buttons(told) == {"dg_rollback"}
        await office.slack.click("ana", told, "dg_rollback")
        form = await office.modal("ana", "web")
        assert "goes back to `v1`" in form
        assert "will be locked for 30m. " in form
        assert "can open it: `/dg unlock web in production`" in form
        await beat(office)
        assert buttons(await office.shown("is healthy again")) == set()


async def test_each_severity_is_told_where_its_route_says(tmp_path: Path) -> None:
    routes = {
        "down": {"channel": STAGING, "tells": ["health"], "severities": ["unhealthy"]},
        "rest": {"channel": DEPLOYS},
    }
    async with open_office(tmp_path, routes=routes) as office:
        await watch(office)
        await watch(office, "slow", severity="warning")
        await beat(office, "a little late", "slow")
        slow = await office.shown("is degraded since")
        await beat(office, "answers nobody")
        down = await office.shown("is unhealthy since", "staging")
        assert (await office.shown("became unhealthy")).ts == slow.ts
        await beat(office)
        assert (await office.shown("is degraded since", "staging")).ts == down.ts
        assert (await office.shown("is degraded since")).ts == slow.ts
        await beat(office, name="slow")
        assert (await office.shown("is healthy again", "staging")).ts == down.ts
        assert (await office.shown("is healthy again")).ts == slow.ts
        assert [len(office.slack.messages(each)) for each in ("deploys", "staging")] == [1, 1]


@pytest.mark.parametrize(("pause", "messages"), [(0, 1), (-1, 2)])
async def test_what_comes_back_soon_is_told_where_it_was_and_later_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: int, messages: int
) -> None:
    if pause:
        monkeypatch.setattr(health, "_REOPENS", pause)
    async with open_office(tmp_path) as office:
        await watch(office)
        await beat(office, "once")
        first = await office.shown("once")
        await beat(office)
        await office.shown("is healthy again")
        await beat(office, "twice")
        again = await office.shown("twice")
        assert (again.ts == first.ts) == (messages == 1)
        assert len(office.slack.messages()) == messages
        assert "is healthy again" in words(office.slack.messages()[0]) or messages == 1


async def test_a_route_of_deployments_alone_hears_of_no_health(tmp_path: Path) -> None:
    async with open_office(
        tmp_path, routes={"r": {"channel": DEPLOYS, "tells": ["deployments"], "post": "always"}}
    ) as office:
        await watch(office)
        await beat(office, "down")
        await office.world.ended(await office.world.create("v1", "development"))
        await office.shown("Runs there since")
        key = f"{DEPLOYS}:health:production/web:unhealthy"
        assert await office.world.db.read(lambda tx: outbox.find(tx, KIND, key)) is None


async def test_how_things_are_is_answered(office: Office) -> None:
    assert "No environment that you may see has probes" in await office.say("cleo", "health")
    assert "nothing is probed here" in await office.say("cleo", "health staging")
    await watch(office)
    await beat(office, "disk full")
    said = await office.say("cleo", "health")
    assert "*production* is unhealthy" in said
    assert "disk full" in said
    assert "staging" not in said


async def test_an_environment_is_answered_without_its_secrets(office: Office) -> None:
    core = office.world.core
    await core.environments.set_secret(ADMIN, PRODUCTION, "db_password", "hunter2-hunter2")
    await watch(office)
    said = await office.say("cleo", "env production")
    assert "`db_password` version 1" in said
    assert "`pulse`" in said
    assert "hunter2" not in said
    assert "never configured" in await office.say("cleo", "env staging")


async def test_who_may_not_look_is_told_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, linked=False) as office:
        for line in ("health production", "env production"):
            assert "dg does not know who you are" in await office.say("cleo", line)
