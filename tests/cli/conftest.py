"""A scripted server on loopback, for commands that only have to ask and print."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.loopback import Quiet, listening


@dataclass
class Asked:
    """One request that a command made."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    key: str | None = None


@dataclass
class ScriptedApi:
    """Answers by `METHOD /path below /v1`; several answers are given in turn, the last one for ever."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, route: str, *bodies: Any, status: int = 200) -> None:
        self.answers[route] = [(status, body) for body in bodies]

    def answer(self, asked: Asked) -> tuple[int, Any]:
        with self.lock:
            self.asked.append(asked)
            answers = self.answers.get(f"{asked.method} {asked.path}")
            if not answers:
                return 404, {"error": {"code": "NOT_FOUND", "message": f"no {asked.path}", "details": {}}}
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def requests(self, route: str) -> list[Asked]:
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == route]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """The server that `DG_URL` and `DG_TOKEN` lead to."""
    scripted = ScriptedApi()

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            asked = Asked(
                self.command,
                parts.path.removeprefix("/v1"),
                query,
                json.loads(body) if body else None,
                self.headers.get("Idempotency-Key"),
            )
            status, answer = scripted.answer(asked)
            raw = isinstance(answer, bytes)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if raw else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_PUT(self) -> None:
            self._handle()

        def do_DELETE(self) -> None:
            self._handle()

    with listening(Handler) as address:
        monkeypatch.setenv("DG_URL", address)
        monkeypatch.setenv("DG_TOKEN", "tok.en")
        yield scripted
