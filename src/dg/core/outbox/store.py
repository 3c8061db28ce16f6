"""How messages and their destinations are kept: one plain function per statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.clock import SECOND
from dg.core.database import Row, Statement, Tx
from dg.core.outbox.models import Delivery, Message

FAR = 3 * 3600 * SECOND
"""Further ahead than any pause reaches: a moment beyond it is left over from a clock that was set back."""

_o = schema.outbox
_d = schema.outbox_destinations
_m = schema.meta

_now: sa.BindParameter[int] = bindparam("now")
_far: sa.BindParameter[int] = bindparam("far")


def _ripe(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.or_(column <= _now, column > _far)


_open = sa.and_(_o.c.next_at.is_not(None), sa.func.coalesce(_d.c.held, 0) == 0)
_due = sa.and_(_open, _ripe(_o.c.next_at), _ripe(sa.func.coalesce(_d.c.next_at, 0)))
_joined = _o.outerjoin(_d, _d.c.destination == _o.c.destination)

_DESTINATIONS = Statement(sa.select(_o.c.destination).select_from(_joined).where(_due).distinct())
_NEXT = Statement(
    sa.select(_o)
    .select_from(_joined)
    .where(_due, _o.c.destination == bindparam("destination"))
    .order_by(_o.c.priority, _o.c.attempts, _o.c.seq)
    .limit(1)
)
_EARLIEST = Statement(
    sa.select(
        sa.func.min(
            sa.case(
                (sa.func.coalesce(_d.c.next_at, 0) > _o.c.next_at, _d.c.next_at),
                else_=_o.c.next_at,
            )
        ).label("at")
    )
    .select_from(_joined)
    .where(_open)
)
_FIND = Statement(sa.select(_o).where(_o.c.kind == bindparam("kind"), _o.c.key == bindparam("key")))
_ONE = Statement(sa.select(_o).where(_o.c.id == bindparam("id")))
_INSERT = Statement(
    _o.insert().values({column.name: bindparam(column.name) for column in _o.columns if column.name != "seq"})
)
_CHANGE = Statement(
    _o.update()
    .where(_o.c.id == bindparam("of"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "destination",
                "payload",
                "wanted",
                "status",
                "attempts",
                "next_at",
                "settled_at",
                "priority",
            )
        }
    )
)
_SETTLE = Statement(
    _o.update()
    .where(_o.c.id == bindparam("of"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "memory",
                "sent",
                "status",
                "attempts",
                "next_at",
                "settled_at",
                "last_error",
                "answer",
            )
        }
    )
)
_PUT_OFF = Statement(
    _o.update()
    .where(_o.c.id == bindparam("of"), _o.c.next_at.is_not(None))
    .values(next_at=bindparam("new_next_at"))
)
_HASTEN = Statement(
    _o.update()
    .where(_o.c.destination == bindparam("of"), _o.c.next_at > bindparam("now"))
    .values(next_at=bindparam("now"))
)
_REMEMBER = Statement(_o.update().where(_o.c.id == bindparam("of")).values(memory=bindparam("new_memory")))
_OF = Statement(
    sa.select(_o)
    .where(_o.c.destination == bindparam("destination"), _o.c.seq < bindparam("before"))
    .order_by(_o.c.seq.desc())
    .limit(bindparam("limit"))
)
_WAITING_OF = Statement(
    sa.select(sa.func.count().label("n"))
    .select_from(_o)
    .where(_o.c.destination == bindparam("destination"), _o.c.next_at.is_not(None))
)
_DROP = Statement(_o.delete().where(_o.c.destination == bindparam("destination")))
_DROP_DESTINATION = Statement(_d.delete().where(_d.c.destination == bindparam("destination")))
_PRUNE = Statement(_o.delete().where(_o.c.settled_at < bindparam("before"), _o.c.next_at.is_(None)))
_WAITING = Statement(
    sa.select(sa.func.count().label("n"), sa.func.min(_o.c.created_at).label("oldest")).where(
        _o.c.next_at.is_not(None)
    )
)
_FAILED = Statement(sa.select(sa.func.count().label("n")).select_from(_o).where(_o.c.status == "failed"))
_TROUBLED = Statement(
    sa.select(_d).where(sa.or_(_d.c.failures > 0, _d.c.held != 0)).order_by(_d.c.destination)
)
_DESTINATION = Statement(sa.select(_d).where(_d.c.destination == bindparam("destination")))
_INSERT_DESTINATION = Statement(
    _d.insert().values({column.name: bindparam(column.name) for column in _d.columns})
)
_SET_DESTINATION = Statement(
    _d.update()
    .where(_d.c.destination == bindparam("of"))
    .values(
        {
            column.name: bindparam(f"new_{column.name}")
            for column in _d.columns
            if column.name != "destination"
        }
    )
)
_CURSOR = Statement(sa.select(_m.c.value).where(_m.c.key == "outbox_cursor"))
_INSERT_CURSOR = Statement(_m.insert().values(key="outbox_cursor", value=bindparam("seq")))
_SET_CURSOR = Statement(_m.update().where(_m.c.key == "outbox_cursor").values(value=bindparam("seq")))


_FRESH: dict[str, Any] = {
    "memory": None,
    "wanted": 1,
    "sent": 0,
    "status": "waiting",
    "attempts": 0,
    "settled_at": None,
    "last_error": None,
    "answer": None,
}
"""What a message begins with."""


@dataclass(frozen=True)
class Destination:
    """How a destination is: `failures` in a row, not to be tried before `next_at`, `held` until somebody lets
    go of it."""

    destination: str
    failures: int = 0
    failing_since: int | None = None
    next_at: int = 0
    held: int = 0
    last_error: str | None = None


def put(
    tx: Tx,
    *,
    id: str,  # noqa: A002 - the delivery's id
    kind: str,
    key: str,
    destination: str,
    payload: Mapping[str, Any],
    now: int,
    priority: int = 5,
    spacing: float = 0.0,
) -> None:
    """Want a message outside. One of the same `kind` and `key` that is there already is changed into this.

    It goes no sooner than `spacing` seconds after that one went, and at once where it is more urgent than
    what waits: the lower `priority` is.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    row = tx.one(_FIND, kind=kind, key=key)
    if row is None:
        fresh = {"id": id, "kind": kind, "key": key, "destination": destination, "payload": text}
        tx.run(_INSERT, **_FRESH, **fresh, next_at=now, created_at=now, priority=priority)
        return
    waits = row["next_at"] is not None
    as_urgent = waits and row["priority"] <= priority
    spaced = max(now, (row["settled_at"] or 0) + int(spacing * SECOND))
    tx.run(
        _CHANGE,
        of=row["id"],
        new_destination=destination,
        new_payload=text,
        new_wanted=row["wanted"] + 1,
        new_status="waiting",
        new_attempts=row["attempts"] if waits else 0,
        new_next_at=row["next_at"] if as_urgent else now if waits else spaced,
        new_settled_at=None,
        new_priority=min(row["priority"], priority) if waits else priority,
    )


