"""dg behind the proxies of `docs/server.md`, configured as that page says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.client.servers import serving
from tests.scenarios.house import free_port, until
from tests.tls import make_certificate
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dg.client.app import Client
from dg.core.access.models import Role

PAGE = Path(__file__).parents[2] / "docs" / "server.md"
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
ELSEWHERE = "203.0.113.9"

HAPROXY = ("haproxy", "-db", "-f", "{file}")
NGINX = ("nginx", "-p", "{folder}", "-e", "stderr", "-c", "{file}")
NGINX_AROUND = """\
daemon off;
master_process off;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{server}
}}
"""


@dataclass(frozen=True)
class Proxied:
    """A server on loopback, and the proxy in front of it."""

    url: str
    direct: str
    token: str
    authority: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def client(self) -> Client:
        return Client(self.url, self.token, ca_file=self.authority)

    def websocket(self, client: str) -> connect:
        """A handshake of a client that says it speaks for another one. Both are on trusted loopback here."""
        url = f"{self.url.replace('https', 'wss')}/ws/deployments"
        return connect(url, ssl=self.trusting, additional_headers={"x-forwarded-for": client})


def documented(language: str) -> str:
    """The one block of the page in this language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(block)


def certificate(folder: Path) -> Path:
    """For 127.0.0.1; certificate and key in one file, as HAProxy reads them."""
    made = folder / "dg.pem"
    made.write_text("".join(part.read_text() for part in make_certificate(folder)))
    return made


def configuration(name: str, folder: Path, dg: int, port: int) -> str:
    """What the page says, on other ports and with another certificate."""
    pem = str(folder / "dg.pem")
    text = documented(name).replace("127.0.0.1:8470", f"127.0.0.1:{dg}")
    text = re.sub(r"/etc/(haproxy|nginx)/dg\.(pem|crt|key)", pem, text)
    text = re.sub(r"bind :443|listen 443", lambda found: f"{found[0].split()[0]} 127.0.0.1:{port}", text)
    return NGINX_AROUND.format(server=text) if name == "nginx" else text


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=[HAPROXY, NGINX], ids=["haproxy", "nginx"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    name, *arguments = request.param
    program = shutil.which(name, path=SBIN)
    if program is None:
        pytest.skip(f"{name} is not on this machine")
    authority, dg, port = certificate(tmp_path), free_port(), free_port()
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text(
        f'[server]\npublic_url = "https://127.0.0.1:{port}"\ntrusted_proxies = ["127.0.0.1", "::1"]\n'
        "max_websockets_per_address = 1\n"
    )
    file = tmp_path / f"{name}.conf"
    file.write_text(configuration(name, tmp_path, dg, port))
    command = [program, *(word.format(folder=tmp_path, file=file) for word in arguments)]
    complaints = tmp_path / "proxy.err"
    with (
        serving(home, dg) as server,
        complaints.open("w") as errors,
        subprocess.Popen(command, stdout=errors, stderr=errors) as proxy,
    ):
        try:
            until(lambda: answers(port) or proxy.poll() is not None, "the proxy to listen")
            assert proxy.poll() is None, complaints.read_text()
            token = (home / "local.token").read_text().strip()
            yield Proxied(f"https://127.0.0.1:{port}", server.url, token, authority)
        finally:
            proxy.terminate()


async def test_requests_streams_and_websockets_pass_the_proxy(proxied: Proxied) -> None:
    async with proxied.client() as dg:
        head = (await dg.events.verify()).head_seq
        async with asyncio.timeout(10), aclosing(dg.events.follow(after=head)) as facts:
            following = asyncio.ensure_future(anext(facts))
            await dg.tokens.create(name="ci", role=Role.VIEWER)
            assert (await following).type == "token.created"
            # Nothing on the way may keep a fact back until more of them come: the stream is open now.
            following = asyncio.ensure_future(anext(facts))
            await dg.tokens.create(name="cd", role=Role.VIEWER)
            assert (await following).type == "token.created"
    async with proxied.websocket(ELSEWHERE) as socket_:
        await socket_.send(json.dumps({"type": "auth", "token": "none"}))
        await socket_.wait_closed()
    assert socket_.close_code == 4401


async def test_nobody_passes_for_this_machine_through_the_proxy(proxied: Proxied) -> None:
    async with httpx.AsyncClient(verify=proxied.trusting, trust_env=False) as anybody:
        assert (await anybody.get(f"{proxied.url}/health")).status_code == 200
        for url in (proxied.url, proxied.direct):
            assert (await anybody.get(f"{url}/metrics")).status_code == 401
            assert (await anybody.get(f"{url}/diagnostics", headers={"host": "localhost"})).status_code == 401


async def test_the_caps_count_the_client_and_not_the_proxy(proxied: Proxied) -> None:
    async with proxied.websocket(ELSEWHERE):
        with pytest.raises(InvalidStatus) as refusal:
            await proxied.websocket(ELSEWHERE)
        assert refusal.value.response.status_code == 429
        async with proxied.websocket("203.0.113.10"):
            pass


async def test_a_page_of_the_public_address_may_call_and_no_other(proxied: Proxied) -> None:
    async with httpx.AsyncClient(verify=proxied.trusting, trust_env=False) as browser:
        for origin, status in ((proxied.url, 200), ("https://evil.example", 403)):
            answer = await browser.get(f"{proxied.url}/health", headers={"origin": origin})
            assert answer.status_code == status
