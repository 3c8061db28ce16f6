"""One deployment: how long from the request to its first step, and to its end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Row, percentile
from benchmarks.server import Server, git, make_repository, serving
from dg.core.deployments.models import Deployment
from dg.core.home import Home
from dg.runner import spool

RUNS = 20


@dataclass(frozen=True)
class Times:
    """Milliseconds from the request to the first instruction of the first step, and to the end; and of the
    checkout alone, which is in both."""

    to_step: float
    checkout: float
    to_end: float


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    git(folder, "clone", "--quiet", "--bare", str(folder / "shop"), str(folder / "bare.git"))
    floor, times = [], []
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["date", "+%s%N"])
        deploy(server, commit)  # makes the mirror
        for at in range(RUNS):
            times.append(deploy(server, commit))
            floor.append(checkout_and_true(folder / "bare.git", folder / f"work-{at}", commit))
    to_step = [each.to_step for each in times]
    to_end = [each.to_end for each in times]
    yield Row("create to first step running, p50", "ms", to_step, floor, at_most=250)
    yield Row("  p99", "ms", [percentile(to_step, 0.99)], [percentile(floor, 0.99)])
    yield Row("  its checkout", "ms", [each.checkout for each in times])
    yield Row("create to finished, p50", "ms", to_end, floor)
    yield Row("  p99", "ms", [percentile(to_end, 0.99)], [percentile(floor, 0.99)])


def deploy(server: Server, commit: str) -> Times:
    """Run one deployment whose step prints when it runs."""
    asked = time.time_ns()
    deployment = server.create(commit)
    progress = server.follow(deployment)
    assert progress.deployment.completed_at is not None
    return Times(
        to_step=(int(progress.logs[-1]) - asked) / 1e6,
        checkout=checkout_seconds(server, deployment) * 1e3,
        to_end=(progress.deployment.completed_at * 1000 - asked) / 1e6,
    )


def checkout_seconds(server: Server, deployment: Deployment) -> float:
    """How long the checkout took, as the runner's own record says."""
    events = spool.read_events(str(Home(server.home).runs / deployment.id), 0)
    (seconds,) = (event["seconds"] for event in events if event["event"] == "checkout_ended")
    return float(seconds)


def checkout_and_true(repository: Path, work: Path, commit: str) -> float:
    """Milliseconds of the least that any tool must do: a work tree of the commit, and a process."""
    began = time.perf_counter()
    git(repository, "worktree", "add", "--detach", "--quiet", str(work), commit)
    subprocess.run(("true",), cwd=work, check=True)
    return (time.perf_counter() - began) * 1e3
