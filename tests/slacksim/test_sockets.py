"""Socket Mode as a client sees it: tickets, envelopes, the many ways in which a socket ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.apps import Bot

from dg.core.tasks import Tasks, open_tasks
from dg.core.testing import ManualClock
from dg.slacksim.app import Options
from dg.slacksim.sim import SlackSim
from dg.slacksim.world import App, World

Wire = aiohttp.ClientWebSocketResponse


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with open_tasks() as tasks:
        yield tasks


async def address(slack: SlackSim) -> str:
    client = AsyncWebClient(slack.app_token, base_url=slack.api_url, retry_handlers=[])
    return str((await client.apps_connections_open(app_token=slack.app_token))["url"])


async def connect(slack: SlackSim, session: aiohttp.ClientSession) -> tuple[Wire, dict[str, Any]]:
    """A socket, and the hello that came over it."""
    wire = await session.ws_connect(await address(slack), autoping=False)
    return wire, await wire.receive_json(timeout=5)


async def test_a_socket_says_hello(slack: SlackSim, session: aiohttp.ClientSession) -> None:
    wire, first = await connect(slack, session)
    _, second = await connect(slack, session)
    assert not wire.closed
    assert first["type"] == "hello"
    assert first["connection_info"] == {"app_id": "A0DG"}
    assert (first["num_connections"], second["num_connections"]) == (1, 2)


async def test_a_ticket_is_good_once(slack: SlackSim, session: aiohttp.ClientSession) -> None:
    url = await address(slack)
    async with session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(url)
    async with session.get(await address(slack)) as answer:
        assert answer.status == 400, "no WebSocket was asked for"


async def test_tickets_can_be_dead_and_handshakes_slow(
    slack: SlackSim, session: aiohttp.ClientSession
) -> None:
    slack.fault(kind="dead_tickets", times=1)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await connect(slack, session)
    slack.fault(kind="slow_handshake", seconds=0.02, times=1)
    await connect(slack, session)


async def test_a_ping_is_answered(slack: SlackSim, session: aiohttp.ClientSession) -> None:
    wire, _ = await connect(slack, session)
    await wire.ping(b"are you there")
    answer = await wire.receive(timeout=5)
    assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_an_envelope_is_acknowledged_with_its_answer(
    slack: SlackSim, session: aiohttp.ClientSession, tasks: Tasks
) -> None:
    wire, _ = await connect(slack, session)
    task = tasks.spawn("ana", slack.post_command("ana", "status"))
    envelope = await wire.receive_json(timeout=5)
    assert envelope["type"] == "slash_commands"
    assert envelope["accepts_response_payload"] is True
    for nonsense in ("{", "[]", json.dumps({"envelope_id": []}), json.dumps({"envelope_id": "other"})):
        await wire.send_str(nonsense)
    await wire.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "fine"}})
    assert (await task).answer.body == {"text": "fine"}
    assert slack.ephemerals("ana")[0].text == "fine"


async def test_sockets_take_turns(slack: SlackSim, session: aiohttp.ClientSession, tasks: Tasks) -> None:
    wires = [(await connect(slack, session))[0] for _ in range(2)]
    for number in range(4):
        task = tasks.spawn("ana", slack.post_command("ana", str(number)))
        envelope = await wires[number % 2].receive_json(timeout=5)
        await wires[number % 2].send_json({"envelope_id": envelope["envelope_id"]})
        assert (await task).ok


async def test_an_event_that_was_not_acknowledged_comes_again_with_its_number(
    slack: SlackSim, session: aiohttp.ClientSession, tasks: Tasks
) -> None:
    wire, _ = await connect(slack, session)
    task = tasks.spawn("ana", slack.open_home("ana"))
    first = await wire.receive_json(timeout=5)
    assert first["retry_attempt"] == 0
    other, _ = await connect(slack, session)
    slack.parts.sockets.abort(1)
    again = await other.receive_json(timeout=5)
    assert (again["retry_attempt"], again["retry_reason"]) == (1, "connection_failed")
    assert again["payload"]["event_id"] == first["payload"]["event_id"]
    await other.send_json({"envelope_id": again["envelope_id"]})
    delivery = await task
    assert delivery is not None
    await slack.until(lambda: delivery.ok)


async def test_an_eleventh_socket_is_sent_away(slack: SlackSim, session: aiohttp.ClientSession) -> None:
    wires = [await connect(slack, session) for _ in range(10)]
    _, said = await connect(slack, session)
    assert (said["type"], said["reason"]) == ("disconnect", "too_many_websockets")
    assert len(slack.parts.sockets.open()) == len(wires)


async def test_a_socket_is_refreshed_after_a_warning(session: aiohttp.ClientSession) -> None:
    clock = ManualClock()
    async with SlackSim(clock=clock, options=Options(socket_lifetime=60)) as slack:
        wire, hello = await connect(slack, session)
        assert hello["debug_info"]["approximate_connection_time"] == 60
        await slack.until(lambda: clock.sleeping)
        await clock.advance(50)
        assert (await wire.receive_json(timeout=5))["reason"] == "warning"
        assert len(slack.parts.sockets.open()) == 1
        await clock.advance(10)
        assert (await wire.receive_json(timeout=5))["reason"] == "refresh_requested"
        await clock.advance(2)
        assert (await wire.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
        await wire.close()
        await slack.until(lambda: not slack.parts.sockets.open())


async def test_a_dead_socket_is_open_and_nothing_goes_through(
    slack: SlackSim, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.slacksim.sockets.ACK_SECONDS", 0.1)
    wire, _ = await connect(slack, session)
    slack.parts.sockets.silence()
    await wire.ping()
    assert (await slack.post_command("ana", "status")).answer.error == "timeout"
    with pytest.raises(TimeoutError):
        await wire.receive(timeout=0.1)
    assert len(slack.parts.sockets.open()) == 1


async def test_bolt_comes_back_after_a_refresh_and_a_reset(slack: SlackSim, socket_bot: Bot) -> None:
    sockets = slack.parts.sockets
    sockets.refresh()
    await slack.until(lambda: sockets.opened == 2 and len(sockets.open()) == 1)
    assert (await slack.post_command("ana", "after the refresh")).ok
    sockets.abort()
    await slack.until(lambda: sockets.opened == 3, within=20)
    assert (await slack.post_command("ana", "after the reset")).ok
    assert [each["text"] for each in socket_bot.bodies("command")] == ["after the refresh", "after the reset"]


async def test_the_sdk_alone_never_leaves_a_dead_address(slack: SlackSim, socket_bot: Bot) -> None:
    """Why a bot needs a watchdog of its own: a ticket is asked for once, and tried for ever."""
    slack.fault(kind="dead_tickets")
    slack.parts.sockets.abort()
    tries = "apps.connections.open"
    await slack.until(lambda: len(slack.calls(tries)) == 2, within=20)
    refused = slack.parts.sockets.refused
    await slack.until(lambda: slack.parts.sockets.refused >= refused + 3, within=20)
    assert len(slack.calls(tries)) == 2


async def test_an_app_without_socket_mode_gets_no_address() -> None:
    world = World(app=App(transport="http", request_url="http://127.0.0.1:9/"))
    async with SlackSim(world) as slack:
        client = AsyncWebClient(slack.app_token, base_url=slack.api_url, retry_handlers=[])
        with pytest.raises(Exception, match="socket_mode_not_enabled"):
            await client.apps_connections_open(app_token=slack.app_token)
