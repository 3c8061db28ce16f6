"""The page at `/docs`: what it is made of, and what it is allowed to do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.frame import Things, make_app, make_client

from dg.api import contract
from dg.api.contract import ContractError, Document
from dg.api.docs.joined import join, operations
from dg.api.docs.pages import PATH, pages
from dg.api.origins import Origins
from dg.core.errors import Forbidden

ROOT = Path(__file__).parents[2]
SITE = ROOT / "src/dg/api/docs/site"
PINNED = ROOT / "tools/node_modules/swagger-ui-dist"
DOCUMENTS = {name: contract.load(name) for name in contract.NAMES}
FILES = sorted(pages(DOCUMENTS))


def small(**changes: object) -> Document:
    """A contract of one operation."""
    operation = {"operationId": "a", "tags": ["one"], "responses": {}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Small", "version": "1", "description": "Words.", "license": {"name": "none"}},
        "tags": [{"name": "one"}, {"name": "unused"}],
        "security": [],
        "paths": {"/a": {"get": operation}},
        **changes,
    }


@pytest.mark.parametrize("path", FILES)
async def test_every_file_is_open_and_strict(api: Api, path: str) -> None:
    async with api.caller() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_names_only_files_of_this_server(api: Api) -> None:
    async with api.caller() as client:
        page = (await client.get(PATH)).text
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert set(FILES) - {PATH, f"{PATH}/"} <= set(named)
        assert [(await client.get(name)).status_code for name in named] == [200] * len(named)
    assert "<script>" not in page
    assert "style=" not in page


async def test_the_page_leads_to_every_contract(api: Api) -> None:
    async with api.caller() as client:
        joined = (await client.get(f"{PATH}/openapi.json")).json()
        links = re.findall(r"\]\((/[^)]+)\)", joined["info"]["description"])
        assert len(links) == len(contract.NAMES)
        links += [tag["externalDocs"]["url"] for tag in joined["tags"]]
        assert {(await client.get(link)).status_code for link in links} == {200}


async def test_a_file_that_did_not_change_is_not_sent_again(api: Api) -> None:
    async with api.caller() as client:
        first = await client.get(PATH)
        again = await client.get(PATH, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"


async def test_the_page_is_only_read(api: Api) -> None:
    async with api.caller() as client:
        head = await client.head(PATH)
        refused = await client.post(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_an_application_without_contracts_of_dg_has_no_page(tmp_path: Path) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        assert (await client.get(PATH)).status_code == 404


def test_all_operations_are_on_the_page() -> None:
    joined = [each["operationId"] for _, _, each in operations(join(DOCUMENTS))]
    assert sorted(joined) == sorted(
        each["operationId"] for document in DOCUMENTS.values() for _, _, each in operations(document)
    )


def test_a_contract_without_operations_says_so() -> None:
    joined = join({"small": small(), "empty": small(paths={}, tags=[{"name": "later"}])})
    assert "| Small | none yet |" in joined["info"]["description"]
    assert [tag["name"] for tag in joined["tags"]] == ["one"]


def test_contracts_that_contradict_each_other_are_refused() -> None:
    one = small(components={"schemas": {"Id": {"type": "string"}}})
    other = small(paths={}, components={"schemas": {"Id": {"type": "integer"}}})
    with pytest.raises(ContractError, match="schemas Id"):
        join({"one": one, "other": other})


@pytest.mark.skipif(not PINNED.exists(), reason="`npm ci --prefix tools` was not run")
@pytest.mark.parametrize("file", sorted(path.name for path in (SITE / "swagger-ui").iterdir()))
def test_the_viewer_is_the_pinned_package_byte_for_byte(file: str) -> None:
    assert (SITE / "swagger-ui" / file).read_bytes() == (PINNED / file).read_bytes()


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://127.0.0.1:8470", "127.0.0.1:8470", "http"),
        ("http://localhost:8470", "localhost:8470", "http"),
        ("http://[::1]:8470", "[::1]:8470", "http"),
        ("https://10.0.0.5", "10.0.0.5", "https"),
    ],
)
def test_the_servers_own_page_may_call(origin: str, host: str, scheme: str) -> None:
    assert Origins((), None).check({"origin": origin, "host": host}, scheme) == origin


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://rebound.example:8470", "rebound.example:8470"),
        ("http://localhost.example", "localhost.example"),
        ("http://127.0.0.1:3000", "127.0.0.1:8470"),
        ("http://localhost:8470", "127.0.0.1:8470"),
        ("https://127.0.0.1:8470", "127.0.0.1:8470"),
        ("http://evil.example@127.0.0.1", "evil.example@127.0.0.1:8470"),
        ("http://[", "["),
        ("http://", ""),
        ("null", "127.0.0.1:8470"),
    ],
)
def test_a_page_that_only_pretends_to_be_the_servers_own_may_not(origin: str, host: str) -> None:
    with pytest.raises(Forbidden):
        Origins((), None).check({"origin": origin, "host": host})


async def test_the_own_page_may_change_things(api: Api) -> None:
    own = {"origin": "http://127.0.0.1", "host": "127.0.0.1"}
    async with api.caller("admin") as client:
        answer = await client.post("/v1/tokens", json={"name": "x", "role": "viewer"}, headers=own)
    assert isinstance(answer, httpx.Response)
    assert answer.status_code == 201
