"""What nobody who comes to `dg web` can use up for all others: connections, and places of those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from dg.client.sessions import Sessions
from dg.core.access.sessions import Device, SessionTokens
from dg.core.clock import SystemClock
from dg.core.errors import TooMany
from dg.core.tasks import open_tasks
from dg.web import app
from dg.web.children import Manner
from dg.web.dashboards import Caps
from dg.web.visits import EACH_WAITING, Visits

FORM = "application/x-www-form-urlencoded"


@pytest_asyncio.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A `dg web` without a server that loses its patience soon."""
    monkeypatch.setattr(app, "PATIENCE", 0.3)
    options = app.Options(Manner("http://127.0.0.1:9", None, "dg-night", read_only=False), Caps(1, 1, 60.0))
    async with app.serve(options, SystemClock()) as url:
        yield url


@pytest.mark.parametrize(
    "said",
    [
        "",
        "GET / HTTP/1.1\r\nHost: {host}\r\n",
        "POST /login HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 90\r\n\r\nname=a",
        "POST /login HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 90\r\n\r\nname=a",
    ],
)
async def test_a_connection_that_says_nothing_more_is_closed(url: str, said: str) -> None:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(said.format(host=at.netloc).encode())
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"name=\xff%ff", {"Content-Type": FORM}),
        (b"name=a", {"Content-Type": f"{FORM}; charset=nowhere"}),
        (b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"name=a", {"Content-Type": FORM, "Content-Encoding": "gzip"}),
        (b"&".join([b"name=a"] * 9), {"Content-Type": FORM}),
    ],
)
async def test_a_form_that_is_none_is_no_error_of_the_server(
    url: str, body: bytes, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{url}/login", content=body, headers={"Origin": url, **headers})
    # Nobody can sign in where there is no server.
    assert answer.status_code in (400, 503)
    assert caplog.records == []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that lets nobody in, and turns nobody away."""

    async def ask(_: Sessions, *, name: str, host: str) -> Device:
        await asyncio.sleep(0)
        return Device(device_code="d", user_code="ABCD-EFGH", hint="", expires_in=600, interval=5)

    async def wait(_: Sessions, device: Device) -> SessionTokens:
        await asyncio.Event().wait()
        raise AssertionError("nobody is let in")

    monkeypatch.setattr(Sessions, "ask", ask)
    monkeypatch.setattr(Sessions, "wait", wait)


@pytest.mark.usefixtures("waits")
async def test_one_network_of_ipv6_has_the_places_of_one_address() -> None:
    clock = SystemClock()
    async with open_tasks() as tasks:
        visits = Visits("http://127.0.0.1:9", None, 600.0, clock, tasks)
        for last in range(EACH_WAITING):
            await visits.begin("hal", f"2001:db8:0:7::{last + 1:x}")
        with pytest.raises(TooMany):
            await visits.begin("hal", "2001:db8:0:7:ffff::1")
        await visits.begin("ivy", "2001:db8:0:8::1")
        await visits.close()


@pytest.mark.usefixtures("waits")
async def test_a_crowd_that_comes_at_once_has_no_more_places_than_one_by_one() -> None:
    async with open_tasks() as tasks:
        visits = Visits("http://127.0.0.1:9", None, 600.0, SystemClock(), tasks)
        came = (visits.begin("hal", "192.0.2.7") for _ in range(3 * EACH_WAITING))
        answers = await asyncio.gather(*came, return_exceptions=True)
        assert sum(isinstance(each, str) for each in answers) == EACH_WAITING
        assert sum(isinstance(each, TooMany) for each in answers) == 2 * EACH_WAITING
        await visits.begin("ivy", "192.0.2.8")
        await visits.close()


@pytest.mark.usefixtures("waits")
async def test_one_browser_waits_in_one_place_however_often_it_asks(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for _ in range(3 * EACH_WAITING):
            answer = await http.post(f"{url}/login", data={"name": "jo"}, headers={"Origin": url})
            assert answer.status_code == 303
