"""A server that stands by refuses everything, and says when to come back."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from dg.api.standby import Standby


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/v1/deployments", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_everything_is_refused_with_the_reason(method: str, path: str) -> None:
    transport = httpx.ASGITransport(Standby())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.request(method, path)
    assert response.status_code == 503
    assert response.headers["retry-after"].isdigit()
    error = response.json()["error"]
    assert (error["code"], error["details"]["reason"]) == ("INTERNAL_ERROR", "standby")


async def test_a_websocket_is_refused_before_it_opens() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Standby()({"type": "websocket", "path": "/ws/deployments", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["error"]["details"]["reason"] == "standby"
