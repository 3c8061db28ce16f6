"""Signed HTTP: what the app's server receives, and when an event comes again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from tests.slacksim.apps import Bot

from dg.slacksim.sim import SlackSim

Answer = Callable[[], web.Response]


class Receiver:
    """A server that keeps what comes and gives the answers that it was told, then 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[Answer] = []

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return self.answers.pop(0)() if self.answers else web.Response()


@pytest.fixture
async def receiver(slack: SlackSim) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/slack/events", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.deliver_to(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    yield receiver
    await runner.cleanup()


async def test_every_delivery_is_signed(slack: SlackSim, receiver: Receiver) -> None:
    await slack.post_command("ana", "status & more")
    await slack.open_home("ana")
    await slack.shortcut("ana", "deploy")
    verifier = SignatureVerifier(slack.signing_secret)
    assert all(verifier.is_valid_request(body, headers) for headers, body in receiver.requests)
    forms = [body.decode() for _, body in receiver.requests]
    assert parse_qs(forms[0])["text"] == ["status &amp; more"]
    assert json.loads(forms[1])["event"]["type"] == "app_home_opened"
    assert json.loads(parse_qs(forms[2])["payload"][0])["callback_id"] == "deploy"


async def test_an_event_comes_again_with_its_number_and_reason(slack: SlackSim, receiver: Receiver) -> None:
    receiver.answers = [lambda: web.Response(status=500), lambda: web.Response(status=302)]
    delivery = await slack.open_home("ana")
    assert delivery is not None
    await slack.until(lambda: delivery.ok)
    numbers = [headers.get("X-Slack-Retry-Num") for headers, _ in receiver.requests]
    reasons = [headers.get("X-Slack-Retry-Reason") for headers, _ in receiver.requests]
    assert numbers == [None, "1", "2"]
    assert reasons == [None, "http_error", "http_error"]
    assert len({body for _, body in receiver.requests}) == 1


async def test_an_app_can_ask_for_no_retry(slack: SlackSim, receiver: Receiver) -> None:
    receiver.answers = [lambda: web.Response(status=500, headers={"X-Slack-No-Retry": "1"})]
    delivery = await slack.open_home("ana")
    assert delivery is not None
    assert not delivery.answer.retry
    await slack.open_home("ben")
    assert len(receiver.requests) == 2
    assert len(delivery.answers) == 1


async def test_a_command_is_sent_once(slack: SlackSim, receiver: Receiver) -> None:
    receiver.answers = [lambda: web.Response(status=500)]
    delivery = await slack.post_command("ana", "status")
    assert (delivery.answer.error, delivery.answer.status) == ("http_error", 500)
    assert len(receiver.requests) == 1


async def test_a_request_url_is_verified_by_a_challenge(slack: SlackSim, receiver: Receiver) -> None:
    assert not await slack.verify_url()
    asked = json.loads(receiver.requests[0][1])
    assert asked["type"] == "url_verification"


async def test_bolt_answers_the_challenge(slack: SlackSim, http_bot: Bot) -> None:
    assert await slack.verify_url()
    assert http_bot.heard == []
