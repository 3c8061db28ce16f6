"""Once a day a channel is told what happened in its lanes: in one message, and not when nothing did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.bot.office import DEPLOYS, STAGING, Office, Transport, open_office, words
from tests.bot.test_health import beat, watch

from dg.core.clock import SECOND
from dg.core.deployments.models import LockLane
from dg.core.outbox import store as outbox
from dg.core.slack.digest import Digests
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND, Routes

HOUR = 3600 * SECOND
ROUTES = {"all": {"channel": DEPLOYS, "post": "digest", "tells": ["deployments"]}}


class Now(Digests):
    """Whose digests are due whenever somebody looks."""

    def _last(self, now: int) -> int:
        return now


async def look(office: Office) -> None:
    """Want the digests that are due, as the job does."""
    settings, parts = office.world.settings.slack, office.world.parts
    routes, quiet = Routes(settings), QuietHours(settings.quiet)
    await Now(
        parts.db, parts.clock, parts.ids, routes, settings.digest, quiet, office.world.core.messenger.wake
    ).look()


async def wanted(office: Office, channel: str = DEPLOYS) -> Any:
    """What the outbox holds of a channel's digest."""
    return await office.world.db.read(lambda tx: outbox.find(tx, KIND, f"{channel}:digest"))


async def sent(office: Office) -> None:
    """Wait until nothing waits."""
    db = office.world.db
    while (await db.read(outbox.figures))["waiting"]:
        await office.world.core.clock.sleep(0.02)


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_a_day_is_one_message(tmp_path: Path, transport: Transport) -> None:
    async with open_office(tmp_path, transport, routes=ROUTES, approvals=0) as office:
        await office.world.deploy("v1", "staging")
        await office.world.deploy("v3")
        failed = await office.world.ended(await office.world.create("v2"))
        await sent(office)
        assert office.slack.messages() == []
        await look(office)
        told = await office.shown("Went wrong")
        said = words(told)
        assert "1 went wrong" in said
        assert "*staging*  1 deployed" in said
        assert f"|#{failed.number}>" in said
        assert ":lock:" in said
        assert "Production in 30 days" in said
        assert office.slack.messages() == [told]


async def test_a_day_on_which_nothing_happened_is_no_message(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES) as office:
        await look(office)
        await sent(office)
        first = await wanted(office)
        assert office.slack.messages() == []
        await office.world.deploy("v1", "staging")
        await look(office)
        message = await office.shown("1 deployment")
        await sent(office)
        second = await wanted(office)
        assert second.payload["since"] == first.payload["since"]
        await look(office)
        await sent(office)
        assert (await wanted(office)).payload["since"] == second.payload["until"]
        assert office.slack.messages() == [message]


async def test_what_waits_and_what_is_not_well_is_said(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES) as office:
        core = office.world.core
        await watch(office)
        await beat(office, "the <!channel> disk is full")
        await office.world.create("v1")
        lock = LockLane(reason="the sale <!here>", until=core.clock.micros() + 48 * HOUR)
        await core.lanes.lock(office.people["ben"], "web", "staging", lock)
        await look(office)
        told = await office.shown("Not well")
        said = words(told)
        assert "1 waiting for approval" in said
        assert "the sale &lt;!here&gt;" in said
        assert "is unhealthy" in said
        assert "the &lt;!channel&gt; disk is full" in said
        assert office.slack.messages() == [told]


async def test_each_channel_is_told_of_its_own_lanes(tmp_path: Path) -> None:
    routes = {
        "staging": {"channel": STAGING, "environments": ["staging"], "post": "on_failure", "digest": True},
        "rest": {"channel": DEPLOYS, "post": "always"},
    }
    async with open_office(tmp_path, routes=routes, approvals=0) as office:
        await office.world.deploy("v1", "staging")
        await office.world.deploy("v1")
        await look(office)
        assert "production" not in words(await office.shown("1 deployment", "staging"))
        assert await wanted(office) is None


async def test_a_digest_that_could_not_be_posted_is_part_of_the_next(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES) as office:
        await office.world.deploy("v1", "staging")
        office.world.core.messenger.detach()
        await look(office)
        since = (await wanted(office)).payload["since"]
        await look(office)
        assert (await wanted(office)).payload["since"] == since
        await office.world.core.messenger.attach(office.bot)
        await office.shown("1 deployment")
        await sent(office)
        assert len(office.slack.messages()) == 1
