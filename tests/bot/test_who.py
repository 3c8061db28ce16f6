"""Who is let in: the clicker's own rights decide, as they are now, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.bot.office import Office, open_office
from tests.core.deployments.world import ADMIN

from dg.bot.auth import account_of
from dg.bot.messages import deployments as shown
from dg.core.access.accounts import Account
from dg.core.access.models import Action, CreateBinding, Role
from dg.core.errors import Forbidden, NotFound
from dg.core.testing import eventually


@pytest.fixture
async def strangers(tmp_path: Path) -> AsyncIterator[Office]:
    """People who are signed in to dg and have not said who they are in Slack."""
    async with open_office(tmp_path, linked=False, viewers=["shop.example"]) as found:
        yield found


async def test_nobody_is_answered_before_they_say_who_they_are(tmp_path: Path) -> None:
    async with open_office(tmp_path, linked=False) as office:
        for line in ("status", "deploy web v1 to staging", "who", "help"):
            assert "/dg link" in await office.say("ana", line)
        assert await office.deployments() == ()


async def test_a_code_makes_an_account_somebody_s(strangers: Office) -> None:
    office, accounts = strangers, strangers.world.core.accounts
    said = await office.say("ana", "link")
    code = said.partition("dg slack link ")[2].split()[0].strip("`\\n")[:19]
    found = await accounts.find(office.people["ana"], code)
    assert (found.user, found.name) == (office.account("ana").user, "ana")
    link = await accounts.link(office.people["ana"], code)
    assert "You are *ana*: operator" in await office.say("ana", "who")
    with pytest.raises(NotFound):
        await accounts.link(office.people["ben"], code)
    assert [each.type for each in await office.world.entries() if each.object == link.id] == ["slack.linked"]
    assert "nobody to dg now" in await office.say("ana", "unlink")
    assert "operator" not in await office.say("ana", "who")


async def test_an_address_of_the_house_may_look_and_nothing_more(strangers: Office) -> None:
    office = strangers
    assert "viewer" in await office.say("ana", "who")
    assert "needs the role" in await office.say("ana", "deploy web v1 to staging")
    assert "/dg link" in await office.say("gus", "who", "staging")
    assert await office.deployments() == ()


async def test_strangers_from_a_shared_channel_are_refused(strangers: Office) -> None:
    for line in ("status", "link", "who", "help"):
        assert "members of its own workspace" in await strangers.say("sam", line, "partner")


async def test_a_denied_click_says_which_role_it_takes_and_who_has_it(office: Office) -> None:
    await office.say("ana", "deploy web v2 to staging")
    message = await office.shown("Retry", "staging")
    before = len(office.slack.ephemerals("ben"))
    await office.slack.click("ben", message, shown.RETRY)
    said = await office.answered("ben", before)
    assert "deployment:retry on web/staging needs the role" in said
    assert f"<@{office.account('ana').user}> could" in said


async def test_rights_are_those_of_this_moment(office: Office) -> None:
    assert "Asked for" in await office.say("ana", "deploy web v1 to staging")
    core = office.world.core
    for token in await core.tokens.list(ADMIN):
        if token.person == office.people["ana"].id:
            await core.tokens.revoke(ADMIN, token.id)
    assert "sign-in has ended" in await office.say("ana", "deploy web v1 to staging")
    assert len(await office.deployments()) == 1


async def test_a_user_group_brings_what_is_bound_to_it(tmp_path: Path) -> None:
    async with open_office(tmp_path, user_groups=True) as office:
        core = office.world.core
        group = next(iter(office.slack.parts.slack.groups.values())).id
        wish = CreateBinding(subject=f"slack-group:{group}", role="approver", environment="production")
        await core.bindings.create(ADMIN, wish)

        async def may(name: str) -> bool:
            found = await core.accounts.principal(office.account(name))
            return found is not None and found.may(Action.LANE_FREEZE, "production", "web")

        assert "approver on production" in await office.say("ana", "who")
        assert await may("ana")
        assert not await may("cleo")


async def test_who_has_left_the_workspace_is_nobody_at_once(office: Office) -> None:
    await office.slack.parts.admin.deactivate("ana")

    async def gone() -> bool:
        return await office.world.core.accounts.principal(office.account("ana")) is None

    await eventually(gone)


async def test_programs_have_no_accounts(office: Office) -> None:
    accounts = office.world.core.accounts
    code = await accounts.ask(Account("T1", "U1"), "robot")
    robot = office.people["ana"].model_copy(update={"kind": "service"})
    with pytest.raises(Forbidden):
        await accounts.link(robot, code)
    other = office.people["ana"].model_copy(update={"impersonated_by": "somebody"})
    with pytest.raises(Forbidden):
        await accounts.link(other, code)


async def test_everybody_sees_their_own_accounts_and_administrators_all(office: Office) -> None:
    accounts = office.world.core.accounts
    assert {each.name for each in await accounts.list(office.people["ana"])} == {"ana"}
    assert {each.name for each in await accounts.list(ADMIN)} == {"ana", "ben", "cleo"}
    other = next(each for each in await accounts.list(ADMIN) if each.name == "ben")
    with pytest.raises(Forbidden):
        await accounts.unlink(office.people["ana"], other.id)
    await accounts.unlink(ADMIN, other.id)
    assert {each.name for each in await accounts.list(ADMIN)} == {"ana", "cleo"}


async def test_an_approval_takes_two_people_however_many_accounts_they_have(office: Office) -> None:
    await office.hire("ana", Role.APPROVER)
    code = await office.world.core.accounts.ask(office.account("cleo"), "cleo")
    await office.world.core.accounts.link(office.people["ana"], code)
    await office.slack.post_command("ana", "deploy web v1 to production")
    await office.modal("ana", "Why?")
    await office.slack.submit("ana", {"reason": "spring prices", "name": "web"})
    message = await office.shown("0 of 1")
    before = len(office.slack.ephemerals("cleo"))
    await office.slack.click("cleo", message, shown.APPROVE)
    assert "approves what they asked for themselves" in await office.answered("cleo", before)


def test_a_request_is_of_the_workspace_that_its_sender_is_of() -> None:
    assert account_of({"user": {"id": "U1", "team_id": "T2"}, "team": {"id": "T1"}}) == Account("T2", "U1")
    assert account_of({"team_id": "T1", "user_id": "U1"}) == Account("T1", "U1")
    assert account_of({"team_id": "T1", "event": {"user": "U1", "user_team": "T2"}}) == Account("T2", "U1")
    assert account_of({}) == Account("", "")
