"""Events, tokens, versions, health, metrics and diagnostics over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import yaml
from tests.api.conftest import Api
from tests.api.test_deployments import made, reached, reason
from tests.api.waiting import until

from dg import __version__
from dg.api import contract
from dg.api.server import Listening, listen
from dg.core.access.models import SYSTEM, CreateBinding
from dg.core.deployments.models import SetFreeze
from dg.core.sighting import HEAD, SEEN, read_head
from dg.settings.server import Server


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/tokens", "/v1/whoami", "/v1/metrics", "/v1/diagnostics", "/metrics"]
)
async def test_a_stranger_learns_nothing(api: Api, path: str) -> None:
    async with api.caller() as stranger:
        assert reason(await stranger.get(path)) == (401, "unauthenticated")


async def test_health_is_open_with_and_without_the_version(api: Api) -> None:
    async with api.caller() as stranger:
        for path in ("/health", "/v1/health"):
            answer = await stranger.get(path)
            assert answer.json()["status"] == "ok"
            assert answer.json()["version"] == __version__


async def test_versions_and_contracts_are_open(api: Api) -> None:
    async with api.caller() as stranger:
        versions = (await stranger.get("/v1/versions")).json()
        assert versions["supported"] == ["1", "1.0", "1.0.0"]
        for name in versions["contracts"]:
            written = await stranger.get(f"/v1/openapi/{name}.yaml")
            assert written.content == contract.source(name)
            assert yaml.safe_load(written.content) == contract.load(name)
            assert (await stranger.get(f"/v1/openapi/{name}.json")).json() == contract.load(name)
        for other in ("secrets.yaml", "platform-api", "platform-api.xml", "..%2Fcontract.py"):
            assert (await stranger.get(f"/v1/openapi/{other}")).status_code == 400
        answer = await stranger.get("/v1/versions", headers={"accept-version": "2"})
        assert answer.status_code == 400
        assert "1.0.0" in answer.json()["error"]["message"]


async def test_a_contract_that_the_caller_has_is_not_sent_again(api: Api) -> None:
    async with api.caller() as stranger:
        path = "/v1/openapi/platform-api.json"
        first = await stranger.get(path)
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "no-cache"
        assert etag != (await stranger.get("/v1/openapi/platform-api.yaml")).headers["etag"]
        for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
            answer = await stranger.get(path, headers={"if-none-match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        for unknown in ('"other"', etag.strip('"'), "", 'W/"'):
            assert (await stranger.get(path, headers={"if-none-match": unknown})).status_code == 200


async def test_a_caller_is_told_who_it_is(api: Api) -> None:
    async with api.caller("operator", environment="staging") as operator:
        who = (await operator.get("/v1/whoami")).json()
        assert who["grants"] == [{"role": "operator", "environment": "staging"}]


async def test_a_token_is_issued_once_used_and_revoked(api: Api) -> None:
    async with api.caller("admin") as admin, api.caller() as bearer:
        asked = {"name": "shop pipeline", "role": "viewer", "service": "shop", "ttl": 3600}
        issued = (await admin.post("/v1/tokens", json=asked)).json()
        bearer.headers["authorization"] = f"Bearer {issued['secret']}"
        assert (await bearer.get("/v1/whoami")).json()["name"] == "shop pipeline"
        listed = await admin.get("/v1/tokens")
        assert issued["secret"] not in listed.text
        assert issued["token"]["id"] in {token["id"] for token in listed.json()["items"]}
        revoked = (await admin.delete(f"/v1/tokens/{issued['token']['id']}")).json()
        assert revoked["revoked_at"].endswith("Z")
        assert (await bearer.get("/v1/whoami")).status_code == 401


async def test_metrics_count_what_was_asked_and_deployed(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        await reached(operator, await made(operator), "success")
        await operator.get("/v1/nothing/here")
        succeeded = 'dg_deployments_total{environment="development",status="success"} 1.0'

        async def counted() -> bool:
            # Facts are handed round after the commit that a reader may already have seen.
            return succeeded in (await operator.get("/metrics")).text

        await until(counted)
        answer = await operator.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        assert 'dg_http_requests_total{operation="createDeployment",status="201"} 1.0' in lines
        assert 'dg_http_requests_total{operation="none",status="404"} 1.0' in lines
        assert any(line.startswith("dg_active_runs ") for line in lines)
        assert f"dg_ledger_seq {(await api.core.feed.head(SYSTEM)).seq}.0" in lines
        assert any(line.startswith("dg_event_loop_lag_seconds") for line in lines)


async def test_diagnostics_need_a_token(api: Api) -> None:
    async with api.caller("viewer") as viewer:
        assert (await viewer.get("/diagnostics")).json()["versions"]["dg"] == __version__


async def test_an_event_says_what_people_call_its_actor(api: Api) -> None:
    async with api.caller("viewer") as viewer:
        started = (await viewer.get("/v1/events", params={"limit": 1})).json()["items"][0]
    assert (started["actor"], started["actor_name"]) == (SYSTEM.id, SYSTEM.name)


async def test_events_are_read_in_pages_and_the_chain_is_checked(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("viewer") as viewer:
        first = (await viewer.get("/v1/events", params={"limit": 1})).json()
        assert first["items"][0]["type"] == "server.started"
        rest = (await viewer.get("/v1/events", params={"after": first["next_after"]})).json()
        assert first["items"][0]["hash"] == rest["items"][0]["prev"]
        found = (await viewer.get("/v1/events", params={"filter": "type=pipeline.registered"})).json()
        assert [event["object"] for event in found["items"]] == ["shop"]
        empty = (await viewer.get("/v1/events", params={"after": 10_000})).json()
        assert empty == {"items": [], "next_after": 10_000}
        assert (await viewer.get("/v1/events", params={"after": -1})).status_code == 400
        verdict = (await viewer.get("/v1/events/verify")).json()
        assert verdict["ok"] is True


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Listening]:
    async with listen(api.app, Server(port=0)) as listening:
        yield listening
        api.app.stop()


@asynccontextmanager
async def follow(
    api: Api, server: Listening, query: str = "", *, token: str | None = None, **headers: str
) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of an event stream."""
    token = token or await api.token("viewer")
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {token}", **headers}
    async with (
        httpx.AsyncClient(verify=False, timeout=10) as client,  # noqa: S501 - there is no TLS on loopback
        client.stream("GET", f"{server.url}/v1/events{query}", headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.aiter_lines()


async def events(lines: AsyncIterator[str], count: int) -> list[dict[str, object]]:
    """The next `count` events of the stream."""
    found: list[dict[str, object]] = []
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == count:
                    break
    return found


async def test_a_stream_tells_what_happens_from_now_on(api: Api, server: Listening) -> None:
    async with follow(api, server) as lines:
        assert await anext(lines) == f"id: {(await api.core.feed.head(SYSTEM)).seq}"
        await api.core.pipelines.register(SYSTEM, api.pipeline())
        assert [event["type"] for event in await events(lines, 1)] == ["pipeline.registered"]


async def test_a_stream_that_is_resumed_has_missed_nothing(api: Api, server: Listening) -> None:
    for command in ("one", "two", "three"):
        await api.core.pipelines.register(SYSTEM, api.pipeline(command=command))
    first = await api.core.feed.read(SYSTEM, filter="type=pipeline.registered")
    async with follow(
        api, server, "?filter=type=pipeline.registered", **{"last-event-id": str(first[0].seq)}
    ) as lines:
        await api.core.pipelines.register(SYSTEM, api.pipeline(command="four"))
        assert [event["payload"]["revision"] for event in await events(lines, 3)] == [2, 3, 4]  # type: ignore[index]


async def test_a_quiet_stream_gives_signs_of_life_and_ends_with_the_server(
    api: Api, server: Listening
) -> None:
    async with follow(api, server) as lines, asyncio.timeout(10):
        while await anext(lines) != ": still here":
            pass
        api.app.stop()
        rest = [line async for line in lines]
    assert not any(line.startswith("data") for line in rest)


async def test_a_stream_follows_what_its_reader_may_see_by_then(api: Api, server: Listening) -> None:
    issued = await api.core.tokens.create(SYSTEM, name="x", role="viewer", service="shop")
    wish = CreateBinding(subject=issued.token.id, role="viewer", service="blog")
    binding = await api.core.bindings.create(SYSTEM, wish)
    for service in ("shop", "blog"):
        await api.core.pipelines.register(SYSTEM, api.pipeline(service))
    until = api.core.clock.micros() + 3600 * 1_000_000

    async def freeze(service: str) -> str:
        return (await api.core.lanes.freeze(SYSTEM, SetFreeze(reason="x", until=until, service=service))).id

    async with follow(api, server, "?filter=type~freeze.set", token=issued.secret) as lines:
        seen = [await freeze("blog")]
        assert [event["object"] for event in await events(lines, 1)] == seen
        await api.core.bindings.revoke(SYSTEM, binding.id)
        await freeze("blog")
        shown = await freeze("shop")
        assert [event["object"] for event in await events(lines, 1)] == [shown]


async def test_a_stream_ends_when_its_token_is_revoked(api: Api, server: Listening) -> None:
    issued = await api.core.tokens.create(SYSTEM, name="leaked", role="viewer")
    async with follow(api, server, token=issued.secret) as lines, asyncio.timeout(10):
        await anext(lines)
        await api.core.tokens.revoke(SYSTEM, issued.token.id)
        await api.core.pipelines.register(SYSTEM, api.pipeline())
        rest = [line async for line in lines]
    assert not any(line.startswith("data") for line in rest)


async def test_a_bad_filter_of_a_stream_is_an_ordinary_error(api: Api) -> None:
    async with api.caller("viewer") as viewer:
        answer = await viewer.get("/v1/events?filter=colour=red", headers={"accept": "text/event-stream"})
        assert reason(answer) == (400, "invalid_filter")
        head = await viewer.head("/v1/events", headers={"accept": "text/event-stream"})
        assert head.headers["content-type"] == "application/json"


# --- how far the ledger reaches


async def test_an_answer_says_how_far_the_ledger_reaches(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("viewer", environment="staging") as viewer:
        head = await api.core.feed.head(SYSTEM)
        answers = [await viewer.get("/v1/whoami"), await viewer.get("/v1/deployments/figures?days=0")]
        assert [answer.status_code for answer in answers] == [200, 400]
        for answer in answers:
            seen = read_head(answer.headers[HEAD])
            assert seen == api.core.feed.sighting
            assert seen is not None
            assert (seen.seq, seen.hash) == (head.seq, head.hash)
            assert SEEN not in answer.headers


async def test_an_answer_says_which_hash_the_entry_has_that_was_asked_about(api: Api) -> None:
    first = (await api.core.feed.read(SYSTEM, limit=1))[0]
    async with api.caller("viewer") as viewer:
        answer = await viewer.get("/v1/whoami", headers={SEEN: "1"})
        assert answer.headers[SEEN] == f"1:{first.hash}"
        for asked in ("0", "999999", "-1", "1e3", "x" * 5000, "9" * 30, ""):
            answer = await viewer.get("/v1/whoami", headers={SEEN: asked})
            assert (answer.status_code, SEEN in answer.headers) == (200, False)


async def test_nobody_in_particular_is_told_nothing_of_the_ledger(api: Api) -> None:
    async with api.caller() as nobody:
        for path in ("/health", "/v1/versions", "/v1/whoami"):
            answer = await nobody.get(path, headers={SEEN: "1"})
            assert HEAD not in answer.headers
            assert SEEN not in answer.headers
