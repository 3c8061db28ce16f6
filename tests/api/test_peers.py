"""Who is at the other end of a request: behind proxies, from a web page, or one of too many."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.conftest import Api
from tests.api.frame import TOKEN, Things, make_app, make_client

from dg.api.app import App
from dg.api.peers import Cap, Peers, parse
from dg.settings.loader import SettingsError, load

PROXIES = ("127.0.0.1", "10.0.0.0/8", "fd00::/8")
PAGE = "https://board.example.org"


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.7, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1:50000", "198.51.100.1"),
        ("127.0.0.1", "[2001:db8::7]:50000", "2001:db8::7"),
        ("127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.7", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy(
    client: str, forwarded: str, address: str
) -> None:
    peer = Peers(PROXIES).find((client, 40000), {"x-forwarded-for": forwarded})
    assert peer.address == address
    assert peer.passed_on


@given(st.text(max_size=60))
def test_what_a_client_writes_never_stands_for_it(invented: str) -> None:
    """The proxy appends the address it saw; whatever the client sent stands left of that."""
    headers = {"x-forwarded-for": f"{invented}, 203.0.113.9"}
    assert Peers(PROXIES).find(("127.0.0.1", 1), headers).address == "203.0.113.9"


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[::1", "a:b", "::g"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse(text) is None or text == "[::1"


async def test_nobody_who_comes_from_a_trusted_proxy_passes_for_this_machine(tmp_path: Path) -> None:
    """A proxy that sends no X-Forwarded-For and its own Host looks like somebody on this machine."""
    local = {"host": "127.0.0.1:8470"}
    for proxies, status in (([], 200), (["127.0.0.1"], 401), (["127.0.0.0/8", "::1"], 401)):
        app = make_app(Things(), tmp_path, trusted_proxies=proxies)
        async with make_client(app, "127.0.0.1") as client:
            assert (await client.get("/v1/things/a", headers=local)).status_code == status
            claim = {**local, "x-forwarded-for": "127.0.0.1"}
            assert (await client.get("/v1/things/a", headers=claim)).status_code == 401


def test_this_machine_and_proxies_are_not_counted_and_a_v6_network_counts_once() -> None:
    peers = Peers(PROXIES)
    assert [peers.counted(each) for each in ("127.0.0.2", "::1", "10.9.9.9", "")] == [None] * 4
    assert peers.counted("203.0.113.9") == peers.counted("::ffff:203.0.113.9") == "203.0.113.9"
    assert peers.counted("2001:db8::1") == peers.counted("2001:db8::ffff:1") == "2001:db8::/64"


def test_a_cap_forgets_who_holds_nothing() -> None:
    cap = Cap(2, "x")
    assert [cap.take("a"), cap.take("a"), cap.take("a"), cap.take("b")] == [True, True, False, True]
    for _ in range(2):
        cap.give_back("a")
    cap.give_back("b")
    assert not cap._held
    assert cap.take("a")


async def test_one_client_behind_a_proxy_can_hold_so_many_requests(tmp_path: Path) -> None:
    things = Things()
    things.gate.clear()
    app = make_app(things, tmp_path, trusted_proxies=["127.0.0.1"], max_connections_per_address=1)
    one, other = {"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "203.0.113.10"}
    async with make_client(app, "127.0.0.1") as client:
        held = asyncio.ensure_future(client.post("/v1/things", json={"name": "a"}, headers={**TOKEN, **one}))
        await things.entered.wait()
        refused = await client.get("/v1/things", headers={**TOKEN, **one})
        assert refused.status_code == 429
        assert refused.json()["error"]["details"]["reason"] == "too_many_connections"
        assert refused.headers["retry-after"] == "1"
        assert (await client.get("/v1/things", headers={**TOKEN, **other})).status_code == 200
        things.gate.set()
        assert (await held).status_code == 201
        assert (await client.get("/v1/things", headers={**TOKEN, **one})).status_code == 200


async def ask(app: App, headers: Mapping[str, str], method: str = "GET") -> httpx.Response:
    async with make_client(app) as client:
        return await client.request(method, "/v1/things", headers={**TOKEN, **headers})


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://board.example.org", f"{PAGE}.evil.example", "", f"{PAGE}, x"],
)
async def test_a_page_from_elsewhere_is_refused(tmp_path: Path, origin: str) -> None:
    app = make_app(Things(), tmp_path, origins=[PAGE])
    answer = await ask(app, {"origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["details"]["reason"] == "cross_origin"
    assert "access-control-allow-origin" not in answer.headers
    preflight = await ask(app, {"origin": origin, "access-control-request-method": "POST"}, "OPTIONS")
    assert preflight.status_code == 403


@pytest.mark.parametrize("origin", [PAGE, "https://dg.example.org"])
async def test_a_page_that_was_allowed_may_call_and_read(tmp_path: Path, origin: str) -> None:
    app = make_app(Things(), tmp_path, origins=[PAGE], public_url="https://DG.example.org:443/dg")
    answer = await ask(app, {"origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_browser_is_told_what_an_allowed_page_may_send(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, origins=[PAGE])
    answer = await ask(app, {"origin": PAGE, "access-control-request-method": "POST"}, "OPTIONS")
    assert answer.status_code == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert (await ask(app, {"origin": PAGE}, "OPTIONS")).status_code == 405


async def test_who_sends_no_origin_is_no_page(tmp_path: Path) -> None:
    answer = await ask(make_app(Things(), tmp_path), {})
    assert answer.status_code == 200
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    ("repeated", "status"),
    [
        ([("authorization", "Bearer operator"), ("authorization", "Bearer admin")], 401),
        ([("authorization", "Bearer operator"), ("origin", PAGE), ("origin", PAGE)], 403),
        ([("authorization", "Bearer operator"), ("accept", "text/html"), ("accept", "*/*")], 200),
    ],
)
async def test_a_header_that_stands_alone_is_not_believed_twice(
    tmp_path: Path, repeated: list[tuple[str, str]], status: int
) -> None:
    app = make_app(Things(), tmp_path, origins=[PAGE])
    async with make_client(app) as client:
        assert (await client.get("/v1/things", headers=repeated)).status_code == status


async def test_a_key_that_comes_twice_makes_nothing(api: Api) -> None:
    async with api.caller("admin") as admin:
        headers = [*admin.headers.multi_items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
        answer = await admin.post("/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=headers)
        assert answer.status_code == 400
        names = [token["name"] for token in (await admin.get("/v1/tokens")).json()["items"]]
    assert "ci" not in names


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DG_SERVER__TRUSTED_PROXIES", "10.0.0.1/8", 'write "10.0.0.7" or "10.0.0.0/8"'),
        ("DG_SERVER__TRUSTED_PROXIES", "proxy.example.org", "is no address or network"),
        ("DG_SERVER__ORIGINS", "https://board.example.org/", "is no origin"),
        ("DG_SERVER__ORIGINS", "*", "is no origin"),
        ("DG_SERVER__ORIGINS", "null", "is no origin"),
    ],
)
def test_a_proxy_or_a_page_that_is_none_is_refused(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, {}, {variable: value})


def test_proxies_and_pages_are_lists(tmp_path: Path) -> None:
    environ = {"DG_SERVER__TRUSTED_PROXIES": "127.0.0.1, fd00::/8", "DG_SERVER__ORIGINS": ""}
    server = load(tmp_path, {}, environ).settings.server
    assert server.trusted_proxies == ("127.0.0.1", "fd00::/8")
    assert server.origins == ()
