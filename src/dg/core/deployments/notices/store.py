"""How notices are kept: until they are handled, and then for as long as they might be sent again."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.deployments.notices.hosts import Report

_n = schema.notices
_AT_A_TIME = 20

_INSERT = Statement(_n.insert())
_BY_DELIVERY = Statement(
    sa.select(_n.c.id).where(_n.c.source == bindparam("wanted"), _n.c.delivery == bindparam("known_by"))
)
_BY_DIGEST = Statement(
    sa.select(_n.c.id).where(_n.c.source == bindparam("wanted"), _n.c.digest == bindparam("known_by"))
)
_WAITING = Statement(
    sa.select(_n).where(_n.c.handled_at.is_(None)).order_by(_n.c.received_at, _n.c.id).limit(_AT_A_TIME)
)
_HANDLED = Statement(
    _n.update()
    .where(_n.c.id == bindparam("wanted"), _n.c.handled_at.is_(None))
    .values(handled_at=bindparam("moment"))
)
_PRUNE = Statement(_n.delete().where(_n.c.handled_at < bindparam("before")))


@dataclass(frozen=True)
class Kept:
    """A notice that was taken in and not handled yet; `received_at` in microseconds."""

    id: str
    source: str
    report: Report
    received_at: int


def seen(tx: Tx, source: str, delivery: str, digest: str | None) -> str | None:
    """The id of the notice that this is a repetition of; None for a new one."""
    found = tx.one(_BY_DELIVERY, wanted=source, known_by=delivery) if delivery else None
    if found is None and digest is not None:
        found = tx.one(_BY_DIGEST, wanted=source, known_by=digest)
    return str(found["id"]) if found else None


def insert(tx: Tx, notice: Kept, delivery: str, digest: str | None) -> None:
    report = notice.report
    tx.run(
        _INSERT,
        id=notice.id,
        source=notice.source,
        delivery=delivery or None,
        digest=digest,
        event=report.event,
        ref=report.ref,
        commit_sha=report.commit,
        addresses=json.dumps(report.addresses),
        received_at=notice.received_at,
        handled_at=None,
    )


def waiting(tx: Tx) -> list[Kept]:
    """Some that were not handled yet, the oldest first."""
    return [
        Kept(
            row["id"],
            row["source"],
            Report(row["event"], row["ref"], row["commit_sha"], tuple(json.loads(row["addresses"]))),
            row["received_at"],
        )
        for row in tx.all(_WAITING)
    ]


def handled(tx: Tx, notice_id: str, moment: int) -> bool:
    """True when it was not handled before."""
    return tx.run(_HANDLED, wanted=notice_id, moment=moment) == 1


def prune(tx: Tx, before: int) -> int:
    """Forget those that were handled before that moment (microseconds)."""
    return tx.run(_PRUNE, before=before)
