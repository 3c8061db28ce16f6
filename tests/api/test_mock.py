"""What only the mock does: any answer of the contracts on demand, and nothing kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.test_as_promised import DOCUMENTS, EVERY

from dg.api import contract
from dg.api.contract import Schema
from dg.api.mock import Mock, preferred_code
from dg.settings.server import Server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Mock(DOCUMENTS, Server()))
    headers = {"authorization": "Bearer anything"}
    async with httpx.AsyncClient(transport=transport, base_url="http://mock", headers=headers) as client:
        yield client


async def test_every_status_of_every_operation_is_given_on_demand(client: httpx.AsyncClient) -> None:
    documents = {
        operation.id: document for document in DOCUMENTS for operation in contract.operations(document)
    }
    for each in EVERY:
        document = documents[each.operation["operationId"]]
        for status, declared in each.operation["responses"].items():
            prefer = {"prefer": f"code={status}"}
            answer = await client.request(
                each.method, each.path, params=each.query, json=each.body, headers=prefer
            )
            assert str(answer.status_code) == status, each.where
            assert answer.headers["preference-applied"] == f"code={status}"
            media = contract.resolve(document, declared).get("content", {}).get("application/json")
            if media:
                assert Schema(media["schema"], document).mistakes(answer.json()) == [], each.where


async def test_a_status_that_the_contract_does_not_have_is_not_given(client: httpx.AsyncClient) -> None:
    for code in ("418", "moon", ""):
        answer = await client.get("/v1/lanes", headers={"prefer": f"code={code}"})
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers


async def test_a_wrong_request_is_refused_whatever_is_preferred(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/lanes?moon=1", headers={"prefer": "code=404"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("code=404", "404"),
        ('Code = "404"', "404"),
        ("respond-async, code=404; x=1", "404"),
        ("code=404, code=409", "404"),
        ("wait=10", None),
        ("", None),
    ],
)
def test_a_preference_is_read_as_rfc_7240_writes_it(header: str, code: str | None) -> None:
    assert preferred_code(header) == code


async def test_headers_and_forms_are_the_contract_s(client: httpx.AsyncClient) -> None:
    limited = await client.get("/v1/lanes", headers={"prefer": "code=429"})
    assert limited.headers["retry-after"] == "7"
    assert limited.json()["error"]["details"]["rate_limit"]["window"] == "1m"
    created = await client.post("/v1/deployments", json={"environment": "production"})
    assert created.status_code == 201
    assert created.headers["location"].endswith(created.json()["id"])
    stream = await client.get("/v1/events", headers={"accept": "text/event-stream"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.startswith("id: 811\n\n")
    assert (await client.get("/v1/events", headers={"accept": "image/png"})).json()["items"]


async def test_nothing_is_kept(client: httpx.AsyncClient) -> None:
    before = (await client.get("/v1/deployments")).content
    for note in ("one", "two"):
        body = {"environment": "staging", "note": note}
        assert (await client.post("/v1/deployments", json=body)).status_code == 201
    assert (await client.get("/v1/deployments")).content == before


def test_the_command_answers_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "dg", "mock", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())["ready"]
        answer = httpx.get(f"{ready}/v1/whoami", headers={"authorization": "Bearer anything"})
        assert answer.json()["name"] == "ana"
        with pytest.raises(httpx.HTTPStatusError):
            httpx.get(f"{ready}/v1/whoami").raise_for_status()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
