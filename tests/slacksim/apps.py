"""A small app on slack-bolt, over both transports, for the simulator to be a Slack to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from dg.slacksim.sim import SlackSim
from dg.slacksim.world import EVENTS

Transport = Literal["socket", "http"]

BUTTONS: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*api* waits"}},
    {
        "type": "actions",
        "block_id": "decide",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "value": "7:0",
                "style": "primary",
                "text": {"type": "plain_text", "text": "Approve"},
            },
            {
                "type": "static_select",
                "action_id": "silence",
                "placeholder": {"type": "plain_text", "text": "Silence"},
                "options": [
                    {"text": {"type": "plain_text", "text": "30 minutes"}, "value": "1800"},
                    {"text": {"type": "plain_text", "text": "2 hours"}, "value": "7200"},
                ],
            },
        ],
    },
]
MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "rollback",
    "title": {"type": "plain_text", "text": "Roll back"},
    "submit": {"type": "plain_text", "text": "Roll back"},
    "notify_on_close": True,
    "private_metadata": "7",
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text", "min_length": 5},
        },
        {
            "type": "input",
            "block_id": "version",
            "optional": True,
            "label": {"type": "plain_text", "text": "To"},
            "element": {"type": "external_select", "action_id": "pick"},
        },
    ],
}


@dataclass
class Bot:
    """The app and what it was told."""

    client: AsyncWebClient
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [body for name, body in self.heard if name == kind]


def listeners(app: AsyncApp, bot: Bot) -> None:
    """What the app does: a button in the channel, a modal, a home, options."""

    @app.command("/dg")
    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        bot.heard.append(("command", body))
        match body["text"]:
            case "hang":
                await asyncio.Event().wait()
            case "loud":
                await ack(text="to everybody", response_type="in_channel")
            case "bad":
                await ack(blocks=[{"type": "nonsense"}])
            case text:
                await ack(text=f"heard {text}")

    @app.action("approve")
    async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
        bot.heard.append(("approve", body))
        await ack()
        await bot.client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.action("silence")
    async def silence(ack: AsyncAck, body: dict[str, Any], respond: Any) -> None:
        bot.heard.append(("silence", body))
        await ack()
        await respond(text="silenced", replace_original=False)

    @app.view("rollback")
    async def submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        bot.heard.append(("submit", body))
        if body["view"]["state"]["values"]["reason"]["text"]["value"] == "wrong":
            await ack(response_action="errors", errors={"reason": "say more"})
        else:
            await ack()

    @app.view_closed("rollback")
    async def closed(ack: AsyncAck, body: dict[str, Any]) -> None:
        bot.heard.append(("closed", body))
        await ack()

    @app.options("pick")
    async def options(ack: AsyncAck, body: dict[str, Any]) -> None:
        found = [f"{body['value']}.{number}" for number in (1, 2)]
        await ack(options=[{"text": {"type": "plain_text", "text": each}, "value": each} for each in found])

    for kind in EVENTS:

        @app.event(kind)
        async def event(body: dict[str, Any]) -> None:
            bot.heard.append((body["event"]["type"], body))


@asynccontextmanager
async def bot_on(slack: SlackSim, transport: Transport) -> AsyncIterator[Bot]:
    """The app, connected to `slack` until the block ends."""

    async def authorize(**_: Any) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None,
            team_id="T0HOME",
            bot_user_id="U0DGBOT",
            bot_id="B0DG",
            bot_token=slack.bot_token,
        )

    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        bare = AsyncWebClient(base_url=slack.api_url, session=session, retry_handlers=[])
        app = AsyncApp(client=bare, signing_secret=slack.signing_secret, authorize=authorize)
        bot = Bot(client)
        listeners(app, bot)
        async with (_by_socket if transport == "socket" else _by_http)(slack, app, client):
            yield bot


@asynccontextmanager
async def _by_socket(slack: SlackSim, app: AsyncApp, client: AsyncWebClient) -> AsyncIterator[None]:
    handler = AsyncSocketModeHandler(app, slack.app_token, web_client=client, ping_interval=0.5)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    try:
        await slack.until(slack.parts.sockets.open)
        yield
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def _by_http(slack: SlackSim, app: AsyncApp, _client: AsyncWebClient) -> AsyncIterator[None]:
    runner = web.AppRunner(app.web_app(path="/slack/events"), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.deliver_to(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    try:
        yield
    finally:
        await runner.cleanup()
