"""`/ws/deployments` on a real server, with a client that dg did not write."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.waiting import until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dg.api.app import create_app
from dg.api.protocols import FRAGMENTS
from dg.api.server import Listening, listen
from dg.core.access.models import SYSTEM, Role
from dg.core.deployments.models import FINAL, CreateDeployment
from dg.core.types import Environment
from dg.settings.server import Limits, Server

PATIENCE = 10.0
PAGE = "https://board.example.org"


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Listening]:
    async with listen(api.app, Server(port=0, body_timeout=0.5)) as listening:
        yield listening
        api.app.stop()


@asynccontextmanager
async def dial(server: Listening, *first: object) -> AsyncIterator[ClientConnection]:
    """A connection that has said `first`."""
    url = f"ws://127.0.0.1:{server.port}/ws/deployments"
    async with connect(url, open_timeout=PATIENCE, compression=None) as ws:
        for message in first:
            await ws.send(message if isinstance(message, str | bytes) else json.dumps(message))
        yield ws


async def hear(ws: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        message: dict[str, Any] = json.loads(await ws.recv())
    return message


async def closed(ws: ClientConnection) -> int | None:
    """The code that the server closes with."""
    with pytest.raises(ConnectionClosed) as end:
        await drain(ws)
    return end.value.rcvd.code if end.value.rcvd else None


async def drain(ws: ClientConnection) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await ws.recv()


async def joined(api: Api, count: int) -> None:
    """Wait until the server counts `count` authenticated clients."""
    await until(lambda: shows(api, f"dg_websocket_clients {count}.0"))


async def shows(api: Api, line: str) -> bool:
    """Whether the metrics have this line."""
    async with api.caller("viewer") as viewer:
        return line in (await viewer.get("/v1/metrics")).text.splitlines()


async def deploy(api: Api, command: str = "true", environment: Environment = Environment.DEVELOPMENT) -> str:
    """Deploy and wait until it has ended; its id."""
    await api.core.pipelines.register(SYSTEM, api.pipeline(command=command))
    made = await api.core.deployments.create(
        SYSTEM, CreateDeployment(environment=environment, service="shop")
    )
    await until(lambda: ended(api, made.id))
    return made.id


async def ended(api: Api, deployment_id: str) -> bool:
    return (await api.core.deployments.get(SYSTEM, deployment_id)).status in FINAL


async def test_whoever_does_not_say_a_token_in_time_is_closed(api: Api) -> None:
    hasty = api.core.settings.api.model_copy(update={"ws_auth_timeout": 0.1})
    app = create_app(api.core, api.core.settings.model_copy(update={"api": hasty}))
    async with listen(app, Server(port=0)) as server, dial(server) as ws:
        assert await closed(ws) == 4401
    app.stop()


async def test_a_token_that_proves_nothing_is_closed(server: Listening) -> None:
    async with dial(server, {"type": "auth", "token": "not.a.token"}) as ws:
        assert await closed(ws) == 4401


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\x00\x01", 1003),
        ("hello", 1007),
        ('{"type": "auth", "token": NaN}', 1007),
        ('{"type": "auth", "type": "auth", "token": "x"}', 1007),
        ("[]", 1008),
        ('{"type": "subscribe"}', 1008),
        ('{"type": "auth"}', 1008),
        ('{"type": "auth", "token": "x", "after": -1}', 1008),
        ('{"type": "auth", "token": "x", "also": 1}', 1008),
        ("x" * (64 * 1024 + 1), 1009),
    ],
)
async def test_junk_closes_with_a_proper_code(server: Listening, first: str | bytes, code: int) -> None:
    async with dial(server, first) as ws:
        assert await closed(ws) == code


async def test_another_path_is_not_found(server: Listening) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"ws://127.0.0.1:{server.port}/ws/elsewhere"):
            pass
    assert refusal.value.response.status_code == 404
    assert json.loads(refusal.value.response.body)["error"]["code"] == "NOT_FOUND"


async def test_a_deployment_s_way_is_told_as_the_specification_writes_it(api: Api, server: Listening) -> None:
    token = await api.token("viewer")
    async with dial(server, {"type": "auth", "token": token}) as ws:
        await joined(api, 1)
        identity = await deploy(api)
        heard = [await hear(ws) for _ in range(3)]
    assert [message["payload"]["status"] for message in heard] == ["pending", "deploying", "success"]
    for message in heard:
        assert message["type"] == "deployment_status_update"
        assert message["payload"]["deployment_id"] == identity
        assert message["payload"]["environment"] == "development"
        assert message["timestamp"].endswith("Z")
    assert heard[-1]["payload"]["duration"] > 0
    assert [message["seq"] for message in heard] == sorted({message["seq"] for message in heard})


async def test_a_client_that_comes_back_has_missed_nothing(api: Api, server: Listening) -> None:
    token = await api.token("viewer")
    async with dial(server, {"type": "auth", "token": token, "after": 0}) as ws:
        await deploy(api)
        first = [await hear(ws) for _ in range(3)]
    await deploy(api, command="false")
    async with dial(server, {"type": "auth", "token": token, "after": first[1]["seq"]}) as ws:
        rest = [await hear(ws) for _ in range(4)]
    assert rest[0] == first[2]
    assert [message["payload"]["status"] for message in rest[1:]] == ["pending", "deploying", "failed"]


async def test_nothing_is_lost_or_doubled_between_catching_up_and_live(api: Api, server: Listening) -> None:
    token = await api.token("viewer")
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    request = CreateDeployment(environment=Environment.DEVELOPMENT, service="shop")

    async def listener(delay: float) -> list[int]:
        await asyncio.sleep(delay)
        async with dial(server, {"type": "auth", "token": token, "after": 0}) as ws:
            return [(await hear(ws))["seq"] for _ in range(20)]

    listeners = asyncio.gather(*(listener(n / 100) for n in range(12)))
    for _ in range(20):
        await api.core.deployments.create(SYSTEM, request)
    heard = await listeners
    entries = await api.core.feed.read(
        SYSTEM, filter="type=deployment.created,deployment.started,deployment.finished"
    )
    assert all(seqs == [entry.seq for entry in entries][:20] for seqs in heard)


async def test_only_what_the_caller_may_see_is_told(api: Api, server: Listening) -> None:
    everything, narrow = await api.token("viewer"), await api.token("viewer", environment="staging")
    async with (
        dial(server, {"type": "auth", "token": everything}) as wide,
        dial(server, {"type": "auth", "token": narrow}) as tight,
        dial(server, {"type": "auth", "token": narrow, "after": 0}) as resumed,
    ):
        await joined(api, 3)
        await deploy(api)
        await deploy(api, environment=Environment.STAGING)
        places = [(await hear(wide))["payload"]["environment"] for _ in range(6)]
        seen = [(await hear(tight))["payload"]["environment"] for _ in range(3)]
        again = [(await hear(resumed))["payload"]["environment"] for _ in range(3)]
    assert places == ["development"] * 3 + ["staging"] * 3
    assert seen == again == ["staging"] * 3


async def test_a_token_that_ends_ends_the_connection_and_a_fresh_one_keeps_it(
    api: Api, server: Listening
) -> None:
    async def short(seconds: float) -> str:
        made = await api.core.tokens.create(SYSTEM, name="short", role=Role.VIEWER, ttl=seconds)
        return made.secret

    async with (
        dial(server, {"type": "auth", "token": await short(1)}) as ends,
        dial(
            server, {"type": "auth", "token": await short(1)}, {"type": "auth", "token": await short(600)}
        ) as stays,
    ):
        assert await closed(ends) == 4401
        await deploy(api)
        assert (await hear(stays))["payload"]["status"] == "pending"


async def test_junk_after_the_token_closes_too(api: Api, server: Listening) -> None:
    async with dial(server, {"type": "auth", "token": await api.token("viewer")}, "ping") as ws:
        assert await closed(ws) == 1007


async def test_a_client_that_leaves_is_forgotten(api: Api, server: Listening) -> None:
    token = await api.token("viewer")
    async with dial(server, {"type": "auth", "token": token}):
        await joined(api, 1)
    await joined(api, 0)


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_hear_all(
    api: Api, server: Listening
) -> None:
    token = await api.token("viewer")
    async with (
        dial(server, {"type": "auth", "token": token}) as good,
        connect(
            f"ws://127.0.0.1:{server.port}/ws/deployments", sock=deaf(server.port), compression=None
        ) as bad,
    ):
        await bad.send(json.dumps({"type": "auth", "token": token}))
        bad.transport.pause_reading()
        await joined(api, 2)
        entries = await api.core.feed.read(SYSTEM)
        template = next(entry for entry in entries if entry.type == "token.created")
        count = 0

        async def flooded() -> bool:
            nonlocal count
            for count in range(count + 1, count + 501):  # noqa: B020
                publish(api, template, count)
                await asyncio.sleep(0)
            return await shows(api, "dg_websocket_clients 1.0")

        await until(flooded)
        publish(api, template, count + 1)
        heard = [(await hear(good))["seq"] for _ in range(count + 1)]
        assert heard == [10_000 + number for number in range(1, count + 2)]
        assert await shows(api, "dg_websocket_aborted_total 1.0")
        bad.transport.abort()


def deaf(port: int) -> socket.socket:
    """A connection whose window is as small as it gets."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    peer.connect(("127.0.0.1", port))
    return peer


