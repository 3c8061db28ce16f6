"""What the server does with peers that are slow, silent, too many or speak no HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.frame import TOKEN, Things, make_app
from tests.api.waiting import until

from dg.api.app import App
from dg.api.protocols import HEAD_BYTES, PIPELINED
from dg.api.server import Listening, listen, tls
from dg.core.errors import Refused
from dg.settings.server import Server

REQUEST = b"GET /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator\r\n"
PATIENCE = 10.0


@asynccontextmanager
async def served(home: Path, **limits: Any) -> AsyncIterator[tuple[Listening, App, Things]]:
    things = Things()
    app = make_app(things, home, **limits)
    async with listen(app, Server(port=0, **limits)) as listening:
        yield listening, app, things


async def talk(port: int, request: bytes) -> bytes:
    """Everything that the server says to `request` until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


def envelope(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return json.loads(body)["error"]


async def test_a_free_port_is_taken_and_told(tmp_path: Path) -> None:
    async with served(tmp_path) as (listening, _, _), httpx.AsyncClient(headers=TOKEN) as client:
        assert listening.url == f"http://127.0.0.1:{listening.port}"
        assert (await client.get(f"{listening.url}/v1/things")).status_code == 200


async def test_an_address_that_is_taken_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with served(tmp_path) as (listening, app, _):
        with pytest.raises(
            Refused, match=f"cannot listen on 127.0.0.1 port {listening.port}: Address already in use"
        ):
            async with listen(app, Server(port=listening.port)):
                pass


async def test_headers_that_do_not_end_are_not_waited_for(tmp_path: Path) -> None:
    async with served(tmp_path, header_timeout=0.2) as (listening, _, _):
        assert await talk(listening.port, REQUEST) == b""


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path, header_timeout=0.2) as (listening, _, _):
        assert await talk(listening.port, b"") == b""
        assert await talk(listening.port, b"\r\n\r\n") == b""


async def test_dribbled_headers_do_not_win_time(tmp_path: Path) -> None:
    async with served(tmp_path, header_timeout=0.3) as (listening, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(REQUEST)
        started = asyncio.get_running_loop().time()
        while not reader.at_eof() and asyncio.get_running_loop().time() - started < PATIENCE:
            writer.write(b"X-Slow: 1\r\n")
            try:
                async with asyncio.timeout(0.05):
                    await reader.read(1)
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert asyncio.get_running_loop().time() - started < 3
        writer.close()


async def test_a_slow_request_after_a_good_one_is_closed_too(tmp_path: Path) -> None:
    async with served(tmp_path, header_timeout=0.2) as (listening, _, _):
        answer = await talk(listening.port, REQUEST + b"\r\n" + REQUEST)
        assert answer.count(b"HTTP/1.1 200") == 1


async def test_a_long_answer_does_not_run_into_the_time_for_headers(tmp_path: Path) -> None:
    async with (
        served(tmp_path, header_timeout=0.2) as (listening, _, things),
        httpx.AsyncClient(headers=TOKEN, timeout=PATIENCE) as client,
    ):
        things.gate.clear()
        asked = asyncio.ensure_future(client.post(f"{listening.url}/v1/things", json={"name": "a"}))
        await things.entered.wait()
        await asyncio.sleep(0.4)
        things.gate.set()
        assert (await asked).status_code == 201


async def test_what_is_no_http_gets_the_envelope(tmp_path: Path) -> None:
    async with served(tmp_path) as (listening, _, _):
        answer = await talk(listening.port, b"\x16\x03\x01 hello\r\n\r\n")
        error = envelope(answer)
        assert (error["code"], error["details"]["reason"]) == ("VALIDATION_ERROR", "bad_http")
        assert b"\r\napi-version: 1.0.0\r\n" in answer
        assert b"\r\ncache-control: no-store\r\n" in answer


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="line"),
        pytest.param(REQUEST + b"X: " + b"a" * 200_000 + b"\r\n\r\n", id="header"),
        pytest.param(REQUEST + b"a: b\r\n" * 50_000 + b"\r\n", id="headers"),
        pytest.param(REQUEST + b"X: " + b"a" * 900_000, id="header without end"),
    ],
)
async def test_a_head_over_the_cap_is_refused_while_it_arrives(tmp_path: Path, request_: bytes) -> None:
    async with served(tmp_path) as (listening, _, _):
        answer = await talk(listening.port, request_)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert envelope(answer)["details"] == {
            "reason": "head_too_large",
            "request_id": "-",
            "limit": HEAD_BYTES,
        }


