"""The dashboard in a real browser: seen, steered, and nothing of it from elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.api.browser import CHROMIUM, Tab, browsing
from tests.tui.conftest import House
from tests.web.house import Site, Visitor, approve, is_alive, until, web

from dg.web.shutting import can_shut_in

PAINTED = """(() => {
    const layers = [...document.querySelectorAll(".xterm-screen canvas")];
    const drawn = layers.map((layer) => layer.getContext("2d")).filter(Boolean).map((context) => {
        const {width, height} = context.canvas;
        if (!width || !height) return 0;
        const bytes = context.getImageData(0, 0, width, height).data, colours = new Set();
        for (let at = 0; at < bytes.length; at += 4)
            if (bytes[at + 3]) colours.add(bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2]);
        return colours.size;
    });
    return Math.max(0, ...drawn) > 20;
})()"""
"""Whether a terminal full of colours is drawn."""

SHOWN = "document.body?.classList.contains('-first-byte') && !document.body.classList.contains('-closed')"
HEARD = """
const Plain = WebSocket;
window.heard = "";
window.WebSocket = class extends Plain {
    constructor(...how) {
        super(...how);
        this.addEventListener("message", (message) => {
            if (typeof message.data !== "string") window.heard += new TextDecoder().decode(message.data);
        });
    }
};
"""
"""Keeps what dashboards write, since a picture of text is no text."""


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with browsing(tmp_path / "profile") as tab:
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=HEARD)
        tab.resize(1400, 800)
        yield tab


def type_keys(tab: Tab, keys: str) -> None:
    for key in keys:
        tab.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_person_signs_in_sees_the_dashboard_steers_it_and_leaves(site: Site, tab: Tab) -> None:
    tab.open(site.url)
    tab.type("input[name=name]", "vic")
    tab.press("form[action='/login'] button")
    code = tab.wait("document.querySelector('.code')?.textContent")
    approve(site.home, code, "vic", "viewer")
    tab.wait(SHOWN)
    tab.wait("window.heard.includes('● live') && window.heard.includes('vic')")
    tab.wait(PAINTED)
    assert tab.evaluate("document.fonts.check('16px \"Roboto Mono\"')")
    # No click before it: the terminal has the keys from the start.
    tab.wait("document.activeElement.matches('.xterm-helper-textarea')")
    type_keys(tab, "0")
    tab.wait("window.heard.includes('sessions')")
    assert tab.evaluate("document.cookie") == ""
    picture(tab)
    type_keys(tab, "q")
    tab.wait("document.body?.classList.contains('-closed')")
    until(lambda: site.children() == [])
    tab.press("form[action='/logout'] button")
    tab.wait("!!document.querySelector('input[name=name]')")
    assert tab.evaluate("window.violations") == []
    # textual-serve's script tells its closed socket that the terminal has lost the focus.
    assert [error for error in tab.errors if "in CLOSING or CLOSED state" not in error] == []
    places = {urlsplit(address).netloc for address in tab.asked if address.startswith(("http", "ws"))}
    assert places == {site.netloc}


def picture(tab: Tab) -> None:
    """Kept where somebody who wants to look at it says so."""
    if folder := os.environ.get("DG_PICTURES"):
        tab.picture(Path(folder, "web.png"))


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_page_of_somebody_else_in_the_same_browser_gets_nothing(
    site: Site, tab: Tab, tmp_path: Path
) -> None:
    visitor = Visitor(site)
    visitor.sign_in("wim")
    [(name, value)] = visitor.cookies.items()
    port = site.netloc.rpartition(":")[2]
    tab.open(site.url)
    tab.wait("!!document.querySelector('input[name=name]')")
    tab.call(
        "Network.setCookie",
        url=site.url,
        name=name,
        value=value,
        httpOnly=True,
        sameSite="Strict",
    )
    tab.open("about:blank")
    tab.wait("location.href === 'about:blank'")
    opened = (
        "new Promise((end) => {{ const socket = new WebSocket('ws://{host}:{port}/ws?width=80&height=24');"
        "socket.onopen = () => end('open'); socket.onerror = () => end('refused'); }})"
    )
    for host in ("127.0.0.1", "localhost"):
        assert tab.evaluate(opened.format(host=host, port=port)) == "refused"
    assert site.children() == []


def test_each_has_the_rights_of_their_own_and_no_token_is_to_be_seen(site: Site) -> None:
    visitor = Visitor(site)
    visitor.sign_in("xia", "operator")
    with visitor.dashboard(size=(160, 45)) as screen:
        screen.shows("xia · operator")
        [child] = site.children()
        for place in ("cmdline", "environ"):
            try:
                seen = Path(f"/proc/{child}/{place}").read_bytes()
            except PermissionError:
                continue
            assert not any(sign in seen for sign in (b"eyJ", b"DG_", b"xia"))
        screen.press("q")
        screen.until(lambda: screen.ended)
    until(lambda: site.children() == [])


TRIED = """
import os, subprocess, sys
from pathlib import Path
from dg.web.shutting import shut_in
mine = Path(sys.argv[1])
shut_in()
tries = {
    "write": lambda: mine.write_text("theirs"),
    "append": lambda: mine.open("a").write("theirs"),
    "cut short": lambda: os.truncate(mine, 0),
    "make": lambda: mine.with_name("new").touch(),
    "remove": lambda: mine.unlink(),
    "rename": lambda: mine.rename(mine.with_name("other")),
    "read": lambda: mine.read_text(),
    "list": lambda: list(mine.parent.iterdir()),
    "link": lambda: mine.with_name("link").symlink_to("/etc/passwd"),
    "run": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "read what is Python's": lambda: Path(os.__file__).read_text(),
    "write to nowhere": lambda: Path("/dev/null").write_text("it"),
}
for name, act in tries.items():
    try:
        act()
        print(name)
    except OSError:
        pass
"""


@pytest.mark.skipif(not can_shut_in(), reason="this system has no Landlock")
def test_a_dashboards_process_touches_no_file_and_runs_no_program(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("stays")
    done = subprocess.run(
        [sys.executable, "-c", TRIED, mine], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.splitlines() == ["read what is Python's", "write to nowhere"]
    assert (mine.read_text(), list(tmp_path.iterdir())) == ("stays", [mine])


@pytest.mark.long
def test_killing_dg_web_ends_every_dashboard(house: House) -> None:
    with web(house.server, house.home) as site:
        visitor = Visitor(site)
        visitor.sign_in("yan")
        with visitor.dashboard() as screen:
            screen.shows("● live")
            [child] = site.children()
            site.process.send_signal(signal.SIGKILL)
            until(lambda: not is_alive(child))


@pytest.mark.long
def test_a_dashboard_that_nobody_touches_ends(house: House) -> None:
    with web(house.server, house.home, "--idle", "2s") as site:
        visitor = Visitor(site)
        visitor.sign_in("zoe")
        with visitor.dashboard() as screen:
            screen.until(lambda: screen.ended)
        until(lambda: site.children() == [])


@pytest.mark.long
def test_a_stop_ends_dashboards_and_sessions(house: House) -> None:
    with web(house.server, house.home) as site:
        visitor = Visitor(site)
        visitor.sign_in("una")
        with visitor.dashboard() as screen:
            screen.shows("● live")
            [child] = site.children()
            site.process.send_signal(signal.SIGTERM)
            screen.until(lambda: screen.ended)
            assert site.process.wait(60) == 0
        assert not is_alive(child)
