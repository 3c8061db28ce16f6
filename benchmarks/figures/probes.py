"""What 500 probes cost that are due every 5 s: how late they come, and how much of a core they take."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures.idle import busy_share
from benchmarks.processes import child, hear
from benchmarks.report import Row
from benchmarks.server import LIMITS, serving
from dg.core.environments.models import UpdateEnvironment
from dg.core.types import Environment

PROBES = 500
INTERVAL = 5
SETTLE_SECONDS = 10.0
ROUNDS = 3

VARIABLES = {**LIMITS, "DG_OUTBOUND__ALLOW": "127.0.0.0/8"}


def measure(folder: Path) -> Iterator[Row]:
    with child(("-m", "benchmarks.peers.target")) as target, serving(folder / "home", VARIABLES) as server:
        url = f"http://127.0.0.1:{json.loads(hear(target))['port']}/"
        probes = {
            f"p-{at}": {"kind": "http", "service": f"s-{at % 50}", "url": url, "interval": INTERVAL}
            for at in range(PROBES)
        }
        wish = UpdateEnvironment(domain="bench.example.com", config={}, probes=probes)
        server.dg.run(server.dg.client.environments.update(Environment.STAGING, wish))
        time.sleep(SETTLE_SECONDS)
        shares, lags, loop = [], [], []
        for _ in range(ROUNDS):
            shares.append(busy_share(server.pid))
            found = json.loads(server.get("/v1/diagnostics"))
            lags.append(found["probes"]["lag"]["p95"])
            loop.append(found["loop_lag"]["worst"] * 1000)
        health = server.dg.run(server.dg.client.health.get(Environment.STAGING))
        assert health.status == "healthy", health.message
    yield Row(f"{PROBES} probes every {INTERVAL} s: CPU, of one core", "%", shares, at_most=15)
    yield Row(f"{PROBES} probes every {INTERVAL} s: lateness, p95", "s", lags, at_most=0.5)
    yield Row(f"{PROBES} probes every {INTERVAL} s: loop lag, worst", "ms", loop)
