"""Names, origins, cookies and words of browsers, one by one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from dg.core.access.sessions import Device
from dg.web import pages
from dg.web.children import Child, environment, refused_in
from dg.web.door import Door
from dg.web.packets import DATA, META, MOST_BYTES, READY, Garbled, packet, packets, translated

PUBLIC = Door.of(8480, "https://dg.example.org:8443")
USUAL = Door.of(8480, "https://dg.example.org")
HERE = Door.of(8480, None)


def asked(method: str = "GET", **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(method, "/", headers=CIMultiDict(named))


def test_behind_a_proxy_only_the_public_name_counts() -> None:
    PUBLIC.check(asked(Host="dg.example.org:8443"))
    for host in ("dg.example.org", "127.0.0.1:8480", "localhost:8480", "dg.example.org:8443.evil.example"):
        with pytest.raises(web.HTTPForbidden):
            PUBLIC.check(asked(Host=host))


def test_a_form_comes_from_the_very_page_that_shows_it() -> None:
    HERE.check(asked("POST", Host="localhost:8480", Origin="http://localhost:8480"))
    for origin in ("http://127.0.0.1:8480", "https://localhost:8480", "http://localhost", "null"):
        with pytest.raises(web.HTTPForbidden):
            HERE.check(asked("POST", Host="localhost:8480", Origin=origin))


def test_two_names_in_one_request_are_none() -> None:
    twice = CIMultiDict([("Host", "localhost:8480"), ("Host", "localhost:8480")])
    with pytest.raises(web.HTTPForbidden):
        HERE.check(make_mocked_request("GET", "/", headers=twice))


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        (PUBLIC, "__Host-dg-web-8443=v; HttpOnly; Path=/; SameSite=Strict; Secure"),
        (USUAL, "__Host-dg-web=v; HttpOnly; Path=/; SameSite=Strict; Secure"),
        (HERE, "dg-web-8480=v; HttpOnly; Path=/; SameSite=Strict"),
    ],
)
def test_no_script_and_no_other_site_uses_the_cookie(door: Door, expected: str) -> None:
    response = web.Response()
    door.give(response, "v")
    assert response.cookies.output(header="").strip() == expected


@pytest.mark.parametrize(
    ("door", "forwarded", "address"),
    [
        (PUBLIC, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (PUBLIC, "203.0.113.9, <script>", ""),
        (HERE, "203.0.113.9", ""),
    ],
)
def test_only_a_proxy_in_front_says_where_somebody_comes_from(
    door: Door, forwarded: str, address: str
) -> None:
    found = door.address(asked(Host="x", X_Forwarded_For=forwarded))
    assert found == (address or make_mocked_request("GET", "/").remote or "")


def test_a_page_loads_and_connects_to_nothing_but_its_own_server() -> None:
    policy = HERE.policy(asked(Host="localhost:8480"))
    assert "default-src 'none'" in policy
    assert "connect-src ws://localhost:8480;" in policy
    assert "http:" not in policy
    assert "script-src 'self';" in policy
    assert HERE.policy(asked(Host="evil.example")).startswith("default-src 'none'; frame")


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "{}",
        "[]",
        '["stdin"]',
        '["stdin", 1]',
        '["resize", {"width": "1", "height": 2}]',
        '["resize", {"width": 1.5, "height": 2}]',
        '["quit"]',
        '["deliver_chunk_request", {"key": "k"}]',
        "[" * 100_000,
        '["ping", 1]',
    ],
)
def test_what_no_page_of_ours_says_is_garbled(message: str) -> None:
    with pytest.raises(Garbled):
        translated(message)


def test_what_is_typed_cannot_leave_its_packet() -> None:
    typed = "a\x00M" + "\ud800" + "é"
    found = translated(json.dumps(["stdin", typed]))
    assert found is not None
    assert found[:1] == DATA
    assert int.from_bytes(found[1:5], "big") == len(found) - 5


def test_a_size_stays_within_bounds() -> None:
    found = translated('["resize", {"width": 1000000, "height": -4}]')
    assert found is not None
    assert json.loads(found[5:]) == {"type": "resize", "width": 500, "height": 5}


async def read(*blocks: bytes) -> list[tuple[bytes, bytes]]:
    stream = asyncio.StreamReader()
    for block in blocks:
        stream.feed_data(block)
    stream.feed_eof()
    return [each async for each in packets(stream)]


async def test_packets_are_read_until_a_dashboard_ends() -> None:
    sent = packet(DATA, b"one") + packet(META, b"{}")
    assert await read(READY, sent, packet(DATA, b"cut off")[:-1]) == [(DATA, b"one"), (META, b"{}")]


@pytest.mark.parametrize(
    "written",
    [
        b"Traceback (most recent call last):\n",
        READY + b"X\0\0\0\0",
        READY + b"D" + (MOST_BYTES + 1).to_bytes(4, "big"),
        b"x" * 100_000,
    ],
)
async def test_what_is_no_dashboard_is_not_passed_on(written: bytes) -> None:
    with pytest.raises(Garbled):
        await read(written)


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b'{"refused": 1}', b"\xff", b"[" * 100_000])
def test_what_asks_for_no_token_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        refused_in(line)


async def test_a_question_without_an_end_is_garbled() -> None:
    questions = asyncio.StreamReader()
    questions.feed_data(b" " * 100_000)
    nothing: Any = None
    child = Child(nothing, nothing, nothing, nothing, questions, nothing)
    with pytest.raises(Garbled):
        await child.serve_tokens(nothing)


def test_a_dashboard_inherits_no_setting_and_no_secret() -> None:
    outer = {"PATH": "/bin", "DG_TOKEN": "t", "TEXTUAL": "devtools", "PYTHONPATH": "/x", "HOME": "/root"}
    given = environment(outer, (80, 24))
    assert given["PATH"] == "/bin"
    assert not {"DG_TOKEN", "TEXTUAL", "PYTHONPATH", "HOME"} & given.keys()


def test_what_others_wrote_is_no_markup_on_a_page() -> None:
    hostile = '<script>alert(1)</script>"\x1b]0;x\x07'
    device = Device(device_code="d", user_code=hostile, hint=hostile, interval=5, expires_in=600)
    for page in (pages.waiting(device), pages.sign_in(hostile), pages.message(hostile, hostile)):
        assert "<script" not in page
        assert "\x1b" not in page


@pytest.mark.parametrize(
    ("asked_for", "pixels"), [(None, 15), ("", 15), ("20", 20), ("2", 8), ("999", 32), ("1e3", 15), ("²", 15)]
)
def test_the_size_of_letters_stays_readable(asked_for: str | None, pixels: int) -> None:
    assert pages.font_size(asked_for) == pixels
