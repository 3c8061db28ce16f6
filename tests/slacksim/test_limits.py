"""Slack's rate limits, in time that the test passes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from dg.core.testing import ManualClock
from dg.slacksim.errors import SlackError
from dg.slacksim.limits import TIER_3, Limits
from dg.slacksim.passes import Passes
from dg.slacksim.sim import SlackSim


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def strict(clock: ManualClock) -> AsyncIterator[SlackSim]:
    async with SlackSim(clock=clock) as simulator:
        yield simulator


def passed(limits: Limits, method: str, calls: int, channel: str = "") -> list[int]:
    return [limits.take(method, TIER_3 if not channel else 60, channel) for _ in range(calls)]


async def test_a_tier_is_a_rate_with_a_short_burst(clock: ManualClock) -> None:
    limits = Limits(clock)
    assert passed(limits, "chat.update", 10) == [0] * 8 + [1, 1]
    await clock.advance(60)
    assert passed(limits, "chat.update", 9) == [0] * 8 + [1]


async def test_no_more_than_a_tier_allows_gets_through_in_a_minute(clock: ManualClock) -> None:
    limits = Limits(clock)
    through = 0
    for _ in range(600):
        through += limits.take("chat.update", TIER_3) == 0
        await clock.advance(0.1)
    assert through in (57, 58), "50 a minute and 8 at once"


async def test_posts_are_limited_in_each_channel_by_itself(clock: ManualClock) -> None:
    limits = Limits(clock)
    assert passed(limits, "chat.postMessage", 4, "C1") == [0, 0, 0, 1]
    assert passed(limits, "chat.postMessage", 1, "C2") == [0]
    await clock.advance(1)
    assert passed(limits, "chat.postMessage", 2, "C1") == [0, 1]


async def test_limits_can_be_faster_or_off(clock: ManualClock) -> None:
    assert passed(Limits(clock, 0), "chat.update", 1000) == [0] * 1000
    assert passed(Limits(clock, 10), "chat.update", 80).count(0) == 8


async def test_too_many_posts_are_429_with_the_seconds_to_wait(strict: SlackSim, clock: ManualClock) -> None:
    client = AsyncWebClient(strict.bot_token, base_url=strict.api_url, retry_handlers=[])
    for number in range(3):
        await client.chat_postMessage(channel="#deploys", text=str(number))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="CDEPLOYS", text="3")
    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "1"
    await clock.advance(1)
    await client.chat_postMessage(channel="CDEPLOYS", text="3")
    assert [each.outcome for each in strict.calls("chat.postMessage")] == ["ok"] * 3 + ["ratelimited", "ok"]


async def test_a_trigger_is_good_once_for_three_seconds(clock: ManualClock) -> None:
    passes = Passes(clock)
    used, old = passes.trigger("UANA"), passes.trigger("UANA")
    assert passes.exchange(used) == "UANA"
    await clock.advance(3.1)
    for name, error in ((used, "exchanged"), (old, "expired"), ("none", "invalid")):
        with pytest.raises(SlackError, match=f"{error}_trigger_id"):
            passes.exchange(name)


async def test_a_response_url_and_a_ticket_grow_old(clock: ManualClock) -> None:
    passes = Passes(clock)
    hook, ticket = passes.hook("CDEPLOYS", "UANA"), passes.ticket()
    fresh = passes.ticket()
    assert passes.redeem(fresh)
    assert not passes.redeem(fresh)
    await clock.advance(31)
    assert not passes.redeem(ticket)
    passes.respond(hook)
    await clock.advance(1800)
    with pytest.raises(SlackError, match="expired_url"):
        passes.respond(hook)


async def test_timestamps_go_on_when_the_clock_is_set_back(strict: SlackSim, clock: ManualClock) -> None:
    first = strict.parts.slack.next_ts()
    clock.jump(-3600)
    assert float(strict.parts.slack.next_ts()) > float(first)
