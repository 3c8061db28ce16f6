"""What comes twice or too late, and channels and forms that are gone: on both transports."""

from __future__ import annotations

import asyncio

from tests.bot.office import Office, words

from dg.bot.messages import deployments as shown
from dg.core.testing import eventually


async def ask(office: Office) -> None:
    await office.slack.post_command("ana", "deploy web v1 to production")
    await office.modal("ana", "Why?")
    await office.slack.submit("ana", {"reason": "spring prices", "name": "web"})


async def test_a_click_that_comes_twice_has_one_effect(office: Office) -> None:
    await ask(office)
    message = await office.shown("0 of 1")
    office.slack.fault(kind="duplicate", method="interactive", times=1)
    await office.slack.click("ben", message, shown.APPROVE)
    await office.shown("Runs there since")
    approved = [each for each in await office.world.entries() if each.type == "deployment.approved"]
    assert len(approved) == 1


async def test_a_form_that_comes_twice_deploys_once(office: Office) -> None:
    office.slack.fault(kind="duplicate", method="interactive", times=1)
    await ask(office)
    await office.shown("0 of 1")
    assert len(await office.deployments()) == 1


async def test_an_event_that_was_lost_is_handled_when_it_comes_again(office: Office) -> None:
    office.slack.fault(kind="lost", method="events_api", times=1)
    opened = asyncio.ensure_future(office.slack.open_home("ana"))
    home = await office.slack.until(lambda: office.slack.home("ana"), within=20)
    assert "What runs where" in str(home.content)
    await opened


async def test_an_event_that_comes_twice_is_answered_once_more_at_most(office: Office) -> None:
    office.slack.fault(kind="duplicate", method="events_api", times=1)
    await office.slack.parts.admin.deactivate("cleo")

    async def gone() -> bool:
        return await office.world.core.accounts.principal(office.account("cleo")) is None

    await eventually(gone)
    ended = [each for each in await office.world.entries() if each.type == "slack.unlinked"]
    assert len(ended) == 1


async def test_a_form_that_slack_opens_no_more_is_said(office: Office) -> None:
    office.slack.fault(kind="error", error="expired_trigger_id", method="views.open", times=1)
    assert "expired_trigger_id): ask again" in await office.say("ana", "deploy web v1 to production")
    assert await office.deployments() == ()


async def test_a_channel_that_is_renamed_is_told_as_before(office: Office) -> None:
    await office.slack.parts.admin.rename("deploys", "releases")
    await office.world.create("v1")
    assert "web" in words(await office.shown("0 of 1", "releases"))


async def test_a_channel_that_dg_was_removed_from_goes_on_when_it_is_back(office: Office) -> None:
    await office.slack.parts.admin.remove("deploys")
    await ask(office)

    async def lost() -> bool:
        return bool([each for each in await office.world.entries() if each.type == "slack.channel_lost"])

    await eventually(lost)
    await office.slack.parts.admin.invite("deploys")
    await office.shown("0 of 1")
    assert len(office.slack.messages()) == 1
