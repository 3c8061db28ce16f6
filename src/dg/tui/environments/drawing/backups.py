"""How backups are drawn: what each holds, and whether it restores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dg.client.words import age
from dg.core.clock import SECOND
from dg.tui.drawing import ago, moment
from dg.tui.ink import Piece
from dg.tui.signs import sign
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.backup.models import BackupRecord

KIBIBYTE = 1 << 10


def columns(now: Any) -> tuple[Column[BackupRecord], ...]:
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


def facts(row: BackupRecord, now: int) -> list[tuple[str, str]]:
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
