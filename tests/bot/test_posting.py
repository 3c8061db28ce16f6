"""Messages reach Slack once and end right, whatever Slack does meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, Office, buttons, open_office, words
from tests.bot.test_health import beat, watch

from dg.core.access.models import SYSTEM
from dg.core.deployments.models import LockLane, SetFreeze
from dg.core.slack import messenger
from dg.core.testing import eventually
from dg.core.types import Environment

ALL = {"all": {"channel": DEPLOYS, "post": "always"}}
HOUR = 3_600_000_000


async def staging(office: Office, version: str = "v1") -> None:
    """A deployment that everybody hears of."""
    assert "Asked for" in await office.say("ana", f"deploy web {version} to development")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset", "applied": True},
        {"kind": "status", "status": 500, "applied": True},
        {"kind": "reset"},
        {"kind": "ratelimited", "seconds": 1},
        {"kind": "error", "error": "internal_error", "applied": True},
        {"kind": "slow", "seconds": 6},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
async def test_a_post_that_went_wrong_leaves_one_message(tmp_path: Path, fault: dict[str, object]) -> None:
    async with open_office(tmp_path) as office:
        office.slack.fault(method="chat.postMessage", times=1, **fault)
        await staging(office)
        await office.shown("Runs there since")
        assert len(office.slack.messages()) == 1


@pytest.mark.parametrize("kind", ["down", "ratelimited", "status"])
async def test_edits_that_went_wrong_end_right(tmp_path: Path, kind: str) -> None:
    async with open_office(tmp_path) as office:
        office.slack.fault(kind=kind, method="chat.update", times=3)
        await staging(office)
        await office.shown("Runs there since")
        assert len(office.slack.messages()) == 1


async def test_blocks_that_slack_refuses_are_said_in_plain_words(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.slack.fault(kind="error", error="invalid_blocks", method="chat.update", times=1)
        await staging(office)
        await office.slack.until(
            lambda: any("success" in each.text for each in office.slack.messages()), within=20
        )


async def test_a_lost_channel_is_told_and_healed_by_an_invitation(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.slack.parts.admin.archive("deploys")
        core = office.world.core
        made = await office.world.create("v1", "development")
        await office.world.ended(made)

        async def lost() -> bool:
            return bool([each for each in await office.world.entries() if each.type == "slack.channel_lost"])

        await eventually(lost)
        troubled = (await core.system.diagnostics(SYSTEM))["outbox"]["troubled"]
        assert [(each["destination"], each["held"]) for each in troubled] == [(f"slack:{DEPLOYS}", True)]
        await office.slack.parts.admin.unarchive("deploys")
        await office.shown("Runs there since")
        assert len(office.slack.messages()) == 1


async def test_a_token_that_was_revoked_is_said_in_the_health(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.slack.parts.admin.revoke()
        await office.world.ended(await office.world.create("v1", "development"))
        health = office.world.core.system.health

        async def said() -> bool:
            return (await health()).checks["slack"] in ("tokens_revoked", "token_revoked")

        await eventually(said)
        assert (await health()).status == "degraded"


async def out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack takes nothing any more, and has not for long enough that it is an outage."""
    monkeypatch.setattr(messenger, "_OUTAGE", 0.2)
    office.slack.fault(kind="down", method="chat.*")
    core = office.world.core
    await office.world.ended(await office.world.create("v1", "development"))

    async def failed() -> bool:
        outages = core.messenger._outages.values()
        return any(core.clock.micros() - each.since > 300_000 for each in outages)

    await eventually(failed)


async def became(office: Office, status: str) -> None:
    """The service was told of as being so."""

    async def said() -> bool:
        told = await office.world.entries("environment.health_changed")
        return bool(told) and told[-1].payload["service_status"] == status

    await eventually(said)


async def followed(office: Office) -> None:
    """Messages were made of all that happened."""
    head = (await office.world.entries())[-1].seq

    async def look() -> bool:
        return bool((await office.world.core.system.diagnostics(SYSTEM))["outbox"]["watermark"] >= head)

    await eventually(look)


async def back(office: Office) -> None:
    """Slack takes everything again, and is asked at once."""
    await followed(office)
    office.slack.heal()
    await office.world.core.messenger.reopen(DEPLOYS)


