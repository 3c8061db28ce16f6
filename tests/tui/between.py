"""A proxy between the dashboard and dg's own server: what becomes of requests and answers is the test's."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.loopback import Quiet, listening

STREAM = "text/event-stream"
UNTOLD = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
"""Of one connection, not of the answer."""

Bend = Callable[[str, str, bytes], bytes]
"""Method, path without `/v1` and the query, and the body of an answer, or one line of a stream, to what comes
out instead."""


def straight(method: str, path: str, body: bytes) -> bytes:
    """Nothing is bent."""
    return body


@dataclass
class Between:
    """What the proxy does now, and every request that came by, as method and path."""

    url: str
    bend: Bend = straight
    asked: list[tuple[str, str]] = field(default_factory=list)
    refuse: Callable[[str], tuple[int, bytes, dict[str, str]] | None] = lambda path: None
    """An answer of the proxy's own for a path: status, body, headers."""
    flood: Iterator[bytes] = field(default_factory=lambda: iter(()))
    """What comes once in a stream between the place where it begins and what the server says."""
    keep: Callable[[str, str, int, bytes], None] = lambda *said: None
    """Hears of each answer that is no stream: method, path with the query, status, body."""
    flows: threading.Event = field(default_factory=threading.Event)
    """Cleared, nothing comes through any more, and nobody is told."""
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> bool:
        """Hold back until it flows; False when it is over."""
        while not self.over.is_set():
            if self.flows.wait(0.05):
                return not self.over.is_set()
        return False

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that are more than a look."""
        return [
            (method, path)
            for method, path in self.asked
            if method != "GET" and not path.endswith("/preview") and "dry_run=true" not in path
        ]


@contextmanager
def between(server: str) -> Iterator[Between]:
    """A proxy in front of the server at this address, until the block ends."""
    state = Between("")
    state.flows.set()
    with listening(_handler(server, state)) as state.url:
        try:
            yield state
        finally:
            state.over.set()


def _handler(server: str, state: Between) -> type[BaseHTTPRequestHandler]:
    host, port = urlsplit(server).hostname or "", urlsplit(server).port

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            # A client that has gone meanwhile hears nothing, as it should.
            with suppress(ConnectionError):
                super().handle()

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            state.asked.append((self.command, self.path))
            with self._upstream() as upstream:
                if state.wait():
                    self._answer(upstream, body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _pass_on  # noqa: N815  http.server's names

        @contextmanager
        def _upstream(self) -> Iterator[http.client.HTTPConnection]:
            connection = http.client.HTTPConnection(host, port, timeout=120)
            try:
                yield connection
            finally:
                connection.close()

        def _answer(self, upstream: http.client.HTTPConnection, body: bytes) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1")
            if (own := state.refuse(path)) is not None:
                self._say(own[0], own[1], own[2])
                return
            try:
                # What is bent has to be read, so it comes as it is.
                headers = {**self.headers, "Accept-Encoding": "identity"}
                upstream.request(self.command, self.path, body or None, headers)
                answer = upstream.getresponse()
            except ConnectionError:
                self.close_connection = True
                return
            told = {name: value for name, value in answer.getheaders() if name.lower() not in UNTOLD}
            if answer.headers.get_content_type() == STREAM:
                self._stream(answer, told, path)
            else:
                whole = answer.read()
                state.keep(self.command, self.path, answer.status, whole)
                if not state.wait():
                    return
                self._say(answer.status, state.bend(self.command, path, whole) if whole else b"", told)

        def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, answer: http.client.HTTPResponse, headers: dict[str, str], path: str) -> None:
            self.close_connection = True
            self.send_response_only(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while (line := answer.readline()) and state.wait():
                self.wfile.write(state.bend(self.command, path, line))
                if not line.strip():
                    for block in state.flood:
                        self.wfile.write(block)

    return Handler
