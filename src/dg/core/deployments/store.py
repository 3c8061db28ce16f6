"""How deployments, steps, lanes, freezes, blocks and pipelines are kept: one plain function per statement.

Each takes the open transaction and returns models. No rule lives here but one: `move` is the only way to
another status, and it refuses what the table of moves does not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Shapes, Statement, Tx
from dg.core.deployments.gates.demands import Guard
from dg.core.deployments.models import (
    MOVES,
    Block,
    Deployment,
    Freeze,
    Lock,
    RegisteredPipeline,
    Status,
    Step,
)
from dg.core.errors import Refused
from dg.core.filters import Condition
from dg.core.home import Place

_d = schema.deployments
_p = schema.principals
_s = schema.steps
_l = schema.lanes
_f = schema.freezes
_b = schema.blocks
_pl = schema.pipelines
_sn = schema.snapshots

_shapes = Shapes()


def _one_of(column: sa.ColumnElement[str], *values: str) -> sa.ColumnElement[bool]:
    # An IN list is rendered late and then wants every other parameter's value at compile time.
    return sa.or_(*(column == value for value in values))


_FULL = sa.select(_d, _p.c.name.label("created_by_name")).outerjoin(_p, _p.c.id == _d.c.created_by)
_IN_LANE = sa.and_(_d.c.service == bindparam("service"), _d.c.environment == bindparam("environment"))

# --- deployments ---------------------------------------------------------------------------------

_INSERT = Statement(
    _d.insert().values(
        {column.name: bindparam(column.name) for column in _d.columns if column.name != "number"}
    )
)
_BY_ID = Statement(_FULL.where(_d.c.id == bindparam("id")))
_BY_NUMBER = Statement(_FULL.where(_d.c.number == bindparam("number")))
_BY_VERSION = Statement(
    _FULL.where(_d.c.service == bindparam("service"), _d.c.version == bindparam("version"))
    .order_by(_d.c.number.desc())
    .limit(1)
)
_UNFINISHED = Statement(
    _FULL.where(_one_of(_d.c.status, "pending", "building", "deploying")).order_by(
        _d.c.queued_at, _d.c.number
    )
)
_running = _d.alias("running")
_WAITING_LANES = Statement(
    sa.select(_d.c.service, _d.c.environment)
    .where(
        _d.c.status == "pending",
        ~sa.exists().where(
            _running.c.service == _d.c.service,
            _running.c.environment == _d.c.environment,
            _one_of(_running.c.status, "building", "deploying"),
        ),
    )
    .group_by(_d.c.service, _d.c.environment)
    .order_by(sa.func.min(_d.c.number))
)
_QUEUE = Statement(_FULL.where(_IN_LANE, _d.c.status == "pending").order_by(_d.c.queued_at, _d.c.number))
_SUCCESSES = Statement(
    _FULL.where(_IN_LANE, _d.c.status == "success").order_by(_d.c.number.desc()).limit(bindparam("limit"))
)
_SINCE = Statement(
    _FULL.where(
        _IN_LANE,
        _d.c.number > bindparam("after"),
        sa.or_(_d.c.status == "success", sa.and_(_d.c.status == "failed", _d.c.touched == 1)),
    ).order_by(_d.c.number)
)
_NEWER = Statement(
    _FULL.where(
        _IN_LANE,
        _d.c.number > bindparam("after"),
        sa.or_(
            _d.c.started_at.is_not(None),
            _one_of(_d.c.status, "pending", "building", "deploying"),
        ),
    )
    .order_by(_d.c.number.desc())
    .limit(1)
)
_STARTED_SINCE = Statement(
    _FULL.where(_IN_LANE, _d.c.number > bindparam("after"), _d.c.started_at.is_not(None))
    .order_by(_d.c.number.desc())
    .limit(1)
)
_ROLLBACKS = Statement(
    _FULL.where(
        _IN_LANE,
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


def find_version(tx: Tx, service: str, version: str) -> Deployment | None:
    """The newest deployment of a service that was called `version`."""
    row = tx.one(_BY_VERSION, service=service, version=version)
    return _deployment(row) if row else None


def move(tx: Tx, old: Deployment, to: Status, **changes: Any) -> Deployment:
    """The one compare-and-set to another status. Raises Refused("stale") when somebody was there first."""
    if to not in MOVES[old.status]:
        raise Refused(f"a deployment that is {old.status} cannot become {to}", reason="illegal_move")
    return change(tx, old, status=to.value, **changes)


def change(tx: Tx, old: Deployment, **changes: Any) -> Deployment:
    """Set columns of the deployment as it was read; epoch and revision guard against late writers."""
    names = tuple(sorted(changes))
    statement = _shapes.get(("change", names), lambda: _update(names))
    values = {f"to_{name}": _plain(value) for name, value in changes.items()}
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


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value) if isinstance(value, dict) else value


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


# --- where runs are ------------------------------------------------------------------------------

_r = schema.runs
_PLACE = Statement(sa.select(_r).where(_r.c.deployment_id == bindparam("of")))
_DELETE_PLACE = Statement(_r.delete().where(_r.c.deployment_id == bindparam("of")))
_INSERT_PLACE = Statement(_r.insert())


def place(tx: Tx, deployment_id: str) -> Place | None:
    """Where its run was begun, or taken over last; None for one that never ran."""
    row = tx.one(_PLACE, of=deployment_id)
    return Place(row["host"], row["path"], row["home"]) if row else None


def set_place(tx: Tx, deployment_id: str, place: Place) -> None:
    """Keep where a run is from now on."""
    tx.run(_DELETE_PLACE, of=deployment_id)
    tx.run(_INSERT_PLACE, deployment_id=deployment_id, host=place.host, path=place.path, home=place.home)


# --- steps ---------------------------------------------------------------------------------------

_STEP_COLUMNS = (
    "name",
    "phase",
    "reversible",
    "status",
    "started_at",
    "completed_at",
    "seconds",
    "expected",
    "reason",
    "detail",
)
_INSERT_STEP = Statement(_s.insert())
_DELETE_STEPS = Statement(_s.delete().where(_s.c.deployment_id == bindparam("deployment_id_")))
_STEPS = Statement(
    sa.select(_s.c.idx.label("index"), *(_s.c[name] for name in _STEP_COLUMNS))
    .where(_s.c.deployment_id == bindparam("deployment_id"))
    .order_by(_s.c.idx)
)
_STEP = Statement(
    sa.select(_s.c.idx.label("index"), *(_s.c[name] for name in _STEP_COLUMNS)).where(
        _s.c.deployment_id == bindparam("deployment_id"), _s.c.idx == bindparam("idx")
    )
)
_SET_STEP = Statement(
    _s.update()
    .where(_s.c.deployment_id == bindparam("of"), _s.c.idx == bindparam("at"))
    .values({name: bindparam(f"to_{name}") for name in _STEP_COLUMNS})
)
_DURATIONS = Statement(
    sa.select(_s.c.name, _s.c.seconds)
    .join(_d, _d.c.id == _s.c.deployment_id)
    .where(
        _IN_LANE,
        _d.c.kind == bindparam("kind"),
        _one_of(_d.c.status, "success", "rolled_back"),
        _s.c.status == "success",
        _s.c.seconds.is_not(None),
    )
    .order_by(_d.c.number.desc())
    .limit(bindparam("limit"))
)


def replace_steps(tx: Tx, deployment_id: str, steps: Sequence[Step]) -> None:
    """Keep the steps of the run that begins."""
    tx.run(_DELETE_STEPS, deployment_id_=deployment_id)
    for step in steps:
        values = step.model_dump(mode="json", exclude={"index"})
        values["reversible"] = int(step.reversible)
        tx.run(_INSERT_STEP, deployment_id=deployment_id, idx=step.index, **values)


def steps(tx: Tx, deployment_id: str) -> tuple[Step, ...]:
    return tuple(Step.model_validate(row) for row in tx.all(_STEPS, deployment_id=deployment_id))


def set_step(tx: Tx, deployment_id: str, index: int, **changes: Any) -> Step | None:
    """Change one step; None when the deployment has no such step."""
    row = tx.one(_STEP, deployment_id=deployment_id, idx=index)
    if row is None:
        return None
    step = Step.model_validate({**row, **changes})
    values = step.model_dump(mode="json", exclude={"index"})
    values["reversible"] = int(step.reversible)
    tx.run(_SET_STEP, of=deployment_id, at=index, **{f"to_{name}": value for name, value in values.items()})
    return step


def durations(tx: Tx, service: str, environment: str, kind: str, limit: int) -> dict[str, list[float]]:
    """Seconds that each step took in what went well there, by its name, newest first."""
    found: dict[str, list[float]] = {}
    for row in tx.all(_DURATIONS, service=service, environment=environment, kind=kind, limit=limit):
        found.setdefault(row["name"], []).append(row["seconds"])
    return found


# --- lanes, freezes, blocks ----------------------------------------------------------------------

_LANE_WHERE = sa.and_(_l.c.service == bindparam("service"), _l.c.environment == bindparam("environment"))
_LANE = Statement(sa.select(_l).where(_LANE_WHERE))
_LANES = Statement(sa.select(_l).order_by(_l.c.service, _l.c.environment))
_LEFT_LANES = Statement(sa.select(_l).where(_l.c.left_by.is_not(None)))
_INSERT_LANE = Statement(
    _l.insert().values(
        service=bindparam("service"), environment=bindparam("environment"), known=1, lock_automatic=0
    )
)
_FREEZES = Statement(sa.select(_f).order_by(_f.c.since))
_INSERT_FREEZE = Statement(_f.insert())
_DELETE_FREEZE = Statement(_f.delete().where(_f.c.id == bindparam("id_")))
_BLOCK = Statement(
    sa.select(_b).where(
        _b.c.service == bindparam("service"),
        _b.c.environment == bindparam("environment"),
        _b.c.commit_sha == bindparam("commit_sha"),
    )
)
_BLOCKS = Statement(
    sa.select(_b)
    .where(_b.c.service == bindparam("service"), _b.c.environment == bindparam("environment"))
    .order_by(_b.c.at.desc(), _b.c.commit_sha)
)
_INSERT_BLOCK = Statement(_b.insert())
_DELETE_BLOCK = Statement(
    _b.delete().where(
        _b.c.service == bindparam("of_service"),
        _b.c.environment == bindparam("of_environment"),
        _b.c.commit_sha == bindparam("of_commit"),
    )
)


def lane(tx: Tx, service: str, environment: str) -> Row:
    """The lane's row; a lane that was never used is an empty one."""
    row = tx.one(_LANE, service=service, environment=environment)
    return row or {column.name: None for column in _l.columns} | {
        "service": service,
        "environment": environment,
        "known": 1,
        "lock_automatic": 0,
    }


