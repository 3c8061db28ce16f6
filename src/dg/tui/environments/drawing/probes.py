"""How probes are drawn: rows below what they depend on, their past, and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from dg.core.clock import SECOND
from dg.tui.drawing import ago
from dg.tui.environments.drawing.health import share, took, word
from dg.tui.ink import Piece, Pieces
from dg.tui.signs import ink, said
from dg.tui.widgets.spark import bucket
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.health.models import EnvironmentHealth, HealthHistory, Reading, Series, Span

CELLS = 14
"""Cells of a service's past."""


@dataclass(frozen=True)
class ProbeRow:
    """A probe as a row, below the one that it depends on."""

    reading: Reading
    depth: int
    past: tuple[Span, ...] = ()
    start: int = 0
    end: int = 0

    @property
    def key(self) -> str:
        return self.reading.name


def rows(health: EnvironmentHealth, past: HealthHistory | None) -> list[ProbeRow]:
    """Every probe once, children under the first parent that there is."""
    found = {each.name: each for service in health.services for each in service.readings}
    series = {each.probe: each for each in past.items} if past else {}
    parents = {
        name: next((up for up in each.depends_on if up in found), None) for name, each in found.items()
    }
    rows: list[ProbeRow] = []
    seen: set[str] = set()

    def add(name: str, depth: int) -> None:
        if name in seen:
            return
        seen.add(name)
        spans = series[name].spans if name in series else ()
        edges = (past.since, past.until) if past else (0, 0)
        rows.append(ProbeRow(found[name], depth, spans, *edges))
        for child in sorted(each for each, parent in parents.items() if parent == name):
            add(child, depth + 1)

    for name in sorted(
        (name for name, up in parents.items() if up is None), key=lambda each: _place(found, each)
    ):
        add(name, 0)
    for name in sorted(found):
        add(name, 0)
    return rows


def _place(found: Mapping[str, Reading], name: str) -> tuple[str, str]:
    return found[name].service, name


def columns() -> tuple[Column[ProbeRow], ...]:
    return (
        Column("name", "probe", _probe_name, 12, lambda row: row.reading.name, flex=True),
        Column("status", "health", _probe_status, 11, lambda row: word(row.reading.status)),
        Column(
            "took",
            "answers",
            lambda row: [(took(row.reading.response_time), "fg")],
            7,
            lambda row: row.reading.response_time,
            right=True,
        ),
        Column(
            "up",
            "24h",
            lambda row: [(share(row.reading.uptime.day), "muted")],
            7,
            lambda row: row.reading.uptime.day,
            right=True,
            needs=52,
        ),
        Column("past", "lately", lambda row: ribbon(row, CELLS), CELLS, needs=60),
        Column("service", "service", lambda row: [(row.reading.service, "muted")], 10, needs=78),
        Column("why", "", lambda row: [(remark(row.reading), "muted")], 12, flex=True, needs=92),
    )


def _probe_name(row: ProbeRow) -> Pieces:
    branch = "  " * (row.depth - 1) + "└ " if row.depth else ""
    return [(branch, "dim"), (row.reading.name, "fg bold")]


def _probe_status(row: ProbeRow) -> Pieces:
    status = word(row.reading.status)
    loud = " bold" if status in ("unhealthy", "degraded") else ""
    return [(said(status), f"{ink(status)}{loud}")]


def remark(reading: Reading) -> str:
    """Why a probe stands as it does."""
    parts = (
        "in maintenance" if reading.maintenance else "",
        f"because of {reading.because}" if reading.because else "",
        reading.message or "",
    )
    return "; ".join(filter(None, parts))


def ribbon(row: ProbeRow, width: int) -> Pieces:
    """The past in `width` cells, oldest first: each the worst of its time, a gap where nothing was asked."""
    length = row.end - row.start
    if length <= 0:
        return [("┄" * width, "dim")]
    worst: list[Piece] = [("┄", "dim")] * width
    ranks = [-1] * width
    for span in row.past:
        at = min(width - 1, max(0, (span.at - row.start) * width // length))
        rank, piece = _tried(span)
        if rank > ranks[at]:
            ranks[at], worst[at] = rank, piece
    return [
        ("".join(glyph for glyph, _ in same), words) for words, same in groupby(worst, lambda piece: piece[1])
    ]


def _tried(span: Span) -> tuple[int, Piece]:
    if span.failed:
        return 3, ("×", "err bold")
    if span.slow:
        return 2, ("▅", "warn")
    if span.passed:
        return 1, ("▂", "calm")
    return 0, ("?", "dim")


def times(series: Series | None, past: HealthHistory | None) -> tuple[list[float | None], float]:
    """The slowest answers of a probe in milliseconds, evenly spaced, and the seconds between two."""
    if series is None or past is None or past.step <= 0:
        return [], 1.0
    count = max(1, round((past.until - past.since) / SECOND / past.step))
    values: list[float | None] = [None] * count
    for span in series.spans:
        at = min(count - 1, max(0, int((span.at - past.since) / SECOND / past.step)))
        slowest = span.slowest if span.slowest is not None else span.response_time
        values[at] = None if slowest is None else slowest * 1000
    return (bucket(values, 400), past.step * count / 400) if count > 400 else (values, past.step)


def facts(reading: Reading, now: int) -> list[tuple[str, str]]:
    """All that is known of a probe."""
    return [
        ("health", said(word(reading.status))),
        ("why", remark(reading)),
        ("service", reading.service),
        ("kind", reading.kind),
        ("severity", reading.severity),
        ("since", f"{ago(reading.since, now)}" if reading.since else ""),
        ("checked", f"{ago(reading.last_checked, now)} ago" if reading.last_checked else "never"),
        ("answers in", took(reading.response_time)),
        ("depends on", ", ".join(reading.depends_on)),
        ("good, day", share(reading.uptime.day)),
        ("good, week", share(reading.uptime.week)),
        ("good, month", share(reading.uptime.month)),
    ]
