"""The dashboard's table and log on a real terminal, beside Textual's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Row
from benchmarks.terminal import terminal

ROUNDS = 3
ROWS = 10_000
MANY = 100_000
LONG, SHORT = 30, 5
"""Seconds of lines for dg's log, and for Textual's, which falls behind and takes a while to catch up."""

Found = dict[str, float]


def measure(folder: Path) -> Iterator[Row]:
    """The floors are Textual's DataTable and RichLog: what dg would have used."""
    ours, stock = rounds(folder, "table", ROWS), rounds(folder, "data-table", ROWS)
    yield row(f"table of {ROWS:,} rows to first paint, CPU", "s", "first paint", ours, stock)
    yield row("  one changed cell, CPU", "ms", "one cell", ours, stock, at_most=5)
    yield row("  page down, CPU", "ms", "page down", ours, stock, at_most=20)
    yield row("  memory", "MB", "memory", ours, stock)
    many, slow = rounds(folder, "table", MANY), [shown(folder, "data-table", MANY)]
    yield row(f"table of {MANY:,} rows to first paint, CPU", "s", "first paint", many, slow, at_most=1)
    yield row("  one changed cell, CPU", "ms", "one cell", many, slow, at_most=5)
    yield row("  page down, CPU", "ms", "page down", many, slow, at_most=20)
    yield row("  memory", "MB", "memory", many, slow)
    logs, rich = rounds(folder, "log", LONG), [shown(folder, "rich-log", SHORT)]
    yield row("log, 10,000 lines a second offered", "1/s", "lines", logs, rich)
    yield row("  share of a core", "%", "share", logs, rich, at_most=35)
    yield row("  the loop's lag, p99", "ms", "lag", logs, rich, at_most=150)
    yield row("  memory", "MB", "memory", logs, rich, at_most=80)


def row(
    name: str, unit: str, figure: str, ours: list[Found], floor: list[Found] | None = None, **budget: float
) -> Row:
    values = [each[figure] for each in ours]
    return Row(name, unit, values, [each[figure] for each in floor or ()], **budget)


def rounds(folder: Path, widget: str, amount: int) -> list[Found]:
    return [shown(folder, widget, amount) for _ in range(ROUNDS)]


def shown(folder: Path, widget: str, amount: int) -> Found:
    """Run one widget on a terminal that reads all it gets, and give what it found."""
    file = folder / f"{widget}.json"
    with terminal(("-m", "benchmarks.peers.screen", widget, str(amount), str(file))) as screen:
        screen.end()
    found: Found = json.loads(file.read_text("utf-8"))
    return found
