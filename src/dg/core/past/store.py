"""Reads what deployments and the ledger say of one environment up to a moment, that moment included.

Neither is ever removed, so a moment has one answer for as long as the home lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import ledger, schema
from dg.core.database import Row, Statement, Tx
from dg.core.events import (
    DriftAccepted,
    DriftFound,
    DriftResolved,
    EnvironmentHealthChanged,
    FreezeLifted,
    FreezeSet,
    HomeRestored,
    LaneLocked,
    LaneOpened,
    LaneUnlocked,
)
from dg.core.ledger import Entry

_d = schema.deployments.c
_e = schema.ledger.c
_p = schema.principals.c
_v = schema.environment_versions.c
_r = schema.pipelines.c

_IN = _d.environment == bindparam("tier")
_THEN = bindparam("then", type_=sa.BigInteger)
_SEEN = (
    *(_d.id, _d.number, _d.service, _d.kind, _d.version, _d.commit_sha, _d.reason, _d.touched),
    *(_d.created_by.label("by"), _d.started_at, _d.deploying_at, _d.completed_at),
)

# Whatever failed has a reason, and keeps it when it is rolled back.
_had_effect = sa.or_(_d.reason.is_(None), _d.touched == 1)
_ended = (
    sa.select(
        *_SEEN,
        sa.func.row_number()
        .over(partition_by=_d.service, order_by=(_d.completed_at.desc(), _d.number.desc()))
        .label("place"),
    )
    .where(_IN, _d.completed_at <= _THEN, _had_effect)
    .subquery()
)
_LAST = Statement(
    sa.select(_ended, _p.name.label("by_name"))
    .select_from(_ended.outerjoin(schema.principals, _p.id == _ended.c.by))
    .where(_ended.c.place == 1)
)
_UNFINISHED = Statement(
    sa.select(*_SEEN, _p.name.label("by_name"))
    .select_from(schema.deployments.outerjoin(schema.principals, _p.id == _d.created_by))
    .where(_IN, _d.created_at <= _THEN, sa.or_(_d.completed_at.is_(None), _d.completed_at > _THEN))
    .order_by(_d.number)
)
_SERVICES = Statement(
    sa.select(_r.service, sa.func.min(_r.registered_at).label("at")).group_by(_r.service).order_by(_r.service)
)
_VERSION = Statement(
    sa.select(sa.func.max(_v.version).label("version")).where(
        _v.environment == bindparam("tier"), _v.at <= _THEN
    )
)
_BEGIN = Statement(sa.select(_e.at).order_by(_e.seq).limit(1))


def _last_of(*types: str, but: sa.ColumnElement[bool] | None = None) -> Statement:
    """The last fact of these types about one object."""
    wanted = [_e.object == bindparam("about"), sa.or_(*(_e.type == each for each in types)), _e.at <= _THEN]
    rest = [] if but is None else [sa.not_(but)]
    return Statement(sa.select(schema.ledger).where(*wanted, *rest).order_by(_e.seq.desc()).limit(1))


# In JSON a quote inside of a text is escaped, so no reason that somebody gave reads like this.
_LOCK = _last_of(
    LaneLocked.type,
    LaneUnlocked.type,
    LaneOpened.type,
    but=sa.and_(_e.type == LaneOpened.type, _e.payload.contains('"what":"abandoned"')),
)
_DRIFT = _last_of(DriftFound.type, DriftAccepted.type, DriftResolved.type)
_RESTORED = Statement(
    sa.select(schema.ledger)
    .where(_e.object == "", _e.type == HomeRestored.type, _e.at > _THEN)
    .order_by(_e.seq)
)
_HEALTH = Statement(
    sa.select(schema.ledger)
    .where(
        _e.seq.in_(
            sa.select(sa.func.max(_e.seq))
            .where(_e.object == bindparam("about"), _e.type == EnvironmentHealthChanged.type, _e.at <= _THEN)
            .group_by(_e.service)
        )
    )
    .order_by(_e.seq)
)
_other = schema.ledger.alias("other")
_FREEZES = Statement(
    sa.select(schema.ledger)
    .where(
        # As text, so that the database sees that the index of freezes has all of these.
        sa.text(f"ledger.type = '{FreezeSet.type}'"),
        _e.at <= _THEN,
        ~sa.exists().where(
            _other.c.object == _e.object, _other.c.type == FreezeLifted.type, _other.c.at <= _THEN
        ),
    )
    .order_by(_e.seq)
)


class Held(NamedTuple):
    """What stood about one lane in the ledger: the fact that locked it, and that of its drift, if any."""

    locked: Entry | None
    drift: Entry | None


def begin(tx: Tx) -> int | None:
    """When the oldest record was made; None where there is none."""
    row = tx.one(_BEGIN)
    return int(row["at"]) if row else None


def lost(tx: Tx, then: int) -> Entry | None:
    """The restore of a backup that was made before then, which came after: what was between is not known."""
    found = map(ledger.from_row, tx.all(_RESTORED, then=then))
    return next((each for each in found if each.payload["made_at"] < then), None)


def services(tx: Tx, then: int) -> list[str]:
    """The services that were registered."""
    return [row["service"] for row in tx.all(_SERVICES) if row["at"] <= then]


def last(tx: Tx, environment: str, then: int) -> dict[str, Row]:
    """By service the deployment that had ended last of those that succeeded or touched the environment."""
    return {row["service"]: row for row in tx.all(_LAST, tier=environment, then=then)}


def unfinished(tx: Tx, environment: str, then: int) -> dict[str, list[Row]]:
    """By service the deployments that had been asked for and had not ended, in the order of their numbers."""
    return _by_service(tx.all(_UNFINISHED, tier=environment, then=then))


def held(tx: Tx, service: str, environment: str, then: int) -> Held:
    """What the ledger says of one lane."""
    about = {"about": f"{service}/{environment}", "then": then}
    locked, drift = tx.one(_LOCK, **about), tx.one(_DRIFT, **about)
    return Held(ledger.from_row(locked) if locked else None, ledger.from_row(drift) if drift else None)


def freezes(tx: Tx, then: int) -> list[Entry]:
    """The facts of the freezes that nobody had lifted; of some the time was over."""
    return [ledger.from_row(row) for row in tx.all(_FREEZES, then=then)]


def health(tx: Tx, environment: str, then: int) -> list[Entry]:
    """The last change of each service's health, in the order in which they were told."""
    return [ledger.from_row(row) for row in tx.all(_HEALTH, about=environment, then=then)]


def version(tx: Tx, environment: str, then: int) -> int:
    """The version of its configuration; 0 before the first."""
    row = tx.one(_VERSION, tier=environment, then=then)
    return int((row or {"version": 0})["version"] or 0)


def _by_service(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["service"], []).append(row)
    return found
