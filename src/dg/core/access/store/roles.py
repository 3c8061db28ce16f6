"""How the roles are kept that a home has beside the given ones."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Action, DefinedRole
from dg.core.database import Row, Statement, Tx

_r = schema.roles
_t = schema.tokens

_INSERT = Statement(_r.insert())
_ALL = Statement(sa.select(_r).order_by(_r.c.name))
_ONE = Statement(sa.select(_r).where(_r.c.name == bindparam("role")))
_UPDATE = Statement(
    _r.update()
    .where(_r.c.name == bindparam("role"))
    .values(
        description=bindparam("new_description"),
        actions=bindparam("new_actions"),
        updated_at=bindparam("moment"),
    )
)
_DELETE = Statement(_r.delete().where(_r.c.name == bindparam("role")))
_TOKENS_WITH = Statement(
    sa.select(sa.func.count().label("count")).where(
        _t.c.role == bindparam("role"), _t.c.revoked_at.is_(None), _t.c.expires_at > bindparam("moment")
    )
)


def insert_role(tx: Tx, role: DefinedRole) -> None:
    row = role.model_dump(mode="json", exclude={"given"})
    tx.run(_INSERT, **{**row, "actions": json.dumps(row["actions"])})


def roles(tx: Tx) -> list[DefinedRole]:
    """All of them by name."""
    return [_role(row) for row in tx.all(_ALL)]


def role(tx: Tx, name: str) -> DefinedRole | None:
    row = tx.one(_ONE, role=name)
    return _role(row) if row else None


def update_role(tx: Tx, changed: DefinedRole) -> None:
    tx.run(
        _UPDATE,
        role=changed.name,
        new_description=changed.description,
        new_actions=json.dumps(changed.actions),
        moment=changed.updated_at,
    )


def delete_role(tx: Tx, name: str) -> None:
    tx.run(_DELETE, role=name)


def tokens_with(tx: Tx, role: str, now: int) -> int:
    """How many tokens that still open something have this role as their own."""
    return int((tx.one(_TOKENS_WITH, role=role, moment=now) or {"count": 0})["count"])


def _role(row: Row) -> DefinedRole:
    # An action that this dg does not know any more allows nothing.
    known = [name for name in json.loads(row["actions"]) if name in set(Action)]
    return DefinedRole.model_validate({**row, "actions": known})
