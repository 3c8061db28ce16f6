"""Sockets that die, requests that nobody signed, and a Slack that is not there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from tests.bot.office import Office, open_office

from dg.core.access.accounts import Account
from dg.core.access.models import Principal

HEALED_WITHIN = 15.0


async def acknowledged(office: Office) -> bool:
    return (await office.slack.post_command("ana", "who")).ok


async def until_acknowledged(office: Office) -> float:
    """Seconds until commands are acknowledged again."""
    began = time.monotonic()
    while not await acknowledged(office):
        await office.world.core.clock.sleep(0.1)
        assert time.monotonic() - began < 60
    return time.monotonic() - began


@pytest.mark.long
@pytest.mark.parametrize("how", ["abort", "silence"])
async def test_sockets_that_die_are_healed(tmp_path: Path, how: str) -> None:
    async with open_office(tmp_path) as office:
        getattr(office.slack.parts.sockets, how)()
        assert await until_acknowledged(office) < HEALED_WITHIN


@pytest.mark.long
async def test_addresses_that_lead_nowhere_are_not_asked_again(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.slack.fault(kind="dead_tickets", times=3)
        office.slack.parts.sockets.abort()
        assert await until_acknowledged(office) < HEALED_WITHIN


async def test_one_socket_carries_on_while_the_other_is_renewed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.slack.until(lambda: len(office.slack.parts.sockets.open()) == 2)
        office.slack.parts.sockets.refresh(0)
        for _ in range(10):
            assert await acknowledged(office)
        await office.slack.until(lambda: len(office.slack.parts.sockets.open()) == 2)


async def test_an_acknowledgement_takes_no_time(office: Office) -> None:
    took = []
    for _ in range(20):
        delivery = await office.slack.post_command("ana", "help")
        assert delivery.ok
        took.append(delivery.answer.seconds)
    assert sorted(took)[10] < 0.25


async def test_an_acknowledgement_waits_for_no_database(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts, gate = office.world.core.accounts, asyncio.Event()
    usual = accounts.principal

    async def stalled(account: Account, request_id: str = "") -> Principal | None:
        await gate.wait()
        return await usual(account, request_id)

    monkeypatch.setattr(accounts, "principal", stalled)
    delivery = await office.slack.post_command("ana", "who")
    assert delivery.ok
    assert delivery.answer.seconds < 1
    assert office.slack.ephemerals("ana") == []
    gate.set()
    assert "operator" in await office.answered("ana", 0)


@pytest.mark.parametrize("kind", ["forged", "skew"])
async def test_what_nobody_signed_is_refused(tmp_path: Path, kind: str) -> None:
    async with open_office(tmp_path, "http") as office:
        office.slack.fault(kind=kind, method="slash_commands", times=1, seconds=-600)
        delivery = await office.slack.post_command("ana", "deploy web v1 to development")
        assert delivery.answer.status == 401
        assert await office.deployments() == ()


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({}, b""),
        ({"x-slack-request-timestamp": "soon", "x-slack-signature": "v0=1"}, b"payload={}"),
        ({"x-slack-request-timestamp": "1", "x-slack-signature": "v0=1"}, b"\xff\xfe"),
        ({"x-slack-request-timestamp": "1", "x-slack-signature": ""}, b"payload=%7B%22"),
        ({"x-slack-request-timestamp": "9" * 30, "x-slack-signature": "\xe9"}, b"{"),
    ],
)
async def test_malformed_requests_are_refused_and_never_an_error(
    tmp_path: Path, headers: dict[str, str], content: bytes
) -> None:
    async with open_office(tmp_path, "http") as office:
        url = office.slack.parts.slack.app.request_url
        async with httpx.AsyncClient() as client:
            sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
            for kind in ("application/json", "application/x-www-form-urlencoded"):
                answer = await client.post(
                    url, headers={**sent, b"content-type": kind.encode()}, content=content
                )
                assert answer.status_code == 401
            assert (await client.get(url)).status_code == 405
            assert (await client.post(url, headers=sent, content=b"x" * (2 << 20))).status_code in (401, 413)


async def test_a_slack_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, api_url="http://127.0.0.1:9/", ready=False) as office:
        await office.world.deploy("v1", "development")
        await office.slack.until(lambda: office.bot.state() == "unreachable")
        health = await office.world.core.system.health()
        assert health.checks["slack"] == "unreachable"
        assert health.checks["database"] == "ok"
