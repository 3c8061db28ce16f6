"""Clicks and commands that come twice, late, or from several at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.bot.office import Office, words
from tests.bot.test_health import beat, watch

from dg.bot.listeners import as_typed
from dg.bot.messages import deployments as shown
from dg.core.deployments.models import Status


async def ask(office: Office, version: str = "v1") -> None:
    await office.slack.post_command("ana", f"deploy web {version} to production")
    await office.modal("ana", "Why?")
    await office.slack.submit("ana", {"reason": "spring prices", "name": "web"})


async def test_a_command_that_comes_twice_deploys_once(office: Office) -> None:
    office.slack.fault(kind="duplicate", method="slash_commands", times=1)
    assert "Asked for" in await office.say("ana", "deploy web v1 to staging")
    assert len(await office.deployments()) == 1


async def test_three_clicks_at_once_approve_once_and_say_the_rest(office: Office) -> None:
    await ask(office)
    message = await office.shown("0 of 1")
    clicks = (office.slack.click(name, message, shown.APPROVE) for name in ("ben", "ben", "cleo"))
    assert all(delivery.ok for delivery in await asyncio.gather(*clicks))
    await office.shown("Runs there since")
    approved = [each for each in await office.world.entries() if each.type == "deployment.approved"]
    assert len(approved) == 1
    assert "needs the role" in words((await office.slack.until(lambda: office.slack.ephemerals("cleo")))[-1])


async def test_a_button_of_an_older_state_does_nothing(office: Office) -> None:
    await ask(office)
    message = await office.shown("0 of 1")
    old = replace(message, blocks=[dict(block) for block in message.blocks])
    await office.slack.click("ben", message, shown.APPROVE)
    done = await office.shown("Runs there since")
    kept, done.blocks = done.blocks, old.blocks
    before = len(office.slack.ephemerals("ana"))
    await office.slack.click("ana", done, shown.CANCEL)
    assert "older state" in await office.answered("ana", before)
    done.blocks = kept
    assert (await office.newest()).status is Status.SUCCESS


async def test_an_approval_is_given_to_what_was_shown(office: Office) -> None:
    await ask(office, "v1")
    message = await office.shown("0 of 1")
    seen = next(
        element["value"]
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element["action_id"] == shown.APPROVE
    )
    for block in message.blocks:
        for element in block.get("elements", ()):
            if element.get("action_id") == shown.APPROVE:
                element["value"] = seen.rpartition(":")[0] + ":" + "0" * 16
    before = len(office.slack.ephemerals("ben"))
    await office.slack.click("ben", message, shown.APPROVE)
    assert "is not what you saw" in await office.answered("ben", before)
    assert (await office.newest()).status is Status.PENDING


async def test_a_no_takes_a_reason_that_everybody_reads(office: Office) -> None:
    await ask(office)
    await office.slack.click("ben", await office.shown("0 of 1"), shown.REJECT)
    await office.modal("ben", "Why?")
    await office.slack.submit("ben", {"reason": "the migration locks the table"})
    assert "the migration locks the table" in words(await office.shown("rejected"))


async def test_a_running_deployment_is_stopped_by_a_click(office: Office) -> None:
    await office.world.register(
        '[[step]]\nname = "long"\nphase = "deploy"\nshell = "sleep 30"\ntimeout = "60s"\n', service="slow"
    )
    await office.slack.post_command("ana", "deploy slow v1 to production")
    await office.modal("ana", "Why?")
    await office.slack.submit("ana", {"reason": "spring prices", "name": "slow"})
    await office.slack.click("ben", await office.shown("0 of 1"), shown.APPROVE)
    await office.slack.click("ana", await office.shown("long"), shown.CANCEL)
    await office.shown("cancelled")


async def test_what_one_brings_is_shown_against_what_runs_by_now(office: Office) -> None:
    office.world.repository.commit("Release 4", tag="v4", release="4")
    await ask(office, "v1")
    await office.slack.click("ben", await office.shown("0 of 1"), shown.APPROVE)
    await office.shown("Runs there since")
    await ask(office, "v3")
    await office.shown("`v3` →")
    await ask(office, "v4")
    last = await office.shown("`v4` →")
    assert "3 commits" in words(last)
    await office.slack.click("ben", await office.shown("`v3` →"), shown.APPROVE)
    await office.shown("Another runs there by now")
    await office.slack.until(lambda: "1 commit:" in words(office.slack.messages()[-1]), within=20)
    await office.slack.until(
        lambda: "brings 1 commit" in str(office.slack.messages(thread_ts=last.ts)), within=20
    )


async def test_home_shows_how_each_environment_is(office: Office) -> None:
    await watch(office)
    await ask(office)
    await office.slack.click("ben", await office.shown("0 of 1"), shown.APPROVE)
    await office.shown("Runs there since")
    await beat(office, "answers 500")
    await office.slack.open_home("cleo")
    home = str((await office.slack.until(lambda: office.slack.home("cleo"))).content)
    assert "*production*  :red_circle: unhealthy" in home
    assert "web `v1`  :red_circle: unhealthy" in home
    assert "/v1/deployments/" in home
    assert "dg_approve" not in home


async def test_home_shows_what_waits_for_one_and_lets_one_decide(office: Office) -> None:
    await ask(office)
    await office.shown("0 of 1")
    await office.slack.open_home("ben")
    home = await office.slack.until(lambda: office.slack.home("ben"))
    assert "waits for you" in str(home.content)
    await office.slack.click("ben", home, shown.APPROVE)
    await office.shown("Runs there since")
    await office.slack.open_home("ana")
    await office.slack.until(
        lambda: "Nothing waits for you" in str(getattr(office.slack.home("ana"), "content", ""))
    )


async def test_a_link_to_a_deployment_shows_it_to_who_may_see_it(office: Office) -> None:
    made = await office.world.deploy("v1", "development")
    url = f"https://dg.example.org/v1/deployments/{made.id}"
    message = await office.slack.say("cleo", f"look at {url}")
    await office.slack.until(lambda: message.unfurls)
    shown_there = str(message.unfurls[url])
    assert "development" in shown_there
    assert "button" not in shown_there
    other = await office.slack.say("gus", f"look at {url}", "staging")
    await office.say("ana", "who")
    assert other.unfurls == {}


def test_what_slack_made_of_a_line_is_undone() -> None:
    assert as_typed("deploy api <http://v1.4.2|v1.4.2> to prod") == "deploy api v1.4.2 to prod"
    assert as_typed("because a &lt; b &amp; <@U1|ana>") == "because a < b & ana"
    assert as_typed("reject 7 because <https://a.example/x>") == "reject 7 because https://a.example/x"
