"""The log's line for each request: what it says, and that nothing a caller wrote gets into it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import httpx
import pytest
from tests.api.frame import Things, make_app, make_client

from dg.core.errors import Unavailable
from dg.core.logs import JsonFormatter, TextFormatter

CANARY = "hunter2canary"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dg")


async def test_a_request_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    async with make_client(make_app(Things(), tmp_path, requests=True)) as client:
        headers = {"authorization": "Bearer viewer", "x-request-id": "mine"}
        await client.get("/v1/things/a?x=1", headers=headers)
        await client.get("/v1/nothing")
    routed, unrouted = (json.loads(line) for line in caplog.text.splitlines())
    assert routed.pop("time")
    assert routed == {
        "level": "info",
        "logger": "dg.requests",
        "message": "GET /v1/things/{name} 400 0.0 ms id-of-viewer 203.0.113.9",
        "request_id": "mine",
        "method": "GET",
        "route": "/v1/things/{name}",
        "status": 400,
        "ms": 0.0,
        "principal": "id-of-viewer",
        "address": "203.0.113.9",
    }
    assert (unrouted["route"], unrouted["status"], unrouted["principal"]) == ("-", 404, "-")


async def test_no_request_is_noted_unless_it_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        await client.get("/v1/things", headers={"authorization": "Bearer viewer"})
    assert caplog.records == []


SPREAD = (
    *("authorization", "cookie", "idempotency-key", "accept-version", "x-api-key", "user-agent", "referer"),
    *("x-forwarded-for", "forwarded", "traceparent", "accept", "accept-encoding", "host"),
)
"""All but X-Request-Id, which the caller wants to find in the log."""


async def everything(client: httpx.AsyncClient, things: Things) -> None:
    """Requests of every kind with the canary wherever a caller may write."""
    for token in ({}, {"authorization": "Bearer viewer"}, {"authorization": f"Bearer {CANARY}"}):
        for header in SPREAD:
            await client.get("/v1/things", headers={header: CANARY, **token})
        await client.get(f"/v1/things?colour={CANARY}&{CANARY}=1", headers=token)
        await client.get(f"/v1/{CANARY}/{CANARY}", headers=token)
        await client.get(f"/v1/things/{CANARY}2", headers=token)
        await client.request(CANARY, "/v1/things", headers=token)
        for body in (f'{{"name": "{CANARY}"', f'{{"name": "a", "secret": "{CANARY}"}}', CANARY):
            fields = {**token, "content-type": "application/json"}
            await client.post("/v1/things", content=body, headers=fields)
    for failure in (RuntimeError("broken"), Unavailable("no disk")):
        things.failure = failure
        await client.get("/v1/things", headers={"authorization": "Bearer viewer", "cookie": CANARY})


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
async def test_nothing_that_a_caller_wrote_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, formatter: logging.Formatter
) -> None:
    things = Things()
    async with make_client(make_app(things, tmp_path, requests=True)) as client:
        await everything(client, things)
    text = "\n".join(formatter.format(record) for record in caplog.records)
    assert len(caplog.records) > 50
    assert "RuntimeError: broken" in text
    assert [line for line in text.splitlines() if CANARY in line] == []


async def test_what_fails_is_logged_with_its_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    things = Things()
    things.failure = RuntimeError("broken")
    caplog.handler.setFormatter(JsonFormatter())
    async with make_client(make_app(things, tmp_path)) as client:
        headers = {"authorization": "Bearer viewer", "x-request-id": "mine"}
        await client.get("/v1/things", headers=headers)
    [line] = (json.loads(line) for line in caplog.text.splitlines())
    assert line["request_id"] == "mine"
    assert "RuntimeError: broken" in line["exception"]
