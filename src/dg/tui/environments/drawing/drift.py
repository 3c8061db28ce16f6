"""How it is drawn what runs where something else was deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dg.tui.drawing import ago, moment
from dg.tui.environments.drawing.health import word
from dg.tui.signs import ink, said
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.drift.models import ServiceDrift


def columns() -> tuple[Column[ServiceDrift], ...]:
    return (
        Column("service", "service", lambda row: [(row.service, "fg bold")], 10),
        Column("status", "status", lambda row: [(said(word(row.status)), ink(word(row.status)))], 10),
        Column("found", "runs", lambda row: [(row.found or "", "fg")], 10),
        Column(
            "deployed", "deployed", lambda row: [(row.deployed.version if row.deployed else "", "muted")], 10
        ),
        Column("sentence", "", lambda row: [(row.sentence, "muted")], 10, flex=True, needs=64),
    )


def facts(row: ServiceDrift, now: int) -> list[tuple[str, str]]:
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
