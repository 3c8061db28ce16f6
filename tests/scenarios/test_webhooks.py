"""R22: events reach a receiver through any number of deaths of the server, and each keeps its id."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE, make_repository, serving
from tests.loopback import Quiet, listening
from tests.observed import Observed
from tests.scenarios.house import until

from dg.client.app import Client
from dg.client.auth import find
from dg.client.sync import Blocking
from dg.core.types import Environment
from dg.core.webhooks.models import CreateWebhook

DEATHS = 5
FAULT = "the server killed while events are delivered"
LOCKS = 8


class Inbox:
    """What arrived, by the event's place in the chain; the first try of every third is refused."""

    def __init__(self) -> None:
        self.ids: dict[int, Counter[str]] = {}
        self.lock = threading.Lock()

    def take(self, body: bytes) -> int:
        told = json.loads(body)
        seq = told["event"]["seq"]
        with self.lock:
            first = seq not in self.ids
            self.ids.setdefault(seq, Counter())[told["id"]] += 1
        return 500 if first and seq % 3 == 0 else 204


@contextmanager
def receiving(inbox: Inbox) -> Iterator[str]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(inbox.take(body))
            self.end_headers()

    with listening(Handler) as address:
        yield f"{address}/"


def happen(home: Path) -> None:
    """Lock and unlock a lane again and again: two events each time."""
    found = find({}, home)
    with Blocking(Client(found.url, found.token)) as dg:
        for _ in range(LOCKS):
            dg.run(dg.client.lanes.lock("web", Environment.STAGING, reason="look", lasting="1h"))
            dg.run(dg.client.lanes.unlock("web", Environment.STAGING))


@pytest.mark.long
def test_no_event_is_lost_when_the_server_is_killed(tmp_path: Path, observed: Observed) -> None:
    home, inbox = tmp_path / "home", Inbox()
    repository = make_repository(tmp_path / "web")
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text('[outbound]\nallow = ["127.0.0.1"]\n')
    with receiving(inbox) as url:
        with serving(home) as server:
            found = find({}, home)
            with Blocking(Client(found.url, found.token)) as dg:
                dg.run(dg.client.pipelines.register(PIPELINE.format(repository=repository)))
                dg.run(dg.client.webhooks.create(CreateWebhook(url=url, events=("lane.*",))))
            happen(home)
            server.stop(signal.SIGKILL)
        for _ in range(DEATHS - 1):
            with serving(home) as server:
                happen(home)
                server.stop(signal.SIGKILL)
        with serving(home):
            found = find({}, home)
            with Blocking(Client(found.url, found.token)) as dg:
                page = dg.run(dg.client.events.read(matching="type~lane", limit=1000))
                (hook,) = dg.run(dg.client.webhooks.list())

                def delivered() -> bool:
                    listed = dg.run(dg.client.webhooks.deliveries(hook.id, limit=200))
                    return all(each.state == "sent" for each in listed.items)

                until(delivered, "the deliveries", 120)
    happened = {event.seq for event in page.items}
    assert len(happened) == 2 * LOCKS * DEATHS
    lost = happened - inbox.ids.keys()
    renamed = [seq for seq, ids in inbox.ids.items() if len(ids) > 1]
    observed("R22", FAULT, "events that never reached a webhook", len(lost), at_most=0)
    observed("R22", FAULT, "deliveries that changed their id", len(renamed), at_most=0)