def record(tx: Tx, delivery: Delivery, *, kind: str, key: str, destination: str) -> None:
    """Keep a message that was sent without waiting here, for the list."""
    payload = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"))
    values = _FRESH | {
        "id": delivery.id,
        "kind": kind,
        "key": key,
        "destination": destination,
        "payload": payload,
        "sent": 1,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "settled_at": delivery.settled_at,
        "last_error": delivery.error,
        "answer": delivery.answer,
    }
    tx.run(_INSERT, **values, next_at=None, created_at=delivery.created_at, priority=5)


def destinations_due(tx: Tx, now: int) -> list[str]:
    return [row["destination"] for row in tx.all(_DESTINATIONS, now=now, far=now + FAR)]


def next_due(tx: Tx, destination: str, now: int) -> Message | None:
    """The message to send next: the one that was tried least, then the oldest."""
    row = tx.one(_NEXT, destination=destination, now=now, far=now + FAR)
    return _message(row) if row else None


def earliest(tx: Tx) -> int | None:
    """The moment at which something is due, in microseconds; None when nothing waits."""
    row = tx.one(_EARLIEST)
    return row["at"] if row else None


def row_of(tx: Tx, message_id: str) -> Row | None:
    return tx.one(_ONE, id=message_id)


def find(tx: Tx, kind: str, key: str) -> Message | None:
    """The message of that kind and key, whether it waits or went."""
    row = tx.one(_FIND, kind=kind, key=key)
    return _message(row) if row else None


