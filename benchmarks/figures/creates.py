"""Creates: how many deployments a second are acknowledged, each one durable before it is answered."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.load import Loaded, Target, load
from benchmarks.processes import cpu_seconds
from benchmarks.report import Row, percentile
from benchmarks.server import SERVICE, Server, make_repository, serving
from dg.core.clock import SystemClock
from dg.core.command import run
from dg.core.deployments.git import Mirrors

CONNECTIONS = 32
ROUNDS = 5
SECONDS = 2.0
GIT_CALLS = 20


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["sleep", "600"])
        target, keyed = wishes(server, commit)
        with busy_lane(server, commit):
            rounds = [(measured(target, server.pid), inserts(folder / f"{at}.db")) for at in range(ROUNDS)]
            once = [
                measured(replace(keyed, request=keyed.request.replace(b"{at}", b"%d" % at)), server.pid)
                for at in range(ROUNDS)
            ]
    ours, floor = zip(*rounds, strict=True)
    git, nothing = asyncio.run(git_calls(folder / "home" / "git", folder / "shop", commit))
    yield Row(f"durable creates, c={CONNECTIONS}", "1/s", [loaded.rate for loaded, _ in ours], floor)
    yield Row("  p99", "ms", [percentile(loaded.latencies, 0.99) * 1e3 for loaded, _ in ours])
    yield Row("  CPU of one, git's processes included", "ms", [millis for _, millis in ours])
    yield Row("  each with an Idempotency-Key", "1/s", [loaded.rate for loaded, _ in once], floor)
    yield Row("  CPU of one, git's processes included", "ms", [millis for _, millis in once])
    yield Row("  git for a commit not deployed before, beside it", "ms", git, nothing)


def wishes(server: Server, commit: str) -> tuple[Target, Target]:
    """A create without a key, and one with another key in each round `{at}` and each request."""
    plain = server.request("POST", "/v1/deployments", body(commit))
    keyed = server.request("POST", "/v1/deployments", body(commit), "idempotency-key: {at}-{counted}")
    return Target(server.host, server.port, plain, 201), Target(server.host, server.port, keyed, 201)


def body(commit: str) -> bytes:
    return json.dumps({"service": SERVICE, "environment": "development", "commit_sha": commit}).encode()


@contextmanager
def busy_lane(server: Server, commit: str) -> Iterator[None]:
    """A deployment runs while the block does, so that those that are created wait behind it."""
    running = server.create(commit)
    try:
        yield
    finally:
        server.dg.run(server.dg.client.lanes.freeze(reason="It was enough", lasting="1h"))
        server.dg.run(server.dg.client.deployments.cancel(running.id))
        for _ in server.dg.each(server.dg.client.deployments.watch(running.id)):
            pass


def measured(target: Target, pid: int) -> tuple[Loaded, float]:
    """One round, and the milliseconds of CPU per create of the server and its children."""
    before = cpu_seconds(pid)
    loaded = load(target, connections=CONNECTIONS, seconds=SECONDS)
    return loaded, (cpu_seconds(pid) - before) / loaded.answers * 1e3


def inserts(path: Path) -> float:
    """Rows of a create's size that SQLite alone inserts a second, one durable commit each."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE deployments (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    row = os.urandom(1000)
    count, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS / 2:
        connection.execute("INSERT INTO deployments (body) VALUES (?)", (row,))
        count += 1
    connection.close()
    return count / seconds


async def git_calls(mirrors: Path, repository: Path, commit: str) -> tuple[list[float], list[float]]:
    """Milliseconds of what a first create of a commit asks of git, and of a git that does nothing."""
    asked, nothing = [], []
    for _ in range(GIT_CALLS):
        git = Mirrors(mirrors, clock=SystemClock(), environ=os.environ)
        began = time.perf_counter()
        await git.resolve(SERVICE, str(repository), commit)
        await git.keep(SERVICE, commit)
        between = time.perf_counter()
        await run(["git", "version"], env=dict(os.environ), timeout=10.0, cap=1000)
        asked.append((between - began) * 1e3)
        nothing.append((time.perf_counter() - between) * 1e3)
    return asked, nothing
