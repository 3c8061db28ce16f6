"""A handover in Slack: posted once in somebody's name, as text, where the settings say and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, STAGING, Office, open_office, words
from tests.bot.test_messages import check
from tests.core.deployments.world import OPERATOR, VIEWER, World, open_world

from dg.bot.messages.handover import handover
from dg.core.errors import Forbidden, Invalid, Refused
from dg.core.idempotency import Once
from dg.core.slack.models import PostHandover
from dg.core.testing import person

TEXT = (
    "# Handover of 2026-11-26\n\n## Closed lanes (1)\n\n- ▲ **web** in PRODUCTION is locked: sale \\*now\\*\n"
)


async def posted(office: Office) -> list[str]:
    """The handovers that stand in the channel."""
    found = [words(each) for each in office.slack.messages("deploys")]
    return [each for each in found if "Handover of" in each]


async def test_whoever_may_not_posts_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        for caller in (VIEWER, person("operator", environment="staging")):
            with pytest.raises(Forbidden):
                await core.handovers.post(caller, PostHandover(text=TEXT))
        assert [each.type for each in await office.world.entries() if each.type == "handover.posted"] == []


async def test_it_is_posted_once_in_the_name_of_who_asked(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        core = office.world.core
        key = Once("handover-1", "f" * 64)
        wish = PostHandover(text=TEXT, channel=DEPLOYS)
        ana = office.people["ana"]
        first = await core.handovers.post(ana, wish, key)
        assert await core.handovers.post(ana, wish, key) == first
        await office.shown("Handover of")
        (shown,) = await posted(office)
        assert "*web* in PRODUCTION is locked: sale *now*" in shown
        named = (await core.access.names([ana.id]))[ana.id]
        assert f"Posted by *{named}*" in shown
        (told,) = await office.world.entries("handover.posted")
        assert (told.actor, told.payload["channel"], TEXT in str(told.payload)) == (
            ana.id,
            DEPLOYS,
            False,
        )


async def test_without_a_channel_it_goes_where_the_first_route_leads(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        found = await office.world.core.handovers.post(OPERATOR, PostHandover(text=TEXT))
        assert found.channel == STAGING
        await office.shown("Handover of", "staging")


async def test_a_channel_that_no_route_names_gets_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        with pytest.raises(Invalid, match="is in no route of the settings"):
            await office.world.core.handovers.post(OPERATOR, PostHandover(text=TEXT, channel="C\x1b[2J"))


async def test_without_slack_it_says_how_to_set_it_up(tmp_path: Path) -> None:
    world: World
    async with open_world(tmp_path, passive=True) as world:
        with pytest.raises(Refused, match="Slack is not set up here") as refused:
            await world.core.handovers.post(OPERATOR, PostHandover(text=TEXT))
    assert refused.value.reason == "slack_off"


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> <@U1> <http://evil|click> & @here",
        "# <!channel>\n- <@U1>\n## <!here>\n\\<!everyone\\>",
        "x" * 12_000,
        "&" * 12_000,
        "\n".join(["&<>" * 30] * 130),
        "\n".join(f"- line {number} " + "y" * 90 for number in range(120)),
        "\n\n\n",
        "\x1b]52;c;aGk=\x07\u202e",
    ],
)
def test_nothing_in_it_calls_or_links_and_slack_takes_it(text: str) -> None:
    check(handover(text, "*ana*"))
