"""The dashboard's table and log on a real terminal, beside Textual's own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.report import Row

ROUNDS = 3
ROWS = 10_000
MANY = 100_000
SIZE = struct.pack("HHHH", 45, 160, 0, 0)

Found = dict[str, float]


def measure(folder: Path) -> Iterator[Row]:
    """The floors are Textual's DataTable and RichLog: what dg would have used."""
    ours, stock = rounds(folder, "table", ROWS), rounds(folder, "data-table", ROWS)
    yield row(f"table of {ROWS:,} rows to first paint, CPU", "s", "first paint", ours, stock)
    yield row("  one changed cell, CPU", "ms", "one cell", ours, stock, at_most=5)
    yield row("  page down, CPU", "ms", "page down", ours, stock, at_most=20)
    yield row("  memory", "MB", "memory", ours, stock)
    many = rounds(folder, "table", MANY)
    yield row(f"table of {MANY:,} rows to first paint, CPU", "s", "first paint", many, at_most=2.5)
    yield row("  one changed cell, CPU", "ms", "one cell", many, at_most=5)
    # RichLog falls behind and takes half a minute to catch up: one round says enough.
    logs, rich = rounds(folder, "log", 0), [shown(folder, "rich-log", 0)]
    yield row("log, 10,000 lines a second offered", "1/s", "lines", logs, rich)
    yield row("  share of a core", "%", "share", logs, rich, at_most=35)
    yield row("  the loop's lag, p99", "ms", "lag", logs, rich, at_most=150)
    yield row("  memory", "MB", "memory", logs, rich, at_most=80)


def row(
    name: str, unit: str, figure: str, ours: list[Found], floor: list[Found] | None = None, **budget: float
) -> Row:
    values = [each[figure] for each in ours]
    return Row(name, unit, values, [each[figure] for each in floor or ()], **budget)


def rounds(folder: Path, widget: str, rows: int) -> list[Found]:
    return [shown(folder, widget, rows) for _ in range(ROUNDS)]


def shown(folder: Path, widget: str, rows: int) -> Found:
    """Run one widget on a terminal that reads all it gets, and give what it found."""
    file = folder / f"{widget}.json"
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, SIZE)
    command = [sys.executable, "-m", "benchmarks.peers.screen", widget, str(rows), str(file)]
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ) as process:
        os.close(terminal)
        with suppress(OSError):  # a terminal without anybody on its other end
            while os.read(controller, 1 << 16):
                pass
        os.close(controller)
    if process.returncode:
        raise RuntimeError(f"{widget} ended with {process.returncode}")
    found: Found = json.loads(file.read_text())
    return found