def lanes(tx: Tx) -> list[Row]:
    """Every lane that was ever used."""
    return tx.all(_LANES)


def left_lanes(tx: Tx) -> list[Row]:
    """The lanes in which an abandoned deployment, `left_by`, may still be at work."""
    return tx.all(_LEFT_LANES)


def set_lane(tx: Tx, service: str, environment: str, **changes: Any) -> None:
    """Change a lane's row, making it at its first use."""
    if tx.one(_LANE, service=service, environment=environment) is None:
        tx.run(_INSERT_LANE, service=service, environment=environment)
    names = tuple(sorted(changes))
    statement = _shapes.get(
        ("lane", names),
        lambda: (
            _l.update()
            .where(_l.c.service == bindparam("of_service"), _l.c.environment == bindparam("of_environment"))
            .values({name: bindparam(f"to_{name}") for name in names})
        ),
    )
    values = {f"to_{name}": _plain(value) for name, value in changes.items()}
    tx.run(statement, of_service=service, of_environment=environment, **values)


def set_lock(tx: Tx, service: str, environment: str, lock: Lock | None) -> None:
    """Close a lane or open it."""
    set_lane(
        tx,
        service,
        environment,
        lock_reason=lock.reason if lock else None,
        lock_automatic=lock.automatic if lock else False,
        lock_by=lock.by if lock else None,
        lock_since=lock.since if lock else None,
        lock_until=lock.until if lock else None,
    )


