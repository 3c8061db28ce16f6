"""Starts: of the server until it says that it is ready, and of the shortest command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import spent
from benchmarks.report import Row
from benchmarks.server import make_repository, serving

ROUNDS = 7
COMMANDS = 15


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["true"])
        server.follow(server.create(commit))
    existing, fresh, floor = [], [], []
    for at in range(ROUNDS):
        existing.append(start(folder / "home"))
        fresh.append(start(folder / f"home-{at}"))
        floor.append(spent("-c", "pass"))
    yield from rows("start to ready, existing home", existing, floor, at_most=1)
    yield from rows("start to ready, new home", fresh, floor, at_most=1)
    commands = [(spent("-m", "dg", "--version")[1], spent("-c", "pass")[1]) for _ in range(COMMANDS)]
    ours, least = zip(*commands, strict=True)
    yield Row("dg --version, CPU", "s", ours, least, at_most=0.15)


def rows(
    name: str, ours: list[tuple[float, float]], floor: list[tuple[float, float]], at_most: float
) -> Iterator[Row]:
    """Wall time and CPU of one kind of start."""
    wall, cpu = zip(*ours, strict=True)
    least_wall, least_cpu = zip(*floor, strict=True)
    yield Row(name, "s", wall, least_wall, at_most=at_most)
    yield Row("  CPU", "s", cpu, least_cpu)


def start(home: Path) -> tuple[float, float]:
    """Wall and CPU seconds until the ready line."""
    with serving(home) as server:
        return server.seconds_to_ready, server.cpu_to_ready
