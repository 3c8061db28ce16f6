"""A channel that is muted hears only of what cannot wait; the rest comes together when that ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, STAGING, Office, open_office, words
from tests.bot.test_posting import followed
from tests.core.deployments.world import ADMIN

from dg.core.access.models import Role
from dg.core.clock import SECOND
from dg.core.errors import Forbidden, Invalid, NotFound
from dg.core.slack import store
from dg.core.slack.models import MuteChannel

ALL = {"all": {"channel": DEPLOYS, "post": "always"}}


def request(office: Office, seconds: float = 3600.0, channel: str = DEPLOYS) -> MuteChannel:
    until = office.world.core.clock.micros() + int(seconds * SECOND)
    return MuteChannel(channel=channel, until=until)


async def test_whoever_may_not_is_refused_and_nothing_is_muted(office: Office) -> None:
    assert "needs the role" in await office.say("cleo", "mute for 2h")
    assert await office.world.core.channels.mutes(ADMIN) == ()


async def test_a_right_for_one_environment_does_not_reach_a_channel_of_all(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        channels, core = office.world.core.channels, office.world.core
        made = await core.tokens.create(ADMIN, name="eve", role=Role.OPERATOR, environment="staging")
        eve = await core.access.authenticate(made.secret)
        with pytest.raises(Forbidden):
            await channels.mute(eve, request(office))
        assert (await channels.mute(eve, request(office, channel=STAGING))).channel == STAGING


async def test_a_muted_channel_is_told_together_when_the_mute_ends(office: Office) -> None:
    ana = office.people["ana"]
    assert "Done" in await office.say("ana", "mute for 2h because we <!here> present")
    said = await office.shown("is muted here until")
    assert "we &lt;!here&gt; present" in words(said)
    assert "Follow it in" not in await office.say("ana", "deploy web v1 to development")
    await office.world.ended(await office.newest())
    await office.world.deploy("v3", "development")
    await followed(office)
    assert [each.ts for each in office.slack.messages()] == [said.ts]
    assert "Done" in await office.say("ana", "unmute")
    told = await office.shown("While dg was muted")
    assert "2 deployments" in words(told)
    assert (await office.shown("tells this channel everything again")).ts == said.ts
    assert len(office.slack.messages()) == 2
    kinds = [each.type for each in await office.world.entries() if each.actor == ana.id]
    assert [each for each in kinds if each.startswith("slack.channel")] == [
        "slack.channel_muted",
        "slack.channel_unmuted",
    ]


async def test_another_channel_is_muted_by_its_name(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.say("ana", "mute #staging for 30m")
        await office.shown("is muted here until", "staging")
        assert office.slack.messages() == []
        again = await office.world.core.channels.mute(office.people["ben"], request(office, 7200, STAGING))
        (found,) = await office.world.core.channels.mutes(ADMIN)
        assert found == again
        assert "Done" in await office.say("ben", "unmute #staging")
        assert await office.world.core.channels.mutes(ADMIN) == ()


async def test_what_cannot_wait_is_told_to_a_muted_channel(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ALL) as office:
        await office.world.core.channels.mute(office.people["ana"], request(office))
        made = await office.world.create("v2")
        await office.shown("*0 of 1* approvals")
        await office.say("ben", f"approve #{made.number}")
        await office.shown("in production: failed")


async def test_a_mute_ends_by_itself_and_says_so(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ALL) as office:
        core = office.world.core
        made = await core.channels.mute(office.people["ana"], request(office))
        said = await office.shown("is muted here until")
        await office.world.deploy("v1", "development")
        await followed(office)
        now = core.clock.micros()
        # The hour has passed.
        await office.world.db.write(
            lambda tx: store.change(tx, made.model_copy(update={"until": now}), ended=False)
        )
        await core.channels.end_mutes()
        await core.messenger.look_again(DEPLOYS)
        assert (await office.shown("tells this channel everything again")).ts == said.ts
        assert "1 deployment" in words(await office.shown("While dg was muted"))
        (over,) = await office.world.entries("slack.channel_unmuted")
        assert over.payload["automatic"]


@pytest.mark.parametrize("seconds", [0.0, 8 * 86400.0])
async def test_a_mute_has_an_end_within_seven_days(tmp_path: Path, seconds: float) -> None:
    async with open_office(tmp_path, ready=False) as office:
        with pytest.raises(Invalid, match="within seven days"):
            await office.world.core.channels.mute(ADMIN, request(office, seconds))
        with pytest.raises(NotFound, match="is not muted"):
            await office.world.core.channels.unmute(ADMIN, DEPLOYS)


@pytest.mark.parametrize(
    ("line", "answer"),
    [("mute", "For how long?"), ("mute general for 2h", "no channel's id"), ("unmute", "is not muted")],
)
async def test_what_cannot_be_muted_is_said(tmp_path: Path, line: str, answer: str) -> None:
    async with open_office(tmp_path) as office:
        assert answer in await office.say("ana", line)
