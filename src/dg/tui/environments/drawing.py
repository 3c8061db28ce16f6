"""How environments, their drift and backups are drawn: pure functions from models to rows and pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dg.client.words import age, duration
from dg.core.clock import SECOND, to_datetime
from dg.tui.drawing import ago, badge, place
from dg.tui.environments.reading import Known
from dg.tui.ink import Piece, Pieces, apart, wrapped
from dg.tui.signs import ink, said, sign
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.backup.models import BackupRecord
    from dg.core.drift.models import ServiceDrift
    from dg.core.health.models import EnvironmentHealth

KIBIBYTE = 1 << 10
UNREAD = "not read yet"


def word(status: object) -> str:
    """A status of the server's as one of the signs' words."""
    return str(getattr(status, "value", status))


def took(seconds: float | None) -> str:
    """How long an answer took."""
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return "<1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)


def share(value: float | None) -> str:
    """A share as per cent; nothing rounds up to all."""
    if value is None:
        return "–"
    return "100 %" if value >= 1 else f"{min(value * 100, 99.99):.2f} %"


# One environment in a line and in a head


def standing(found: Known) -> Pieces:
    """How it is, and whether something drifted there."""
    health = found.health
    if found.lacks("health"):
        return [(UNREAD, "dim")]
    how = word(health.status) if health is not None and health.services else "unknown"
    pieces: list[Piece] = [(said(how) if how != "unknown" else "? no probes", f"{ink(how)} bold")]
    if any(word(each.status) == "drifted" for each in found.drift):
        pieces.append((" drift", "err bold"))
    return pieces


def head(found: Known, width: int, height: int, now: int) -> list[Pieces]:
    """What matters most: health, uptime, and which configuration it has."""
    state = found.state
    if state is None:
        return [[(UNREAD, "dim")]]
    # A badge right below the badge of the border would read as one.
    rows: list[Pieces] = [[]] if height > 3 else []
    rows.append(_health_line(found, width, now))
    rows += wrapped([(_why(found), "fg")], width, 1)
    by = state.changed_by_name or state.changed_by
    ago_ = f"{ago(state.changed_at, now)} ago" if state.changed_at else ""
    told = f"version {state.version} by {by} · {ago_}" if by else "never configured"
    rows.append(apart([(state.domain or "no domain", "fg")], [(told, "muted")], width))
    return rows[:height]


def trouble(known: Mapping[str, Known], width: int) -> list[Pieces]:
    """What is wrong anywhere: services not well, versions that drifted, backups that do not restore."""
    rows: list[Pieces] = []
    for name, found in known.items():
        told = list(_troubles(found))
        if told:
            rows.append([place(name)])
            rows += [row for pieces in told for row in wrapped(pieces, width, 3)]
    if not rows and (not known or any(found.lacks("health") for found in known.values())):
        return [[(UNREAD, "dim")]]
    return rows or [[(f"{sign('ok')} nothing that dg knows of", "ok")]]


def _troubles(found: Known) -> Iterator[Pieces]:
    for service in found.health.services if found.health else ():
        status = word(service.status)
        if status != "healthy":
            why = service.message or status
            yield [(f"{sign(status)} {service.name}", f"{ink(status)} bold"), (why, "muted")]
    for drift in found.drift:
        if word(drift.status) == "drifted":
            yield [(f"{sign('drifted')} {drift.service}", "err bold"), (drift.sentence, "muted")]
    for backup in found.backups[:1]:
        if backup.problem:
            yield [(f"{sign('fail')} backup {backup.id}", "err bold"), (backup.problem, "muted")]


def _why(found: Known) -> str:
    return found.wrong.get("health") or (found.health.message if found.health else "")


def _health_line(found: Known, width: int, now: int) -> Pieces:
    health = found.health
    if found.lacks("health"):
        return [(UNREAD, "dim")]
    if health is None:
        return [("? unknown", "muted bold")]
    if not health.services:
        return [("? no probes look at it", "muted bold")]
    since = f"  for {ago(health.since, now)}" if health.since else ""
    up = sum(word(each.status) == "healthy" for each in health.services)
    total = len(health.services)
    left = [badge(word(health.status)), (since, "muted")]
    right = [
        (f"{up}/{total}", "ok bold" if up == total else "err bold"),
        (" services   ", "muted"),
        *_uptime(health),
    ]
    return apart(left, right, width)


def _uptime(health: EnvironmentHealth) -> Iterator[Piece]:
    for name, value in (("24h", health.uptime.day), ("7d", health.uptime.week), ("30d", health.uptime.month)):
        yield f"{name} ", "muted"
        yield f"{share(value)}  ", "fg"


# Drift and backups


def drift_columns() -> tuple[Column[ServiceDrift], ...]:
    return (
        Column("service", "service", lambda row: [(row.service, "fg bold")], 10),
        Column("status", "status", lambda row: [(said(word(row.status)), ink(word(row.status)))], 10),
        Column("found", "runs", lambda row: [(row.found or "", "fg")], 10),
        Column(
            "deployed", "deployed", lambda row: [(row.deployed.version if row.deployed else "", "muted")], 10
        ),
        Column("sentence", "", lambda row: [(row.sentence, "muted")], 10, flex=True, needs=64),
    )


def drift_facts(row: ServiceDrift, now: int) -> list[tuple[str, str]]:
    """All that is known of a service's drift."""
    accepted = row.acceptance
    return [
        ("status", said(word(row.status))),
        ("", row.sentence),
        ("runs", row.found or ""),
        ("deployed", f"{row.deployed.version} at {row.deployed.commit_sha[:12]}" if row.deployed else ""),
        ("since", moment(row.since)),
        ("checked", f"{ago(row.checked_at, now)} ago" if row.checked_at else "never"),
        ("accepted", f"by {accepted.by_name or accepted.by}: {accepted.reason}" if accepted else ""),
        ("until", moment(accepted.until) if accepted else ""),
    ]


