"""The door: connections are counted before anything is read of them, and dead ones do not stay."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.api.test_server import PATIENCE, REQUEST, encrypted, envelope, served, talk
from tests.api.waiting import until

from dg.api import door as entrance
from dg.api import server
from dg.api.door import UNACKNOWLEDGED, Door, watch_for_dead_ends
from dg.api.peers import Cap, Peers
from dg.core.errors import Refused, TooMany, Unavailable
from dg.core.testing import ManualClock


def make_door(most: int, each: int, clock: ManualClock | None = None) -> Door:
    return Door(most, Cap(each, "server.max_connections_per_address"), Peers(()), clock or ManualClock())


def test_one_address_cannot_take_all_places() -> None:
    door = make_door(most=10, each=2)
    places = [door.enter("203.0.113.9") for _ in range(2)]
    with pytest.raises(TooMany, match=r"203\.0\.113\.9 has 2 open already"):
        door.enter("203.0.113.9")
    door.enter("203.0.113.10")
    places[0].leave()
    places[0].leave()
    door.enter("203.0.113.9")
    with pytest.raises(TooMany):
        door.enter("203.0.113.9")


def test_all_together_cannot_take_more_than_there_are() -> None:
    door = make_door(most=2, each=5)
    first = door.enter("203.0.113.1")
    door.enter("203.0.113.2")
    with pytest.raises(Unavailable, match="too many connections"):
        door.enter("203.0.113.3")
    first.leave()
    door.enter("203.0.113.3")


def test_turning_away_thousands_leaves_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    door = make_door(0, 1, clock)
    for _ in range(1000):
        with pytest.raises(Unavailable):
            door.enter("203.0.113.9")
    clock.hold_up(61)
    with pytest.raises(Unavailable):
        door.enter("203.0.113.9")
    assert [message.split(",")[0] for message in caplog.messages] == [
        "connections turned away: 1",
        "connections turned away: 1000",
    ]


@pytest.fixture
def outside() -> Iterator[str]:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        yield probe.getsockname()[0]


async def test_an_address_with_too_many_connections_is_told_so(tmp_path: Path, outside: str) -> None:
    limits = {"host": "0.0.0.0", "allow_plain": True, "max_connections_per_address": 2}
    async with served(tmp_path, **limits) as (listening, _, _):
        held = [await asyncio.open_connection(outside, listening.port) for _ in range(2)]
        for _, writer in held:
            writer.write(REQUEST + b"\r\n")
        reader, writer = await asyncio.open_connection(outside, listening.port)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 429")
        assert envelope(answer)["details"]["reason"] == "too_many_connections"
        # Others, here this machine itself, are still served.
        assert b" 200 " in (await talk(listening.port, REQUEST + b"Connection: close\r\n\r\n"))
        held[0][1].close()

        async def room() -> bool:
            reader, writer = await asyncio.open_connection(outside, listening.port)
            writer.write(REQUEST + b"Connection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return b" 200 " in answer

        await until(room)
        held[1][1].close()


async def test_a_connection_counts_before_its_tls_handshake(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    async with served(tmp_path, max_connections=2, **encrypted(certificate)) as (listening, _, _):
        silent = [await asyncio.open_connection("127.0.0.1", listening.port) for _ in range(2)]

        async def turned_away() -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            try:
                async with asyncio.timeout(0.2):
                    return await reader.read() == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            finally:
                writer.close()

        await until(turned_away)
        for _, writer in silent:
            writer.close()


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"header_timeout": 0.2, "max_connections": 1, **encrypted(certificate)}
    async with served(tmp_path, **limits) as (listening, _, _):
        for said in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            writer.write(said)
            async with asyncio.timeout(PATIENCE):
                with suppress(ConnectionError):
                    await reader.read()
            writer.close()
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_an_accepted_connection_is_watched_by_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        watch_for_dead_ends(listener)
        with socket.create_connection(listener.getsockname()) as _, listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"GET /v1/things HTTP/1.1\r\n\r\n", b" 400 "),
        (b"GET /v1/things HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b" 400 "),
        (b"GET /v1/things HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", b" 400 "),
        (b"GET /v1/things HTTP/1.0\r\n\r\n", b" 401 "),
        (b"GET /v1/things HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", b" 401 "),
    ],
)
async def test_a_request_has_one_host(tmp_path: Path, request_: bytes, said: bytes) -> None:
    async with served(tmp_path) as (listening, _, _):
        assert said in (await talk(listening.port, request_)).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("soft", "hard", "fit"), [(1024, 20000, 2000), (1024, 1024, 896), (20000, 20000, 2000), (100, 100, None)]
)
def test_files_decide_how_many_connections_there_may_be(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, fit: int | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    if fit is None:
        with pytest.raises(Refused, match="only 100 files may be open"):
            server.connections_that_fit(2000)
    else:
        assert server.connections_that_fit(2000) == fit
        assert asked in ([], [(min(2128, hard), hard)])


@contextmanager
def another_machine() -> Iterator[tuple[str, list[str], list[str]]]:
    """A network namespace with a wire to this one: our address on it, a prefix for commands over there, and
    the command that cuts the wire. Nobody says goodbye then: no FIN, no RST."""
    name = f"dg{os.getpid()}"
    ours, theirs = f"198.18.{os.getpid() % 256}.1", f"198.18.{os.getpid() % 256}.2"
    over_there = ["ip", "netns", "exec", name]
    steps = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name],
        ["ip", "addr", "add", f"{ours}/30", "dev", f"{name}a"],
        ["ip", "link", "set", f"{name}a", "up"],
        [*over_there, "ip", "addr", "add", f"{theirs}/30", "dev", f"{name}b"],
        [*over_there, "ip", "link", "set", f"{name}b", "up"],
    ]
    try:
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespace here: {done.stderr.strip()}")
        yield ours, over_there, [*over_there, "ip", "link", "set", f"{name}b", "down"]
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


ASK = """\
import socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
peer.sendall(b"GET /v1/things HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer operator\\r\\n\\r\\n")
print(peer.recv(12).decode(), flush=True)
while peer.recv(1 << 16):
    pass
"""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("ip") is None, reason="no iproute2")
async def test_a_peer_that_vanished_does_not_keep_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network is gone: it would keep the place until the idle time is over, a stream for ever."""
    for name, value in (("SILENCE", 1), ("PROBE_INTERVAL", 1), ("PROBES", 2), ("UNACKNOWLEDGED", 1500)):
        monkeypatch.setattr(entrance, name, value)
    limits = {"host": "0.0.0.0", "allow_plain": True, "max_connections": 1}
    with another_machine() as (ours, over_there, cut):
        async with served(tmp_path, **limits) as (listening, _, _):
            command = [*over_there, sys.executable, "-c", ASK, ours, str(listening.port)]
            peer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert peer.stdout is not None
            try:
                assert await peer.stdout.readline() == b"HTTP/1.1 200\n"
                assert await (await asyncio.create_subprocess_exec(*cut)).wait() == 0
                assert not await served_now(listening.port)
                await until(lambda: served_now(listening.port), 15.0)
            finally:
                peer.kill()
                await peer.wait()


async def served_now(port: int) -> bool:
    return b" 200 " in await talk(port, REQUEST + b"Connection: close\r\n\r\n")
