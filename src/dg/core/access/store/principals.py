"""How the names are kept that people read for principals: the ledger has ids only."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Statement, Tx

_p = schema.principals

_NAME = Statement(sa.select(_p.c.name).where(_p.c.id == bindparam("principal")))
_INSERT_NAME = Statement(_p.insert())
_SET_NAME = Statement(
    _p.update()
    .where(_p.c.id == bindparam("principal"))
    .values(name=bindparam("new_name"), kind=bindparam("new_kind"))
)


def set_name(tx: Tx, principal_id: str, name: str, kind: str) -> None:
    """Keep what people read for a principal; the ledger has its id only."""
    if tx.run(_SET_NAME, principal=principal_id, new_name=name, new_kind=kind) == 0:
        tx.run(_INSERT_NAME, id=principal_id, name=name, kind=kind)


def name(tx: Tx, principal_id: str) -> str | None:
    row = tx.one(_NAME, principal=principal_id)
    return str(row["name"]) if row else None