@pytest.mark.long
async def test_an_outage_with_all_kinds_of_things_ends_with_one_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(tmp_path, routes=ALL, approvals=0) as office:
        core, ana = office.world.core, office.people["ana"]
        await watch(office)
        await watch(office, "slow", severity="warning")
        await out(office, monkeypatch)
        for version in ("v3", "v2"):
            await office.world.ended(await office.world.create(version, "development"))
        for message, name, status in (
            ("answers nobody", "pulse", "unhealthy"),
            ("", "pulse", "healthy"),
            ("a little late", "slow", "degraded"),
        ):
            await beat(office, message, name)
            await became(office, status)
        until = core.clock.micros() + HOUR
        await core.lanes.lock(ana, "web", "staging", LockLane(reason="a <!here> sale", until=until))
        await core.lanes.lock(ana, "web", "production", LockLane(reason="the fair", until=until))
        await core.lanes.unlock(ana, "web", "production", "it is over")
        freeze = SetFreeze(reason="a holiday", until=until, service=None, environment=Environment.STAGING)
        await core.lanes.freeze(office.people["ben"], freeze)
        await back(office)
        for word in ("v2 in development: rolled back", "is healthy again", "is degraded", "a holiday"):
            assert "could not be reached" in words(await office.shown(word))
        said = words(await office.shown("the fair"))
        assert "(#1)" in said
        assert "4 deployments, 2 health changes, 2 locks, 1 freeze" in said
        assert len(office.slack.messages()) == 1
        await core.lanes.unlock(ana, "web", "staging", "sold out")
        await beat(office, name="slow")
        await office.slack.until(lambda: "is degraded" not in words(office.slack.messages()[0]), 20)
        assert len(office.slack.messages("deploys")) == 1


async def test_after_an_outage_what_somebody_must_act_on_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(tmp_path, approvals=0) as office:
        await office.world.deploy("v1")
        await office.shown("Runs there since")
        await watch(office)
        await out(office, monkeypatch)
        await office.world.ended(await office.world.create("v2"))
        await beat(office, "answers nobody")
        await back(office)
        failed = await office.shown("(#3)")
        assert "could not be reached" not in words(failed)
        await office.shown("is unhealthy since")
        summary = await office.shown("could not be reached")
        assert "(#3)" not in words(summary)


async def test_a_lock_is_one_message_that_is_resolved_in_place(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        until = core.clock.micros() + HOUR
        lock = LockLane(reason="the sale starts", until=until)
        await core.lanes.lock(office.people["ana"], "web", "production", lock)
        message = await office.shown("is locked until")
        await office.slack.click("ben", message, "dg_unlock")
        assert (await office.shown("is unlocked")).ts == message.ts
        await office.say("ben", "freeze production for 2h because the fair is on")
        frozen = await office.shown("is frozen until")
        await office.say("ben", "thaw all")
        assert (await office.shown("is thawed")).ts == frozen.ts
        assert len(office.slack.messages()) == 2


async def test_staging_is_told_of_only_when_it_failed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.world.deploy("v1", "staging")
        await office.world.ended(await office.world.create("v2", "staging"))
        failed = await office.shown("#2", "staging")
        assert "step_failed" in words(failed) or "failed" in words(failed)
        assert [each for each in office.slack.messages("staging") if "#1" in words(each)] == []


async def test_what_a_later_deployment_replaced_offers_no_rollback(tmp_path: Path) -> None:
    async with open_office(tmp_path, approvals=0) as office:
        await office.world.deploy("v1")
        first = await office.shown("(#1)")
        await office.slack.until(lambda: "dg_rollback" in buttons(first))
        old = [dict(block) for block in first.blocks]
        await office.world.deploy("v3")
        await office.shown("(#2)")
        await office.slack.until(lambda: "dg_rollback" not in buttons(office.slack.messages()[0]), 20)
        stale, before = office.slack.messages()[0], len(office.slack.ephemerals("ana"))
        stale.blocks = old
        await office.slack.click("ana", stale, "dg_rollback")
        assert "older state" in await office.answered("ana", before)


async def test_only_those_are_called_whose_approval_would_count(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.world.create("v1")
        asked = words(await office.shown("0 of 1"))
        assert f"<@{office.account('ben').user}>" in asked
        assert [name for name in ("ana", "cleo") if f"<@{office.account(name).user}>" in asked] == []