def publish(api: Api, template: Any, number: int) -> None:
    """Hand the hub a fact as the core does after a commit, without the cost of one."""
    payload = {"status": "success", "reason": "x" * 400}
    api.app.deliver(
        [
            replace(
                template,
                seq=10_000 + number,
                type="deployment.finished",
                object="019acd5e-7c00-7000-8000-0000000000a1",
                environment="production",
                service="shop",
                payload=payload,
            )
        ]
    )


async def test_a_client_that_asks_for_pongs_and_reads_none_is_cut_off(api: Api) -> None:
    loop = asyncio.get_running_loop()
    hello = (
        b"GET /ws/deployments HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    auth = json.dumps({"type": "auth", "token": await api.token("viewer")}).encode()
    text = b"\x81\xfe" + len(auth).to_bytes(2, "big") + b"\0\0\0\0" + auth
    pings = (b"\x89\xfd\0\0\0\0" + b"a" * 125) * 1000
    async with listen(api.app, Server(port=0)) as server:
        with socket.socket() as peer:
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(peer, ("127.0.0.1", server.port))
            await loop.sock_sendall(peer, hello)
            assert b" 101 " in await loop.sock_recv(peer, 4096)
            await loop.sock_sendall(peer, text)
            with pytest.raises(ConnectionError):
                await loop.sock_sendall(peer, pings * 250)
        api.app.stop()


async def test_a_stopping_server_says_so_and_does_not_wait(api: Api) -> None:
    async with listen(api.app, Server(port=0, graceful_stop=5)) as server:
        token = await api.token("viewer")
        async with dial(server, {"type": "auth", "token": token}) as ws:
            await joined(api, 1)
            api.app.stop()
            assert await closed(ws) == 1012
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 2


@asynccontextmanager
async def behind_a_proxy(api: Api, **limits: Any) -> AsyncIterator[Listening]:
    """A server that trusts a proxy on this machine."""
    server = Server(port=0, trusted_proxies=("127.0.0.1",), origins=(PAGE,), **limits)
    app = create_app(api.core, api.core.settings.model_copy(update={"server": server}))
    async with listen(app, server) as listening:
        yield listening
        app.stop()


async def test_one_address_can_have_so_many_websockets(api: Api) -> None:
    async with behind_a_proxy(api, max_websockets_per_address=2) as server:
        url = f"ws://127.0.0.1:{server.port}/ws/deployments"
        one, other = ({"x-forwarded-for": f"203.0.113.{number}"} for number in (9, 10))
        async with connect(url, additional_headers=one) as first, connect(url, additional_headers=one):
            with pytest.raises(InvalidStatus) as refusal:
                await connect(url, additional_headers=one)
            assert refusal.value.response.status_code == 429
            assert refusal.value.response.headers["retry-after"] == "1"
            async with connect(url, additional_headers=other):
                await first.close()

            async def room() -> bool:
                try:
                    async with connect(url, additional_headers=one):
                        return True
                except InvalidStatus:
                    return False

            await until(room)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
async def test_a_page_from_elsewhere_gets_no_websocket(api: Api, origin: str) -> None:
    async with behind_a_proxy(api) as server:
        url = f"ws://127.0.0.1:{server.port}/ws/deployments"
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url, additional_headers={"origin": origin})
        assert refusal.value.response.status_code == 403
        body = refusal.value.response.body
        assert body is not None
        assert json.loads(body)["error"]["details"]["reason"] == "cross_origin"
        async with connect(url, additional_headers={"origin": PAGE}):
            pass


