"""Where a rollback goes and what stands in its way: for automatic ones and for those that people ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dg.core.access.models import Principal
from dg.core.database import Tx
from dg.core.deployments import lanes, store
from dg.core.deployments.models import BEGAN, Deployment, Kind, RequestRollback, Status
from dg.core.errors import Refused


@dataclass(frozen=True)
class Wish:
    """A rollback that may be made: from `bad` to `target`."""

    bad: Deployment
    target: Deployment


@dataclass(frozen=True)
class Prospect:
    """What a rollback would do, `wish` None when there is nothing to go back to. `crossing` names the steps
    since its target that cannot be undone, `objections` say why it may not be made, the first one first."""

    wish: Wish | None
    crossing: tuple[str, ...]
    objections: tuple[Refused, ...]


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
        if not step.reversible and step.status in BEGAN
    ]
    return tuple(dict.fromkeys(names))


def wish(tx: Tx, facts: lanes.Facts, request: RequestRollback, bad_id: str | None) -> Wish:
    """What a person's request means in this lane now. Raises Refused with the way out."""
    found = prospect(tx, facts, request, bad_id)
    if found.wish is None or found.objections:
        raise found.objections[0]
    return found.wish


def prospect(tx: Tx, facts: lanes.Facts, request: RequestRollback, bad_id: str | None = None) -> Prospect:
    """What a rollback of this lane would do now, with everything that stands in its way."""
    if waits := passing(facts, request):
        made = Wish(store.require(tx, waits.rollback_of or ""), store.require(tx, waits.target or ""))
        return Prospect(made, irreversible(tx, made.target), ())
    bad = facts.current or _last_effect(tx, facts)
    lane = (facts.service, facts.environment)
    target = choose_target(tx, lane, facts.current.commit_sha if facts.current else None) if bad else None
    crossing = irreversible(tx, target) if target else ()
    objections = (
        _somebody_is_there(facts),
        _one_waits(facts),
        _not_current(facts, bad, bad_id),
        _not_the_target(facts, bad, target, request),
        _hand_closed(facts, request),
        _crosses(target, crossing, request),
    )
    return Prospect(
        wish=Wish(bad, target) if bad and target else None,
        crossing=crossing,
        objections=tuple(filter(None, objections)),
    )


def _last_effect(tx: Tx, facts: lanes.Facts) -> Deployment | None:
    effects = store.effects_since(tx, facts.service, facts.environment, 0)
    return effects[-1] if effects else None


def passing(facts: lanes.Facts, request: RequestRollback) -> Deployment | None:
    """The rollback that waits already, when the request only gives it the reason to pass what holds it."""
    return waiting(facts) if request.override is not None else None


def waiting(facts: lanes.Facts) -> Deployment | None:
    """The rollback that waits in this lane already, if one does."""
    return next((deployment for deployment in facts.queue if deployment.kind is Kind.ROLLBACK), None)


def _somebody_is_there(facts: lanes.Facts) -> Refused | None:
    if facts.holder is None or facts.holder.status is Status.PENDING:
        return None
    return Refused(
        f"{lanes.explain(facts)} --then-rollback stops it and rolls back in one.",
        reason="lane_busy",
    )


def _one_waits(facts: lanes.Facts) -> Refused | None:
    found = waiting(facts)
    if found is None:
        return None
    return Refused(
        f"rollback #{found.number} to {found.version} waits in this lane already; "
        "a reason lets it pass a lock or a freeze: --override REASON",
        reason="rollback_waits",
        deployment=found.id,
    )


def _not_current(facts: lanes.Facts, bad: Deployment | None, bad_id: str | None) -> Refused | None:
    if bad is None or bad_id in (None, bad.id):
        return None
    return Refused(
        f"deployment {bad_id} is not what runs in {_name(facts)}; #{bad.number} ({bad.version}) is. "
        f"Roll back the lane: dg rollback {facts.service} --env {facts.environment}",
        reason="not_current",
    )


def _not_the_target(
    facts: lanes.Facts, bad: Deployment | None, target: Deployment | None, request: RequestRollback
) -> Refused | None:
    name = _name(facts)
    if bad is None:
        return Refused(
            f"nothing was deployed to {name} yet, so there is nothing to roll back", reason="no_target"
        )
    if target is None:
        return Refused(f"{name} has no earlier good version to go back to; deploy one", reason="no_target")
    if request.target in (None, target.id):
        return None
    return Refused(
        f"a rollback of {name} goes to #{target.number} ({target.version}); "
        f"any other version is deployed: dg deploy {facts.service} REF --env {facts.environment}",
        reason="not_the_target",
        target=target.id,
    )


def _hand_closed(facts: lanes.Facts, request: RequestRollback) -> Refused | None:
    if not facts.closed_by_hand or request.override is not None:
        return None
    return Refused(
        f"{lanes.explain(facts).rstrip('.')}. A rollback may pass it with a reason: --override REASON",
        reason="lane_closed",
    )


def _crosses(
    target: Deployment | None, crossing: tuple[str, ...], request: RequestRollback
) -> Refused | None:
    if target is None or not crossing or request.cross_irreversible:
        return None
    steps = ", ".join(f"`{name}`" for name in crossing)
    return Refused(
        f"going back to {target.version} crosses the irreversible step {steps}; "
        "agree with --cross-irreversible if the old version can live with what it did",
        reason="irreversible",
        steps=list(crossing),
    )


def _name(facts: lanes.Facts) -> str:
    return f"{facts.service}/{facts.environment}"


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
