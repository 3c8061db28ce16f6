"""Status read: what one GET of a finished deployment's status costs, token, SQLite and 50 lines included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.load import Loaded, Target, load
from benchmarks.processes import cpu_seconds, hear, peer
from benchmarks.report import Row, percentile
from benchmarks.server import make_repository, serving

LINES = 50
CONNECTIONS = 32
ROUNDS = 6
SECONDS = 2.0


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server:
        text = "released part %s of the shop to its host, and it answered in time"
        server.register(folder / "shop", ["printf", f"{text}\\n", *map(str, range(LINES))])
        deployment = server.create(commit)
        progress = server.follow(deployment)
        if len(progress.logs) != LINES:
            raise RuntimeError(f"{len(progress.logs)} lines in the status, not {LINES}")
        path = f"/v1/deployments/{deployment.id}/status"
        target = Target(server.host, server.port, server.request("GET", path))
        answer = server.get(path)
        with peer("echo", {"body": answer, "content_type": "application/json"}) as echo:
            bare = replace(target, port=int(hear(echo)))
            load(bare, connections=CONNECTIONS, seconds=0.5)
            load(target, connections=CONNECTIONS, seconds=0.5)
            rounds = [(measured(target, server.pid), measured(bare, echo.pid)) for _ in range(ROUNDS)]
    ours, floor = zip(*rounds, strict=True)
    yield Row(
        f"status read, c={CONNECTIONS}",
        "req/s",
        [loaded.rate for loaded, _ in ours],
        [loaded.rate for loaded, _ in floor],
        of_floor=0.25,
    )
    yield Row("  server CPU of one", "µs", [micros for _, micros in ours], [micros for _, micros in floor])
    yield Row(
        "  p99",
        "ms",
        [percentile(loaded.latencies, 0.99) * 1e3 for loaded, _ in ours],
        [percentile(loaded.latencies, 0.99) * 1e3 for loaded, _ in floor],
    )


def measured(target: Target, pid: int) -> tuple[Loaded, float]:
    """One round, and the server's CPU microseconds per answer."""
    before = cpu_seconds(pid)
    loaded = load(target, connections=CONNECTIONS, seconds=SECONDS)
    return loaded, (cpu_seconds(pid) - before) / loaded.answers * 1e6