def put_off(tx: Tx, message_id: str, until: int) -> None:
    """Send a message that waits at `until` (microseconds)."""
    tx.run(_PUT_OFF, of=message_id, new_next_at=until)


def hasten(tx: Tx, destination: str, now: int) -> None:
    """Try everything that waits for a destination at `now` (microseconds)."""
    tx.run(_HASTEN, of=destination, now=now)


def remember(tx: Tx, message_id: str, memory: Mapping[str, Any]) -> None:
    """Keep what must be known if dg dies while it sends this message."""
    tx.run(_REMEMBER, of=message_id, new_memory=json.dumps(dict(memory)))


def settle(
    tx: Tx,
    message_id: str,
    *,
    memory: str | None,
    sent: int,
    status: str,
    attempts: int,
    next_at: int | None,
    settled_at: int | None,
    last_error: str | None,
    answer: int | None,
) -> None:
    """Note how sending it ended."""
    tx.run(
        _SETTLE,
        of=message_id,
        new_memory=memory,
        new_sent=sent,
        new_status=status,
        new_attempts=attempts,
        new_next_at=next_at,
        new_settled_at=settled_at,
        new_last_error=last_error,
        new_answer=answer,
    )


def deliveries(tx: Tx, destination: str, before: int, limit: int) -> list[tuple[int, Delivery]]:
    """Messages to a destination with their place, newest first."""
    rows = tx.all(_OF, destination=destination, before=before, limit=limit)
    return [(row["seq"], _delivery(row)) for row in rows]


def waiting_for(tx: Tx, destination: str) -> int:
    """How many messages wait for it."""
    return int((tx.one(_WAITING_OF, destination=destination) or {"n": 0})["n"])


def drop(tx: Tx, destination: str) -> None:
    """Forget a destination and every message to it."""
    tx.run(_DROP, destination=destination)
    tx.run(_DROP_DESTINATION, destination=destination)


def prune(tx: Tx, before: int) -> int:
    """Forget messages that were settled before `before` (microseconds)."""
    return tx.run(_PRUNE, before=before)


def destination_of(tx: Tx, destination: str) -> Destination:
    row = tx.one(_DESTINATION, destination=destination)
    return Destination(**row) if row else Destination(destination)


def set_destination(tx: Tx, now: Destination) -> None:
    values = {name: getattr(now, name) for name in Destination.__dataclass_fields__}
    changed = {f"new_{name}": value for name, value in values.items() if name != "destination"}
    if tx.run(_SET_DESTINATION, of=now.destination, **changed) == 0:
        tx.run(_INSERT_DESTINATION, **values)


def figures(tx: Tx) -> dict[str, Any]:
    """Counts for the diagnostics; `oldest` in microseconds."""
    waiting = tx.one(_WAITING) or {"n": 0, "oldest": None}
    return {
        "waiting": waiting["n"],
        "oldest": waiting["oldest"],
        "failed": (tx.one(_FAILED) or {"n": 0})["n"],
        "troubled": [
            {
                "destination": row["destination"],
                "failures": row["failures"],
                "held": bool(row["held"]),
                "error": row["last_error"],
            }
            for row in tx.all(_TROUBLED)
        ],
    }


def cursor(tx: Tx) -> int | None:
    """The entry of the ledger up to which messages were made of it; None before the first."""
    row = tx.one(_CURSOR)
    return int(row["value"]) if row else None


def set_cursor(tx: Tx, seq: int) -> None:
    if tx.run(_SET_CURSOR, seq=str(seq)) == 0:
        tx.run(_INSERT_CURSOR, seq=str(seq))


def _message(row: Row) -> Message:
    return Message(
        id=row["id"],
        kind=row["kind"],
        key=row["key"],
        destination=row["destination"],
        payload=json.loads(row["payload"]),
        revision=row["wanted"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        memory=json.loads(row["memory"]) if row["memory"] else {},
        priority=row["priority"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        state=row["status"],
        payload=json.loads(row["payload"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        next_at=row["next_at"],
        answer=row["answer"],
        error=row["last_error"],
    )
