"""Hundreds of slow peers and few files: everybody else is served as if they were not there."""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.client.servers import Server, serving
from tests.observed import Observed
from tests.scenarios.house import report, until

SLOW = 600
FILES = 1024
HEAD = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
HEADER_TIMEOUT = 3.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A server that may open as many files as a login shell usually may."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text(f"[server]\nheader_timeout = {HEADER_TIMEOUT}\n")
    with serving(home, files=FILES) as server:
        yield server


@contextmanager
def dribbling(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that began a request and do not end it."""
    with ExitStack() as stack:
        peers = []
        for _ in range(count):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            peer.sendall(HEAD)
            peers.append(peer)
        yield peers


def probe(port: int) -> float:
    """Seconds until a healthy answer on a connection of its own; infinite when there was none."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.sendall(HEAD + b"Connection: close\r\n\r\n")
            answer = peer.makefile("rb").readline()
    except OSError:
        return float("inf")
    return time.monotonic() - began if b" 200 " in answer else float("inf")


def closed(peers: list[socket.socket], seconds: float) -> int:
    """How many of them the server closes within `seconds`."""
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer, selectors.EVENT_READ)
        until(lambda: not _still_open(selector), "the slow ones to be closed", seconds)
    return len(peers)


def _still_open(selector: selectors.BaseSelector) -> int:
    for key, _ in selector.select(0.05):
        peer = key.fileobj
        assert isinstance(peer, socket.socket)
        try:
            gone = peer.recv(4096) == b""
        except ConnectionError:
            gone = True
        if gone:
            selector.unregister(peer)
    return len(selector.get_map())


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


@pytest.mark.long
def test_600_slow_connections_at_1024_files_keep_nobody_waiting(served: Server, observed: Observed) -> None:
    """R25: whoever dribbles a request is closed in time."""
    port = port_of(served)
    with dribbling(port, SLOW) as peers:
        times = sorted(probe(port) for _ in range(200))
        began = time.monotonic()
        assert closed(peers, 15.0) == SLOW
        report(
            f"{SLOW} slow connections at {FILES} files: {sum(each < 5 for each in times)} of {len(times)} "
            f"probes answered, p50 {times[100] * 1000:.1f} ms, p99 {times[198] * 1000:.1f} ms; "
            f"all closed {time.monotonic() - began:.1f} s later"
        )
    assert times[-1] < 5.0, "a probe had no answer"
    fault = f"{SLOW} slow connections at {FILES} files"
    observed("R25", fault, "p99 of probes", times[198], at_most=0.2, unit="s")


@pytest.mark.long
def test_more_connections_than_files_are_turned_away_and_the_server_lives(served: Server) -> None:
    """Before the cap came down to the limit, the last file was taken and nobody was answered any more."""
    port = port_of(served)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with dribbling(port, 1400):
        assert probe(port) == float("inf")
        until(lambda: probe(port) < 5, "room after the deadline", 15.0)
    assert served.stop() == 0
