"""The SDK without async: over a real socket, on a loop of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from tests.client import samples
from tests.loopback import Quiet, listening

from dg.client.app import Client
from dg.client.sync import Blocking
from dg.core.errors import NotFound


class Api(Quiet, BaseHTTPRequestHandler):
    """Two facts per stream, one deployment, 404 for all else."""

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            first = int(self.headers.get("Last-Event-ID", "0")) + 1
            body = "".join(
                f"id: {seq}\ndata: {json.dumps(samples.event(seq))}\n\n" for seq in (first, first + 1)
            )
            self._answer(200, "text/event-stream", body)
        elif self.path.endswith(samples.ID):
            self._answer(200, "application/json", json.dumps(samples.deployment()))
        else:
            self._answer(
                404, "application/json", json.dumps(samples.envelope("NOT_FOUND", "no such deployment"))
            )

    def _answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def dg() -> Iterator[Blocking]:
    with listening(Api) as address, Blocking(Client(address, "tok.en")) as dg:
        yield dg


def test_calls_are_run_to_their_end(dg: Blocking) -> None:
    assert dg.run(dg.client.deployments.get(samples.ID)).version == "1.4.2"


def test_errors_are_raised_as_they_are(dg: Blocking) -> None:
    with pytest.raises(NotFound, match="no such deployment"):
        dg.run(dg.client.deployments.get("other"))


def test_a_stream_is_a_plain_loop_that_may_be_left(dg: Blocking) -> None:
    seen: list[int] = []
    for fact in dg.each(dg.client.events.follow(after=0)):
        seen.append(fact.seq)
        if fact.seq == 5:
            break
    assert seen == [1, 2, 3, 4, 5]
    assert dg.run(dg.client.deployments.get(samples.ID)).number == 7
