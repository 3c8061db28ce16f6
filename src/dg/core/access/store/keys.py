"""How API keys are kept: a row for each key, and one for each secret that it has or had, never the secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import ApiKey
from dg.core.database import Row, Statement, Tx

_k = schema.api_keys
_s = schema.api_key_secrets

_INSERT = Statement(_k.insert())
_ALL = Statement(sa.select(_k).order_by(_k.c.created_at, _k.c.id))
_ONE = Statement(sa.select(_k).where(_k.c.id == bindparam("wanted")))
_RENEW = Statement(_k.update().where(_k.c.id == bindparam("wanted")).values(expires_at=bindparam("moment")))
_REVOKE = Statement(
    _k.update()
    .where(_k.c.id == bindparam("wanted"), _k.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"))
)
_USED = Statement(_k.update().where(_k.c.id == bindparam("wanted")).values(last_used_at=bindparam("moment")))
_INSERT_SECRET = Statement(_s.insert())
_SECRETS = Statement(sa.select(_s).order_by(_s.c.number))
_SECRETS_OF = Statement(sa.select(_s).where(_s.c.key == bindparam("wanted")).order_by(_s.c.number))
_SECRET = Statement(sa.select(_s).where(_s.c.begins == bindparam("wanted")))
_END = Statement(
    _s.update()
    .where(_s.c.key == bindparam("wanted"), _s.c.until > bindparam("moment"))
    .values(until=bindparam("moment"))
)
_PEPPERS = Statement(
    sa.select(_s.c.pepper, sa.func.count(sa.distinct(_s.c.key)).label("keys"))
    .join(_k, _k.c.id == _s.c.key)
    .where(_k.c.revoked_at.is_(None), _s.c.until > bindparam("moment"))
    .group_by(_s.c.pepper)
)


@dataclass(frozen=True)
class Secret:
    """What is kept of one secret: its public beginning, and the digest under one pepper.

    `number` counts the secrets of its key from 1.
    """

    begins: str
    key: str
    number: int
    digest: str
    pepper: str
    created_at: int
    until: int


def insert(tx: Tx, key: ApiKey) -> None:
    row = key.model_dump(mode="json", exclude={"secrets"})
    tx.run(_INSERT, **{name: json.dumps(value) if name in _LISTS else value for name, value in row.items()})


def insert_secret(tx: Tx, secret: Secret) -> None:
    tx.run(_INSERT_SECRET, **vars(secret))


def find(tx: Tx, key_id: str) -> ApiKey | None:
    row = tx.one(_ONE, wanted=key_id)
    return _key(row, tx.all(_SECRETS_OF, wanted=key_id)) if row else None


def every(tx: Tx) -> list[ApiKey]:
    """Every key ever made, oldest first."""
    secrets: dict[str, list[Row]] = {}
    for row in tx.all(_SECRETS):
        secrets.setdefault(row["key"], []).append(row)
    return [_key(row, secrets.get(row["id"], ())) for row in tx.all(_ALL)]


def with_role(tx: Tx, role: str, now: int) -> int:
    """How many keys that are good at `now` have a scope with this role."""
    return sum(
        any(scope.role == role for scope in key.scopes)
        for key in every(tx)
        if key.revoked_at is None and key.expires_at > now
    )


def find_secret(tx: Tx, begins: str) -> Secret | None:
    row = tx.one(_SECRET, wanted=begins)
    return Secret(**row) if row else None


def end_secrets(tx: Tx, key_id: str, moment: int) -> None:
    """No secret that the key has by now opens anything after `moment`."""
    tx.run(_END, wanted=key_id, moment=moment)


def renew(tx: Tx, key_id: str, moment: int) -> None:
    """The key lasts until `moment`."""
    tx.run(_RENEW, wanted=key_id, moment=moment)


def revoke(tx: Tx, key_id: str, moment: int) -> bool:
    """True when it was not revoked before."""
    return tx.run(_REVOKE, wanted=key_id, moment=moment) == 1


def used(tx: Tx, moments: Mapping[str, int]) -> None:
    """Note when keys were used last, by their ids."""
    for key_id, moment in moments.items():
        tx.run(_USED, wanted=key_id, moment=moment)


def peppers(tx: Tx, now: int) -> dict[str, int]:
    """How many keys with a secret that is good at `now` are kept under each pepper."""
    return {row["pepper"]: row["keys"] for row in tx.all(_PEPPERS, moment=now)}


_LISTS = ("scopes", "addresses")


def _key(row: Row, secrets: Iterable[Row]) -> ApiKey:
    lists = {name: json.loads(row[name]) for name in _LISTS}
    return ApiKey.model_validate({**row, **lists, "secrets": list(secrets)})
