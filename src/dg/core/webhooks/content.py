"""What stands in a delivery's body and headers."""

from __future__ import annotations

import json
from typing import Any

from dg.core.clock import to_datetime
from dg.core.ledger import Entry


def body(delivery: str, webhook: str, kind: str, entry: Entry | None) -> bytes:
    """The delivery as JSON, the same at each try. Without an entry it is a test."""
    told: dict[str, Any] = {"id": delivery, "webhook": webhook, "type": kind}
    if entry is not None:
        told["event"] = _event(entry)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers(delivery: str, webhook: str, kind: str, entry: Entry | None) -> dict[str, str]:
    """Everything but the signature."""
    known = {
        "Content-Type": "application/json",
        "DG-Delivery": delivery,
        "DG-Webhook": webhook,
        "DG-Event": kind,
    }
    return known if entry is None else known | {"DG-Event-Seq": str(entry.seq)}


def _event(entry: Entry) -> dict[str, Any]:
    """As `GET /events` gives it, without the name of who did it, which can be erased."""
    at = to_datetime(entry.at).isoformat().replace("+00:00", "Z")
    values = {name: getattr(entry, name) for name in Entry.__slots__} | {"at": at}
    return {name: value for name, value in values.items() if value is not None}
