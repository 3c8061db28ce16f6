"""A flood of output: a million lines through one step, and whether the server still answers meanwhile."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Target, asking
from benchmarks.processes import memory
from benchmarks.report import Row, percentile
from benchmarks.server import Server, make_repository, serving
from dg.core.deployments.models import Deployment

LINES = 1_000_000
LINE_BYTES = 80
ASKED_PER_SECOND = 100.0
QUIET_SECONDS = 3.0
WATCH_SECONDS = 0.02


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    lines = folder / "lines"
    with lines.open("w", encoding="ascii") as file:
        file.writelines(f"{at:0{LINE_BYTES - 1}}\n" for at in range(LINES))
    floor = [through_a_pipe(lines, folder / "copy") for _ in range(3)]
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["true"])
        warm = server.create(commit)
        server.follow(warm)
        with asking(status_of(server, warm), rate=ASKED_PER_SECOND) as quiet:
            time.sleep(QUIET_SECONDS)
        server.register(folder / "shop", ["cat", str(lines)])
        with watching(server.pid) as sizes:
            deployment = server.create(commit)
            with asking(status_of(server, deployment), rate=ASKED_PER_SECOND) as busy:
                last = server.follow(deployment, every=0.5)
        complete = whole(server, deployment)
    if not complete:
        raise RuntimeError("lines are missing from the log without a word")
    (step,) = last.steps
    assert step.started_at is not None
    assert last.deployment.completed_at is not None
    seconds = (last.deployment.completed_at - step.started_at) / 1e6
    yield Row("1 M log lines through a step", "s", [seconds], floor, at_most=30)
    yield Row(
        "  status read p99 meanwhile",
        "ms",
        [percentile(busy.latencies, 0.99) * 1e3],
        [percentile(quiet.latencies, 0.99) * 1e3],
        at_most=250,
    )
    yield Row("  growth of the server's memory", "MB", [max(sizes) - sizes[0]], at_most=64)


def through_a_pipe(lines: Path, copy: Path) -> float:
    """Seconds of the least that any tool must do with the output of `cat`."""
    began = time.perf_counter()
    with copy.open("wb") as file, subprocess.Popen(("cat", lines), stdout=subprocess.PIPE) as source:
        subprocess.run(("cat",), stdin=source.stdout, stdout=file, check=True)
    return time.perf_counter() - began


def status_of(server: Server, deployment: Deployment) -> Target:
    path = f"/v1/deployments/{deployment.id}/status"
    return Target(server.host, server.port, server.request("GET", path))


@contextmanager
def watching(pid: int) -> Iterator[list[float]]:
    """The process's memory in MB, again and again while the block runs."""
    sizes = [memory(pid)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_SECONDS):
            sizes.append(memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def whole(server: Server, deployment: Deployment) -> bool:
    """Whether every line of the step is kept in order, or counted as left out."""
    following = 0
    for page in server.dg.each(server.dg.client.deployments.all_logs(deployment.id)):
        following += page.left_out
        for line in page.items:
            if line.step is not None:
                if int(line.text) != following:
                    return False
                following += 1
    return following == LINES
