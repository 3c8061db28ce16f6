"""Who does not come in at `dg web`: other names, other pages, nobody, an old cookie, one too many."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest
from tests.tui.conftest import House
from tests.web.house import Site, Visitor, approve, until, web
from websockets.exceptions import InvalidStatus

PATHS = ["/", "/login", "/ws", "/static/textual.js", "/nowhere"]


def status_of_socket(visitor: Visitor, *, origin: str | None = None, cookie: str | None = None) -> int:
    with pytest.raises(InvalidStatus) as refused, visitor.dashboard(origin=origin, cookie=cookie):
        pass
    return refused.value.response.status_code


@pytest.fixture(scope="module")
def ana(site: Site) -> Visitor:
    visitor = Visitor(site)
    visitor.sign_in("ana")
    return visitor


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.nip.io:{port}", ""])
def test_a_name_that_is_not_the_servers_is_refused(ana: Visitor, path: str, host: str) -> None:
    host = host.format(port=ana.site.netloc.rpartition(":")[2])
    answer = ana.get(path, Host=host)
    assert (answer.status_code, "not known by that name" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:{port}", "https://{netloc}"],
)
def test_a_page_of_somebody_else_is_refused(ana: Visitor, origin: str) -> None:
    origin = origin.format(port=ana.site.netloc.rpartition(":")[2], netloc=ana.site.netloc)
    assert status_of_socket(ana, origin=origin) == 403
    for path in ("/login", "/logout"):
        assert ana.send("POST", path, headers={"Origin": origin}).status_code == 403
    assert ana.get("/").text.count("terminal")


def test_a_form_or_a_socket_without_an_origin_is_refused(ana: Visitor) -> None:
    assert ana.send("POST", "/logout").status_code == 403
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert ana.get("/ws", **upgrade, **key).status_code == 403


@pytest.mark.parametrize("cookie", ["", "{name}=", "{name}=guessed", "{name}=" + "A" * 43, "other=1"])
def test_nobody_gets_a_dashboard(site: Site, cookie: str) -> None:
    cookie = cookie.format(name=f"dg-web-{site.netloc.rpartition(':')[2]}")
    assert status_of_socket(Visitor(site), cookie=cookie) == 401
    page = httpx.get(site.url, headers={"Cookie": cookie})
    assert (page.status_code, "Your name" in page.text, "terminal" in page.text) == (200, True, False)
    assert site.children() == []


def test_who_waits_to_be_let_in_gets_no_dashboard(site: Site) -> None:
    visitor = Visitor(site)
    visitor.ask("bo")
    assert status_of_socket(visitor) == 401
    assert visitor.get("/").headers["location"] == "/login"
    visitor.post("/logout")


def test_the_cookie_from_before_the_sign_in_opens_nothing(site: Site) -> None:
    visitor = Visitor(site)
    code, before = visitor.ask("cy"), visitor.cookie
    approve(site.home, code, "cy", "viewer")
    visitor.wait_to_be_let_in()
    assert visitor.cookie != before
    assert status_of_socket(visitor, cookie=before) == 401
    visitor.post("/logout")


@pytest.mark.long
def test_who_signed_out_is_out_and_so_is_the_session(site: Site) -> None:
    visitor = Visitor(site)
    visitor.sign_in("dee")
    cookie = visitor.cookie
    with visitor.dashboard() as screen:
        screen.shows("● live")
        assert visitor.post("/logout").headers["location"] == "/"
        screen.until(lambda: screen.ended)
    assert status_of_socket(visitor, cookie=cookie) == 401
    listed = subprocess.run(
        [sys.executable, "-m", "dg", "session", "list", "--all", "--json", "--home", str(site.home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r'"name": ?"dee".*"revoked_at"', listed.stdout)


@pytest.mark.long
def test_a_session_that_is_revoked_ends_its_dashboards(site: Site) -> None:
    visitor = Visitor(site)
    visitor.sign_in("eli")
    with visitor.dashboard() as screen:
        screen.shows("● live")
        subprocess.run(
            [sys.executable, "-m", "dg", "session", "revoke", "--person", "eli", "--home", str(site.home)],
            check=True,
            capture_output=True,
        )
        screen.until(lambda: screen.ended)
    assert "signed out" in visitor.get("/").text
    assert "Your name" in visitor.get("/").text


@pytest.mark.long
def test_one_dashboard_too_many_is_told_so(site: Site, ana: Visitor) -> None:
    flo = Visitor(site)
    flo.sign_in("flo")
    with ana.dashboard() as first, ana.dashboard() as second:
        first.shows("● live")
        second.shows("● live")
        assert status_of_socket(ana) == 503
        page = ana.get("/")
        assert (page.status_code, "you have 2 dashboards open" in page.text) == (503, True)
        with flo.dashboard() as third:
            third.shows("● live")
            assert status_of_socket(flo) == 503
            assert "all 3 dashboards" in flo.get("/").text
    until(lambda: site.children() == [])
    assert ana.get("/").status_code == 200


def test_too_many_who_wait_at_one_address_are_sent_away(house: House) -> None:
    with web(house.server, house.home) as site:
        visitors = [Visitor(site) for _ in range(5)]
        answers = [visitor.post("/login", name="gil").status_code for visitor in visitors]
        assert answers == [303, 303, 303, 303, 429]
        visitors[0].post("/logout")
        assert visitors[4].post("/login", name="gil").status_code == 303


@pytest.mark.long
def test_what_no_page_of_ours_says_ends_its_dashboard_alone(ana: Visitor) -> None:
    with ana.dashboard() as screen:
        screen.say("deliver_chunk_request", {"key": "k"})
        screen.until(lambda: screen.ended)
    assert ana.get("/").status_code == 200


@pytest.mark.parametrize("query", ["width=x&height=1", "width=1e9&height=2", "width=&height="])
def test_a_size_that_is_none_is_refused(ana: Visitor, query: str) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers = {**upgrade, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": ana.site.url}
    assert ana.get(f"/ws?{query}", **headers).status_code == 400


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/download/x", "/x"]
)
def test_nothing_is_served_but_what_pages_need(ana: Visitor, path: str) -> None:
    assert ana.get(path).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 must not be reached without a proxy with TLS"),
        (("--host", "192.0.2.1"), "192.0.2.1 must not be reached"),
        (("--host", "0.0.0.0", "--public-url", "http://dg.example.org"), "by https"),
        (("--public-url", "https://dg.example.org/dg"), "without a path"),
        (("--public-url", "https://ana@dg.example.org"), "--public-url must be"),
        (("--host", "192.0.2.1", "--public-url", "https://dg.example.org"), "cannot be listened on"),
    ],
)
def test_a_place_that_would_show_sessions_to_all_is_refused(
    house: House, arguments: tuple[str, ...], words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dg", "web", "--url", house.server.url, "--port", "0", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode == 0, words in done.stderr) == (False, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
