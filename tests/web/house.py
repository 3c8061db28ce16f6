"""`dg web` before a real server, and browsers that sign in at it without a browser."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tests.client.servers import Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from dg.client.app import Client
from dg.client.auth import find
from dg.client.sync import Blocking
from dg.core.access.sessions import WantedGrant

WITHIN = 60.0


@dataclass
class Site:
    """A running `dg web`."""

    process: subprocess.Popen[str]
    url: str
    home: Path

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    def children(self) -> list[int]:
        """The dashboards' processes."""
        listed = subprocess.run(
            ("ps", "--ppid", str(self.process.pid), "-o", "pid="), capture_output=True, text=True, check=False
        )
        return [int(word) for word in listed.stdout.split()]


@dataclass
class Visitor:
    """A browser's cookies at one site, and what it sends along."""

    site: Site
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        with httpx.Client(
            base_url=self.site.url, cookies=self.cookies, trust_env=False, timeout=WITHIN
        ) as http:
            answer = http.request(method, path, **how)
            self.cookies = http.cookies
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.send("POST", path, data=form, headers={"Origin": self.site.url})

    def ask(self, name: str) -> str:
        """Go to the sign-in page as `name`; the code that it shows."""
        answer = self.post("/login", name=name)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), answer.text
        found = re.search(r"<p class=code>([A-Z]{4}-[A-Z]{4})<", self.get("/login").text)
        assert found
        return found[1]

    def wait_to_be_let_in(self) -> None:
        until(lambda: self.get("/login").headers.get("location") == "/")

    def sign_in(self, name: str, role: str = "viewer") -> None:
        """Be let in by the owner of the server."""
        approve(self.site.home, self.ask(name), name, role)
        self.wait_to_be_let_in()

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @contextmanager
    def dashboard(
        self, *, origin: str | None = None, cookie: str | None = None, size: tuple[int, int] = (120, 36)
    ) -> Iterator[Screen]:
        """One of its tabs."""
        address = self.site.url.replace("http", "ws", 1) + f"/ws?width={size[0]}&height={size[1]}"
        with connect(
            address,
            origin=Origin(self.site.url if origin is None else origin),
            additional_headers={"Cookie": self.cookie if cookie is None else cookie},
            max_size=None,
            proxy=None,
        ) as wire:
            yield Screen(wire)


@dataclass
class Screen:
    """What a dashboard has written so far, and its keyboard."""

    wire: ClientConnection
    written: bytes = b""
    ended: bool = False

    def read(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.ended and (left := end - time.monotonic()) > 0:
            try:
                message = self.wire.recv(timeout=left)
            except TimeoutError:
                return
            except ConnectionClosed:
                self.ended = True
                return
            self.written += message if isinstance(message, bytes) else b""

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + WITHIN
        while not holds():
            assert time.monotonic() < end, self.written[-2000:]
            assert not self.ended or holds(), self.written[-2000:]
            self.read(0.1)

    def shows(self, words: str) -> None:
        """Wait until something stands on it."""
        self.until(lambda: words.encode() in self.written)

    def say(self, *message: Any) -> None:
        self.wire.send(json.dumps(message))

    def press(self, keys: str) -> None:
        self.say("stdin", keys)


def until(holds: Callable[[], object]) -> None:
    """Wait for something to be so. Raises AssertionError when it does not come to be."""
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def approve(home: Path, code: str, name: str, role: str) -> None:
    """The owner of the server lets somebody in."""
    found = find({}, home)
    with Blocking(Client(found.url, found.token)) as dg:
        dg.run(dg.client.sessions.approve(code, person=name, grants=[WantedGrant(role=role)]))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def web(server: Server, home: Path, *arguments: str, **environ: str) -> Iterator[Site]:
    """`dg web` for this server, ended with the block; nothing opens the server for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
    with (home.parent / "web.err").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "dg", "web", "--url", server.url, "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**kept, **environ},
        )
    assert process.stdout
    try:
        assert select.select([process.stdout], [], [], WITHIN)[0], "dg web is not ready in time"
        line = process.stdout.readline()
        assert line, (home.parent / "web.err").read_text()
        yield Site(process, json.loads(line)["ready"], home)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(WITHIN)
        process.stdout.close()