def moment(at: int | None) -> str:
    """A day and a time in UTC."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M}Z" if at else ""


def backup_columns(now: Any) -> tuple[Column[BackupRecord], ...]:
    """`now` gives the moment, in microseconds."""
    return (
        Column("id", "backup", lambda row: [(row.id, "fg bold")], 15, lambda row: row.id),
        Column("at", "age", lambda row: [(ago(row.at, now()), "muted")], 4, lambda row: -row.at, right=True),
        Column("version", "holds", lambda row: [(_holds(row), "fg")], 10),
        Column(
            "size", "size", lambda row: [(f"{row.size / KIBIBYTE:.0f} KiB", "muted")], 8, right=True, needs=60
        ),
        Column("proof", "restores", lambda row: [_proved(row, now())], 12, flex=True),
        Column("by", "by", lambda row: [(_maker(row), "muted")], 10, needs=72),
    )


def _holds(row: BackupRecord) -> str:
    return f"version {row.version}" if row.version is not None else "the home"


def _maker(row: BackupRecord) -> str:
    return "schedule" if row.scheduled else row.by_name or row.by


def _proved(row: BackupRecord, now: int) -> Piece:
    if row.tested_at is None:
        return "not tried", "dim"
    if row.problem:
        return f"{sign('fail')} {row.problem}", "err"
    return f"{sign('ok')} tried {age((now - row.tested_at) / SECOND)} ago", "ok"


def backup_facts(row: BackupRecord, now: int) -> list[tuple[str, str]]:
    """All that is known of a backup."""
    return [
        ("made", f"{moment(row.at)} by {_maker(row)}"),
        ("holds", _holds(row)),
        ("file", row.file),
        ("size", f"{row.size} bytes"),
        ("sha256", row.sha256),
        ("keys", " ".join(row.keys)),
        ("restores", _proved(row, now)[0]),
    ]
