"""What every request meets before a handler, and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.frame import DOCUMENT, TOKEN, Things, make_app, make_client

from dg.api import contract
from dg.api.routing import Router
from dg.core.errors import Forbidden, NotFound, TooMany, Unavailable


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def client(things: Things, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client(make_app(things, tmp_path, max_body_bytes=4096, body_timeout=0.2)) as client:
        client.headers.update(TOKEN)
        yield client


def problem(response: httpx.Response, status: int, code: str, reason: str) -> dict[str, Any]:
    """The error of an answer, which must be the envelope."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"code", "message", "details"}
    assert (error["code"], error["details"]["reason"]) == (code, reason)
    assert error["details"]["request_id"] == response.headers["x-request-id"]
    return error


async def test_a_request_without_a_token_is_turned_away(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    answer = await client.get("/v1/things")
    problem(answer, 401, "UNAUTHORIZED", "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="dg"'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic b3BlcmF0b3I=",
        "operator",
        "Bearer \xe9",
        "Bearer nobody",
        "Bearer " + "x" * 9000,
    ],
)
async def test_a_credential_that_proves_nothing_is_turned_away(
    client: httpx.AsyncClient, header: str
) -> None:
    answer = await client.get("/v1/things", headers=[(b"authorization", header.encode("latin-1"))])
    problem(answer, 401, "UNAUTHORIZED", "unauthenticated")


async def test_the_scheme_is_read_without_regard_to_case(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/things", headers={"authorization": "bEaReR operator"})
    assert (
        answer.json() == {"by": "operator", "limit": 7, "colour": None} or answer.json()["by"] == "operator"
    )


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/thing", "/v1/things/", "/v1/things/a/b", "/v2/things", "//v1/things"]
)
async def test_an_unknown_path_is_the_envelope_too(client: httpx.AsyncClient, path: str) -> None:
    problem(
        await client.get(httpx.URL("http://127.0.0.1").copy_with(raw_path=path.encode())),
        404,
        "NOT_FOUND",
        "no_path",
    )


async def test_a_wrong_method_names_all_that_are_allowed(client: httpx.AsyncClient) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"):
        answer = await client.request(method, "/v1/things")
        problem(answer, 405, "NOT_FOUND", "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_a_literal_path_does_not_hide_the_variable_one_s_methods(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/things/all")).json()["name"] == "all"
    answer = await client.put("/v1/things/all")
    assert answer.headers["allow"] == "DELETE"


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    got, head = await client.get("/v1/things"), await client.head("/v1/things")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))


async def test_an_encoded_slash_stays_in_its_segment(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/things/a%2Fb")
    assert problem(answer, 400, "VALIDATION_ERROR", "invalid")["message"] == "name must be lower case letters"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit must be at least 1"),
        ("limit=seven", "limit must be of type integer"),
        ("limit=1e3", "limit must be of type integer"),
        ("limit=9999999999999999999999", "limit must be of type integer"),
        ("limit=", "limit must be of type integer"),
        ("colour=green", "colour must be one of red, blue"),
        ("color=red", "there is no query parameter color here; there are limit, colour"),
        ("limit=1&limit=2", "a query parameter comes twice; send each once"),
        ("colour=%ff", "the query is not percent-encoded UTF-8"),
        ("colour=red%00", "the query holds a NUL"),
    ],
)
async def test_a_wrong_query_is_named(client: httpx.AsyncClient, query: str, message: str) -> None:
    answer = await client.get(f"/v1/things?{query}")
    assert problem(answer, 400, "VALIDATION_ERROR", "invalid")["message"] == message


