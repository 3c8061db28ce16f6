"""Signing in at a real server: from one machine to the next, by many commands at once, through a crash."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.client.servers import Server, serving

from dg.cli.errors import ExitCode
from dg.core.home import write_private

DG = [sys.executable, "-m", "dg"]
SHORT = """\
[access.sessions]
access_ttl = "1s"
grace = "1s"
poll = "200ms"
"""
PATIENT = """\
[access.sessions]
grace = "5m"
"""
"""A machine that runs other tests beside may take its time to start a server."""
WITHIN = 30.0

pytestmark = pytest.mark.long


@dataclass
class Machine:
    """A machine of somebody's, which knows the server by its address alone."""

    folder: Path
    url: str

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
        here = {"DG_URL": self.url, "DG_HOME": str(self.folder / "none"), "XDG_STATE_HOME": str(self.folder)}
        return kept | here

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*DG, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        return ended(self.start(*arguments))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, errors = process.communicate(timeout=WITHIN)
    return process.returncode, said + errors


def owner(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the owner of the server's machine."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
    command = [*DG, "--home", str(home), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WITHIN, check=False)


def sign_in(machine: Machine, approve: Callable[[str], None]) -> dict[str, Any]:
    """`dg login` on a machine, which somebody approves; the session."""
    asking = machine.start("login", "--json")
    assert asking.stdout is not None
    approve(json.loads(asking.stdout.readline())["user_code"])
    code, said = ended(asking)
    assert code == ExitCode.OK, said
    session: dict[str, Any] = json.loads(said)
    return session


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write_private(home / "server.toml", SHORT)
    return home


def test_from_the_first_machine_to_the_second_and_out_again(home: Path, tmp_path: Path) -> None:
    with serving(home) as server:
        laptop, desk = (Machine(tmp_path / name, server.url) for name in ("laptop", "desk"))

        def by_owner(code: str) -> None:
            given = ("--for", "ana", "--role", "admin", "--yes")
            assert owner(home, "session", "approve", code, *given).returncode == ExitCode.OK

        def by_oneself(code: str) -> None:
            assert laptop.run("session", "approve", code, "--yes")[0] == ExitCode.OK

        first, second = sign_in(laptop, by_owner), sign_in(desk, by_oneself)
        assert first["person"] == second["person"]
        assert second["approved_in"] == first["id"]

        time.sleep(1)  # until each of them has to refresh
        at_once = [desk.start("whoami", "--json") for _ in range(8)]
        answers = [ended(each) for each in at_once]
        assert [code for code, _ in answers] == [ExitCode.OK] * 8, answers
        assert {json.loads(said)["session"] for _, said in answers} == {second["id"]}
        assert owner(home, "events", "--filter", "type=session.reuse_detected", "--json").stdout == ""

        assert desk.run("logout")[0] == ExitCode.OK
        code, said = desk.run("whoami")
        assert code == ExitCode.REFUSED
        assert "dg login" in said
        assert laptop.run("session", "revoke", "--person", "ana")[0] == ExitCode.OK
        code, said = laptop.run("whoami")
        assert code == ExitCode.REFUSED
        assert "is over or was revoked" in said


def test_following_events_outlives_the_access_token(home: Path, tmp_path: Path) -> None:
    with serving(home) as server:
        laptop = Machine(tmp_path / "laptop", server.url)

        def by_owner(code: str) -> None:
            given = ("--for", "ana", "--role", "viewer", "--yes")
            assert owner(home, "session", "approve", code, *given).returncode == ExitCode.OK

        session = sign_in(laptop, by_owner)
        following = laptop.start("events", "-f", "--json", "--filter", "type=token.created")
        assert following.stdout is not None
        seen = []
        for number in range(3):
            # Longer than a token and the leeway last, so that the stream ended in between.
            time.sleep(4)
            made = owner(home, "token", "create", "--name", f"t{number}", "--role", "viewer")
            assert made.returncode == ExitCode.OK
            seen.append(json.loads(following.stdout.readline())["seq"])
        assert len(set(seen)) == 3
        assert owner(home, "session", "revoke", session["id"]).returncode == ExitCode.OK
        code, said = ended(following)
        assert code == ExitCode.REFUSED, said


@contextmanager
def swallowing(server: Server, on_answer: Callable[[], None]) -> Iterator[str]:
    """A way to the server that is cut when the answer comes; `on_answer` is called before."""
    parts = urlsplit(server.url)
    listening = socket.create_server(("127.0.0.1", 0))

    def carry() -> None:
        near, _ = listening.accept()
        with near, socket.create_connection((str(parts.hostname), int(parts.port or 0))) as far:
            threading.Thread(target=forward, args=(near, far), daemon=True).start()
            assert far.recv(1)
            on_answer()
            # Closing alone would wait for the thread that reads from it.
            near.shutdown(socket.SHUT_RDWR)

    carrier = threading.Thread(target=carry, daemon=True)
    carrier.start()
    with listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        carrier.join(WITHIN)


def forward(source: socket.socket, target: socket.socket) -> None:
    try:
        while block := source.recv(65536):
            target.sendall(block)
    except OSError:
        # Either end was closed, as it is meant to be.
        return


def post(url: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = httpx.post(url, json=body, headers=headers, timeout=WITHIN, trust_env=False)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_refresh_that_the_server_dies_in_is_no_theft(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write_private(home / "server.toml", PATIENT)
    with serving(home) as server:
        token = (home / "local.token").read_text().strip()
        device = post(f"{server.url}/v1/sessions/device", {})
        wish = {"person": "ana", "grants": [{"role": "viewer"}]}
        post(f"{server.url}/v1/sessions/device/{device['user_code']}/approve", wish, token)
        tokens = post(f"{server.url}/v1/sessions/token", {"device_code": device["device_code"]})
        shown = {"refresh_token": tokens["refresh_token"]}

        def die() -> None:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(WITHIN)

        with swallowing(server, die) as way, pytest.raises(httpx.TransportError):
            httpx.post(f"{way}/v1/sessions/refresh", json=shown, timeout=WITHIN, trust_env=False)
    with serving(home) as server:
        again = post(f"{server.url}/v1/sessions/refresh", shown)
        assert again["refresh_token"] != tokens["refresh_token"]
        assert again["session"]["id"] == tokens["session"]["id"]
        later = post(f"{server.url}/v1/sessions/refresh", {"refresh_token": again["refresh_token"]})
        headers = {"authorization": f"Bearer {later['access_token']}"}
        answer = httpx.get(f"{server.url}/v1/whoami", headers=headers, trust_env=False)
        assert answer.is_success
