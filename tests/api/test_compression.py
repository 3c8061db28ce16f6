"""Answers made smaller: for whom, which ones, and what never."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message
from tests.api.conftest import Api
from tests.api.frame import TOKEN, Things, make_app, make_client

from dg.api import compression, contract
from dg.api.compression import chosen

LARGE = "abc" * 2000
SECRETS = {"secret", "access_token", "refresh_token"}


@pytest.fixture
def zstd(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], bytes]:
    """How to read zstd, for a server that can write it."""
    module = pytest.importorskip("zstandard")
    decompress: Callable[[bytes], bytes] = module.ZstdDecompressor().decompress
    return decompress


async def get(home: Path, accepted: str | None, padding: str = LARGE, method: str = "GET") -> httpx.Response:
    """A large answer as it came over the wire."""
    things = Things()
    things.padding = padding
    async with make_client(make_app(things, home)) as client:
        client.headers.pop("accept-encoding")
        headers = {**TOKEN, **({} if accepted is None else {"accept-encoding": accepted})}
        request = client.build_request(method, "/v1/things", headers=headers)
        response = await client.send(request, stream=True)
        response.extensions["raw"] = b"".join([part async for part in response.aiter_raw()])
        return response


def raw(response: httpx.Response) -> bytes:
    content: bytes = response.extensions["raw"]
    return content


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("GZIP ", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip, identity;q=0.5", "gzip"),
        ("gzip;q=nan", None),
        ("gzip;q=2", None),
        ("gzip;q", None),
        ("gzip;level=9", None),
        ("zstd;q=0.1, gzip;q=0.2", "gzip"),
        ("*;q=0", None),
        ("zstd;q=0, *", "gzip"),
        (",;,=;;q=", None),
        ("gzip," * 5000, None),
    ],
)
def test_the_caller_s_weights_decide(accepted: str, coding: str | None) -> None:
    assert chosen(accepted) == coding


def test_of_equal_wishes_the_better_coding_wins(zstd: Callable[[bytes], bytes]) -> None:
    assert [chosen(wish) for wish in ("gzip, zstd", "zstd, gzip", "*", "gzip;q=1, zstd;q=0.9")] == [
        "zstd",
        "zstd",
        "zstd",
        "gzip",
    ]


def test_without_its_library_there_is_no_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert list(compression.codings.__wrapped__()) == ["gzip"]


@pytest.mark.parametrize("padding", [LARGE, LARGE * 20])
async def test_a_large_answer_is_compressed_for_who_asks(tmp_path: Path, padding: str) -> None:
    plain, small = await get(tmp_path, None, padding), await get(tmp_path, "gzip", padding)
    assert gzip.decompress(raw(small)) == raw(plain)
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) == len(raw(small)) < len(raw(plain)) / 10
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == small.headers["vary"] == "accept-encoding"


async def test_zstd_is_read_by_another_s_library(tmp_path: Path, zstd: Callable[[bytes], bytes]) -> None:
    small = await get(tmp_path, "zstd")
    assert small.headers["content-encoding"] == "zstd"
    assert json.loads(zstd(raw(small)))["padding"] == LARGE


async def test_head_says_what_get_would(tmp_path: Path) -> None:
    got, head = await get(tmp_path, "gzip"), await get(tmp_path, "gzip", method="HEAD")
    assert raw(head) == b""
    for name in ("content-length", "content-encoding", "vary"):
        assert head.headers[name] == got.headers[name]


async def test_a_small_answer_stays_as_it_is(tmp_path: Path) -> None:
    small = await get(tmp_path, "gzip", "abc")
    assert not {"content-encoding", "vary"} & small.headers.keys()


async def test_an_answer_to_a_post_may_bear_a_secret_and_is_never_compressed(tmp_path: Path) -> None:
    things = Things()
    async with make_client(make_app(things, tmp_path)) as client:
        things.beside["secret"] = LARGE
        answer = await client.post(
            "/v1/things", headers={**TOKEN, "accept-encoding": "gzip"}, json={"name": "a"}
        )
        assert answer.json()["made"]["secret"] == LARGE
        assert "content-encoding" not in answer.headers


def test_no_answer_to_a_get_bears_a_secret() -> None:
    """What `compression.py` relies on."""
    bearers = [
        (operation.id, name)
        for document in map(contract.load, contract.NAMES)
        for operation in contract.operations(document)
        for name in _members(document, operation.id)
        if operation.method == "GET" and name in SECRETS
    ]
    assert bearers == []


def _members(document: contract.Document, operation_id: str) -> set[str]:
    """The names of all properties in an operation's good answers."""
    found: set[str] = set()
    ahead = [
        media["schema"]
        for item in document["paths"].values()
        for method in contract.METHODS
        if item.get(method, {}).get("operationId") == operation_id
        for media in item[method]["responses"].get("200", {}).get("content", {}).values()
    ]
    seen: list[object] = []
    while ahead:
        schema = contract.resolve(document, ahead.pop())
        if schema in seen:
            continue
        seen.append(schema)
        found |= schema.get("properties", {}).keys()
        ahead += [*schema.get("properties", {}).values(), *schema.get("allOf", ()), *schema.get("oneOf", ())]
        ahead += [schema["items"]] if "items" in schema else []
    return found


async def test_a_stream_is_never_compressed(api: Api) -> None:
    sent: list[Any] = []
    told = asyncio.Event()

    async def receive() -> dict[str, object]:
        await told.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            told.set()

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.3"},
        "method": "GET",
        "scheme": "http",
        "path": "/v1/events",
        "query_string": b"",
        "client": ("203.0.113.9", 1),
        "headers": [
            (b"accept", b"text/event-stream"),
            (b"accept-encoding", b"gzip"),
            (b"authorization", f"Bearer {await api.token('viewer')}".encode()),
        ],
    }
    async with asyncio.timeout(10):
        await api.app(scope, receive, send)
    assert sent[0]["type"] == "http.response.start"
    names = {name for name, _ in sent[0]["headers"]}
    assert not {b"content-encoding", b"vary"} & names
    assert {b"api-version", b"x-request-id", b"cache-control"} <= names
    assert [value for name, value in sent[0]["headers"] if name == b"ratelimit-policy"] == [
        b'"stream";q=6000;w=60'
    ]


async def test_a_compressed_contract_has_a_tag_that_is_recognised(api: Api) -> None:
    async with api.caller() as stranger:
        first = await stranger.get("/v1/openapi/platform-api.yaml", headers={"accept-encoding": "gzip"})
        assert first.headers["content-encoding"] == "gzip"
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        again = await stranger.get("/v1/openapi/platform-api.yaml", headers={"if-none-match": tag})
        assert again.status_code == 304


async def test_what_is_the_same_for_all_is_compressed_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/openapi/platform-api.json"
    async with api.caller() as stranger:
        first = await stranger.get(path, headers={"accept-encoding": "gzip"})
        monkeypatch.setattr(compression, "codings", lambda: {"gzip": pytest.fail})
        again = await stranger.get(path, headers={"accept-encoding": "gzip"})
    assert again.headers["content-encoding"] == "gzip"
    assert again.content == first.content
