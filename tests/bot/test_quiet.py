"""In quiet hours only what cannot wait is posted, and what came and went meanwhile is told together after."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from tests.bot.office import DEPLOYS, STAGING, Office, open_office, words
from tests.bot.test_health import beat, watch
from tests.bot.test_posting import became, followed

from dg.core.clock import SECOND, to_datetime
from dg.core.deployments.models import LockLane
from dg.core.slack.quiet import QuietHours
from dg.settings.slack import SlackQuiet

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = SlackQuiet(begins="20:00", ends="08:00", timezone="Europe/Berlin", weekends=True)
NOON = SlackQuiet(begins="12:00", ends="13:30", timezone="Europe/Berlin", weekends=True)
ROUTES = {"all": {"channel": DEPLOYS, "post": "always"}}


class Night(QuietHours):
    """A quiet that ends at a moment, not at a time of day."""

    def __init__(self, until: int) -> None:
        super().__init__(SlackQuiet())
        self.until = until

    def end(self, moment: int) -> int | None:
        return self.until if moment < self.until else None


def begin(office: Office, seconds: float) -> None:
    """It is quiet for so long."""
    core = office.world.core
    core.messenger._quiet = Night(core.clock.micros() + int(seconds * SECOND))


async def end(office: Office) -> None:
    """The quiet is over, when all that happened in it is on its way."""
    core = office.world.core
    await followed(office)
    night = core.messenger._quiet
    assert isinstance(night, Night)
    night.until = core.clock.micros()
    await core.messenger.reopen(DEPLOYS)


@pytest.mark.parametrize(
    ("settings", "moment", "end"),
    [
        (NIGHT, "2026-11-26 19:59", None),
        (NIGHT, "2026-11-26 20:00", "2026-11-27 08:00"),
        (NIGHT, "2026-11-27 07:59", "2026-11-27 08:00"),
        (NIGHT, "2026-11-27 08:00", None),
        (NIGHT, "2026-11-27 21:00", "2026-11-30 08:00"),
        (NIGHT, "2026-11-28 12:00", "2026-11-30 08:00"),
        (NIGHT, "2026-03-28 23:00", "2026-03-30 08:00"),
        (NOON, "2026-11-26 12:00", "2026-11-26 13:30"),
        (NOON, "2026-11-26 13:30", None),
        (NOON, "2026-11-28 12:00", "2026-11-30 00:00"),
        (SlackQuiet(weekends=True), "2026-11-28 12:00", "2026-11-30 01:00"),
        (SlackQuiet(weekends=True), "2026-11-27 23:59", None),
        (SlackQuiet(), "2026-11-28 12:00", None),
    ],
)
def test_quiet_hours_end_when_the_settings_say(settings: SlackQuiet, moment: str, end: str | None) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=BERLIN)
    found = QuietHours(settings).end(int(at.timestamp()) * SECOND)
    shown = f"{to_datetime(found).astimezone(BERLIN):%Y-%m-%d %H:%M}" if found is not None else None
    assert shown == end


@pytest.mark.parametrize(
    "wrong",
    [
        {"begins": "8:00"},
        {"begins": "24:00"},
        {"ends": "20:00"},
        {"timezone": "Mars/Base"},
        {"timezone": ""},
        {"ends": None},
    ],
)
def test_hours_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SlackQuiet.model_validate({"begins": "20:00", "ends": "08:00", **wrong})


async def test_what_came_and_went_in_the_quiet_is_told_in_one_message(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES, approvals=0) as office:
        begin(office, 3600)
        await office.world.deploy("v1", "staging")
        await office.world.ended(await office.world.create("v2", "development"))
        await office.world.deploy("v1")
        assert office.slack.messages() == []
        await end(office)
        told = await office.shown("(#3)")
        assert "In the quiet until" in words(told)
        for number in (1, 2):
            assert (await office.shown(f"(#{number})")).ts == told.ts
        assert len(office.slack.messages()) == 1


async def test_locks_and_health_changes_of_the_quiet_are_told_with_the_rest(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES, approvals=0) as office:
        core = office.world.core
        begin(office, 3600)
        await watch(office, "slow", severity="warning")
        await office.world.deploy("v1", "staging")
        await beat(office, "a little late", "slow")
        await became(office, "degraded")
        lock = LockLane(reason="the fair", until=core.clock.micros() + 3600 * SECOND)
        await core.lanes.lock(office.people["ana"], "web", "staging", lock)
        await end(office)
        told = await office.shown("1 deployment, 1 health change, 1 lock")
        assert [each.ts for each in office.slack.messages()] == [told.ts]
        await core.lanes.unlock(office.people["ana"], "web", "staging", "it is over")
        assert (await office.shown("is unlocked")).ts == told.ts


async def test_where_no_message_comes_nobody_is_sent_there(tmp_path: Path) -> None:
    async with open_office(tmp_path, approvals=0) as office:
        assert "Follow it in" in await office.say("ana", "deploy web v1 to development")
        assert "Follow it in" not in await office.say("ana", "deploy web v1 to staging")
        begin(office, 3600)
        assert "Follow it in" not in await office.say("ana", "deploy web v3 to development")


async def test_what_failed_in_production_is_told_at_any_hour(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES, approvals=0) as office:
        begin(office, 3600)
        await watch(office)
        await office.world.ended(await office.world.create("v2"))
        await office.shown("v2")
        await beat(office, "answers 500")
        await office.shown("is unhealthy since")
        await beat(office)
        await office.shown("is healthy again")


async def test_what_waits_for_people_is_told_at_any_hour(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ROUTES) as office:
        begin(office, 3600)
        made = await office.world.create("v1")
        await office.shown("*0 of 1* approvals")
        await office.say("ben", f"approve #{made.number}")
        await office.shown("Runs there since")


@pytest.mark.parametrize(("environment", "told"), [("production", True), ("staging", False)])
async def test_without_a_word_on_it_only_production_is_told_of_what_went_well(
    tmp_path: Path, environment: str, told: bool
) -> None:
    routes = {"all": {"channel": STAGING}}
    async with open_office(tmp_path, routes=routes, approvals=0) as office:
        await office.world.deploy("v1", environment)
        await office.world.ended(await office.world.create("v2", "development"))
        await office.shown("(#2)", "staging")
        assert any("(#1)" in words(each) for each in office.slack.messages("staging")) == told
