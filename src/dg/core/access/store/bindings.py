"""How it is kept which role is bound to whom. Rows stay when their binding ends: they say what was so."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Binding
from dg.core.database import Shapes, Statement, Tx
from dg.core.filters import Condition

_b = schema.bindings

_INSERT = Statement(_b.insert())
_ONE = Statement(sa.select(_b).where(_b.c.id == bindparam("binding")))
_standing = sa.and_(
    _b.c.revoked_at.is_(None), sa.or_(_b.c.expires_at.is_(None), _b.c.expires_at > bindparam("moment"))
)
_STANDING = Statement(sa.select(_b).where(_standing).order_by(_b.c.id))
_OF = Statement(sa.select(_b).where(_b.c.subject == bindparam("of_subject"), _standing).order_by(_b.c.id))
_REVOKE = Statement(
    _b.update()
    .where(_b.c.id == bindparam("binding"), _b.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"))
)
_WITH = Statement(
    sa.select(sa.func.count().label("count")).where(_b.c.role == bindparam("of_role"), _standing)
)
_COUNT = Statement(sa.select(sa.func.count().label("count")).select_from(_b).where(_standing))
_pages = Shapes()


def insert_binding(tx: Tx, binding: Binding) -> None:
    tx.run(_INSERT, **binding.model_dump(mode="json"))


def binding(tx: Tx, binding_id: str) -> Binding | None:
    row = tx.one(_ONE, binding=binding_id)
    return Binding.model_validate(row) if row else None


def standing_bindings(tx: Tx, now: int) -> list[Binding]:
    """All that give something at `now`, in the order in which they were made."""
    return [Binding.model_validate(row) for row in tx.all(_STANDING, moment=now)]


def bindings_of(tx: Tx, subject: str, now: int) -> list[Binding]:
    """Those of one subject that give something at `now`."""
    return [Binding.model_validate(row) for row in tx.all(_OF, of_subject=subject, moment=now)]


def page_of_bindings(
    tx: Tx, within: Condition, now: int, *, subject: str | None, role: str | None, after: str, limit: int
) -> list[Binding]:
    """Those that stand, lie within a reach and have an id greater than `after`."""

    def build() -> sa.ClauseElement:
        clauses = [_standing, within.clause, _b.c.id > bindparam("after_id")]
        if subject is not None:
            clauses.append(_b.c.subject == bindparam("of_subject"))
        if role is not None:
            clauses.append(_b.c.role == bindparam("of_role"))
        return sa.select(_b).where(*clauses).order_by(_b.c.id).limit(bindparam("most"))

    given = {"of_subject": subject, "of_role": role}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    statement = _pages.get((within.shape, tuple(values)), build)
    rows = tx.all(statement, moment=now, after_id=after, most=limit, **values, **within.params)
    return [Binding.model_validate(row) for row in rows]


def revoke_binding(tx: Tx, binding_id: str, moment: int) -> bool:
    """True when it was not revoked before."""
    return tx.run(_REVOKE, binding=binding_id, moment=moment) == 1


def bindings_with(tx: Tx, role: str, now: int) -> int:
    """How many standing bindings give this role."""
    return int((tx.one(_WITH, of_role=role, moment=now) or {"count": 0})["count"])


def count_bindings(tx: Tx, now: int) -> int:
    return int((tx.one(_COUNT, moment=now) or {"count": 0})["count"])
