"""API keys over HTTP and the WebSocket: made, used, rotated, revoked, and what every attack gets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.api.checked import CheckedTransport
from tests.api.conftest import URL, Api
from tests.api.test_approvals import asked, decide, guarded
from tests.api.test_deployments import made, reason
from tests.api.test_socket import closed, dial

from dg.api.app import create_app
from dg.api.server import listen
from dg.core.access import keyform
from dg.core.access.models import SYSTEM, IssuedKey, Scope
from dg.core.types import Environment
from dg.settings.server import Server

KEYS = "/v1/security/access/keys"
DEVELOPMENT = Scope(role="operator", environment=Environment.DEVELOPMENT, service="shop")
ASKED: dict[str, Any] = {
    "name": "ci",
    "scopes": [{"role": "operator", "environment": "development", "service": "shop"}],
}


async def issued(api: Api, *scopes: Scope, **options: Any) -> IssuedKey:
    return await api.core.keys.create(SYSTEM, name="ci", scopes=scopes or (DEVELOPMENT,), **options)


@asynccontextmanager
async def holder(api: Api, *headers: tuple[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who sends these headers, from 203.0.113.9."""
    async with httpx.AsyncClient(
        transport=CheckedTransport(api.app), base_url=URL, headers=list(headers)
    ) as client:
        yield client


def bearing(secret: str) -> tuple[str, str]:
    return "authorization", f"Bearer {secret}"


async def test_only_an_administrator_handles_keys(api: Api) -> None:
    key = (await issued(api)).key
    async with api.caller("operator") as operator, api.caller() as stranger:
        for caller, answer in ((operator, (403, "forbidden")), (stranger, (401, "unauthenticated"))):
            assert reason(await caller.get(KEYS)) == answer
            assert reason(await caller.post(KEYS, json=ASKED)) == answer
        for what in ("rotate", "revoke"):
            assert reason(await operator.post(f"{KEYS}/{key.id}/{what}")) == (403, "forbidden")


