"""Where the runs of deployments are, and rows of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.deployments.models import Step
from dg.core.deployments.store.columns import IN_LANE, one_of
from dg.core.home import Place

_d = schema.deployments
_s = schema.steps
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
        IN_LANE,
        _d.c.kind == bindparam("kind"),
        one_of(_d.c.status, "success", "rolled_back"),
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