async def test_a_message_in_endless_empty_pieces_is_cut_off(server: Listening) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws/deployments HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in await reader.readline()
    writer.write(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * (2 * FRAGMENTS))
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            assert b"\x88" not in await reader.read()
    writer.close()


async def test_the_handshake_says_its_version_and_its_request(server: Listening) -> None:
    url = f"ws://127.0.0.1:{server.port}/ws/deployments"
    async with connect(url, compression=None, additional_headers={"x-request-id": "mine"}) as ws:
        assert ws.response is not None
        assert (ws.response.headers["api-version"], ws.response.headers["x-request-id"]) == ("1.0.0", "mine")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, compression=None, additional_headers={"accept-version": "9"}):
            pass
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["api-version"] == "1.0.0"


@asynccontextmanager
async def limited(api: Api, **limits: str) -> AsyncIterator[Listening]:
    """A server with these limits, and a trusted proxy on this machine for callers that have addresses."""
    settings = api.core.settings.model_copy(update={"limits": Limits.model_validate(limits)})
    trusting = Server(port=0, trusted_proxies=("127.0.0.1",))
    app = create_app(api.core, settings.model_copy(update={"server": trusting}))
    async with listen(app, trusting) as listening:
        yield listening
        app.stop()


def through_proxy(server: Listening, address: str) -> connect:
    url = f"ws://127.0.0.1:{server.port}/ws/deployments"
    return connect(url, compression=None, additional_headers={"x-forwarded-for": address})


