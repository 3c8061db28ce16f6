"""Rows of deployments. `move` is the only way to another status: it refuses what no table of moves knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Database, Row, Shapes, Statement, Tx
from dg.core.deployments.gates.demands import Guard
from dg.core.deployments.models import MOVES, Deployment, Status
from dg.core.deployments.store.columns import IN_LANE, one_of, to_column
from dg.core.errors import Refused
from dg.core.filters import Condition
from dg.core.types import Environment

_d = schema.deployments
_p = schema.principals

_shapes = Shapes()

_FULL = sa.select(_d, _p.c.name.label("created_by_name")).outerjoin(_p, _p.c.id == _d.c.created_by)
_INSERT = Statement(
    _d.insert().values(
        {column.name: bindparam(column.name) for column in _d.columns if column.name != "number"}
    )
)
_BY_ID = Statement(_FULL.where(_d.c.id == bindparam("id")))
_GLIMPSE = Statement(
    sa.select(_d.c.revision, _d.c.environment, _d.c.service, _p.c.name)
    .outerjoin(_p, _p.c.id == _d.c.created_by)
    .where(_d.c.id == bindparam("id"))
)
_BY_NUMBER = Statement(_FULL.where(_d.c.number == bindparam("number")))
_BY_VERSION = Statement(
    _FULL.where(
        _d.c.service == bindparam("service"),
        _d.c.version == bindparam("version"),
        _d.c.environment == bindparam("environment"),
    )
    .order_by(_d.c.number.desc())
    .limit(1)
)
_UNFINISHED = Statement(
    _FULL.where(one_of(_d.c.status, "pending", "building", "deploying")).order_by(_d.c.queued_at, _d.c.number)
)
_running = _d.alias("running")
_WAITING_LANES = Statement(
    sa.select(_d.c.service, _d.c.environment)
    .where(
        _d.c.status == "pending",
        ~sa.exists().where(
            _running.c.service == _d.c.service,
            _running.c.environment == _d.c.environment,
            one_of(_running.c.status, "building", "deploying"),
        ),
    )
    .group_by(_d.c.service, _d.c.environment)
    .order_by(sa.func.min(_d.c.number))
)
_QUEUE = Statement(_FULL.where(IN_LANE, _d.c.status == "pending").order_by(_d.c.queued_at, _d.c.number))
_SUCCESSES = Statement(
    _FULL.where(IN_LANE, _d.c.status == "success").order_by(_d.c.number.desc()).limit(bindparam("limit"))
)
_SINCE = Statement(
    _FULL.where(
        IN_LANE,
        _d.c.number > bindparam("after"),
        sa.or_(_d.c.status == "success", sa.and_(_d.c.status == "failed", _d.c.touched == 1)),
    ).order_by(_d.c.number)
)
_NEWER = Statement(
    _FULL.where(
        IN_LANE,
        _d.c.number > bindparam("after"),
        sa.or_(
            _d.c.started_at.is_not(None),
            one_of(_d.c.status, "pending", "building", "deploying"),
        ),
    )
    .order_by(_d.c.number.desc())
    .limit(1)
)
_STARTED_SINCE = Statement(
    _FULL.where(IN_LANE, _d.c.number > bindparam("after"), _d.c.started_at.is_not(None))
    .order_by(_d.c.number.desc())
    .limit(1)
)
_ROLLBACKS = Statement(
    _FULL.where(
        IN_LANE,
        _d.c.kind == "rollback",
        _d.c.started_at.is_not(None),
        _d.c.completed_at.is_not(None),
    )
    .order_by(_d.c.number.desc())
    .limit(bindparam("limit"))
)
_COUNTS = Statement(
    sa.select(_d.c.environment, _d.c.status, sa.func.count().label("n")).group_by(
        _d.c.environment, _d.c.status
    )
)
_ENDED_BEFORE = Statement(
    sa.select(_d.c.id).where(_d.c.completed_at < bindparam("before")).order_by(_d.c.completed_at)
)


_NOT_KEPT = {"number", "created_by_name", "hold", "gates", "content", "approvals"}


def insert(tx: Tx, deployment: Deployment) -> Deployment:
    """Keep a new deployment and return it with its number."""
    row = deployment.model_dump(mode="json", exclude=_NOT_KEPT)
    row["guard"] = deployment.guard.text() if deployment.guard else None
    row["gates"] = None
    row["outputs"] = json.dumps(deployment.outputs)
    row["touched"] = int(deployment.touched)
    row["cancel_then_rollback"] = int(deployment.cancel_then_rollback)
    tx.run(_INSERT, **row)
    return require(tx, deployment.id)


class Glimpse(NamedTuple):
    """What tells whether a deployment is as it was, and who may see it, without reading all of it."""

    revision: int
    environment: str
    service: str
    created_by_name: str | None


async def glimpse(db: Database, deployment_id: str) -> Glimpse | None:
    row = await db.row(_GLIMPSE, id=deployment_id)
    return Glimpse(*row) if row else None


def find(tx: Tx, deployment_id: str) -> Deployment | None:
    row = tx.one(_BY_ID, id=deployment_id)
    return _deployment(row) if row else None


def require(tx: Tx, deployment_id: str) -> Deployment:
    """The deployment that must be there; for ids that come from dg's own rows."""
    row = tx.one(_BY_ID, id=deployment_id)
    if row is None:
        raise LookupError(f"deployment {deployment_id} is gone")
    return _deployment(row)


def find_number(tx: Tx, number: int) -> Deployment | None:
    row = tx.one(_BY_NUMBER, number=number)
    return _deployment(row) if row else None


