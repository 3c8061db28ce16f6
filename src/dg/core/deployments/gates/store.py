"""How people's decisions are kept, and what else gates are judged by: one plain function per statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Principal
from dg.core.access.standing import standing
from dg.core.database import Statement, Tx
from dg.core.deployments.gates.judge import Success
from dg.core.deployments.models import Approval
from dg.core.types import Environment

_a = schema.approvals
_d = schema.deployments
_p = schema.principals

_here, _there = schema.environment_keys.alias("here"), schema.environment_keys.alias("there")
_MISSING = Statement(
    sa.select(_there.c.key)
    .outerjoin(_here, sa.and_(_here.c.key == _there.c.key, _here.c.environment == bindparam("here")))
    .where(_there.c.environment == bindparam("there"), _here.c.key.is_(None))
    .order_by(_there.c.key)
)
_COLUMNS = [column for column in _a.columns if column.name not in ("seq", "deployment_id")]
_INSERT = Statement(
    _a.insert().values({column.name: bindparam(column.name) for column in _a.columns if column.name != "seq"})
)
_OF = Statement(
    sa.select(*_COLUMNS, _p.c.name.label("by_name"))
    .outerjoin(_p, _p.c.id == _a.c.by)
    .where(_a.c.deployment_id == bindparam("deployment_id"))
    .order_by(_a.c.seq)
)
_IN_LANE = Statement(
    sa.select(
        *_COLUMNS,
        _a.c.deployment_id,
        _p.c.name.label("by_name"),
    )
    .join(_d, _d.c.id == _a.c.deployment_id)
    .outerjoin(_p, _p.c.id == _a.c.by)
    .where(
        _d.c.service == bindparam("service"),
        _d.c.environment == bindparam("environment"),
        _d.c.status == "pending",
    )
    .order_by(_a.c.seq)
)
_voiding = (
    _a.update()
    .where(_a.c.deployment_id == bindparam("of_deployment"), _a.c.voided_at.is_(None))
    .values(voided_at=bindparam("moment"), void_reason=bindparam("why"))
)
_VOID = Statement(_voiding)
_VOID_BY = Statement(_voiding.where(_a.c.by == bindparam("of_by"), _a.c.verdict == "approved"))
_waiting = _d.alias("waiting")
_SUCCESSES = Statement(
    sa.select(_d.c.id, _d.c.environment, _d.c.commit_sha, _d.c.status, _d.c.completed_at, _d.c.outputs)
    .where(
        _d.c.service == bindparam("service"),
        sa.or_(_d.c.status == "success", _d.c.status == "rolled_back"),
        sa.or_(
            _d.c.commit_sha == bindparam("commit"),
            _d.c.commit_sha.in_(
                sa.select(_waiting.c.commit_sha).where(
                    _waiting.c.service == bindparam("service"),
                    _waiting.c.environment == bindparam("environment"),
                    _waiting.c.status == "pending",
                )
            ),
        ),
    )
    .order_by(_d.c.number.desc())
)
_ENDS = Statement(
    sa.select(_d.c.status)
    .where(
        _d.c.service == bindparam("service"),
        _d.c.environment == bindparam("environment"),
        sa.or_(_d.c.status == "success", _d.c.status == "failed", _d.c.status == "rolled_back"),
        _d.c.started_at.is_not(None),
    )
    .order_by(_d.c.number.desc())
    .limit(bindparam("limit"))
)
_KIND = Statement(sa.select(_p.c.kind).where(_p.c.id == bindparam("principal")))


@dataclass(frozen=True)
class Decisions:
    """What was decided about all that wait in one lane, by deployment, the void too; `people` are those who
    decided, by id, with the rights that they have now: whoever has none left is not among them.
    """

    approvals: Mapping[str, list[Approval]]
    people: Mapping[str, Principal]


def insert(tx: Tx, deployment_id: str, approval: Approval) -> None:
    tx.run(_INSERT, deployment_id=deployment_id, **approval.model_dump(mode="json", exclude={"by_name"}))


def of(tx: Tx, deployment_id: str) -> tuple[Approval, ...]:
    """Every decision about one deployment, oldest first, the void ones too."""
    return tuple(Approval.model_validate(row) for row in tx.all(_OF, deployment_id=deployment_id))


def decisions(tx: Tx, service: str, environment: str, now: int) -> Decisions:
    approvals: dict[str, list[Approval]] = {}
    rows = tx.all(_IN_LANE, service=service, environment=environment)
    for row in rows:
        approvals.setdefault(row["deployment_id"], []).append(
            Approval.model_validate({name: row[name] for name in Approval.model_fields})
        )
    return Decisions(approvals, standing(tx, [row["by"] for row in rows], now))


def void(tx: Tx, deployment_id: str, reason: str, now: int, by: str | None = None) -> None:
    """Let nothing that was decided about a deployment count any more, or nothing of what `by` decided."""
    values = {"of_deployment": deployment_id, "moment": now, "why": reason}
    if by is None:
        tx.run(_VOID, **values)
    else:
        tx.run(_VOID_BY, **values, of_by=by)


def successes(
    tx: Tx, service: str, environment: str, commit: str = ""
) -> Mapping[str, Mapping[Environment, Success]]:
    """Where `commit` and those that wait in a lane went well and still stand: by commit and environment.

    Of several it is the first one that counts for the time since then, and the newest one for its outputs.
    Those before a try that was rolled back count no more.
    """
    found: dict[str, dict[Environment, Success]] = {}
    undone: set[tuple[str, Environment]] = set()
    for row in tx.all(_SUCCESSES, service=service, environment=environment, commit=commit):
        tiers = found.setdefault(row["commit_sha"], {})
        tier = Environment(row["environment"])
        if row["status"] == "rolled_back":
            undone.add((row["commit_sha"], tier))
        if (row["commit_sha"], tier) in undone:
            continue
        outputs = tiers[tier].outputs if tier in tiers else json.loads(row["outputs"])
        tiers[tier] = Success(row["id"], row["completed_at"], outputs)
    return found


def failures(tx: Tx, service: str, environment: str, most: int = 100) -> int:
    """How many runs in a row have failed in a lane, counted from the newest; at most `most`."""
    rows = tx.all(_ENDS, service=service, environment=environment, limit=most)
    return next((at for at, row in enumerate(rows) if row["status"] == "success"), len(rows))


def missing_keys(tx: Tx, environment: str, other: str) -> tuple[str, ...]:
    """What `other` is configured with and `environment` is not, by key."""
    return tuple(row["key"] for row in tx.all(_MISSING, here=environment, there=other))


def kind(tx: Tx, principal_id: str) -> str | None:
    """What a principal is: person, service or system; None for one without a record."""
    row = tx.one(_KIND, principal=principal_id)
    return str(row["kind"]) if row else None
