"""The whole dashboard on a real terminal and server, beside a program of Textual's own parts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import cpu_seconds, memory
from benchmarks.report import Row
from benchmarks.server import make_repository, serving
from benchmarks.terminal import Terminal, terminal

STARTS = int(os.environ.get("BENCH_STARTS", "5"))
SWITCHES = 20
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE", "60"))
DEPLOYMENTS = 12
MARK = "deployments"
"""What stands in the border or the head of each first picture."""
FACTS = 36_000
"""An hour of ten facts a second."""
FEWER = 3_600
"""As many as Textual's own parts take in reasonable time."""


@dataclass
class Found:
    """What one program took, round by round."""

    first: list[float] = field(default_factory=list)
    first_cpu: list[float] = field(default_factory=list)
    switch: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(folder: Path) -> Iterator[Row]:
    """The floor is four tabs with a DataTable each: what one would have without a screen of one's own."""
    commit = make_repository(folder / "shop")
    with serving(folder / "home") as server:
        server.register(folder / "shop", ["true"])
        for _ in range(DEPLOYMENTS):
            server.follow(server.create(commit))
        variables = {"DG_HOME": str(server.home), "XDG_CACHE_HOME": str(folder), "HOME": str(folder)}
        ours = taken(("-m", "dg", "tui"), variables, live="live")
    stock = taken(("-m", "benchmarks.peers.stock"), {}, live=MARK)
    yield Row("dashboard to its first picture", "s", ours.first, stock.first, at_most=0.5)
    yield Row("  CPU", "s", ours.first_cpu, stock.first_cpu)
    yield Row("another screen, CPU", "ms", ours.switch, stock.switch, at_most=90)
    yield Row(f"idle for {IDLE_SECONDS:.0f} s, of one core", "%", ours.idle, stock.idle, at_most=2)
    yield Row("  written to the terminal, a minute", "KB", ours.written, stock.written, at_most=5)
    yield Row("  memory", "MB", ours.memory, stock.memory)
    yield from hour(folder)


def taken(arguments: Sequence[str], variables: dict[str, str], live: str) -> Found:
    """Start it some times, the last time to look at what it costs when it is there."""
    found = Found()
    for _ in range(STARTS):
        with terminal(arguments, variables) as screen:
            found.first.append(screen.until(MARK))
            found.first_cpu.append(cpu_seconds(screen.process.pid))
            screen.until(live)
            screen.settle()
    with terminal(arguments, variables) as screen:
        screen.until(live)
        screen.settle()
        found.switch = switches(screen)
        screen.press("1")
        # Ages under a minute are told by the second.
        time.sleep(3 if STARTS < 5 else 65)
        idle(screen, found)
    return found


def switches(screen: Terminal) -> list[float]:
    """CPU milliseconds of going to another screen that was seen before."""
    pid, found = screen.process.pid, list[float]()
    for at in range(SWITCHES + 2):
        before = cpu_seconds(pid)
        screen.press("21"[at % 2])
        screen.settle()
        found.append((cpu_seconds(pid) - before) * 1000)
    # The kernel counts CPU in hundredths of a second: pairs of both ways even that out.
    return [(one + other) / 2 for one, other in zip(found[2::2], found[3::2], strict=True)]


def idle(screen: Terminal, found: Found) -> None:
    pid, written, spent = screen.process.pid, len(screen.written), cpu_seconds(screen.process.pid)
    time.sleep(IDLE_SECONDS)
    found.idle.append((cpu_seconds(pid) - spent) / IDLE_SECONDS * 100)
    found.written.append((len(screen.written) - written) / 1000 * 60 / IDLE_SECONDS)
    found.memory.append(memory(pid))


def hour(folder: Path) -> Iterator[Row]:
    """An hour's facts, as fast as they are taken."""
    ours, stock = replayed(folder, "dashboard", FACTS), replayed(folder, "stock", FEWER)
    name = f"an hour of facts ({FACTS:,}): growth of memory"
    yield Row(name, "MB", [ours["growth"]], [stock["growth"]], at_most=8)
    yield Row("  CPU of one fact, pictures among them", "µs", [ours["each"]], [stock["each"]])


def replayed(folder: Path, which: str, facts: int) -> dict[str, float]:
    file = folder / f"{which}.json"
    with terminal(("-m", "benchmarks.peers.hour", which, str(facts), str(file))) as screen:
        screen.end()
    found: dict[str, float] = json.loads(file.read_text("utf-8"))
    return found