async def test_handshakes_are_counted_by_address(api: Api) -> None:
    async with limited(api, open="1/1h") as server:
        async with through_proxy(server, "198.51.100.1"):
            pass
        with pytest.raises(InvalidStatus) as refused:
            async with through_proxy(server, "198.51.100.1"):
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["retry-after"]) > 3000
        async with through_proxy(server, "198.51.100.2"):
            pass


async def test_a_principal_opens_only_so_many_streams(api: Api) -> None:
    token = await api.token("viewer")
    async with limited(api, stream="2/1h") as server:
        for _ in range(2):
            async with dial(server, {"type": "auth", "token": token}):
                await joined_to(api, server, token)
        async with dial(server, {"type": "auth", "token": token}) as ws:
            assert await closed(ws) == 1013


async def joined_to(api: Api, server: Listening, token: str) -> None:
    """Until the one client counts, by another way than this module's metrics, which are another app's."""
    async with httpx.AsyncClient(base_url=server.url) as client:

        async def joined() -> bool:
            got = await client.get("/v1/metrics", headers={"authorization": f"Bearer {token}"})
            return "dg_websocket_clients 1.0" in got.text.splitlines()

        await until(joined)


async def test_sockets_whose_tokens_prove_nothing_are_counted(api: Api) -> None:
    async with limited(api, failed="1/1h") as server:
        for code in (4401, 1013, 1013):
            async with through_proxy(server, "198.51.100.1") as ws:
                await ws.send('{"type":"auth","token":"guess"}')
                assert await closed(ws) == code
