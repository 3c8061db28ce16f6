"""The story told from Slack alone: deploy, approve, fail, roll back, unlock; by either transport."""

from __future__ import annotations

from tests.bot.office import Office, buttons, words

from dg.bot.messages import deployments as shown
from dg.bot.messages import modals
from dg.core.deployments.models import Status


async def ask(office: Office, who: str, line: str) -> None:
    """Ask for production by the form."""
    assert (await office.slack.post_command(who, line)).ok
    await office.modal(who, modals.DEPLOY)
    assert (await office.slack.submit(who, {"reason": "spring prices", "name": "web"})).ok
    await office.modal(who, "Asked for")


async def test_a_team_deploys_fails_and_goes_back_from_slack(office: Office) -> None:
    slack = office.slack
    await ask(office, "ana", "deploy web v1 to production")
    message = await office.shown("0 of 1")
    assert {shown.APPROVE, shown.REJECT, shown.CANCEL} == buttons(message)
    assert "spring prices" in words(message)
    assert f"<@{office.account('ben').user}>" in words(message)
    assert f"<@{office.account('ana').user}>" not in words(message)

    before = len(slack.ephemerals("ana"))
    await slack.click("ana", message, shown.APPROVE)
    assert "approves what they asked for themselves" in await office.answered("ana", before)

    await slack.click("ben", message, shown.APPROVE)
    done = await office.shown("Runs there since")
    assert done.ts == message.ts
    assert len(slack.messages()) == 1
    assert f"approved by <@{office.account('ben').user}>" in words(done)

    await ask(office, "ana", "deploy web v2 to production")
    await slack.click("ben", await office.shown("0 of 1"), shown.APPROVE)
    failed = await office.shown("It was rolled back")
    await slack.until(lambda: any(":rewind:" in words(each) for each in slack.messages()))
    found = await office.deployments()
    assert [each.status for each in found] == [Status.SUCCESS, Status.ROLLED_BACK, Status.SUCCESS]
    assert len(slack.messages()) == 3
    await slack.until(lambda: "last lines" in str(slack.messages(thread_ts=failed.ts)))

    closed = await office.shown("/dg unlock web in production")
    assert closed.ts == failed.ts
    assert buttons(closed) == {shown.UNLOCK}
    assert "`/dg unlock web in production`" in await office.say("cleo", "why web production")
    await slack.click("ben", closed, shown.UNLOCK)
    await slack.until(
        lambda: (
            not any(
                buttons(each) or "locked" in words(each) for each in slack.messages() if each.ts == failed.ts
            )
        )
    )
    assert "open" in await office.say("cleo", "why web production")


async def test_a_form_says_what_is_wrong_with_it(office: Office) -> None:
    await office.slack.post_command("ana", "deploy web v1 to production")
    await office.modal("ana", modals.DEPLOY)
    delivery = await office.slack.submit("ana", {"reason": "spring prices", "name": "wbe"})
    assert "not the service's name" in str(delivery.answer)
    assert await office.deployments() == ()