async def test_trailers_count_as_head(tmp_path: Path) -> None:
    post = REQUEST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    async with served(tmp_path) as (listening, _, _):
        answer = await talk(listening.port, post + body + b"a: b\r\n" * 50_000)
        assert answer.startswith(b"HTTP/1.1 431")


async def test_of_pipelined_requests_only_so_many_wait(tmp_path: Path) -> None:
    async with served(tmp_path) as (listening, _, _):
        answer = await talk(listening.port, (REQUEST + b"\r\n") * 1000)
        assert answer.count(b"HTTP/1.1 200") == answer.count(b"HTTP/1.1 ") == PIPELINED + 1


async def test_what_cannot_be_read_behind_a_request_is_not_its_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as (listening, _, _):
        answer = await talk(listening.port, REQUEST + b"\r\n\x16\x03\x01 hello\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 400" not in answer


async def test_mistakes_of_peers_leave_no_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as (listening, _, _):
        await talk(listening.port, b"\x16\x03\x01 hello\r\n\r\n")
        assert caplog.messages == []


async def test_a_body_that_does_not_arrive_is_answered_and_cut_off(tmp_path: Path) -> None:
    head = REQUEST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\n"
    async with served(tmp_path, body_timeout=0.2) as (listening, _, _):
        for rest in (b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"):
            answer = await talk(listening.port, head + rest)
            assert answer.startswith(b"HTTP/1.1 408")
            assert envelope(answer)["details"]["reason"] == "too_slow"


async def test_a_body_over_the_cap_is_answered_and_cut_off(tmp_path: Path) -> None:
    head = REQUEST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\n"
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    async with served(tmp_path, max_body_bytes=4096) as (listening, _, _):
        for rest in (
            b"Content-Length: 1000000000\r\n\r\n{",
            b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5,
        ):
            answer = await talk(listening.port, head + rest)
            assert answer.startswith(b"HTTP/1.1 413"), answer
            assert envelope(answer)["details"]["reason"] == "too_large"


async def test_connections_over_the_cap_are_turned_away_and_the_others_stay(tmp_path: Path) -> None:
    async with served(tmp_path, max_connections=2) as (listening, _, _):
        first = await asyncio.open_connection("127.0.0.1", listening.port)
        second = await asyncio.open_connection("127.0.0.1", listening.port)
        async with asyncio.timeout(PATIENCE):
            while (answer := await talk(listening.port, b"")) == b"":
                pass
        assert answer.startswith(b"HTTP/1.1 503")
        assert envelope(answer)["code"] == "INTERNAL_ERROR"
        assert b"retry-after: 1" in answer
        first[1].write(REQUEST + b"Connection: close\r\n\r\n")
        assert (await first[0].read()).startswith(b"HTTP/1.1 200")
        for _, writer in (first, second):
            writer.close()


async def test_a_peer_that_does_not_read_its_answer_is_cut_off(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with served(tmp_path, body_timeout=0.3) as (listening, _, things):
        things.padding = "x" * 4_000_000
        with socket.socket() as peer:
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(peer, ("127.0.0.1", listening.port))
            await loop.sock_sendall(peer, (REQUEST + b"\r\n") * 4)

            async def cut_off() -> bool:
                try:
                    await loop.sock_sendall(peer, b"\r\n")
                except ConnectionError:
                    return True
                return False

            await until(cut_off)


async def test_a_stopping_server_lets_open_requests_end(tmp_path: Path) -> None:
    async with httpx.AsyncClient(headers=TOKEN, timeout=PATIENCE) as client:
        async with served(tmp_path) as (listening, app, things):
            things.gate.clear()
            asked = asyncio.ensure_future(client.post(f"{listening.url}/v1/things", json={"name": "a"}))
            await things.entered.wait()
            app.stop()
            asyncio.get_running_loop().call_later(0.2, things.gate.set)
        assert (await asked).status_code == 201
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{listening.url}/v1/things")


def encrypted(certificate: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "tls_certificate": certificate[0],
        "tls_key": certificate[1],
        "public_url": "https://localhost",
    }


async def test_a_server_with_a_certificate_speaks_tls_alone(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with (
        served(tmp_path, **encrypted(certificate)) as (listening, _, _),
        httpx.AsyncClient(headers=TOKEN, verify=trusting, trust_env=False) as client,
    ):
        assert listening.url == "https://localhost"
        answer = await client.get(f"https://127.0.0.1:{listening.port}/v1/things")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert not (await talk(listening.port, REQUEST + b"\r\n")).startswith(b"HTTP")


async def test_tls_before_1_2_is_not_spoken(certificate: tuple[Path, Path]) -> None:
    context = tls(Server(**encrypted(certificate)))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_silence_inside_tls_is_not_waited_for(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with served(tmp_path, header_timeout=0.2, **encrypted(certificate)) as (listening, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=trusting)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()


def test_a_key_that_others_can_read_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(certificate[1].read_bytes())
    key.chmod(0o640)
    with pytest.raises(Refused, match=f"can be read by others: chmod 600 {key}"):
        tls(Server(**encrypted((certificate[0], key))))


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    key = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", certificate[1], "-aes128", "-passout", "pass:hunter2", "-out", key],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    with pytest.raises(Refused, match="has a passphrase"):
        tls(Server(**encrypted((certificate[0], key))))


@pytest.mark.parametrize("text", [None, b"no certificate"])
def test_a_certificate_that_cannot_be_used_is_refused_in_a_sentence(
    certificate: tuple[Path, Path], tmp_path: Path, text: bytes | None
) -> None:
    broken = tmp_path / "broken.crt"
    if text is not None:
        broken.write_bytes(text)
    with pytest.raises(Refused, match=f"server.tls_certificate {broken} .* cannot be used"):
        tls(Server(**encrypted((broken, certificate[1]))))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.7", "dg.example"])
async def test_a_plain_server_does_not_listen_where_others_reach_it(tmp_path: Path, host: str) -> None:
    with pytest.raises(Refused, match=f"tokens would reach {host} over plain HTTP.*--insecure-bind"):
        async with served(tmp_path, host=host):
            pass


async def test_a_proxy_may_stand_in_front_of_a_plain_server(tmp_path: Path) -> None:
    async with (
        served(tmp_path, host="0.0.0.0", allow_plain=True) as (listening, _, _),
        httpx.AsyncClient(headers=TOKEN) as client,
    ):
        assert (await client.get(f"{listening.url}/v1/things")).status_code == 200


async def test_a_request_that_a_stopping_server_cuts_off_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    post = REQUEST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    async with served(tmp_path, graceful_stop=1.0) as (listening, _, _):
        _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(post + b"}")
        await talk(listening.port, REQUEST + b"Connection: close\r\n\r\n")
    writer.close()
    assert [record for record in caplog.records if record.exc_info] == []


async def test_who_does_not_read_its_answer_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with served(tmp_path, graceful_stop=1.0) as (listening, _, things):
            things.padding = "x" * 8_000_000
            await loop.sock_connect(peer, ("127.0.0.1", listening.port))
            await loop.sock_sendall(peer, REQUEST + b"\r\n")
            await loop.sock_recv(peer, 1)
            began = loop.time()
        assert loop.time() - began < 2.5


async def test_a_body_that_is_not_whole_when_the_server_stops_is_sent_away(tmp_path: Path) -> None:
    post = REQUEST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
    async with served(tmp_path) as (listening, app, things):
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(post)
        await talk(listening.port, REQUEST + b"Connection: close\r\n\r\n")
        app.stop()
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"}}}")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503")
        assert envelope(answer)["details"]["reason"] == "stopping"
        assert things.made == []
