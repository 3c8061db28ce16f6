"""Writes a handover down as Markdown. What comes from outside is text in it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dg.client.handover import (
    AgedSecret,
    Awaited,
    ClosedLane,
    Delivery,
    FailedBackup,
    Handover,
    HealthChange,
    Unwell,
)
from dg.client.moments import clock_at
from dg.client.words import STATUS, duration
from dg.core.clock import SECOND, to_datetime
from dg.core.deployments.models import Freeze
from dg.core.drift.models import ServiceDrift
from dg.core.text import plain

_ACTIVE = re.compile(r"[\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])")
_LONGEST = 300
_NOTHING = "none"


def markdown(found: Handover) -> str:
    """The whole text, its sections in the order in which they matter; times are UTC."""
    sections = [
        ("Not well now", [_unwell(each, found.until) for each in found.unwell]),
        ("Closed lanes", [_closed(each, found.until) for each in found.closed]),
        ("Freezes", [_freeze(each, found.until) for each in found.freezes]),
        ("Waiting for approval", [_awaited(each, found.until) for each in found.waiting]),
        ("Drift", [_drift(each) for each in found.drift]),
        ("Deployments", [_delivery(each, found.until) for each in found.deployments]),
        ("Changes of health", [_change(each, found.until) for each in found.health]),
        ("Failed backups", [_backup(each, found.until) for each in found.backups]),
        ("Secrets that are old", [_secret(each) for each in found.secrets]),
    ]
    parts = [_head(found), *(_section(title, lines) for title, lines in sections), *_limits(found)]
    return "\n".join(parts)


def shortened(text: str, most: int) -> str:
    """The text where there is room for `most` characters: its last lines are left out, and it says so."""
    if len(text) <= most:
        return text
    end = "\n\nThere is more than fits here: `dg handover` shows all of it.\n"
    return text[: text.rindex("\n", 0, most - len(end))] + end


def escaped(text: str) -> str:
    """Text of the outside on one line, in which nothing is read as Markdown, cut where it is very long."""
    return _ACTIVE.sub(lambda sign: f"\\{sign.group()}", plain(text, limit=_LONGEST))


def _head(found: Handover) -> str:
    until = to_datetime(found.until)
    span = f"{clock_at(found.since, found.until)} to {until:%H:%M}"
    lasted = duration((found.until - found.since) / SECOND)
    return f"# Handover of {until:%Y-%m-%d}\n\n{span} UTC ({lasted}), written by {escaped(found.by)}.\n"


def _section(title: str, lines: Iterable[str]) -> str:
    shown = list(lines)
    count = f" ({len(shown)})" if shown else ""
    body = "\n".join(f"- {line}" for line in shown) if shown else _NOTHING
    return f"## {title}{count}\n\n{body}\n"


def _limits(found: Handover) -> Iterator[str]:
    """What is not in it."""
    unread = [f"{escaped(what)} could not be read: {escaped(why)}" for what, why in found.unread.items()]
    left = [f"of the {escaped(what)}, {escaped(said)}" for what, said in found.left_out.items()]
    if lines := [*unread, *left]:
        yield _section("Not in here", lines)


def _sign(word: str) -> str:
    return STATUS[word][0]


def _where(service: str, environment: str) -> str:
    """Production stands out."""
    return f"**{escaped(service)}** in {environment.upper() if environment == 'production' else environment}"


def _because(text: str | None) -> str:
    return f": {escaped(text)}" if text else ""


def _unwell(each: Unwell, now: int) -> str:
    since = f" since {clock_at(each.since, now)}" if each.since else ""
    suspect = f" (since #{each.number} began)" if each.number else ""
    where = _where(each.service, each.environment)
    return f"{_sign(each.status)} {where} is {each.status}{since}{suspect}{_because(each.message)}"


def _closed(each: ClosedLane, now: int) -> str:
    until = f" until {clock_at(each.until, now)}" if each.until else ""
    return f"{_sign(each.state)} {_where(each.service, each.environment)} is {each.state}{until}: " + escaped(
        each.sentence
    )


def _freeze(each: Freeze, now: int) -> str:
    what = f"of {escaped(each.service)}" if each.service else "of everything"
    where = f" in {each.environment}" if each.environment else ""
    until = clock_at(each.until, now)
    return f"{_sign('frozen')} {what}{where} until {until}: {escaped(each.reason)} (by {escaped(each.by)})"


def _awaited(each: Awaited, now: int) -> str:
    until = f", until {clock_at(each.expires_at, now)}" if each.expires_at else ""
    what = f"#{each.number} {_where(each.service, each.environment)} {escaped(each.version)}"
    return f"{_sign('needs_approval')} {what} by {escaped(each.by)}{until}: {escaped(each.sentence)}"


def _delivery(each: Delivery, now: int) -> str:
    status = each.status.value
    at = clock_at(each.completed_at or each.created_at, now)
    what = "back to " if each.kind == "rollback" else ""
    version = f"{what}{escaped(each.version)} by {escaped(each.by)}"
    where = _where(each.service, each.environment)
    ended = f"{status.replace('_', ' ')}{f' by #{each.undone_by}' if each.undone_by else ''}"
    return f"{_sign(status)} {at} #{each.number} {where} {version}, {ended}{_because(each.message)}"


def _change(each: HealthChange, now: int) -> str:
    suspect = f" (since #{each.number} began)" if each.number else ""
    where = _where(each.service, each.environment)
    told = f"{each.was} → {each.status}{suspect}"
    return f"{_sign(each.status)} {clock_at(each.at, now)} {where} {told}{_because(each.message)}"


def _drift(each: ServiceDrift) -> str:
    where = _where(each.service, each.environment)
    return f"{_sign(each.status)} {where} {each.status}: {escaped(each.sentence)}"


def _backup(each: FailedBackup, now: int) -> str:
    what = each.environment or "everything"
    how = "did not come back when it was tried" if each.tested else "was not made"
    return f"{_sign('fail')} {clock_at(each.at, now)} the backup of {what} {how}: {escaped(each.reason)}"


def _secret(each: AgedSecret) -> str:
    return f"{_sign('warn')} {escaped(each.name)} of {each.environment} was set {each.days} days ago"
