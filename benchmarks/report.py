"""Rows of measurements, and the one table or JSON document that they become."""

from __future__ import annotations

import json
import math
import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dg import __version__


@dataclass(frozen=True)
class Row:
    """One measurement: `rounds` beside the rounds of its `floor`, both in `unit`.

    The figure is the median of the rounds. `at_most` bounds it, `of_floor` is the least share of the floor
    that it must reach; without either it is only shown.
    """

    name: str
    unit: str
    rounds: Sequence[float]
    floor: Sequence[float] = ()
    at_most: float | None = None
    of_floor: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """Figure by floor, None without a floor or above one of nothing."""
        floor = statistics.median(self.floor) if self.floor else 0
        return self.value / floor if floor else None

    @property
    def kept(self) -> bool | None:
        """Whether the budget is kept, None without a budget."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.of_floor is not None and self.ratio is not None:
            return self.ratio >= self.of_floor
        return None

    @property
    def budget(self) -> str:
        if self.at_most is not None:
            return f"≤ {number(self.at_most)} {self.unit}"
        return "" if self.of_floor is None else f"≥ {self.of_floor:g} × floor"

    @property
    def verdict(self) -> str:
        return {True: "kept", False: "MISSED", None: ""}[self.kept]

    def cells(self) -> tuple[str, ...]:
        """As strings, in the order of HEADINGS."""
        ratio = "" if self.ratio is None else number(self.ratio)
        return self.name, spread(self.rounds), spread(self.floor), self.unit, ratio, self.budget, self.verdict

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "rounds": list(self.rounds),
            "floor": list(self.floor),
            "ratio": self.ratio,
            "budget": self.budget or None,
            "kept": self.kept,
        }


HEADINGS = ("figure", "measured", "floor", "unit", "ratio", "budget", "")
_TO_THE_RIGHT = frozenset({1, 2, 4})


def number(value: float) -> str:
    """Three significant digits, with separators for thousands."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def spread(rounds: Sequence[float]) -> str:
    """Median and, of several rounds, the extremes."""
    if not rounds:
        return ""
    middle = number(statistics.median(rounds))
    return middle if len(rounds) == 1 else f"{middle} [{number(min(rounds))}-{number(max(rounds))}]"


def table(rows: Sequence[Row]) -> str:
    """Aligned lines under their headings."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at in _TO_THE_RIGHT else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of all (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> str:
    """What the figures were taken on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return ", ".join(
        (
            f"dg {__version__}",
            f"Python {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            f"Linux {platform.release().partition('-')[0]}",
            f"{os.cpu_count()} × {_processor()}",
            f"{memory:.0f} GiB",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load() -> str:
    """The load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def document(rows: Sequence[Row], before: str, after: str) -> str:
    """Everything as JSON."""
    head = {"machine": machine(), "load_before": before, "load_after": after}
    return json.dumps({**head, "rows": [row.record() for row in rows]}, indent=2)