def find_version(
    tx: Tx, service: str, version: str, environments: Iterable[Environment]
) -> Deployment | None:
    """The newest deployment of a service in these environments that was called `version`."""
    rows = [
        row
        for tier in environments
        if (row := tx.one(_BY_VERSION, service=service, version=version, environment=tier.value))
    ]
    return _deployment(max(rows, key=itemgetter("number"))) if rows else None


def move(tx: Tx, old: Deployment, to: Status, **changes: Any) -> Deployment:
    """The one compare-and-set to another status. Raises Refused("stale") when somebody was there first."""
    if to not in MOVES[old.status]:
        raise Refused(f"a deployment that is {old.status} cannot become {to}", reason="illegal_move")
    return change(tx, old, status=to.value, **changes)


def change(tx: Tx, old: Deployment, **changes: Any) -> Deployment:
    """Set columns of the deployment as it was read; epoch and revision guard against late writers."""
    names = tuple(sorted(changes))
    statement = _shapes.get(("change", names), lambda: _update(names))
    values = {f"to_{name}": to_column(value) for name, value in changes.items()}
    guard = {"was_status": old.status.value, "was_epoch": old.epoch, "was_revision": old.revision}
    if tx.run(statement, id_=old.id, **values, **guard) != 1:
        raise Refused(f"deployment {old.id} was changed by somebody else; look again", reason="stale")
    return require(tx, old.id)


def _update(names: tuple[str, ...]) -> sa.ClauseElement:
    return (
        _d.update()
        .where(
            _d.c.id == bindparam("id_"),
            _d.c.status == bindparam("was_status"),
            _d.c.epoch == bindparam("was_epoch"),
            _d.c.revision == bindparam("was_revision"),
        )
        .values(revision=_d.c.revision + 1, **{name: bindparam(f"to_{name}") for name in names})
    )


def unfinished(tx: Tx) -> list[Deployment]:
    """Everything pending or active, in queue order."""
    return [_deployment(row) for row in tx.all(_UNFINISHED)]


def waiting_lanes(tx: Tx) -> list[tuple[str, str]]:
    """Service and environment of the lanes for which something waits and in which nothing runs."""
    return [(row["service"], row["environment"]) for row in tx.all(_WAITING_LANES)]


def queue(tx: Tx, service: str, environment: str) -> list[Deployment]:
    """What waits for a lane, first in first out."""
    return [_deployment(row) for row in tx.all(_QUEUE, service=service, environment=environment)]


def successes(tx: Tx, service: str, environment: str, limit: int = 200) -> list[Deployment]:
    """What went well in a lane and was not rolled back, newest first."""
    return [
        _deployment(row) for row in tx.all(_SUCCESSES, service=service, environment=environment, limit=limit)
    ]


def effects_since(tx: Tx, service: str, environment: str, number: int) -> list[Deployment]:
    """What left its mark on a lane after deployment `number`: successes, touched failures; oldest first."""
    return [
        _deployment(row) for row in tx.all(_SINCE, service=service, environment=environment, after=number)
    ]


def newer(tx: Tx, service: str, environment: str, number: int) -> Deployment | None:
    """The newest deployment of a lane after deployment `number` that started there or still may."""
    row = tx.one(_NEWER, service=service, environment=environment, after=number)
    return _deployment(row) if row else None


def started_since(tx: Tx, service: str, environment: str, number: int) -> Deployment | None:
    """The newest deployment of a lane after deployment `number` that started there."""
    row = tx.one(_STARTED_SINCE, service=service, environment=environment, after=number)
    return _deployment(row) if row else None


def rollbacks(tx: Tx, service: str, environment: str, limit: int) -> list[Deployment]:
    """The rollbacks that ran in a lane and have ended, newest first."""
    return [
        _deployment(row) for row in tx.all(_ROLLBACKS, service=service, environment=environment, limit=limit)
    ]


def counts(tx: Tx) -> list[Row]:
    """`{"environment", "status", "n"}` over all deployments."""
    return tx.all(_COUNTS)


def ended_before(tx: Tx, before: int) -> list[str]:
    """Ids of what ended before `before` (microseconds), oldest first."""
    return [row["id"] for row in tx.all(_ENDED_BEFORE, before=before)]


def page(tx: Tx, conditions: Sequence[Condition], before: int | None, limit: int) -> list[Deployment]:
    """Deployments that meet all `conditions`, newest first, older than number `before`."""
    shape = ("page", before is None, tuple(condition.shape for condition in conditions))

    def build() -> sa.ClauseElement:
        clauses = [condition.clause for condition in conditions]
        if before is not None:
            clauses.append(_d.c.number < bindparam("before"))
        return _FULL.where(*clauses).order_by(_d.c.number.desc()).limit(bindparam("limit"))

    values: dict[str, Any] = {"limit": limit} | ({} if before is None else {"before": before})
    for condition in conditions:
        values |= condition.params
    return [_deployment(row) for row in tx.all(_shapes.get(shape, build), **values)]


def _deployment(row: Row) -> Deployment:
    row["outputs"] = json.loads(row["outputs"])
    if row["guard"] is not None:
        row["guard"] = _guard(row["guard"])
    if row["gates"] is not None:
        row["gates"] = json.loads(row["gates"])
    return Deployment.model_validate(row)


# The deployments of a lane mostly have the same one.
@lru_cache(maxsize=64)
def _guard(text: str) -> Guard:
    return Guard.model_validate_json(text)
