"""What a script lets go wrong goes wrong: for the Web API, for deliveries, as often as it says."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.apps import Bot

from dg.core.testing import ManualClock
from dg.slacksim.answers import Answer
from dg.slacksim.faults import MOST, Fault, Faults
from dg.slacksim.sim import SlackSim


async def post(client: AsyncWebClient) -> str:
    """What a post ends with: `ok`, Slack's word, an HTTP status, or the connection's end."""
    try:
        await client.chat_postMessage(channel="CDEPLOYS", text="x")
    except SlackApiError as error:
        answer = error.response
        return str(answer["error"]) if answer.status_code == 200 else str(answer.status_code)
    except aiohttp.ClientError:
        return "reset"
    return "ok"


@pytest.mark.parametrize(
    ("fault", "seen", "posted"),
    [
        ({"kind": "down"}, "reset", 0),
        ({"kind": "reset"}, "reset", 0),
        ({"kind": "reset", "applied": True}, "reset", 1),
        ({"kind": "status", "status": 503}, "503", 0),
        ({"kind": "status", "status": 500, "applied": True}, "500", 1),
        ({"kind": "error", "error": "invalid_blocks"}, "invalid_blocks", 0),
        ({"kind": "error", "error": "fatal_error", "applied": True}, "fatal_error", 1),
        ({"kind": "ratelimited", "seconds": 30}, "429", 0),
        ({"kind": "slow", "seconds": 0.01}, "ok", 1),
        ({"kind": "slow", "seconds": 0.01, "applied": True}, "ok", 1),
    ],
)
async def test_a_fault_of_the_web_api(
    slack: SlackSim, client: AsyncWebClient, fault: dict[str, Any], seen: str, posted: int
) -> None:
    slack.fault(times=1, **fault)
    assert await post(client) == seen
    assert len(slack.messages()) == posted
    assert await post(client) == "ok", "it was for one call"
    assert slack.calls("chat.postMessage")[0].applied is bool(posted)


async def test_a_slow_call_hangs_before_or_after_it_took_effect(slack: SlackSim) -> None:
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.1))
    async with session:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        for applied, posted in ((False, 0), (True, 1)):
            slack.fault(kind="slow", seconds=30, applied=applied, times=1)
            with pytest.raises(TimeoutError):
                await client.chat_postMessage(channel="CDEPLOYS", text="x")
            assert len(slack.messages()) == posted


async def test_a_fault_is_for_some_methods_until_it_is_cleared(
    slack: SlackSim, client: AsyncWebClient
) -> None:
    slack.fault(kind="down", method="chat.*")
    assert [await post(client) for _ in range(3)] == ["reset"] * 3
    assert (await client.auth_test())["ok"]
    slack.heal()
    assert await post(client) == "ok"


def test_of_several_faults_the_first_happens_as_often_as_it_says() -> None:
    faults = Faults()
    for times, error in ((2, "one"), (1, "two")):
        faults.add(Fault(kind="error", error=error, times=times))
    found = [faults.take("chat.update", "error") for _ in range(4)]
    assert [each and each.error for each in found] == ["one", "one", "two", None]
    assert faults.armed() == []


def test_a_script_has_an_end() -> None:
    faults = Faults()
    for _ in range(MOST):
        faults.add(Fault(kind="down"))
    with pytest.raises(ValueError, match="no more than 1,000 faults"):
        faults.add(Fault(kind="down"))


@pytest.mark.parametrize(
    "wrong", [{"kind": "fire"}, {"kind": "down", "times": 0}, {"kind": "slow", "seconds": float("nan")}, {}]
)
def test_a_fault_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault(**wrong)


async def test_a_command_comes_twice(slack: SlackSim, bot: Bot) -> None:
    slack.fault(kind="duplicate", method="slash_commands", times=1)
    delivery = await slack.post_command("ana", "status")
    first, second = bot.bodies("command")
    assert first["trigger_id"] == second["trigger_id"]
    assert len(delivery.answers) == 2
    assert len(slack.ephemerals("ana")) == 1, "a person sees one answer"


async def test_an_event_comes_twice_with_one_id(slack: SlackSim, bot: Bot) -> None:
    slack.fault(kind="duplicate", method="events_api", times=1)
    await slack.open_home("ana")
    await slack.until(lambda: len(bot.bodies("app_home_opened")) == 2)
    assert len({each["event_id"] for each in bot.bodies("app_home_opened")}) == 1


async def test_a_lost_event_comes_again(
    slack: SlackSim, http_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.slacksim.deliveries.ACK_SECONDS", 0.05)
    slack.fault(kind="lost", method="events_api", times=2)
    delivery = await slack.open_home("ana")
    assert delivery is not None
    assert not delivery.ok
    await slack.until(lambda: delivery.ok)
    assert [each.error for each in delivery.answers] == ["timeout", "timeout", ""]
    assert len(http_bot.bodies("app_home_opened")) == 1


@pytest.mark.parametrize("fault", [{"kind": "forged"}, {"kind": "skew", "seconds": -301}])
async def test_a_wrong_signature_is_noticed_by_bolt(
    slack: SlackSim, http_bot: Bot, fault: dict[str, Any]
) -> None:
    slack.fault(times=1, **fault)
    delivery = await slack.post_command("ana", "status")
    assert delivery.answer.status == 401
    assert http_bot.heard == []
    assert "dispatch_failed" in slack.ephemerals("ana")[0].text
    assert (await slack.post_command("ana", "status")).ok


async def test_an_app_that_does_not_answer_in_three_seconds_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    async with SlackSim(clock=clock) as slack:
        slack.fault(kind="lost")
        command = slack.parts.people.command("ana", "status", "deploys")
        from dg.core.tasks import open_tasks

        async with open_tasks() as tasks:
            task = tasks.spawn("ana", command)
            await slack.until(lambda: clock.sleeping)
            await clock.advance(2.9)
            assert not task.done()
            await clock.advance(0.2)
            delivery = await task
        assert delivery.answers == [Answer("timeout", seconds=3.0)]
        assert "operation_timeout" in slack.ephemerals("ana")[0].text


async def test_nobody_answers_for_an_app_that_is_not_there(slack: SlackSim) -> None:
    assert (await slack.post_command("ana", "status")).answer.error == "no_socket"
    slack.deliver_to("http://127.0.0.1:9/slack/events")
    assert (await slack.post_command("ana", "status")).answer.error == "connection_failed"
    assert [each.text for each in slack.ephemerals("ana")] == [
        "`/dg` failed with the error “dispatch_failed”"
    ] * 2