async def test_an_unknown_parameter_s_name_cannot_act_on_a_terminal(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/things?%1b%5b2J=1")
    assert "\x1b" not in problem(answer, 400, "VALIDATION_ERROR", "invalid")["message"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "", "name is required"),
        ({"name": "A"}, "name", "name must be lower case letters"),
        ({"name": "a", "colour": "green"}, "colour", "colour must be one of red, blue"),
        ({"name": "a", "size": "1"}, "size", "size must be of type integer"),
        ({"name": "a", "size": 10}, "size", "size must be at most 9"),
        ({"name": "a", "nmae": 1}, "", "the body has no field nmae; there are name, colour, secret, size"),
        ([], "", "the body must be of type object"),
    ],
)
async def test_a_wrong_body_names_the_field_and_the_way_out(
    client: httpx.AsyncClient, body: object, field: str, message: str
) -> None:
    error = problem(await client.post("/v1/things", json=body), 400, "VALIDATION_ERROR", "invalid")
    assert error["message"] == message
    assert error["details"]["errors"][0] == {"field": field, "message": message}


async def test_a_refused_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"name": "HUNTER2", "secret": "hunter22"})
    problem(answer, 400, "VALIDATION_ERROR", "invalid")
    assert "hunter2" not in answer.text.lower()


async def test_hostile_json_is_refused_before_the_contract_sees_it(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    for body in (b"", b"{", b'{"name": "a", "name": "b"}', b'{"name": NaN}', b"\xff", b"[" * 2000):
        answer = await client.post("/v1/things", content=body, headers=headers)
        problem(answer, 400, "VALIDATION_ERROR", "bad_json")


@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_another_media_type_is_refused(client: httpx.AsyncClient, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = await client.post("/v1/things", content=b'{"name": "a"}', headers=headers)
    problem(answer, 415, "VALIDATION_ERROR", "unsupported_media")


async def test_json_with_a_charset_is_accepted(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/v1/things", content=b'{"name": "a"}', headers=headers)).status_code == 201


async def test_a_body_that_says_it_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b""
        pytest.fail("the body was read")

    headers = {"content-type": "application/json", "content-length": "4097"}
    answer = await client.post("/v1/things", content=body(), headers=headers)
    problem(answer, 413, "VALIDATION_ERROR", "too_large")
    assert answer.headers["connection"] == "close"


async def test_a_body_without_a_length_is_cut_off_at_the_cap(client: httpx.AsyncClient) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    answer = await client.post("/v1/things", content=body(), headers={"content-type": "application/json"})
    problem(answer, 413, "VALIDATION_ERROR", "too_large")
    assert sent <= 4096 + 1024


async def test_a_body_that_does_not_arrive_is_not_waited_for(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await client.post("/v1/things", content=body(), headers={"content-type": "application/json"})
    problem(answer, 408, "VALIDATION_ERROR", "too_slow")
    assert answer.headers["connection"] == "close"


async def test_a_crash_says_nothing_but_where_to_look(
    client: httpx.AsyncClient, things: Things, caplog: pytest.LogCaptureFixture
) -> None:
    things.failure = RuntimeError("hunter2 at /srv/private")
    with caplog.at_level(logging.ERROR, "dg.api"):
        answer = await client.get("/v1/things")
    error = problem(answer, 500, "INTERNAL_ERROR", "internal")
    assert "hunter2" not in answer.text
    assert error["details"]["request_id"] in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("failure", "status", "code", "headers"),
    [
        (Forbidden("no"), 403, "UNAUTHORIZED", {}),
        (NotFound("no"), 404, "NOT_FOUND", {}),
        (TooMany("slow down", retry_after=7), 429, "VALIDATION_ERROR", {"retry-after": "7"}),
        (Unavailable("no disk"), 503, "INTERNAL_ERROR", {"retry-after": "1"}),
    ],
)
async def test_every_problem_has_its_status_and_headers(
    client: httpx.AsyncClient,
    things: Things,
    failure: Exception,
    status: int,
    code: str,
    headers: dict[str, str],
) -> None:
    things.failure = failure
    answer = await client.get("/v1/things")
    problem(answer, status, code, getattr(failure, "reason", ""))
    assert headers.items() <= answer.headers.items()


async def test_details_of_a_refusal_reach_the_caller(client: httpx.AsyncClient) -> None:
    error = problem(await client.delete("/v1/things/all"), 409, "VALIDATION_ERROR", "busy")
    assert error["details"]["holder"] == "x"


async def test_a_sane_request_id_comes_back_and_another_is_replaced(client: httpx.AsyncClient) -> None:
    for given, kept in (
        ("deploy-42.a_b", True),
        ("a b", False),
        ("x" * 65, False),
        ("\x1b[2J", False),
        ("", False),
    ):
        answer = await client.get("/v1/things", headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("version", "status"), [("1", 200), ("1.0", 200), ("1.0.0", 200), ("2", 400), ("1;drop", 400)]
)
async def test_a_version_that_is_not_spoken_is_refused(
    client: httpx.AsyncClient, version: str, status: int
) -> None:
    answer = await client.get("/v1/things/a", headers={"accept-version": version})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["details"]["supported"] == ["1", "1.0", "1.0.0"]


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8470"}, 200),
        ("::1", {"host": "[::1]:8470"}, 200),
        ("127.0.0.1", {"host": "localhost"}, 200),
        ("127.0.0.1", {"host": "evil.example"}, 401),
        ("127.0.0.1", {"host": "[evil"}, 401),
        ("127.0.0.1", {"host": "localhost", "origin": "https://evil.example"}, 403),
        ("127.0.0.1", {"host": "localhost", "sec-fetch-site": "cross-site"}, 401),
        ("127.0.0.1", {"host": "localhost", "sec-fetch-site": "none"}, 200),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}, 401),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=127.0.0.1"}, 401),
        ("203.0.113.9", {}, 401),
        ("203.0.113.9", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}, 401),
        ("localhost", {"host": "localhost"}, 401),
        ("127.0.0.1", {"authorization": "Bearer nobody"}, 401),
        ("203.0.113.9", {"authorization": "Bearer viewer"}, 200),
    ],
)
async def test_only_this_machine_itself_reads_without_a_token(
    things: Things, tmp_path: Path, peer: str, headers: dict[str, str], status: int
) -> None:
    async with make_client(make_app(things, tmp_path), peer) as client:
        assert (await client.get("/v1/things/a", headers=headers)).status_code == status


