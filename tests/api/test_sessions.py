"""Signing in over HTTP, and what a session keeps open until it is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason
from tests.api.waiting import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from dg.api.server import Listening, listen
from dg.core.access.models import SYSTEM
from dg.core.access.sessions import ApproveLogin, SessionTokens, WantedGrant
from dg.settings.server import Server

ID = "01936b2e-7c00-7000-8000-00000000000a"
DEVICE = "/v1/sessions/device"
CODE = f"{DEVICE}/BCDF-GHJK"
SOON = 6.0
"""Seconds within which what a session holds open is closed, and a little for the machine."""


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Listening]:
    async with listen(api.app, Server(port=0)) as listening:
        yield listening
        api.app.stop()


async def signed_in(api: Api, role: str = "operator", name: str = "ana") -> SessionTokens:
    """A new session of somebody."""
    device = await api.core.logins.ask(SYSTEM.origin, name=name, host="laptop")
    wish = ApproveLogin(person=name, grants=(WantedGrant(role=role),))
    await api.core.logins.approve(SYSTEM, device.user_code, wish)
    return await api.core.logins.collect(device.device_code)


@asynccontextmanager
async def caller(api: Api, tokens: SessionTokens) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who comes with these tokens."""
    async with api.caller() as client:
        client.headers["authorization"] = f"Bearer {tokens.access_token}"
        yield client


# --- who may not


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CODE),
        ("POST", f"{CODE}/approve"),
        ("POST", f"{CODE}/deny"),
        ("GET", "/v1/sessions"),
        ("POST", f"/v1/sessions/{ID}/revoke"),
    ],
)
async def test_a_stranger_lets_nobody_in_and_sees_nobody(api: Api, method: str, path: str) -> None:
    async with api.caller() as stranger:
        assert reason(await stranger.request(method, path)) == (401, "unauthenticated")


async def test_whoever_may_not_approve_does_not_learn_whether_a_code_is_good(api: Api) -> None:
    device = await api.core.logins.ask(SYSTEM.origin, name="ana", host="laptop")
    async with api.caller("approver") as other:
        for code in (device.user_code, "BCDF-GHJK"):
            for method, path in (("GET", ""), ("POST", "/approve"), ("POST", "/deny")):
                answer = await other.request(method, f"{DEVICE}/{code}{path}")
                assert reason(answer) == (403, "forbidden")


# --- the way in


async def test_somebody_signs_in_and_is_who_they_were_let_in_as(api: Api) -> None:
    async with api.caller() as program, api.caller("admin") as admin:
        asked = await program.post(DEVICE, json={"name": "ana", "host": "laptop"})
        assert asked.status_code == 201
        device = asked.json()
        assert device["hint"] == f"dg session approve {device['user_code']}"
        assert (device["interval"], device["expires_in"]) == (5, 600)
        wish = {"device_code": device["device_code"]}
        waiting = await program.post("/v1/sessions/token", json=wish)
        assert reason(waiting) == (409, "authorization_pending")
        assert waiting.json()["error"]["details"]["retry_after"] == 5
        early = await program.post("/v1/sessions/token", json=wish)
        assert reason(early) == (429, "slow_down")
        assert early.headers["retry-after"] == "10"
        login = (await admin.get(f"{DEVICE}/{device['user_code'].lower()}")).json()
        assert (login["name"], login["host"], login["address"]) == ("ana", "laptop", "203.0.113.9")
        grants = [{"role": "operator", "environment": "staging"}]
        approval = {"person": "Ana", "grants": grants}
        approved = await admin.post(f"{DEVICE}/{device['user_code']}/approve", json=approval)
        assert approved.json()["state"] == "approved"
        api.core.logins._polls.forget(api.core.logins._codes.digest(device["device_code"]))
        tokens = (await program.post("/v1/sessions/token", json=wish)).json()
        program.headers["authorization"] = f"Bearer {tokens['access_token']}"
        who = (await program.get("/v1/whoami")).json()
        assert (who["name"], who["method"], who["grants"]) == ("Ana", "session", grants)
        assert (who["session"], who["expires_at"]) == (
            tokens["session"]["id"],
            tokens["session"]["expires_at"],
        )
        assert [each["id"] for each in (await program.get("/v1/sessions")).json()["items"]] == [
            who["session"]
        ]


async def test_a_refresh_over_http_needs_no_other_token(api: Api) -> None:
    tokens = await signed_in(api)
    async with api.caller() as program:
        wish = {"refresh_token": tokens.refresh_token}
        following = (await program.post("/v1/sessions/refresh", json=wish)).json()
        assert following["refresh_token"] != tokens.refresh_token
        again = (await program.post("/v1/sessions/refresh", json=wish)).json()
        assert again["refresh_token"] == following["refresh_token"]
        unknown = {"refresh_token": "dgr_" + "A" * 70}
        assert reason(await program.post("/v1/sessions/refresh", json=unknown)) == (401, "unauthenticated")
        for bad in ("dgr_", "x", tokens.access_token, "dgr_" + "A" * 71):
            assert (
                await program.post("/v1/sessions/refresh", json={"refresh_token": bad})
            ).status_code == 400