def freezes(tx: Tx) -> tuple[Freeze, ...]:
    """Every freeze that was not lifted, also those that ran out and were not swept yet."""
    return tuple(Freeze.model_validate(row) for row in tx.all(_FREEZES))


def insert_freeze(tx: Tx, freeze: Freeze) -> None:
    tx.run(_INSERT_FREEZE, **freeze.model_dump(mode="json"))


def delete_freeze(tx: Tx, freeze_id: str) -> bool:
    return tx.run(_DELETE_FREEZE, id_=freeze_id) == 1


def block(tx: Tx, service: str, environment: str, commit_sha: str) -> Block | None:
    """Why a commit may not be deployed to a lane, None when it may."""
    row = tx.one(_BLOCK, service=service, environment=environment, commit_sha=commit_sha)
    return _blocked(row) if row else None


def blocks(tx: Tx, service: str, environment: str) -> tuple[Block, ...]:
    """What may not be deployed to a lane, the newest block first."""
    return tuple(_blocked(row) for row in tx.all(_BLOCKS, service=service, environment=environment))


def insert_block(tx: Tx, block: Block) -> None:
    tx.run(_INSERT_BLOCK, **{**block.model_dump(mode="json"), "deployment": block.deployment or ""})


def delete_block(tx: Tx, block: Block) -> None:
    tx.run(
        _DELETE_BLOCK,
        of_service=block.service,
        of_environment=block.environment.value,
        of_commit=block.commit_sha,
    )