async def test_a_repeat_is_turned_away_while_the_first_still_runs(
    client: httpx.AsyncClient, things: Things
) -> None:
    things.gate.clear()
    key = {"idempotency-key": '"k1"'}
    first = asyncio.ensure_future(client.post("/v1/things", json={"name": "a"}, headers=key))
    await things.entered.wait()
    repeat = await client.post("/v1/things", json={"name": "a"}, headers={"idempotency-key": "k1"})
    problem(repeat, 409, "VALIDATION_ERROR", "in_flight")
    assert repeat.headers["retry-after"] == "1"
    other = asyncio.ensure_future(
        client.post("/v1/things", json={"name": "a"}, headers={**key, "authorization": "Bearer admin"})
    )
    things.gate.set()
    assert (await first).status_code == (await other).status_code == 201
    assert (await client.post("/v1/things", json={"name": "a"}, headers=key)).status_code == 201


async def test_a_key_means_the_same_in_quotes_and_whatever_the_order_of_the_body(
    client: httpx.AsyncClient,
) -> None:
    headers = {"content-type": "application/json"}
    answers = [
        await client.post("/v1/things", content=body, headers={**headers, "idempotency-key": key})
        for body, key in (
            (b'{"name":"a","size":1}', "k"),
            (b'{ "size": 1, "name": "a" }', '"k"'),
            (b'{"name":"b"}', "k"),
        )
    ]
    once = [answer.json()["once"] for answer in answers]
    assert once[0] == once[1]
    assert once[0]["key"] == once[2]["key"] == "k"
    assert once[0]["fingerprint"] != once[2]["fingerprint"]


def test_long_paths_are_found_but_not_remembered() -> None:
    router = Router([("/v1", operation) for operation in contract.operations(DOCUMENT)])
    for number in range(3):
        assert router.find("GET", b"/v1/things/%d" % number + b"x" * 1000).operation.id == "getThing"
        router.find("GET", b"/v1/things/%d" % number)
    assert router.remembered == 3
