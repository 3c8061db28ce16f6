"""A channel that subscribed hears of more than the routes say, and nobody is called there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, STAGING, Office, Transport, buttons, open_office, words
from tests.bot.test_posting import followed
from tests.core.deployments.world import ADMIN

from dg.bot.messages.deployments import APPROVE
from dg.core.access.models import Role
from dg.core.errors import Forbidden, Invalid, NotFound, Refused
from dg.core.slack.models import SlackSubscription, SubscribeChannel
from dg.core.types import Environment
from dg.slacksim.world import identifier

BOTH: tuple[Transport, ...] = ("socket", "http")


async def standing(office: Office) -> tuple[SlackSubscription, ...]:
    return await office.world.core.subscriptions.list(ADMIN)


@pytest.mark.parametrize("transport", BOTH)
async def test_whoever_may_not_is_refused_and_nothing_is_subscribed(
    tmp_path: Path, transport: Transport
) -> None:
    async with open_office(tmp_path, transport) as office:
        assert "needs the role" in await office.say("cleo", "subscribe web")
        assert await standing(office) == ()


@pytest.mark.parametrize("transport", BOTH)
async def test_a_channel_that_subscribed_approves_from_its_own_message(
    tmp_path: Path, transport: Transport
) -> None:
    async with open_office(tmp_path, transport) as office:
        ana = office.people["ana"]
        said = await office.say("ana", "subscribe web in production", "staging")
        assert "`web` in production" in said
        assert "ana" in said
        made = await office.world.create("v1")
        asked = await office.shown("*0 of 1* approvals", "staging")
        there = await office.shown("*0 of 1* approvals")
        assert "<@" in words(there)
        assert "<@" not in words(asked)
        assert buttons(asked) == buttons(there)
        await office.slack.click("ben", asked, APPROVE)
        await office.world.ended(made)
        for channel in ("staging", "deploys"):
            await office.shown("in production: success", channel)
        assert len(office.slack.messages("staging")) == 1
        kinds = [each.type for each in await office.world.entries() if each.actor == ana.id]
        assert kinds.count("slack.channel_subscribed") == 1


async def test_what_is_over_is_told_no_more_and_what_stands_there_goes_on(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.say("ana", "subscribe production", "staging")
        made = await office.world.create("v1")
        await office.shown("*0 of 1* approvals", "staging")
        assert "subscribed to nothing" in await office.say("ben", "unsubscribe production", "staging")
        await office.say("ben", f"approve #{made.number}")
        await office.world.ended(made)
        await office.shown("in production: success", "staging")
        await office.world.create("v2")
        await office.shown("*0 of 1* approvals")
        await followed(office)
        assert len(office.slack.messages("staging")) == 1
        (over,) = await office.world.entries("slack.channel_unsubscribed")
        assert over.payload["environment"] == "production"


async def test_a_route_that_tells_the_channel_already_stays_one_message(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.say("ana", "subscribe all", "deploys")
        await office.world.create("v1")
        asked = await office.shown("*0 of 1* approvals")
        assert "<@" in words(asked)
        await followed(office)
        assert len(office.slack.messages()) == 1


async def test_the_same_lanes_again_are_one_subscription_with_the_new_severity(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.say("ana", "subscribe web")
        (first,) = await standing(office)
        await office.say("ben", "subscribe web")
        assert await standing(office) == (first,)
        assert "when unhealthy" in await office.say("ben", "subscribe web unhealthy")
        (found,) = await standing(office)
        assert (found.id, found.severity, found.by) == (first.id, "unhealthy", office.people["ben"].id)
        assert len(await office.world.entries("slack.channel_subscribed")) == 2


async def test_a_right_for_one_environment_reaches_no_subscription_beyond_it(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        issued = await core.tokens.create(
            ADMIN, name="eve", role=Role.OPERATOR, environment="staging", kind="person", person="eve"
        )
        eve = await core.access.authenticate(issued.secret)
        for where in ({}, {"service": "web"}, {"environment": "production"}):
            with pytest.raises(Forbidden):
                await core.subscriptions.subscribe(
                    eve, SubscribeChannel.model_validate({"channel": STAGING, **where})
                )
        wish = SubscribeChannel(channel=STAGING, environment=Environment.STAGING)
        made = await core.subscriptions.subscribe(eve, wish)
        assert await core.subscriptions.list(eve) == (made,)
        everything = await core.subscriptions.subscribe(ADMIN, SubscribeChannel(channel=DEPLOYS))
        assert everything not in await core.subscriptions.list(eve)
        with pytest.raises(NotFound):
            await core.subscriptions.unsubscribe(eve, everything.id)


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        (identifier("C", "partner"), "shared with another organization"),
        ("C0NOWHERE", "there is no C0NOWHERE"),
    ],
)
async def test_a_channel_that_strangers_read_or_that_is_none_is_refused(
    tmp_path: Path, channel: str, why: str
) -> None:
    async with open_office(tmp_path) as office:
        with pytest.raises(Invalid, match=why):
            await office.world.core.subscriptions.subscribe(ADMIN, SubscribeChannel(channel=channel))
        assert await standing(office) == ()


async def test_without_slack_nothing_is_subscribed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.world.core.messenger.detach()
        with pytest.raises(Refused, match="Slack is not set up"):
            await office.world.core.subscriptions.subscribe(ADMIN, SubscribeChannel(channel=DEPLOYS))


async def test_a_severity_says_from_how_bad_on_a_service_is_told_of(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.say("ana", "subscribe production unhealthy", "staging")
        probe = {"kind": "heartbeat", "service": "web", "interval": 60}
        core = office.world.core
        await core.environments.set_probe(ADMIN, Environment.PRODUCTION, "pulse", probe)
        await core.health.beat(ADMIN, Environment.PRODUCTION, "pulse")
        await core.health.beat(ADMIN, Environment.PRODUCTION, "pulse", ok=False, message="full")
        told = await office.shown("is unhealthy since", "staging")
        await office.say("ana", "unsubscribe production", "staging")
        await core.health.beat(ADMIN, Environment.PRODUCTION, "pulse")
        assert (await office.shown("is healthy again, after", "staging")).ts == told.ts


async def test_a_mute_takes_the_right_for_what_the_channel_subscribed_to(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        made = await core.tokens.create(ADMIN, name="eve", role=Role.OPERATOR, environment="staging")
        eve = await core.access.authenticate(made.secret)
        await core.subscriptions.subscribe(ADMIN, SubscribeChannel(channel=STAGING))
        with pytest.raises(Forbidden):
            await core.channels.unmute(eve, STAGING)


async def test_whoever_may_not_ends_no_subscription(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        made = await core.subscriptions.subscribe(ADMIN, SubscribeChannel(channel=DEPLOYS))
        with pytest.raises(Forbidden):
            await core.subscriptions.unsubscribe(office.people["cleo"], made.id)
        assert await standing(office) == (made,)
