"""A page for the public that says how services are and were: one HTML file without scripts, from models.

It says public names, times and how bad it was; never a probe, an address, a reason or a deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from dg.client.models import Event
from dg.client.vitals import share
from dg.client.words import duration
from dg.core.clock import SECOND, to_datetime
from dg.core.health.models import Series, Span, Status
from dg.core.text import plain

DAYS = 90
DAY = 86_400 * SECOND
MOST_INCIDENTS = 50
LONGEST_NAME = 100
BAD_DAY = 0.01
"""The share of tries that failed above which a day was bad: one of thousands is no outage."""

WORDS = {
    Status.HEALTHY: "Operational",
    Status.DEGRADED: "Degraded",
    Status.UNHEALTHY: "Down",
    Status.UNKNOWN: "Not known",
}

DAY_WORDS = {
    Status.HEALTHY: "all went well",
    Status.DEGRADED: "some answers were slow or missing",
    Status.UNHEALTHY: "it was down for some time",
    Status.UNKNOWN: "it is not known",
}


@dataclass(frozen=True)
class Incident:
    """A time in which a service was not well: the worst of it. Microseconds; `end` None while it lasts."""

    name: str
    worst: Status
    begin: int
    end: int | None = None


@dataclass(frozen=True)
class Row:
    """A service under its public name: now, by day (oldest first, None where nothing was asked), and its
    share of good tries."""

    name: str
    status: Status
    days: tuple[Status | None, ...]
    uptime: float | None


def row(name: str, status: Status, history: Sequence[Series], now: int) -> Row:
    """A service's last 90 days, by the series of its probes; its uptime is that of its worst probe."""
    shown = [_uptime(series) for series in history]
    known = [each for each in shown if each is not None]
    return Row(name, status, _days(history, now - DAYS * DAY), min(known, default=None))


def incidents(name: str, changes: Iterable[Event], since: int) -> list[Incident]:
    """What was wrong with one service that had not ended before `since`, by its changes of health."""
    found: list[Incident] = []
    current: Incident | None = None
    for event in changes:
        status = Status(event.payload["service_status"])
        sick = status in (Status.DEGRADED, Status.UNHEALTHY)
        if current is None and sick:
            current = Incident(name, status, event.at)
        elif current is not None and sick:
            down = Status.UNHEALTHY in (current.worst, status)
            current = Incident(name, Status.UNHEALTHY if down else Status.DEGRADED, current.begin)
        elif current is not None:
            found.append(Incident(name, current.worst, current.begin, event.at))
            current = None
    if current is not None:
        found.append(current)
    return [each for each in found if each.end is None or each.end > since]


def page(title: str, rows: Sequence[Row], told: Sequence[Incident], now: int) -> str:
    """The whole file; every text is escaped, and what could hide in it is made visible."""
    newest = sorted(told, key=lambda each: each.begin, reverse=True)[:MOST_INCIDENTS]
    status, sentence = _overall(rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_text(title)}</h1>\n<p class="now {status}">{sentence}</p>\n'
        f"<section>\n{''.join(_row(each, now) for each in rows)}</section>\n"
        f"<h2>Incidents of the last {DAYS} days</h2>\n{_incidents(newest, now)}\n"
        f"<footer>As of {_moment(now)}</footer>\n</main>\n</body>\n</html>\n"
    )


def _overall(rows: Sequence[Row]) -> tuple[Status, str]:
    statuses = {each.status for each in rows}
    if Status.UNHEALTHY in statuses:
        return Status.UNHEALTHY, "Something is down"
    if Status.DEGRADED in statuses:
        return Status.DEGRADED, "Something works worse than usual"
    if Status.UNKNOWN in statuses:
        return Status.UNKNOWN, "Not everything is known"
    return Status.HEALTHY, "All is operational"


def _row(shown: Row, now: int) -> str:
    bars = "".join(_bar(day, now - (DAYS - 1 - at) * DAY, at) for at, day in enumerate(shown.days))
    uptime = share(shown.uptime) or "nothing is known yet"
    label = f"{_text(shown.name)}, the last {DAYS} days: {uptime}"
    return (
        f'<article>\n<h3>{_text(shown.name)}</h3><p class="is {shown.status}">{WORDS[shown.status]}</p>\n'
        f'<svg viewBox="0 0 {DAYS * 4 - 1} 30" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'{bars}</svg>\n<p class="scale"><span>{DAYS} days ago</span><span>{uptime}</span>'
        "<span>today</span></p>\n</article>\n"
    )


