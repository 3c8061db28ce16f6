"""How webhooks are kept: one plain function per statement. Secrets come and go sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx
from dg.core.webhooks.models import Webhook

_w = schema.webhooks
_d = schema.outbox_destinations

_KEPT = ("url", "description", "filter", "environment", "service", "disabled_reason", "owner")
_SEEN = sa.select(_w, _d.c.failures, _d.c.last_error).select_from(
    _w.outerjoin(_d, _d.c.destination == sa.literal("webhook:") + _w.c.id)
)
_INSERT = Statement(_w.insert().values({column.name: bindparam(column.name) for column in _w.columns}))
_ALL = Statement(_SEEN.order_by(_w.c.created_at, _w.c.id))
_ENABLED = Statement(sa.select(_w).where(_w.c.enabled == 1).order_by(_w.c.id))
_ONE = Statement(_SEEN.where(_w.c.id == bindparam("webhook")))
_COUNT = Statement(sa.select(sa.func.count().label("n")).select_from(_w))
_CHANGE = Statement(
    _w.update()
    .where(_w.c.id == bindparam("webhook"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                *("url", "events", "description", "filter", "enabled", "disabled_reason"),
                *("owner", "updated_at"),
            )
        }
    )
)
_BEGIN = Statement(_w.update().where(_w.c.id == bindparam("webhook")).values(since=bindparam("new_since")))
_ROTATE = Statement(
    _w.update()
    .where(_w.c.id == bindparam("webhook"))
    .values(secret=bindparam("new_secret"), old_secret=bindparam("new_old"), old_until=bindparam("new_until"))
)
_DELETE = Statement(_w.delete().where(_w.c.id == bindparam("webhook")))


@dataclass(frozen=True)
class Sealed:
    """A webhook's secrets as they are kept: the newest, and the one before it until a moment."""

    secret: str
    old_secret: str | None = None
    old_until: int | None = None

    def standing(self, now: int) -> tuple[str, ...]:
        """Those that sign at `now` (microseconds), the newest first."""
        both = self.old_secret is not None and now < (self.old_until or 0)
        return (self.secret, self.old_secret or "") if both else (self.secret,)


def insert(tx: Tx, webhook: Webhook, secret: str, since: int) -> None:
    values = webhook.model_dump(mode="json", exclude={"failures", "last_error", "events", "enabled"})
    tx.run(
        _INSERT,
        **values,
        events=json.dumps(webhook.events),
        enabled=int(webhook.enabled),
        secret=secret,
        old_secret=None,
        old_until=None,
        since=since,
    )


def webhooks(tx: Tx) -> list[Webhook]:
    """All of them, oldest first."""
    return [_webhook(row) for row in tx.all(_ALL)]


def count(tx: Tx) -> int:
    return int((tx.one(_COUNT) or {"n": 0})["n"])


def enabled(tx: Tx) -> list[tuple[Webhook, int]]:
    """Those that get events, and after which entry of the ledger."""
    return [(_webhook(row), row["since"]) for row in tx.all(_ENABLED)]


def find(tx: Tx, webhook_id: str) -> tuple[Webhook, Sealed] | None:
    row = tx.one(_ONE, webhook=webhook_id)
    if row is None:
        return None
    return _webhook(row), Sealed(row["secret"], row["old_secret"], row["old_until"])


def change(tx: Tx, webhook: Webhook) -> None:
    """Keep it as it is now."""
    values: dict[str, Any] = {
        "url": webhook.url,
        "events": json.dumps(webhook.events),
        "description": webhook.description,
        "filter": webhook.filter,
        "enabled": int(webhook.enabled),
        "disabled_reason": webhook.disabled_reason,
        "owner": webhook.owner,
        "updated_at": webhook.updated_at,
    }
    tx.run(_CHANGE, webhook=webhook.id, **{f"new_{name}": value for name, value in values.items()})


def begin(tx: Tx, webhook_id: str, since: int) -> None:
    """Send events after the entry `since` only."""
    tx.run(_BEGIN, webhook=webhook_id, new_since=since)


def rotate(tx: Tx, webhook_id: str, secrets: Sealed) -> None:
    tx.run(
        _ROTATE,
        webhook=webhook_id,
        new_secret=secrets.secret,
        new_old=secrets.old_secret,
        new_until=secrets.old_until,
    )


def delete(tx: Tx, webhook_id: str) -> None:
    tx.run(_DELETE, webhook=webhook_id)


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row["id"],
        events=tuple(json.loads(row["events"])),
        enabled=bool(row["enabled"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        failures=row.get("failures") or 0,
        last_error=row.get("last_error"),
        **{name: row[name] for name in _KEPT},
    )