def _blocked(row: Row) -> Block:
    return Block.model_validate({**row, "deployment": row["deployment"] or None})


# --- pipelines -----------------------------------------------------------------------------------

_NEWEST = (
    sa.select(sa.func.max(_pl.c.revision)).where(_pl.c.service == bindparam("service")).scalar_subquery()
)
_PIPELINE = sa.select(_pl, _sn.c.text).join(_sn, _sn.c.sha256 == _pl.c.sha256)
_NEWEST_PIPELINE = Statement(
    _PIPELINE.where(_pl.c.service == bindparam("service"), _pl.c.revision == _NEWEST)
)
_other = _pl.alias()
_NEWEST_PIPELINES = Statement(
    _PIPELINE.where(
        _pl.c.revision
        == sa.select(sa.func.max(_other.c.revision))
        .where(_other.c.service == _pl.c.service)
        .scalar_subquery()
    ).order_by(_pl.c.service)
)
_HISTORY = Statement(
    _PIPELINE.where(_pl.c.service == bindparam("service"), _pl.c.revision < bindparam("before"))
    .order_by(_pl.c.revision.desc())
    .limit(bindparam("limit"))
)
_INSERT_PIPELINE = Statement(_pl.insert())
_SNAPSHOT = Statement(sa.select(_sn.c.text).where(_sn.c.sha256 == bindparam("sha256")))
_INSERT_SNAPSHOT = Statement(_sn.insert())


def keep_snapshot(tx: Tx, sha256: str, text: str) -> None:
    """Keep a pipeline's text under its SHA-256, once."""
    if tx.one(_SNAPSHOT, sha256=sha256) is None:
        tx.run(_INSERT_SNAPSHOT, sha256=sha256, text=text)


def snapshot(tx: Tx, sha256: str) -> str:
    """The text that `keep_snapshot` kept."""
    row = tx.one(_SNAPSHOT, sha256=sha256)
    if row is None:
        raise LookupError(f"snapshot {sha256} is gone")
    return str(row["text"])


def insert_pipeline(tx: Tx, pipeline: RegisteredPipeline) -> None:
    keep_snapshot(tx, pipeline.sha256, pipeline.text)
    tx.run(_INSERT_PIPELINE, **pipeline.model_dump(exclude={"text"}))


def newest_pipeline(tx: Tx, service: str) -> RegisteredPipeline | None:
    row = tx.one(_NEWEST_PIPELINE, service=service)
    return RegisteredPipeline.model_validate(row) if row else None


def newest_pipelines(tx: Tx) -> tuple[RegisteredPipeline, ...]:
    """The newest revision of every service's pipeline."""
    return tuple(RegisteredPipeline.model_validate(row) for row in tx.all(_NEWEST_PIPELINES))


def pipeline_history(tx: Tx, service: str, before: int, limit: int) -> list[RegisteredPipeline]:
    """Revisions below `before`, newest first."""
    rows = tx.all(_HISTORY, service=service, before=before, limit=limit)
    return [RegisteredPipeline.model_validate(row) for row in rows]


def lock_of(row: Row) -> Lock | None:
    """The lock in a lane's row, also one that ran out."""
    if row["lock_until"] is None:
        return None
    return Lock(
        reason=row["lock_reason"],
        automatic=bool(row["lock_automatic"]),
        by=row["lock_by"],
        since=row["lock_since"],
        until=row["lock_until"],
    )
