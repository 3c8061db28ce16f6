"""How environments are drawn by how well they are: one in a word and in a head, and what is wrong in all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dg.client.words import duration
from dg.tui.drawing import ago, badge, place
from dg.tui.environments.reading import Known
from dg.tui.ink import Piece, Pieces, apart, wrapped
from dg.tui.signs import ink, said, sign

if TYPE_CHECKING:
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