async def test_a_key_is_made_used_rotated_and_revoked(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("admin") as admin:
        first = (await admin.post(KEYS, json=ASKED)).json()
        key = first["key"]
        assert first["secret"].startswith("dgk_dev_")
        async with holder(api, bearing(first["secret"])) as ci:
            who = (await ci.get("/v1/whoami")).json()
            assert (who["id"], who["kind"], who["method"]) == (key["id"], "service", "key")
            deployment = await made(ci)
            assert deployment["created_by"] == key["id"]
            refused = await ci.post("/v1/deployments", json={"environment": "staging", "service": "shop"})
            assert reason(refused) == (403, "forbidden")
        listed = await admin.get(KEYS)
        assert first["secret"] not in listed.text
        assert [each["id"] for each in listed.json()["items"]] == [key["id"]]
        second = (await admin.post(f"{KEYS}/{key['id']}/rotate", json={"overlap": 3600})).json()
        assert second["key"]["id"] == key["id"]
        assert len(second["key"]["secrets"]) == 2
        for secret in (first["secret"], second["secret"]):
            async with holder(api, bearing(secret)) as ci:
                assert (await ci.get("/v1/whoami")).status_code == 200
        revoked = (await admin.post(f"{KEYS}/{key['id']}/revoke")).json()
        assert revoked["revoked_at"].endswith("Z")
        for secret in (first["secret"], second["secret"]):
            async with holder(api, bearing(secret)) as ci:
                assert (await ci.get("/v1/whoami")).status_code == 401
        again = await admin.post(f"{KEYS}/{key['id']}/rotate")
        assert reason(again) == (409, "revoked")


async def test_a_key_decides_on_nothing_whatever_its_role(api: Api) -> None:
    await guarded(api)
    async with (
        api.caller("operator") as operator,
        holder(api, bearing((await issued(api, Scope(role="admin"))).secret)) as robot,
    ):
        deployment = await asked(operator)
        for what, body in (
            ("approve", {}),
            ("reject", {"reason": "no"}),
            ("override", {"gates": ["approvals"], "reason": "outage"}),
        ):
            assert reason(await decide(robot, deployment, what, **body)) == (403, "people_only")


async def test_a_repeated_request_shows_no_secret_again(api: Api) -> None:
    async with api.caller("admin") as admin:
        headers = {"idempotency-key": "once"}
        first = (await admin.post(KEYS, json=ASKED, headers=headers)).json()
        again = await admin.post(KEYS, json=ASKED, headers=headers)
        assert reason(again) == (409, "shown_once")
        assert again.json()["error"]["details"]["id"] == first["key"]["id"]
        assert first["secret"] not in again.text
        other = await admin.post(KEYS, json={**ASKED, "name": "other"}, headers=headers)
        assert reason(other) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": [{}]}, "scopes"),
        ({"scopes": [{"role": "root"}]}, "scopes"),
        ({"scopes": [{"action": "deployment:approve"}]}, "scopes"),
        ({"addresses": ["10.0.0.1/8"]}, "addresses"),
        ({"addresses": ["example.org"]}, "addresses"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": 365 * 86400 + 1}, "ttl"),
        ({"name": ""}, "name"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, changed: dict[str, Any], field: str) -> None:
    async with api.caller("admin") as admin:
        answer = await admin.post(KEYS, json={**ASKED, **changed})
    assert reason(answer) == (400, "invalid")
    assert field in answer.json()["error"]["message"]


async def test_every_attack_gets_the_same_401_within_50_ms(api: Api) -> None:
    good = (await issued(api)).secret
    elsewhere = (await issued(api, addresses=["192.0.2.0/24"])).secret
    (await api.core.keys.revoke(SYSTEM, (revoked := await issued(api)).key.id))
    nobodys = keyform.make(Environment.DEVELOPMENT, lambda size: bytes(size))
    credentials: list[tuple[tuple[str, str], ...]] = [
        *((bearing(secret),) for secret in (good[:-1], good + "0", good[:-6] + "000000", elsewhere)),
        *((bearing(secret),) for secret in (revoked.secret, nobodys, good.replace("dgk_dev", "dgk_prod"))),
        *((bearing(secret),) for secret in ("dgk_", keyform.public_part(good), good.upper(), good * 3)),
        (bearing(f"{good}, {good}"),),
        (bearing(good), bearing(good)),
        (bearing(good), bearing(nobodys)),
    ]
    async with holder(api, bearing(good)) as ci:
        assert (await ci.get("/v1/whoami")).status_code == 200
    bodies = set()
    for headers in credentials:
        async with holder(api, *headers) as attacker:
            seconds = []
            for _ in range(3):
                before = time.perf_counter()
                answer = await attacker.get("/v1/whoami")
                seconds.append(time.perf_counter() - before)
                assert answer.status_code == 401, headers
                bodies.add(answer.json()["error"]["message"])
        # The quickest: what else the machine does is not the attack's.
        assert min(seconds) < 0.05, headers
    assert len(bodies) == 1


async def test_what_cannot_be_a_credential_is_refused_before_it_is_looked_at(api: Api) -> None:
    good = (await issued(api)).secret
    for raw in (good.encode() + b"\xc3\xa4", b"\xef\xbd\x84" + good.encode(), good.encode() + b"0" * 9000):
        async with httpx.AsyncClient(
            transport=CheckedTransport(api.app),
            base_url=URL,
            headers=[(b"authorization", b"Bearer " + raw)],
        ) as attacker:
            assert (await attacker.get("/v1/whoami")).status_code == 401


async def test_a_key_opens_the_stream_from_its_networks_only(api: Api) -> None:
    async with listen(api.app, Server(port=0)) as server:
        for network, code in (("127.0.0.1", None), ("192.0.2.0/24", 4401)):
            secret = (await issued(api, addresses=[network])).secret
            async with dial(server, {"type": "auth", "token": secret, "after": 0}) as ws:
                if code is None:
                    await api.core.pipelines.register(SYSTEM, api.pipeline())
                    async with holder(api, bearing(await api.token("admin"))) as admin:
                        await made(admin)
                    async with asyncio.timeout(10):
                        heard = json.loads(await ws.recv())
                    assert heard["payload"]["service"] == "shop"
                else:
                    assert await closed(ws) == code
        api.app.stop()


@pytest.mark.long
async def test_a_revoked_key_s_open_streams_end_within_5_seconds(api: Api) -> None:
    """With the usual sign of life, which comes every 15 s."""
    usual = api.core.settings.model_copy(
        update={"api": api.core.settings.api.model_copy(update={"stream_heartbeat": 15.0})}
    )
    app = create_app(api.core, usual)
    key = await issued(api, Scope(role="viewer"), addresses=["127.0.0.1"])
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {key.secret}"}
    async with (
        listen(app, Server(port=0)) as server,
        dial(server, {"type": "auth", "token": key.secret}) as ws,
        httpx.AsyncClient(verify=False, timeout=20) as client,  # noqa: S501 - there is no TLS on loopback
        client.stream("GET", f"{server.url}/v1/events", headers=headers) as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        # Longer than one look at it: a key that names its networks stays good meanwhile.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.5):
                await ws.recv()
        before = time.perf_counter()
        await api.core.keys.revoke(SYSTEM, key.key.id)
        async with asyncio.timeout(10):
            rest = [line async for line in lines]
            assert time.perf_counter() - before < 5
            assert await closed(ws) == 4401
        assert time.perf_counter() - before < 5
    assert not any(line.startswith("data") for line in rest)
    app.stop()
