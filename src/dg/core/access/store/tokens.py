"""How tokens are kept."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Grant, Token
from dg.core.database import Row, Statement, Tx

_t = schema.tokens
_p = schema.principals
_of = sa.select(_t, _p.c.name.label("person_name")).outerjoin(_p, _p.c.id == _t.c.person)

_INSERT = Statement(_t.insert())
_ALL = Statement(_of.order_by(_t.c.created_at, _t.c.id))
_ONE = Statement(_of.where(_t.c.id == bindparam("token")))
_OF_PERSON = Statement(_of.where(_t.c.person == bindparam("whom")).order_by(_t.c.created_at, _t.c.id))
_REVOKE = Statement(
    _t.update()
    .where(_t.c.id == bindparam("token"), _t.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"))
)
_USED = Statement(_t.update().where(_t.c.id == bindparam("token")).values(last_used_at=bindparam("moment")))


def insert(tx: Tx, token: Token) -> None:
    grant = token.grant
    tx.run(
        _INSERT,
        **token.model_dump(mode="json", exclude={"grant", "person_name"}),
        role=grant.role,
        environment=grant.environment,
        service=grant.service,
    )


def tokens(tx: Tx) -> list[Token]:
    """Every token ever issued, oldest first."""
    return [_token(row) for row in tx.all(_ALL)]


def tokens_of(tx: Tx, person: str) -> list[Token]:
    """Every token of one person, oldest first."""
    return [_token(row) for row in tx.all(_OF_PERSON, whom=person)]


def find(tx: Tx, token_id: str) -> Token | None:
    row = tx.one(_ONE, token=token_id)
    return _token(row) if row else None


def revoke(tx: Tx, token_id: str, moment: int) -> bool:
    """True when it was not revoked before."""
    return tx.run(_REVOKE, token=token_id, moment=moment) == 1


def used(tx: Tx, moments: Mapping[str, int]) -> None:
    """Note when tokens were used last, by their ids."""
    for token_id, moment in moments.items():
        tx.run(_USED, token=token_id, moment=moment)


def _token(row: Row) -> Token:
    grant = Grant(role=row.pop("role"), environment=row.pop("environment"), service=row.pop("service"))
    return Token.model_validate({**row, "grant": grant})
