"""Fan-out: from the fact of an event to a thousand WebSocket clients."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from benchmarks.processes import Child, hear, peer, say
from benchmarks.report import Row, percentile
from benchmarks.server import Server, make_repository, serving
from dg.core.clock import to_micros
from dg.core.deployments.models import CreateDeployment
from dg.core.types import Environment

CLIENTS = 1000
EVENTS = 20
PAUSE = 0.2
TOMORROW = 86_400_000_000
PATIENCE = 30.0


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server, peer("broadcast", {}) as bare:
        server.register(folder / "shop", ["true"])
        ours = {"host": server.host, "port": server.port, "count": CLIENTS, "token": server.token}
        floor = {**ours, "port": int(hear(bare)), "token": None}
        with peer("listeners", ours) as clients, peer("listeners", floor) as others:
            hear(clients)
            hear(others)
            wait_for_all(server)
            text, _ = event(clients, lambda: schedule(server, commit))
            event(others, lambda: say(bare, text))
            rounds = [
                (
                    event(clients, lambda: schedule(server, commit))[1],
                    event(others, lambda: say(bare, text))[1],
                )
                for _ in range(EVENTS)
            ]
    delays, least = zip(*rounds, strict=True)
    yield Row(
        f"event to {CLIENTS:,} WebSocket clients, p99",
        "ms",
        [percentile(times, 0.99) for times in delays],
        [percentile(times, 0.99) for times in least],
        at_most=50,
    )
    yield Row("  the last client", "ms", list(map(max, delays)), list(map(max, least)))
    yield Row("  the first client", "ms", list(map(min, delays)), list(map(min, least)))


def wait_for_all(server: Server) -> None:
    """Until every client is authenticated. Raises RuntimeError when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not re.search(rf"^dg_websocket_clients {CLIENTS}\.0$", server.get("/metrics"), re.MULTILINE):
        if time.monotonic() > deadline:
            raise RuntimeError(f"fewer than {CLIENTS} clients are authenticated after {PATIENCE:g} s")
        time.sleep(0.1)


def schedule(server: Server, commit: str) -> None:
    """Create a deployment that starts tomorrow."""
    request = CreateDeployment(
        environment=Environment.DEVELOPMENT,
        commit_sha=commit,
        not_before=time.time_ns() // 1000 + TOMORROW,
    )
    server.dg.run(server.dg.client.deployments.create(request))


def event(listeners: Child, cause: Callable[[], None]) -> tuple[str, list[float]]:
    """The message that `cause` brings about, and milliseconds from its own time until each client had it.

    A fact gets its time inside the transaction: what the commit takes on the disk counts as delay.
    """
    time.sleep(PAUSE)
    cause()
    heard = json.loads(hear(listeners))
    began = to_micros(datetime.fromisoformat(json.loads(heard["text"])["timestamp"])) * 1000
    return heard["text"], [(at - began) / 1e6 for at in heard["times"]]
