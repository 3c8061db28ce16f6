"""What ended in the lanes of an environment, as the figures read it; what had no effect stays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Shapes, Statement, Tx
from dg.core.deployments.figures import Happened, Outcome
from dg.core.deployments.models import Kind
from dg.core.filters import Condition

_d = schema.deployments.c
_shapes = Shapes()


def ended(tx: Tx, conditions: Sequence[Condition], until: int) -> list[Happened]:
    """Everything that ended by `until` (microseconds) and succeeded or touched its environment, in order."""

    def build() -> sa.ClauseElement:
        columns = (
            *(_d.id, _d.service, _d.environment, _d.kind, _d.commit_sha, _d.status, _d.reason, _d.touched),
            *(_d.created_at, _d.completed_at, _d.rollback_of),
        )
        had_effect = sa.or_(_d.reason.is_(None), _d.touched == 1)
        clauses = [condition.clause for condition in conditions]
        return (
            sa.select(*columns)
            .where(_d.completed_at <= bindparam("until"), had_effect, *clauses)
            .order_by(_d.completed_at, _d.number)
        )

    values: dict[str, Any] = {"until": until}
    for condition in conditions:
        values |= condition.params
    statement = _shapes.get(tuple(condition.shape for condition in conditions), build)
    return [_happened(row) for row in tx.all(statement, **values)]


_OUTCOMES = Statement(
    sa.select(_d.service, _d.environment, _d.kind, _d.status, _d.reason, sa.func.count().label("count"))
    .where(_d.completed_at > bindparam("since"), _d.completed_at <= bindparam("until"))
    .group_by(_d.service, _d.environment, _d.kind, _d.status, _d.reason)
    .order_by(_d.environment, _d.service)
)


def outcomes(tx: Tx, since: int, until: int) -> list[Outcome]:
    """How often what ended how after `since` and by `until` (microseconds)."""
    return [Outcome.model_validate(row) for row in tx.all(_OUTCOMES, since=since, until=until)]


def _happened(row: Row) -> Happened:
    return Happened(
        id=row["id"],
        service=row["service"],
        environment=row["environment"],
        kind=Kind(row["kind"]),
        commit=row["commit_sha"],
        # Whatever failed has a reason, and keeps it when it is rolled back.
        succeeded=row["reason"] is None,
        touched=bool(row["touched"]),
        undone=row["status"] == "rolled_back",
        created_at=row["created_at"],
        completed_at=row["completed_at"],
        rollback_of=row["rollback_of"],
    )
