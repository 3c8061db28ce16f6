"""Where a rollback goes and what stands in its way: for automatic ones and for those that people ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dg.core.access.models import Principal
from dg.core.database import Tx
from dg.core.deployments import lanes, store
from dg.core.deployments.models import Deployment, Kind, RequestRollback, Status, StepStatus
from dg.core.errors import Refused

_BEGAN = (StepStatus.RUNNING, StepStatus.SUCCESS, StepStatus.FAILED)


@dataclass(frozen=True)
class Wish:
    """A rollback that may be made: from `bad` to `target`."""

    bad: Deployment
    target: Deployment


def choose_target(tx: Tx, lane: tuple[str, str], without: str | None) -> Deployment | None:
    """The newest unblocked success of the lane whose commit is not `without`."""
    out = {block.commit_sha for block in store.blocks(tx, *lane)} | {without}
    return next((found for found in store.successes(tx, *lane) if found.commit_sha not in out), None)


def irreversible(tx: Tx, target: Deployment) -> tuple[str, ...]:
    """Names of the steps marked `reversible = false` that ran after `target` did."""
    names = [
        step.name
        for deployment in store.effects_since(tx, *target.lane, target.number)
        if deployment.kind is not Kind.ROLLBACK
        for step in store.steps(tx, deployment.id)
        if not step.reversible and step.status in _BEGAN
    ]
    return tuple(dict.fromkeys(names))


def wish(tx: Tx, facts: lanes.Facts, request: RequestRollback, bad_id: str | None) -> Wish:
    """What a person's request means in this lane now. Raises Refused with the way out."""
    name = f"{facts.service}/{facts.environment}"
    _check_nobody_is_there(facts)
    bad = facts.current or _last_effect(tx, facts)
    if bad is None:
        raise Refused(
            f"nothing was deployed to {name} yet, so there is nothing to roll back", reason="no_target"
        )
    if bad_id not in (None, bad.id):
        raise Refused(
            f"deployment {bad_id} is not what runs in {name}; #{bad.number} ({bad.version}) is. "
            f"Roll back the lane: dg rollback {facts.service} --env {facts.environment}",
            reason="not_current",
        )
    lane = (facts.service, facts.environment)
    target = choose_target(tx, lane, facts.current.commit_sha if facts.current else None)
    if target is None:
        raise Refused(f"{name} has no earlier good version to go back to; deploy one", reason="no_target")
    if request.target not in (None, target.id):
        raise Refused(
            f"a rollback of {name} goes to #{target.number} ({target.version}); "
            f"any other version is deployed: dg deploy {facts.service} REF --env {facts.environment}",
            reason="not_the_target",
            target=target.id,
        )
    _check_hand_closed(facts, request)
    _check_irreversible(tx, target, request)
    return Wish(bad, target)


def _last_effect(tx: Tx, facts: lanes.Facts) -> Deployment | None:
    effects = store.effects_since(tx, facts.service, facts.environment, 0)
    return effects[-1] if effects else None


def waiting(facts: lanes.Facts) -> Deployment | None:
    """The rollback that waits in this lane already, if one does."""
    return next((deployment for deployment in facts.queue if deployment.kind is Kind.ROLLBACK), None)


def _check_nobody_is_there(facts: lanes.Facts) -> None:
    if facts.holder and facts.holder.status is not Status.PENDING:
        raise Refused(
            f"{lanes.explain(facts)} --then-rollback stops it and rolls back in one.",
            reason="lane_busy",
        )
    if found := waiting(facts):
        raise Refused(
            f"rollback #{found.number} to {found.version} waits in this lane already; "
            "a reason lets it pass a lock or a freeze: --override REASON",
            reason="rollback_waits",
            deployment=found.id,
        )


def _check_hand_closed(facts: lanes.Facts, request: RequestRollback) -> None:
    lock = facts.active_lock
    closed = facts.active_freeze is not None or (lock is not None and not lock.automatic)
    if closed and request.override is None:
        raise Refused(
            f"{lanes.explain(facts)} A rollback may pass it with a reason: --override REASON",
            reason="lane_closed",
        )


def _check_irreversible(tx: Tx, target: Deployment, request: RequestRollback) -> None:
    crossing = irreversible(tx, target)
    if crossing and not request.cross_irreversible:
        steps = ", ".join(f"`{name}`" for name in crossing)
        raise Refused(
            f"going back to {target.version} crosses the irreversible step {steps}; "
            "agree with --cross-irreversible if the old version can live with what it did",
            reason="irreversible",
            steps=list(crossing),
        )


def plan(
    bad: Deployment,
    target: Deployment,
    new_id: str,
    now: int,
    by: Principal,
    *,
    note: str | None = None,
    override: str | None = None,
) -> Deployment:
    """The deployment that puts `target` back: its own snapshot and outputs, nothing is built."""
    return Deployment(
        id=new_id,
        number=0,
        service=bad.service,
        environment=bad.environment,
        kind=Kind.ROLLBACK,
        status=Status.PENDING,
        stage="queued",
        version=target.version,
        commit_sha=target.commit_sha,
        ref=target.ref,
        base_sha=bad.commit_sha,
        rollback_of=bad.id,
        target=target.id,
        note=note,
        override=override,
        created_by=by.id,
        created_at=now,
        queued_at=now,
        pipeline_sha256=target.pipeline_sha256,
        outputs=target.outputs,
    )
