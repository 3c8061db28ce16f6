"""How environments are kept: versions that are only added to, and secrets that come and go sealed."""

from __future__ import annotations

import json
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx
from dg.core.environments.content import keys
from dg.core.environments.models import Content, KeptVersion, Version
from dg.core.types import Environment

_v = schema.environment_versions
_s = schema.environment_secrets
_k = schema.data_keys
_c = schema.environment_keys
_u = schema.secret_uses
_p = schema.principals

_SEEN = sa.select(_v, _p.c.name.label("by_name")).select_from(_v.outerjoin(_p, _p.c.id == _v.c.by))
_OF = _v.c.environment == bindparam("tier")
_NEWEST = Statement(_SEEN.where(_OF).order_by(_v.c.version.desc()).limit(1))
_ONE = Statement(_SEEN.where(_OF, _v.c.version == bindparam("wanted")))
_PAGE = Statement(
    _SEEN.where(_OF, _v.c.version < bindparam("before"))
    .order_by(_v.c.version.desc())
    .limit(bindparam("limit"))
)
_EVERY = Statement(_SEEN.where(_OF).order_by(_v.c.version))
_INSERT = Statement(_v.insert().values({column.name: bindparam(column.name) for column in _v.columns}))
_DROP_CONFIGURED = Statement(_c.delete().where(_c.c.environment == bindparam("tier")))
_INSERT_CONFIGURED = Statement(_c.insert())
_USES = Statement(sa.select(_u).where(_u.c.environment == bindparam("tier")))
_USE_OF = sa.and_(_u.c.environment == bindparam("tier"), _u.c.name == bindparam("secret"))
_NOTE_USE = Statement(
    _u.update().where(_USE_OF).values(used_at=bindparam("now"), used_by=bindparam("service"))
)
_NOTE_REMINDER = Statement(_u.update().where(_USE_OF).values(reminded_at=bindparam("now")))
_INSERT_USE = Statement(_u.insert().values({column.name: bindparam(column.name) for column in _u.columns}))
_SECRET_OF = sa.and_(_s.c.environment == bindparam("tier"), _s.c.name == bindparam("secret"))
_SEALED = Statement(sa.select(_s.c.sealed).where(_SECRET_OF, _s.c.version == bindparam("wanted")))
_LAST_SECRET = Statement(sa.select(sa.func.max(_s.c.version).label("n")).where(_SECRET_OF))
_INSERT_SECRET = Statement(_s.insert().values({column.name: bindparam(column.name) for column in _s.columns}))
_SECRETS = Statement(
    sa.select(_s.c.environment, _s.c.name, _s.c.version).order_by(_s.c.environment, _s.c.name, _s.c.version)
)
_KEY = Statement(sa.select(_k.c.sealed).where(_k.c.name == bindparam("key")))
_KEYS = Statement(sa.select(_k.c.name, _k.c.sealed).order_by(_k.c.name))
_RESEAL_KEY = Statement(
    _k.update().where(_k.c.name == bindparam("key")).values(sealed=bindparam("new_sealed"))
)
_INSERT_KEY = Statement(_k.insert().values({column.name: bindparam(column.name) for column in _k.columns}))


class Use(NamedTuple):
    """When a secret was last given to a service's steps, and when somebody was last told that it is old."""

    used_at: int | None = None
    used_by: str | None = None
    reminded_at: int | None = None


def newest(tx: Tx, environment: Environment) -> tuple[Content, Version | None]:
    """What the environment holds now; empty and None when it was never configured."""
    row = tx.one(_NEWEST, tier=environment.value)
    return (_content(row), _version(row)) if row else (Content(), None)


def at(tx: Tx, environment: Environment, version: int) -> tuple[Content, Version] | None:
    row = tx.one(_ONE, tier=environment.value, wanted=version)
    return (_content(row), _version(row)) if row else None


def every(tx: Tx, environment: Environment) -> tuple[KeptVersion, ...]:
    """All versions, the oldest first."""
    rows = tx.all(_EVERY, tier=environment.value)
    return tuple(KeptVersion(version=_version(row), content=_content(row)) for row in rows)


def history(tx: Tx, environment: Environment, before: int, limit: int) -> list[Version]:
    """The versions below `before`, newest first."""
    return [_version(row) for row in tx.all(_PAGE, tier=environment.value, before=before, limit=limit)]


def add(tx: Tx, environment: Environment, content: Content, version: Version) -> None:
    tx.run(
        _INSERT,
        environment=environment.value,
        content=content.model_dump_json(),
        changed=json.dumps(version.changed),
        **version.model_dump(exclude={"changed", "by_name"}),
    )
    tx.run(_DROP_CONFIGURED, tier=environment.value)
    for key in sorted(keys(content)):
        tx.run(_INSERT_CONFIGURED, environment=environment.value, key=key)


def sealed(tx: Tx, environment: Environment, name: str, version: int) -> str | None:
    row = tx.one(_SEALED, tier=environment.value, secret=name, wanted=version)
    return str(row["sealed"]) if row else None


def last_version(tx: Tx, environment: Environment, name: str) -> int:
    """The newest version that a secret ever had there; 0 for none."""
    row = tx.one(_LAST_SECRET, tier=environment.value, secret=name)
    return int((row or {"n": 0})["n"] or 0)


def add_secret(tx: Tx, environment: Environment, name: str, version: int, text: str) -> None:
    tx.run(_INSERT_SECRET, environment=environment.value, name=name, version=version, sealed=text)


def uses(tx: Tx, environment: Environment) -> dict[str, Use]:
    """What is known of how its secrets are used, by name."""
    rows = tx.all(_USES, tier=environment.value)
    return {row["name"]: Use(row["used_at"], row["used_by"], row["reminded_at"]) for row in rows}


def note_use(tx: Tx, environment: Environment, name: str, service: str, now: int) -> None:
    """The steps of `service` get it now."""
    if not tx.run(_NOTE_USE, tier=environment.value, secret=name, now=now, service=service):
        row = {"environment": environment.value, "name": name, "reminded_at": None}
        tx.run(_INSERT_USE, **row, used_at=now, used_by=service)


def note_reminder(tx: Tx, environment: Environment, name: str, now: int) -> None:
    """Somebody is told now that it is old."""
    if not tx.run(_NOTE_REMINDER, tier=environment.value, secret=name, now=now):
        row = {"environment": environment.value, "name": name, "reminded_at": now}
        tx.run(_INSERT_USE, **row, used_at=None, used_by=None)


def kept_secrets(tx: Tx) -> list[tuple[Environment, str, int]]:
    """Every version of every secret: environment, name and version."""
    return [(Environment(row["environment"]), row["name"], int(row["version"])) for row in tx.all(_SECRETS)]


def data_key(tx: Tx, name: str) -> str | None:
    """The sealed data key of that name."""
    row = tx.one(_KEY, key=name)
    return str(row["sealed"]) if row else None


def add_data_key(tx: Tx, name: str, text: str, now: int) -> None:
    tx.run(_INSERT_KEY, name=name, sealed=text, created_at=now)


def data_keys(tx: Tx) -> dict[str, str]:
    """Every sealed data key by its name."""
    return {row["name"]: row["sealed"] for row in tx.all(_KEYS)}


def reseal_data_key(tx: Tx, name: str, text: str) -> None:
    tx.run(_RESEAL_KEY, key=name, new_sealed=text)


def _content(row: Row) -> Content:
    return Content.model_validate_json(row["content"])


def _version(row: Row) -> Version:
    kept = ("version", "at", "by", "by_name", "reason", "restored")
    return Version(changed=tuple(json.loads(row["changed"])), **{name: row[name] for name in kept})
