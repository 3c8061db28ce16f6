"""Makes the audit log of the ledger for those who may read it; the API calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import ledger, origins, schema
from dg.core.access.models import Action, Principal
from dg.core.access.reach import reach
from dg.core.access.service import Access
from dg.core.audit.models import ALLOWED, DENIED, AuditEntry, AuditPage
from dg.core.clock import Clock
from dg.core.database import Database, Row, Shapes, Tx
from dg.core.errors import Invalid
from dg.core.events import AccessDenied, AuthenticationFailed
from dg.core.filters import Condition, Field, Fields, Kind, condition, parse
from dg.core.ledger import Doubt, Entry
from dg.core.types import Environment

MOST = 200

_e = schema.ledger.c
_o = schema.origins.c
_NEWEST = 1 << 62
_DENIALS = (AccessDenied.type, AuthenticationFailed.type)
_decision = sa.case((sa.or_(*(_e.type == type_ for type_ in _DENIALS)), DENIED), else_=ALLOWED)

FIELDS: Fields = {
    "decision": Field(Kind.CHOICE, (_decision,), (ALLOWED, DENIED)),
    "type": Field(Kind.WORD, (_e.type,)),
    "actor": Field(Kind.PERSON, (_e.actor,)),
    "method": Field(Kind.WORD, (_e.auth,)),
    "address": Field(Kind.WORD, (_o.address,)),
    "request": Field(Kind.WORD, (_o.request_id,)),
    "object": Field(Kind.WORD, (_e.object,)),
    "env": Field(Kind.CHOICE, (_e.environment,), tuple(Environment)),
    "service": Field(Kind.WORD, (_e.service,)),
    "age": Field(Kind.AGE, (_e.at,)),
    "text": Field(Kind.WORD, (_e.type, _e.object, _e.payload)),
}
"""The names by which the audit is filtered."""


class Audit:
    """Reads for those who may."""

    def __init__(self, db: Database, access: Access, clock: Clock) -> None:
        self._db = db
        self._access = access
        self._clock = clock
        self._shapes = Shapes()

    async def read(
        self,
        principal: Principal,
        *,
        filter: str | None = None,  # noqa: A002 - the public word
        cursor: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """A page, the newest entries first. Raises Invalid for a bad filter, cursor or limit."""
        self._access.require_somewhere(principal, Action.AUDIT_READ)
        if not 1 <= limit <= MOST:
            raise Invalid(f"limit: from 1 to {MOST}, not {limit}", field="limit")
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise Invalid("cursor: send the next_cursor of the page before, or none", field="cursor")
        conditions = [reach(principal, Action.AUDIT_READ, _e.environment, _e.service)]
        if filter:
            conditions.append(condition(parse(filter), FIELDS, self._clock.micros()))
        before = _NEWEST if cursor is None else int(cursor)
        rows = await self._page(conditions, before, limit + 1)
        names = await self._access.names(row["actor"] for row in rows)
        more = str(rows[limit - 1]["seq"]) if len(rows) > limit else None
        return AuditPage(items=tuple(_entry(row, names) for row in rows[:limit]), next_cursor=more)

    async def _page(self, conditions: Sequence[Condition], before: int, limit: int) -> list[Row]:
        def build() -> sa.ClauseElement:
            clauses = [each.clause for each in conditions]
            joined = sa.select(schema.ledger, _o.address, _o.request_id).outerjoin(
                schema.origins, sa.and_(_o.seq == _e.seq, _o.at == _e.at)
            )
            older = joined.where(_e.seq < bindparam("before_seq"), *clauses)
            return older.order_by(_e.seq.desc()).limit(bindparam("most"))

        statement = self._shapes.get(tuple(each.shape for each in conditions), build)
        values: dict[str, Any] = {"before_seq": before, "most": limit}
        for each in conditions:
            values |= each.params
        return await self._db.read(lambda tx: tx.all(statement, **values))


def _entry(row: Row, names: Mapping[str, str]) -> AuditEntry:
    address, request_id = row.pop("address"), row.pop("request_id")
    entry = ledger.from_row(row)
    denied = entry.type in _DENIALS
    return AuditEntry(
        seq=entry.seq,
        at=entry.at,
        type=entry.type,
        decision=DENIED if denied else ALLOWED,
        why=_why(entry),
        actor=entry.actor,
        actor_name=names[entry.actor],
        impersonated_by=entry.payload.get("impersonated_by"),
        method=entry.auth,
        address=address or None,
        request_id=request_id or None,
        action=entry.payload.get("action"),
        object=entry.object,
        environment=Environment(entry.environment) if entry.environment else None,
        service=entry.service,
        count=entry.payload.get("count") if denied else None,
    )


def _why(entry: Entry) -> str:
    """What allowed it, or what was missing, in words."""
    rights = entry.payload.get("rights")
    if entry.type == AuthenticationFailed.type:
        return "the credential proved nothing"
    if entry.type == AccessDenied.type:
        return f"{entry.payload['action']} is not allowed by {rights or 'no role'}"
    return f"by {rights}" if rights else "by dg itself" if entry.auth == "system" else "by the owner's rights"


class OriginsWitness:
    """Holds what is kept of where requests came from against the ledger.

    What was erased is not missed; what no entry goes with proves nothing, others tell that a record was cut.
    """

    def page(self, tx: Tx, rows: Sequence[Row]) -> Doubt | None:
        said = {(row["seq"], row["at"]): ledger.from_row(row).payload.get("origin") for row in rows}
        for kept in origins.between(tx, rows[0]["seq"], rows[-1]["seq"]):
            seq, at = kept["seq"], kept["at"]
            if (seq, at) in said and origins.fingerprint(kept) != said[seq, at]:
                return Doubt(seq, f"where entry {seq} came from was changed after it was written")
        return None

    def end(self, tx: Tx) -> Doubt | None:
        return None
