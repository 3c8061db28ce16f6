"""What a server costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import cpu_seconds, memory
from benchmarks.report import Row
from benchmarks.server import make_repository, serving

SETTLE_SECONDS = 3.0
ROUNDS = 3
SECONDS = 10.0


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["true"])
        server.follow(server.create(commit))
        time.sleep(SETTLE_SECONDS)
        shares = [busy_share(server.pid) for _ in range(ROUNDS)]
        size = memory(server.pid)
    yield Row("idle server's CPU, of one core", "%", shares, at_most=1)
    yield Row("idle server's memory", "MB", [size], at_most=120)


def busy_share(pid: int) -> float:
    """Percent of one core over SECONDS."""
    before, began = cpu_seconds(pid), time.perf_counter()
    time.sleep(SECONDS)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - began) * 100
