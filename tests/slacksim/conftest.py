from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.apps import Bot, Transport, bot_on

from dg.slacksim.app import Options
from dg.slacksim.sim import SlackSim
from dg.slacksim.world import App, Shortcut, sample


@pytest.fixture
async def slack() -> AsyncIterator[SlackSim]:
    """A Slack without rate limits, whose app hears of everything at once again."""
    app = App(unfurl_domains=("dg.example",), shortcuts=(Shortcut(callback_id="deploy", name="Deploy…"),))
    world = sample().model_copy(update={"app": app})
    async with SlackSim(world, options=Options(scale=0, retry_after=(0, 0, 0))) as simulator:
        yield simulator


@pytest.fixture
async def client(slack: SlackSim) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


@pytest.fixture(params=["socket", "http"])
async def bot(request: pytest.FixtureRequest, slack: SlackSim) -> AsyncIterator[Bot]:
    transport: Transport = request.param
    async with bot_on(slack, transport) as app:
        yield app


@pytest.fixture
async def socket_bot(slack: SlackSim) -> AsyncIterator[Bot]:
    async with bot_on(slack, "socket") as app:
        yield app


@pytest.fixture
async def http_bot(slack: SlackSim) -> AsyncIterator[Bot]:
    async with bot_on(slack, "http") as app:
        yield app


def section(text: str = "hello") -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
