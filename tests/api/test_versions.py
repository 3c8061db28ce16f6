"""Versions: what a client may ask for, and how it learns that something of it is going to end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.responses import Response
from tests.api.conftest import Api
from tests.api.frame import FakeAccess, FakeFeed, Things, make_app, make_client
from tests.api.test_frame import problem

from dg.api import contract, platform
from dg.api.app import App, create_app
from dg.api.call import Call, answer
from dg.api.contract import ContractError
from dg.api.versions import CURRENT
from dg.core.app import Core
from dg.core.testing import ManualClock
from dg.settings import Settings

ENDING = {"since": "2026-08-31", "sunset": "2027-02-28", "successor": "/v2/things"}


def document(version: str, path: str, **operation: Any) -> dict[str, Any]:
    """A contract of one open operation, and of `listVersions` in the first version."""
    name = f"list{path.title().strip('/')}{version[0]}"
    paths: dict[str, Any] = {
        path: {"get": {"operationId": name, "security": [], "responses": {}, **operation}}
    }
    if version[0] == "1":
        paths["/versions"] = {"get": {"operationId": "listVersions", "security": [], "responses": {}}}
    return {"info": {"version": version}, "paths": paths, "components": {"schemas": {}}}


def make_two_versions(home: Path, **old: Any) -> App:
    """A server of two major versions, the first of which has an operation that is going to end."""

    async def things(call: Call) -> Response:
        return answer({"things": []})

    core = cast(Core, SimpleNamespace(access=FakeAccess(), feed=FakeFeed(), clock=ManualClock()))
    contracts = {
        "first": document("1.3.0", "/things", **{"deprecated": True, "x-deprecation": ENDING, **old}),
        "second": document("2.0.0", "/things"),
    }
    handlers = {
        "listThings1": things,
        "listThings2": things,
        "listVersions": platform.HANDLERS["listVersions"],
    }
    return create_app(core, Settings(home=home), handlers, contracts)


@pytest.mark.parametrize("asked", [None, "1", "1.0", "1.0.0", "1 \t"])
async def test_a_version_that_is_spoken_is_answered(tmp_path: Path, asked: str | None) -> None:
    headers = {"accept-version": asked} if asked else {}
    async with make_client(make_app(Things(), tmp_path)) as client:
        got = await client.delete("/v1/things/all", headers=headers)
        assert (got.status_code, got.headers["api-version"]) == (409, "1.0.0")


@pytest.mark.parametrize(
    "asked", ["", "2", "1.1", "1.0.1", "01", "v1", "1.0.0, 1.0.0", "\x1b[2J", "1" * 5000]
)
async def test_another_is_refused_with_the_list(tmp_path: Path, asked: str) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        for path in ("/v1/things", "/v1/nothing", "/health"):
            got = await client.get(path, headers={"accept-version": asked})
            error = problem(got, 400, "VALIDATION_ERROR", "unsupported_version")
            assert error["details"]["supported"] == ["1", "1.0", "1.0.0"]
            assert "1, 1.0, 1.0.0" in error["message"]
            assert "\x1b" not in error["message"]
            assert len(error["message"]) < 200


async def test_two_major_versions_are_served_side_by_side(tmp_path: Path) -> None:
    async with make_client(make_two_versions(tmp_path)) as client:
        for path, version in (("/v1/things", "1.3.0"), ("/v2/things", "2.0.0")):
            for asked in ({}, {"accept-version": version}, {"accept-version": version[0]}):
                got = await client.get(path, headers=asked)
                assert (got.status_code, got.headers["api-version"]) == (200, version)
        supported = (await client.get("/v1/versions")).json()["supported"]
        assert supported == ["1", "1.3", "1.3.0", "2", "2.0", "2.0.0"]


@pytest.mark.parametrize(("path", "asked"), [("/v1/things", "2"), ("/v2/things", "1.3.0")])
async def test_path_and_header_must_agree(tmp_path: Path, path: str, asked: str) -> None:
    async with make_client(make_two_versions(tmp_path)) as client:
        got = await client.get(path, headers={"accept-version": asked})
        problem(got, 400, "VALIDATION_ERROR", "version_mismatch")


async def test_a_deprecated_operation_works_and_says_when_it_ends(tmp_path: Path) -> None:
    async with make_client(make_two_versions(tmp_path)) as client:
        got = await client.get("/v1/things")
        assert got.status_code == 200
        assert got.headers["deprecation"] == "@1788134400"
        assert got.headers["sunset"] == "Sun, 28 Feb 2027 00:00:00 GMT"
        assert got.headers["link"] == (
            '</v1/versions>; rel="deprecation"; type="application/json", '
            '</v2/things>; rel="successor-version"'
        )
        assert not {"deprecation", "sunset", "link"} & (await client.get("/v2/things")).headers.keys()


async def test_what_is_deprecated_is_listed(tmp_path: Path) -> None:
    async with make_client(make_two_versions(tmp_path)) as client:
        listed = (await client.get("/v1/versions")).json()["deprecations"]
    assert listed == [{"operation": "listThings1", "method": "GET", "path": "/v1/things", **ENDING}]


@pytest.mark.parametrize(
    ("old", "sentence"),
    [
        ({"x-deprecation": {**ENDING, "sunset": "2027-02-27"}}, "it lasts until 2027-02-28"),
        ({"x-deprecation": {**ENDING, "since": "2026-09-01"}}, "it lasts until 2027-03-01"),
        ({"x-deprecation": {"since": "2026-01-01"}}, "has since, sunset and perhaps successor"),
        ({"x-deprecation": {**ENDING, "until": "never"}}, "has since, sunset and perhaps successor"),
        ({"x-deprecation": {**ENDING, "sunset": "soon"}}, "Invalid isoformat"),
        ({"deprecated": False}, "go together"),
        ({"x-deprecation": None}, "go together"),
    ],
)
def test_a_notice_that_is_too_short_or_half_said_stops_the_start(
    tmp_path: Path, old: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(ContractError, match=f"listThings1: .*{re.escape(sentence)}"):
        make_two_versions(tmp_path, **old)


@pytest.mark.parametrize("version", ["1", "1.0", "one", "1.0.0-beta", "01.0.0"])
def test_a_contract_s_version_is_three_numbers(version: str) -> None:
    with pytest.raises(ContractError, match="three numbers"):
        list(contract.operations(document(version, "/things")))


def test_every_contract_is_of_the_current_version() -> None:
    assert {contract.load(name)["info"]["version"] for name in contract.NAMES} == {CURRENT}


async def test_the_current_versions_are_listed(api: Api) -> None:
    async with api.caller() as stranger:
        versions = (await stranger.get("/v1/versions")).json()
        assert versions["current"] == CURRENT
        assert versions["supported"] == ["1", "1.0", "1.0.0"]
        assert versions["deprecations"] == []


@pytest.mark.parametrize("path", ["/v1/things", "/v1/nothing", "/", "/v1/things?limit=0"])
async def test_every_answer_says_its_version_and_keeps_to_itself(tmp_path: Path, path: str) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        for headers in ({}, {"authorization": "Bearer viewer"}):
            got = await client.get(path, headers=headers)
            assert expected(got) == []


def expected(got: httpx.Response) -> list[str]:
    """What an answer should say and does not."""
    wanted = {
        "api-version": CURRENT,
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return [f"{name}: {value}" for name, value in wanted.items() if got.headers.get(name) != value]


async def test_only_an_answer_over_tls_asks_for_tls(tmp_path: Path) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        assert "strict-transport-security" not in (await client.get("/v1/things")).headers
        secure = await client.get("https://127.0.0.1/v1/things")
        assert secure.headers["strict-transport-security"] == "max-age=31536000"