async def test_a_session_lets_its_person_in_elsewhere(api: Api) -> None:
    tokens = await signed_in(api)
    async with caller(api, tokens) as ana:
        device = await api.core.logins.ask(SYSTEM.origin, name="ana", host="desk")
        approved = await ana.post(f"{DEVICE}/{device.user_code}/approve")
        assert (approved.status_code, approved.json()["person"]) == (200, tokens.session.person)
        second = await api.core.logins.collect(device.device_code)
        assert len((await ana.get("/v1/sessions")).json()["items"]) == 2
        ended = await ana.post(f"/v1/sessions/{second.session.id}/revoke")
        assert ended.json()["revoked_why"] == "revoked"
        assert reason(await ana.post(f"/v1/sessions/{ID}/revoke")) == (403, "forbidden")


async def test_a_program_that_is_turned_away_is_told(api: Api) -> None:
    device = await api.core.logins.ask(SYSTEM.origin, name="eve", host="attic")
    async with api.caller() as program, api.caller("admin") as admin:
        assert (await admin.post(f"{DEVICE}/{device.user_code}/deny")).json()["state"] == "denied"
        answer = await program.post("/v1/sessions/token", json={"device_code": device.device_code})
        assert reason(answer) == (403, "access_denied")
        answer = await admin.post(f"{DEVICE}/{device.user_code}/approve", json={"person": "eve"})
        assert reason(answer) == (400, "invalid")
        wish = {"person": "eve", "grants": [{"role": "viewer"}]}
        answer = await admin.post(f"{DEVICE}/{device.user_code}/approve", json=wish)
        assert reason(answer) == (409, "already_decided")


async def test_logins_begun_at_one_address_are_counted(api: Api) -> None:
    async with api.caller() as program:
        for _ in range(20):
            assert (await program.post(DEVICE, json={})).status_code == 201
        answer = await program.post(DEVICE, json={})
        assert reason(answer) == (429, "too_many_tries")
        assert int(answer.headers["retry-after"]) > 0


async def test_a_token_can_be_a_persons(api: Api) -> None:
    tokens = await signed_in(api)
    async with api.caller("admin") as admin, api.caller() as bearer:
        wish = {"name": "laptop", "role": "viewer", "kind": "person", "person": "ana"}
        issued = (await admin.post("/v1/tokens", json=wish)).json()
        assert issued["token"]["person"] == tokens.session.person
        bearer.headers["authorization"] = f"Bearer {issued['secret']}"
        who = (await bearer.get("/v1/whoami")).json()
        assert (who["id"], who["name"]) == (tokens.session.person, "ana")
        refused = await admin.post("/v1/tokens", json={**wish, "kind": "service"})
        assert refused.json()["error"]["details"]["field"] == "person"


# --- what is open


@asynccontextmanager
async def streaming(server: Listening, tokens: SessionTokens) -> AsyncIterator[httpx.Response]:
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {tokens.access_token}"}
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", f"{server.url}/v1/events", headers=headers) as response,
    ):
        assert response.status_code == 200
        yield response


def authentic(tokens: SessionTokens) -> str:
    return json.dumps({"type": "auth", "token": tokens.access_token})


async def close_code(ws: Any) -> int | None:
    try:
        async with asyncio.timeout(SOON):
            while True:
                await ws.recv()
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else None


async def test_a_stream_ends_soon_after_its_session(api: Api, server: Listening) -> None:
    tokens = await signed_in(api)
    async with streaming(server, tokens) as response:
        await api.core.sessions.revoke(SYSTEM, tokens.session.id)
        async with asyncio.timeout(SOON):
            async for _ in response.aiter_bytes():
                pass


@pytest.mark.long
async def test_a_websocket_is_closed_soon_after_its_session_is_revoked(api: Api, server: Listening) -> None:
    tokens = await signed_in(api)
    async with connect(f"ws://127.0.0.1:{server.port}/ws/deployments", compression=None) as ws:
        await ws.send(authentic(tokens))
        await listened_to(api, 1)
        await api.core.sessions.revoke(SYSTEM, tokens.session.id)
        assert await close_code(ws) == 4401


@pytest.mark.long
async def test_a_websocket_stays_with_each_next_token_and_closes_with_the_last(
    api: Api, server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = api.core.settings.access.sessions.model_copy(update={"access_ttl": 3.0})
    monkeypatch.setattr(api.core.sessions, "_settings", short)
    tokens = await signed_in(api)
    async with connect(f"ws://127.0.0.1:{server.port}/ws/deployments", compression=None) as ws:
        await ws.send(authentic(tokens))
        for _ in range(4):
            await asyncio.sleep(1)
            tokens = await api.core.sessions.refresh(tokens.refresh_token)
            await ws.send(authentic(tokens))
        await listened_to(api, 1)
        assert await close_code(ws) == 4401


async def listened_to(api: Api, count: int) -> None:
    async def shown() -> bool:
        async with api.caller("viewer") as viewer:
            lines = (await viewer.get("/v1/metrics")).text.splitlines()
        return f"dg_websocket_clients {count}.0" in lines

    await until(shown)
