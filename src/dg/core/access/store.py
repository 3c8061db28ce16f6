"""How tokens and the names of principals are kept: one plain function per statement."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Grant, Token
from dg.core.database import Row, Statement, Tx

_t = schema.tokens
_p = schema.principals
_m = schema.meta

_INSERT = Statement(_t.insert())
_ALL = Statement(sa.select(_t).order_by(_t.c.created_at, _t.c.id))
_ONE = Statement(sa.select(_t).where(_t.c.id == bindparam("token")))
_REVOKE = Statement(
    _t.update()
    .where(_t.c.id == bindparam("token"), _t.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"))
)
_USED = Statement(_t.update().where(_t.c.id == bindparam("token")).values(last_used_at=bindparam("moment")))
_NAME = Statement(sa.select(_p.c.name).where(_p.c.id == bindparam("principal")))
_INSERT_NAME = Statement(_p.insert())
_SET_NAME = Statement(
    _p.update()
    .where(_p.c.id == bindparam("principal"))
    .values(name=bindparam("new_name"), kind=bindparam("new_kind"))
)
_META = Statement(sa.select(_m.c.value).where(_m.c.key == bindparam("name")))
_INSERT_META = Statement(_m.insert())
_SET_META = Statement(_m.update().where(_m.c.key == bindparam("name")).values(value=bindparam("new_value")))


def insert(tx: Tx, token: Token) -> None:
    row = token.model_dump(mode="json")
    tx.run(_INSERT, **row.pop("grant"), **row)


def tokens(tx: Tx) -> list[Token]:
    """Every token ever issued, oldest first."""
    return [_token(row) for row in tx.all(_ALL)]


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


def set_name(tx: Tx, principal_id: str, name: str, kind: str) -> None:
    """Keep what people read for a principal; the ledger has its id only."""
    if tx.run(_SET_NAME, principal=principal_id, new_name=name, new_kind=kind) == 0:
        tx.run(_INSERT_NAME, id=principal_id, name=name, kind=kind)


def name(tx: Tx, principal_id: str) -> str | None:
    row = tx.one(_NAME, principal=principal_id)
    return str(row["name"]) if row else None


def home_id(tx: Tx, fresh: str) -> str:
    """The id that this home was made with; `fresh` becomes it the first time."""
    row = tx.one(_META, name="home_id")
    if row is None:
        tx.run(_INSERT_META, key="home_id", value=fresh)
    return str(row["value"]) if row else fresh


def owner_tokens(tx: Tx) -> dict[str, int]:
    """The ids of the tokens of the machine's owner, and until when (microseconds) each is good."""
    row = tx.one(_META, name="owner_tokens")
    return {str(key): int(until) for key, until in json.loads(row["value"]).items()} if row else {}


def set_owner_tokens(tx: Tx, until: Mapping[str, int]) -> None:
    value = json.dumps(dict(until))
    if tx.run(_SET_META, name="owner_tokens", new_value=value) == 0:
        tx.run(_INSERT_META, key="owner_tokens", value=value)


def _token(row: Row) -> Token:
    grant = Grant(role=row.pop("role"), environment=row.pop("environment"), service=row.pop("service"))
    return Token.model_validate({**row, "grant": grant})
