"""What a home keeps about itself for access: its id, and the tokens of the machine's owner."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Statement, Tx

_m = schema.meta

_META = Statement(sa.select(_m.c.value).where(_m.c.key == bindparam("name")))
_INSERT_META = Statement(_m.insert())
_SET_META = Statement(_m.update().where(_m.c.key == bindparam("name")).values(value=bindparam("new_value")))


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
