"""The specification's WebSocket messages, made from facts, and the bytes they are on the wire."""

from __future__ import annotations

from collections.abc import Mapping

from dg.api import json, wire
from dg.core.events import (
    DeploymentAdvanced,
    DeploymentCreated,
    DeploymentFinished,
    DeploymentRolledBack,
    DeploymentStarted,
    EnvironmentHealthChanged,
    Fact,
)
from dg.core.ledger import Entry

NEW_STATUS: dict[type[Fact], str | None] = {
    DeploymentCreated: "pending",
    DeploymentStarted: None,
    DeploymentAdvanced: None,
    DeploymentFinished: None,
    DeploymentRolledBack: "rolled_back",
}
"""The facts that move a deployment, and where to; None is in the fact itself."""

_STATUS = {fact.type: status for fact, status in NEW_STATUS.items()}
_BESIDE = ("version", "reason", "duration", "rolled_back_by")


def moved_to(entry: Entry) -> str | None:
    """The status that a fact moves its deployment to; None for facts that move none."""
    if entry.type not in _STATUS:
        return None
    return _STATUS[entry.type] or str(entry.payload["status"])


def message(entry: Entry) -> bytes | None:
    """What a fact means, as JSON: a `deployment_status_update`, an `environment_health_change`, or None."""
    if entry.type == EnvironmentHealthChanged.type:
        return _text("environment_health_change", entry.payload, entry)
    if (status := moved_to(entry)) is None:
        return None
    fact = entry.payload
    payload = {
        "deployment_id": entry.object,
        "status": status,
        "environment": entry.environment,
        "service": entry.service,
        **{name: fact[name] for name in _BESIDE if name in fact},
    }
    return _text("deployment_status_update", payload, entry)


def _text(kind: str, payload: Mapping[str, object], entry: Entry) -> bytes:
    return json.write(
        {
            "type": kind,
            "payload": payload,
            "timestamp": wire.timestamp(entry.at),
            "seq": entry.seq,
        }
    )


def frame(text: bytes) -> bytes:
    """An unmasked, unfragmented text frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + text
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text
