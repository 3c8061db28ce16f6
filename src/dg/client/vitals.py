"""How health is shown, worked out from models alone: for the command line, the dashboard, Slack and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from dg.client.words import age, duration
from dg.core.clock import SECOND
from dg.core.health.models import EnvironmentHealth, Reading, Series, ServiceHealth, Span, Status, Uptime

HOUR = 3600 * SECOND
_LEVELS = "▁▂▃▄▅▆▇█"
_BROKEN, _UNKNOWN, _NOTHING = "×", "?", "┄"


class Cell(NamedTuple):
    """What probes found in one stretch of time; no status where nothing was asked, `seconds` the slowest."""

    status: Status | None = None
    seconds: float | None = None


class Line(NamedTuple):
    """A service, or below it one of several probes: `depth` says how deep it stands."""

    depth: int
    name: str
    status: Status
    took: str
    since: str
    uptime: str
    cells: tuple[Cell, ...]
    remark: str


def lines(
    health: EnvironmentHealth,
    history: Sequence[Series],
    now: int,
    *,
    width: int = 20,
    since: int | None = None,
) -> Iterator[Line]:
    """Every service with its probes below it, where it has several: below what they depend on.

    `history` is shown from `since` (an hour ago) to `now`, microseconds, in `width` cells.
    """
    begin = now - HOUR if since is None else since
    for service in health.services:
        own = {series.probe: series for series in history if series.service == service.name}
        yield _of_service(service, cells(tuple(own.values()), begin, now, width), now)
        if len(service.readings) > 1:
            for depth, reading in _nested(service.readings):
                shown = cells((own[reading.name],) if reading.name in own else (), begin, now, width)
                yield _of_probe(depth, reading, shown, now)


def headline(health: EnvironmentHealth, now: int) -> str:
    """One sentence: `production is degraded for 4m: shop answers slowly`."""
    seconds = (now - health.since) / SECOND if health.since is not None else 0.0
    lasting = f" for {age(seconds)}" if seconds >= 1 else ""
    said = f": {health.message}" if health.message else ""
    return f"{health.name.value} is {health.status}{lasting}{said}"


def cells(history: Sequence[Series], since: int, until: int, width: int) -> tuple[Cell, ...]:
    """What several probes found together, in `width` stretches of equal length, oldest first."""
    if not width:
        return ()
    length = max(1, until - since)
    parts: list[list[Span]] = [[] for _ in range(width)]
    for series in history:
        for span in series.spans:
            if since <= span.at < until:
                parts[(span.at - since) * width // length].append(span)
    return tuple(_cell(part) for part in parts)


def spark(shown: Sequence[Cell]) -> str:
    """Cells as one line: a bar as high as it was slow, `×` where it failed, `┄` where nothing was asked."""
    times = [cell.seconds for cell in shown if cell.seconds is not None]
    # A scale on which a steady service is a flat line, however little it varies.
    top = max(max(times), 2 * median(times)) if times else 0.0
    return "".join(_sign(cell, top) for cell in shown)


def took(seconds: float | None) -> str:
    """How long an answer took."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)


def share(uptime: float | None) -> str:
    """A share of good tries, never rounded up to all of them: `100 %`, `99.97 %`."""
    if uptime is None:
        return ""
    if uptime >= 1:
        return "100 %"
    cut = int(uptime * 10_000) / 100
    return f"{cut:.2f} %" if cut >= 90 else f"{cut:.1f} %"


def suspicion(service: ServiceHealth) -> str:
    """Which deployment may be why it is not healthy."""
    return f"since #{service.suspect.number} began" if service.suspect else ""


def longest(uptime: Uptime) -> float | None:
    """The share over the longest time that is known."""
    known = [each for each in (uptime.month, uptime.week, uptime.day) if each is not None]
    return known[0] if known else None


def _of_service(service: ServiceHealth, shown: tuple[Cell, ...], now: int) -> Line:
    return Line(
        0,
        service.name,
        service.status,
        took(service.response_time),
        _lasting(service.since, now),
        share(longest(service.uptime)),
        shown,
        "; ".join(filter(None, (service.message, suspicion(service)))),
    )


def _of_probe(depth: int, reading: Reading, shown: tuple[Cell, ...], now: int) -> Line:
    why = [
        "in maintenance" if reading.maintenance else "",
        f"because of {reading.because}" if reading.because else "",
        reading.message or "",
    ]
    return Line(
        depth,
        reading.name,
        reading.status,
        took(reading.response_time),
        _lasting(reading.since, now),
        share(longest(reading.uptime)),
        shown,
        "; ".join(filter(None, why)),
    )


def _nested(readings: Sequence[Reading]) -> Iterator[tuple[int, Reading]]:
    """Probes with how deep they stand: each below the first of its service's that it depends on."""
    names = {reading.name for reading in readings}
    below: dict[str | None, list[Reading]] = {}
    for reading in readings:
        parent = next((name for name in reading.depends_on if name in names), None)
        below.setdefault(parent, []).append(reading)
    yield from _walked(below, None, 1)


def _walked(
    below: Mapping[str | None, Sequence[Reading]], parent: str | None, depth: int
) -> Iterator[tuple[int, Reading]]:
    for reading in below.get(parent, ()):
        yield depth, reading
        yield from _walked(below, reading.name, depth + 1)


def _cell(spans: Sequence[Span]) -> Cell:
    if not spans:
        return Cell()
    slowest = max((each.slowest for each in spans if each.slowest is not None), default=None)
    if any(each.failed for each in spans):
        return Cell(Status.UNHEALTHY, slowest)
    if any(each.slow for each in spans):
        return Cell(Status.DEGRADED, slowest)
    passed = any(each.passed for each in spans)
    return Cell(Status.HEALTHY if passed else Status.UNKNOWN, slowest)


def _sign(cell: Cell, top: float) -> str:
    if cell.status is None:
        return _NOTHING
    if cell.status is Status.UNHEALTHY:
        return _BROKEN
    if cell.status is Status.UNKNOWN:
        return _UNKNOWN
    if cell.seconds is None or top <= 0:
        return _LEVELS[0]
    return _LEVELS[min(len(_LEVELS) - 1, int(cell.seconds / top * (len(_LEVELS) - 1)))]


def _lasting(since: int | None, now: int) -> str:
    return "" if since is None else age((now - since) / SECOND)
