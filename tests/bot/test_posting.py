"""Messages reach Slack once and end right, whatever Slack does meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, Office, open_office, words

from dg.core.access.models import SYSTEM
from dg.core.deployments.models import LockLane
from dg.core.slack import messenger
from dg.core.testing import eventually

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

        await eventually(lost, 20)
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

        await eventually(said, 20)
        assert (await health()).status == "degraded"


async def test_an_outage_ends_with_one_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger, "_OUTAGE", 0.2)
    async with open_office(tmp_path) as office:
        core = office.world.core
        office.slack.fault(kind="down", method="chat.*")
        for version in ("v1", "v3", "v1"):
            await office.world.deploy(version, "development")
        ended = core.clock.micros()

        async def failed_since() -> bool:
            outages = core.messenger._outages.values()
            return any(gap.until > ended and gap.covers(ended) for gap in outages)

        await eventually(failed_since, 30)
        office.slack.heal()
        # The first that Slack takes again stands alone.
        summary = words(await office.shown("could not be reached"))
        assert sum(f"(#{number})" in summary for number in (1, 2, 3)) >= 2
        for number in (1, 2, 3):
            await office.shown(f"(#{number})")
        assert len(office.slack.messages()) <= 2


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
