"""How findings are kept: one row for each service of an environment that is or was checked."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx
from dg.core.drift.models import Finding
from dg.core.types import Environment

_f = schema.drift_findings
_p = schema.principals

_SEEN = sa.select(_f, _p.c.name.label("by_name")).select_from(_f.outerjoin(_p, _p.c.id == _f.c.accepted_by))
_OF = _f.c.environment == bindparam("tier")
_ONE = sa.and_(_OF, _f.c.service == bindparam("of_service"))
_ALL = Statement(_SEEN.where(_OF).order_by(_f.c.service))
_FIND = Statement(_SEEN.where(_ONE))
_INSERT = Statement(_f.insert().values({column.name: bindparam(column.name) for column in _f.columns}))
_UPDATE = Statement(
    _f.update().where(_ONE).values(finding=bindparam("to_finding"), accepted_by=bindparam("to_accepted_by"))
)
_DELETE = Statement(_f.delete().where(_ONE))


def of(tx: Tx, environment: Environment) -> dict[str, Finding]:
    """The findings of an environment by service."""
    return {row["service"]: _finding(row) for row in tx.all(_ALL, tier=environment.value)}


def find(tx: Tx, environment: Environment, service: str) -> Finding | None:
    row = tx.one(_FIND, tier=environment.value, of_service=service)
    return _finding(row) if row else None


def keep(tx: Tx, environment: Environment, service: str, finding: Finding) -> None:
    text = finding.model_dump_json(exclude_none=True)
    by = finding.acceptance.by if finding.acceptance else None
    where = {"tier": environment.value, "of_service": service}
    if not tx.run(_UPDATE, **where, to_finding=text, to_accepted_by=by):
        tx.run(_INSERT, environment=environment.value, service=service, finding=text, accepted_by=by)


def forget(tx: Tx, environment: Environment, service: str) -> None:
    tx.run(_DELETE, tier=environment.value, of_service=service)


def _finding(row: Row) -> Finding:
    finding = Finding.model_validate_json(row["finding"])
    if finding.acceptance is None:
        return finding
    named = finding.acceptance.model_copy(update={"by_name": row["by_name"]})
    return finding.model_copy(update={"acceptance": named})
