"""The same contract tests against a server over a real core and against the mock: both keep the contracts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.checked import check
from tests.api.conftest import Api

from dg.api import contract, samples, soundness
from dg.api.mock import Mock
from dg.api.server import listen
from dg.core.access.models import SYSTEM
from dg.core.home import Home
from dg.settings.server import Server

DOCUMENTS = [contract.load(name) for name in contract.NAMES]


@dataclass(frozen=True)
class Asked:
    """An operation as its contract asks to be used: the examples in its path, query and body."""

    where: str
    operation: Mapping[str, Any]
    method: str
    path: str
    query: Mapping[str, Any]
    body: Any
    open: bool


def asked() -> Iterator[Asked]:
    """Every operation but those that are proven by a signature over the body, which no example has."""
    for document in DOCUMENTS:
        for where, operation, item in soundness.operations(document):
            if operation.get("requestBody", {}).get("x-raw"):
                continue
            method, _, path = where.partition(" ")
            query = {}
            for each in (*item.get("parameters", ()), *operation.get("parameters", ())):
                parameter = contract.resolve(document, each)
                value = parameter.get("example", samples.of_schema(parameter["schema"], document))
                path = path.replace(f"{{{parameter['name']}}}", str(value))
                if parameter["in"] == "query" and parameter.get("required"):
                    query[parameter["name"]] = value
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = samples.of_media(media, document) if media else None
            opened = operation.get("security", document["security"])
            yield Asked(where, operation, method, f"/v1{path}", query, body, opened == [] or {} in opened)


EVERY = list(asked())
WITH_BODY = [each for each in EVERY if each.operation.get("requestBody", {}).get("required")]


@pytest.fixture
def tagged(api: Api, tmp_path: Path) -> Api:
    """With a repository that has the release that the examples name."""
    repository = shutil.copytree(api.repository, tmp_path / "tagged")
    subprocess.run(["git", "-C", repository, "tag", "v2.14.0"], check=True)
    return replace(api, repository=repository)


@pytest.fixture(params=["server", "mock"])
async def client(request: pytest.FixtureRequest, tagged: Api) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may do everything."""
    app = tagged.app if request.param == "server" else Mock(DOCUMENTS, Server())
    await tagged.core.pipelines.register(SYSTEM, tagged.pipeline())
    token = Home(tagged.core.settings.home).owner_token.read_text().strip()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(listen(app, Server(port=0)))
        client = httpx.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {token}"})
        yield await stack.enter_async_context(client)
        app.stop()


async def ask(client: httpx.AsyncClient, method: str, path: str, **given: Any) -> httpx.Response:
    """An answer that is what the contract says."""
    answer = await client.request(method, path, **given)
    check(answer.request, answer)
    return answer


async def ask_for(client: httpx.AsyncClient, each: Asked, **query: str) -> httpx.Response:
    """As the contract's examples ask, with more in the query."""
    return await ask(client, each.method, each.path, params={**each.query, **query}, json=each.body)


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["details"]["reason"]


async def test_the_contract_s_own_examples_are_understood(client: httpx.AsyncClient) -> None:
    """What they name may not be there, or not be possible now; but nothing about them is wrong."""
    for each in EVERY:
        answer = await ask_for(client, each)
        # What is open to everyone may be given a credential in its body; an example's opens nothing.
        honest = {401, 404, 409, 503} if each.open else {404, 409, 503}
        assert answer.is_success or answer.status_code in honest, (each.where, answer.text)


async def test_a_stranger_is_refused_everywhere_that_is_not_open(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    for each in EVERY:
        answer = await ask_for(client, each)
        if each.open:
            assert answer.is_success or each.body, each.where
        else:
            assert refused(answer) == (401, "UNAUTHORIZED", "unauthenticated"), each.where
            assert answer.headers["www-authenticate"] == 'Bearer realm="dg"'


async def test_a_misspelt_parameter_is_named_everywhere(client: httpx.AsyncClient) -> None:
    for each in EVERY:
        answer = await ask_for(client, each, moon="1")
        assert refused(answer) == (400, "VALIDATION_ERROR", "invalid"), each.where
        assert answer.json()["error"]["details"]["errors"][0]["field"] == "moon"


async def test_a_body_of_another_shape_is_refused_everywhere(client: httpx.AsyncClient) -> None:
    for each in WITH_BODY:
        for body, reason in ((b"{", "bad_json"), (b"[]", "invalid"), (b'{"moon": 1}', "invalid")):
            headers = {"content-type": "application/json"}
            answer = await ask(client, each.method, each.path, content=body, headers=headers)
            assert refused(answer) == (400, "VALIDATION_ERROR", reason), (each.where, body)
        answer = await ask(client, each.method, each.path, content=b"x=1", headers={"content-type": "a/b"})
        assert refused(answer) == (415, "VALIDATION_ERROR", "unsupported_media"), each.where


async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    body = b" " * (Server().max_body_bytes + 1)
    answer = await ask(client, "POST", "/v1/deployments", content=body, headers=headers)
    assert refused(answer) == (413, "VALIDATION_ERROR", "too_large")


async def test_another_version_path_or_method_is_refused(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "GET", "/v1/lanes", headers={"accept-version": "9.0.0"})
    assert answer.status_code == 400
    assert "1.0.0" in answer.text
    assert refused(await client.get("/v1/moon")) == (404, "NOT_FOUND", "no_path")
    answer = await client.delete("/v1/lanes")
    assert refused(answer) == (405, "NOT_FOUND", "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_request_is_known_by_its_id(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "GET", "/v1/lanes", headers={"x-request-id": "deploy-42"})
    assert answer.headers["x-request-id"] == "deploy-42"
    assert answer.headers["api-version"] == "1.0.0"
    answer = await ask(client, "GET", "/v1/lanes?moon=1", headers={"x-request-id": "deploy-43"})
    assert answer.json()["error"]["details"]["request_id"] == "deploy-43"


async def test_monitors_find_health_without_the_version(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json()["status"] == "ok"
    head = await client.head("/v1/health")
    assert (head.status_code, head.content) == (200, b"")