def _days(history: Sequence[Series], since: int) -> tuple[Status | None, ...]:
    parts: list[list[Span]] = [[] for _ in range(DAYS)]
    for span in (span for series in history for span in series.spans):
        if 0 <= (place := (span.at - since) // DAY) <= DAYS:
            parts[min(place, DAYS - 1)].append(span)
    return tuple(_day(part) for part in parts)


def _day(spans: Sequence[Span]) -> Status | None:
    if not spans:
        return None
    worst, slow = max(map(_failing, spans)), any(span.slow for span in spans)
    if worst > BAD_DAY:
        return Status.UNHEALTHY
    if worst or slow:
        return Status.DEGRADED
    return Status.HEALTHY if any(span.passed for span in spans) else Status.UNKNOWN


def _failing(span: Span) -> float:
    tries = span.passed + span.slow + span.failed
    return span.failed / tries if tries else 0.0


def _bar(day: Status | None, at: int, place: int) -> str:
    status, words = (day.value, DAY_WORDS[day]) if day else ("nothing", "nothing was asked")
    return (
        f'<rect class="{status}" x="{place * 4}" width="3" height="30">'
        f"<title>{to_datetime(at):%Y-%m-%d}: {words}</title></rect>"
    )


def _incidents(told: Sequence[Incident], now: int) -> str:
    if not told:
        return '<p class="none">There were none.</p>'
    return f"<ul>\n{''.join(_lines(told, now))}</ul>"


def _lines(told: Sequence[Incident], now: int) -> Iterator[str]:
    for each in told:
        lasted = duration(((each.end or now) - each.begin) / SECOND)
        ending = f"for {lasted}" if each.end is not None else f"for {lasted} by now, and it goes on"
        word = "down" if each.worst is Status.UNHEALTHY else "degraded"
        yield (
            f'<li><b>{_text(each.name)}</b> was <i class="{each.worst}">{word}</i> {ending}'
            f"<time>{_moment(each.begin)}</time></li>\n"
        )


def _uptime(series: Series) -> float | None:
    passed = sum(span.passed + span.slow for span in series.spans)
    tries = passed + sum(span.failed for span in series.spans)
    return passed / tries if tries else None


def _moment(at: int) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M} UTC"


def _text(text: str) -> str:
    return escape(plain(text, limit=LONGEST_NAME))


POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#59636e;--page:#f6f8fa;--card:#fff;--line:#d8dee4;
--healthy:#1a7f37;--degraded:#9a6700;--unhealthy:#cf222e;--unknown:#6e7781;--nothing:#d8dee4}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--page:#0d1117;--card:#151b23;
--line:#30363d;--healthy:#3fb950;--degraded:#d29922;--unhealthy:#f85149;--unknown:#8b949e;--nothing:#30363d}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:56rem;margin:0 auto;padding:2rem 1rem}h1{font-size:1.6rem;margin:0 0 1rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem}h1,h3,li{overflow-wrap:anywhere}
.now{padding:.9rem 1.1rem;margin:0 0 1rem;font-weight:600;border:1px solid;border-radius:.5rem;
background:var(--card)}
article{display:grid;grid-template-columns:1fr auto;gap:.3rem 1rem;padding:1rem 1.1rem;margin:0 0 .75rem;
background:var(--card);border:1px solid var(--line);border-radius:.5rem}
h3{font-size:1rem;margin:0;min-width:0}.is{margin:0;font-weight:600}
svg,.scale{grid-column:1/-1}svg{display:block;width:100%;height:2rem}
.scale{display:flex;justify-content:space-between;margin:0;color:var(--dim);font-size:.8rem}
p.healthy,i.healthy{color:var(--healthy)}p.degraded,i.degraded{color:var(--degraded)}
p.unhealthy,i.unhealthy{color:var(--unhealthy)}p.unknown,i.unknown{color:var(--unknown)}i{font-style:normal}
rect.healthy{fill:var(--healthy)}rect.degraded{fill:var(--degraded)}rect.unhealthy{fill:var(--unhealthy)}
rect.unknown{fill:var(--unknown)}rect.nothing{fill:var(--nothing)}
ul{list-style:none;padding:0;margin:0}li{padding:.6rem 0;border-top:1px solid var(--line)}
time{display:block;color:var(--dim);font-size:.85rem}.none,footer{color:var(--dim)}
footer{margin-top:2rem;font-size:.85rem}
"""
