"""One story with Clerk: people sign in there and work here, over HTTP, the command line and a WebSocket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clerk import ORGANIZATION, PAGE, Instance, KeyServer, hang, publishing
from tests.client.servers import PIPELINE, Server, make_repository, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from dg.cli.errors import ExitCode

SETTINGS = """
[outbound]
allow = ["127.0.0.1"]

[access]
leeway = "500ms"

[access.clerk]
issuer = "{issuer}"
authorized_parties = ["{page}"]
organizations = ["{organization}"]
grants = [
  {{ to = "role:admin", role = "admin" }},
  {{ to = "permission:deploys:start", role = "operator", environment = "development" }},
]

[environments.production]
protected = false
approvals = {{ count = 1 }}
"""
STARTER = {
    "sub": "user_2ben",
    "fea": "o:deploys",
    "o": {"id": ORGANIZATION, "rol": "member", "per": "start", "fpm": "1"},
}


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with publishing() as keys:
        yield keys


@pytest.fixture(scope="module")
def instance(keys: KeyServer) -> Instance:
    instance = Instance(keys.url)
    keys.publish(instance.jwks())
    return instance


@pytest.fixture(scope="module")
def server(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server") / "home"
    home.mkdir(mode=0o700)
    text = SETTINGS.format(issuer=instance.issuer, page=PAGE, organization=ORGANIZATION)
    (home / "server.toml").write_text(text)
    with serving(home) as server:
        yield server


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git")
    file = folder / "dg.toml"
    file.write_text(PIPELINE.format(repository=make_repository(folder / "web")))
    return file


def dg(server: Server, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line on a machine that has only an address and a token."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
    return subprocess.run(
        [sys.executable, "-m", "dg", "--json", *arguments],
        env={**environ, "DG_URL": server.url, "DG_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
    )


def ask(server: Server, token: str, method: str, path: str, **body: object) -> Any:
    """One request of an HTTP client that is not dg's."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        return http.request(method, path, json=body or None)


async def say(ws: ClientConnection, token: str, **more: int) -> None:
    await ws.send(json.dumps({"type": "auth", "token": token, **more}))


async def until_status(ws: ClientConnection, deployment: str, status: str) -> None:
    async with asyncio.timeout(30):
        while True:
            payload = json.loads(await ws.recv())["payload"]
            if (payload["deployment_id"], payload["status"]) == (deployment, status):
                return


@pytest.mark.long
async def test_people_of_clerk_deploy_watch_and_approve(
    server: Server, instance: Instance, keys: KeyServer, pipeline: Path
) -> None:
    ana = instance.token
    registered = dg(server, ana(), "pipeline", "register", str(pipeline))
    assert registered.returncode == ExitCode.OK, registered.stderr

    socket = f"ws{server.url.removeprefix('http')}/ws/deployments"
    async with connect(socket, compression=None) as ws:
        await say(ws, ana(), after=0)
        request = {"environment": "development", "ref": "good"}
        made = ask(server, instance.token(**STARTER), "POST", "/v1/deployments", **request)
        assert made.status_code == 201
        await until_status(ws, made.json()["id"], "success")

        refused = dg(server, instance.token(**STARTER), "deploy", "web", "good", "--env", "production")
        assert refused.returncode == ExitCode.REFUSED
        waiting = dg(server, ana(), "deploy", "web", "good", "--env", "production")
        assert waiting.returncode == ExitCode.OK, waiting.stderr
        released = json.loads(waiting.stdout.splitlines()[-1])
        own = dg(server, ana(), "approve", released["id"], "--yes")
        assert own.returncode != ExitCode.OK
        approved = dg(server, ana(sub="user_2eva"), "approve", released["id"], "--yes")
        assert approved.returncode == ExitCode.OK, approved.stderr
        await say(ws, ana())
        await until_status(ws, released["id"], "success")
        await say(ws, ana(exp=int(time.time()) + 1, iat=int(time.time()) - 10))
        with pytest.raises(ConnectionClosed) as end:
            await until_status(ws, released["id"], "never")
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 4401

    shown = ask(server, ana(), "GET", f"/v1/deployments/{released['id']}").json()
    assert shown["created_by"] == "clerk:user_2ana"
    assert [(given["by"], given["verdict"]) for given in shown["approvals"]] == [
        ("clerk:user_2eva", "approved")
    ]
    keys.answer = hang
    assert ask(server, ana(), "GET", "/v1/whoami").status_code == 200
    assert keys.fetches == 1
