"""The life of a deployment as transactions: start, advance, end. Called by the service and the dispatcher.

Every function takes the open transaction and makes rows and facts true together. What awaits (git, secrets,
the runner) happens outside; these are the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dg.core import events
from dg.core.access.models import SYSTEM, Principal
from dg.core.database import Tx
from dg.core.deployments import lanes, pipeline, rollbacks, store
from dg.core.deployments.models import (
    Deployment,
    Kind,
    Lock,
    Reason,
    Status,
    Step,
    StepStatus,
)
from dg.core.errors import Invalid, Refused

_SECOND = 1_000_000
_NEEDS_EYES = 24 * 3600 * _SECOND
"""How long a lane stays locked when nobody knows what runs there: until a person looked, or a day."""


@dataclass(frozen=True)
class Ending:
    """How a run ended, as its runner or the server that found it says."""

    outcome: str
    """success, failed or cancelled"""
    reason: Reason | None = None
    message: str | None = None
    touched: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict)


# --- what a lane looks like ----------------------------------------------------------------------


def facts(tx: Tx, service: str, environment: str, now: int, *, queue: bool = True) -> lanes.Facts:
    """Everything that decides about a lane at `now`; without its queue, which may be long, on demand."""
    row = store.lane(tx, service, environment)
    return lanes.Facts(
        service=service,
        environment=environment,
        now=now,
        lock=store.lock_of(row),
        freezes=store.freezes(tx),
        holder=store.find(tx, row["holder"]) if row["holder"] else None,
        current=store.find(tx, row["current"]) if row["current"] else None,
        known=bool(row["known"]),
        queue=store.queue(tx, service, environment) if queue else (),
    )


# --- starting ------------------------------------------------------------------------------------


def start_next(tx: Tx, service: str, environment: str, now: int, samples: int) -> Deployment | None:
    """Give the lane to whoever is next; None when nobody may start. Facts: DeploymentStarted.

    Whoever may not start any more ends here, and the one behind it is looked at.
    """
    while chosen := lanes.next_up(lane := facts(tx, service, environment, now)):
        try:
            plan = _admitted(tx, chosen)
        except Invalid as problem:
            fail_pending(tx, chosen, Reason.GATE, problem.message, now, SYSTEM)
        else:
            return _start(tx, chosen, plan, lane, now, samples)
    return None


def _admitted(tx: Tx, chosen: Deployment) -> pipeline.Pipeline:
    """What it will run. Raises Invalid when its version was blocked, or dg renewed, while it waited."""
    row = store.block(tx, *chosen.lane, chosen.commit_sha)
    if row and chosen.kind is not Kind.ROLLBACK:
        raise Refused(blocked_sentence(row["version"], row["reason"]), reason="version_blocked")
    try:
        return pipeline.parse(store.snapshot(tx, chosen.pipeline_sha256))
    except Invalid as problem:
        raise Invalid(f"this dg cannot read the pipeline it was made with: {problem.message}") from None


def blocked_sentence(version: str, reason: str) -> str:
    """Why a blocked version is refused."""
    return f"{version} is blocked here: {reason.rstrip('.')}. Deploy a commit that mends it."


def _start(
    tx: Tx, chosen: Deployment, plan: pipeline.Pipeline, lane: lanes.Facts, now: int, samples: int
) -> Deployment:
    kind = kind_of(chosen, lane.current)
    outputs = lane.current.outputs if kind is Kind.REDEPLOY and lane.current else chosen.outputs
    planned = [step for step in plan.steps if step.runs_on(kind)]
    steps = _expected(tx, chosen, kind, planned, samples)
    building = bool(steps) and steps[0].phase == "build"
    status = Status.BUILDING if building else Status.DEPLOYING
    base = lane.current.commit_sha if lane.current else None
    started = store.move(
        tx,
        chosen,
        status,
        kind=kind.value,
        stage="starting",
        base_sha=base,
        outputs=dict(outputs),
        epoch=chosen.epoch + 1,
        started_at=now,
        deploying_at=None if building else now,
        spool_seq=0,
    )
    store.replace_steps(tx, chosen.id, steps)
    store.set_lane(tx, *chosen.lane, holder=chosen.id)
    tx.append(
        events.DeploymentStarted(**_about(started), status=status.value, epoch=started.epoch), by=SYSTEM
    )
    return started


def kind_of(deployment: Deployment, current: Deployment | None) -> Kind:
    """A deploy of exactly what already runs is a redeploy: it reuses what was built."""
    if deployment.kind is Kind.ROLLBACK:
        return Kind.ROLLBACK
    same = current is not None and (
        (current.commit_sha, current.pipeline_sha256) == (deployment.commit_sha, deployment.pipeline_sha256)
    )
    return Kind.REDEPLOY if same else Kind.DEPLOY


def _expected(
    tx: Tx, chosen: Deployment, kind: Kind, planned: Sequence[pipeline.Step], samples: int
) -> list[Step]:
    history = store.durations(tx, *chosen.lane, kind.value, samples * max(len(planned), 1))
    return [
        Step(
            index=index,
            name=step.name,
            phase=step.phase,
            reversible=step.reversible,
            expected=_median(history.get(step.name, [])[:samples]),
        )
        for index, step in enumerate(planned)
    ]


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def updated(deployment: Deployment, changed: list[str]) -> events.DeploymentUpdated:
    """The fact that a pending deployment was changed."""
    return events.DeploymentUpdated(**_about(deployment), changed=changed)


def request_cancel(
    tx: Tx, deployment: Deployment, now: int, by: Principal, *, then_rollback: bool
) -> Deployment:
    """Note that a running deployment is to stop; a second wish may add the rollback. DeploymentCancelling."""
    if deployment.cancel_requested_at is not None and (deployment.cancel_then_rollback or not then_rollback):
        return deployment
    asked = store.change(
        tx,
        deployment,
        cancel_requested_at=deployment.cancel_requested_at or now,
        cancel_then_rollback=then_rollback,
    )
    tx.append(events.DeploymentCancelling(**_about(asked), then_rollback=then_rollback), by=by)
    return asked


def requeue(tx: Tx, deployment: Deployment) -> Deployment:
    """Back to the queue: its start provably ran no step. The epoch it had is void. DeploymentAdvanced."""
    store.set_lane(tx, *deployment.lane, holder=None)
    changes = {"stage": "queued", "started_at": None, "deploying_at": None, "spool_seq": 0}
    return _apply(tx, deployment, Status.PENDING, changes)


def adopt(tx: Tx, deployment: Deployment) -> Deployment:
    """A server took over a live run; the epoch fences the writes of the one before it."""
    adopted = store.change(tx, deployment, epoch=deployment.epoch + 1)
    tx.append(events.DeploymentAdopted(**_about(adopted), epoch=adopted.epoch), by=SYSTEM)
    return adopted


# --- advancing -----------------------------------------------------------------------------------


def advance(tx: Tx, deployment: Deployment, happened: Sequence[Mapping[str, Any]]) -> Deployment:
    """Apply what a runner reported, each event once. Facts: StepStarted, StepFinished, DeploymentAdvanced."""
    for event in happened:
        if event["n"] > deployment.spool_seq:
            changes: dict[str, Any] = {"spool_seq": event["n"]}
            status = deployment.status
            if event["event"] == "checkout_started":
                changes["stage"] = "checkout"
            elif event["event"] == "step_started":
                status = _step_started(tx, deployment, event, changes)
            elif event["event"] == "step_ended":
                _step_ended(tx, deployment, event, changes)
            elif event["event"] == "step_skipped":
                store.set_step(tx, deployment.id, event["index"], status=StepStatus.SKIPPED)
            deployment = _apply(tx, deployment, status, changes)
    return deployment


def _apply(tx: Tx, deployment: Deployment, status: Status, changes: dict[str, Any]) -> Deployment:
    if status is deployment.status:
        return store.change(tx, deployment, **changes)
    moved = store.move(tx, deployment, status, **changes)
    tx.append(events.DeploymentAdvanced(**_about(moved), status=status.value), by=SYSTEM)
    return moved


def _step_started(
    tx: Tx, deployment: Deployment, event: Mapping[str, Any], changes: dict[str, Any]
) -> Status:
    step = store.set_step(tx, deployment.id, event["index"], status=StepStatus.RUNNING, started_at=event["t"])
    if step is None:
        return deployment.status
    changes["stage"] = step.name
    if step.phase == "deploy":
        changes["touched"] = True
    tx.append(
        events.StepStarted(**_about(deployment), step=step.name, index=step.index, phase=step.phase),
        by=SYSTEM,
    )
    if step.phase == "build" or deployment.status is not Status.BUILDING:
        return deployment.status
    changes["deploying_at"] = event["t"]
    changes["build_time"] = _seconds(deployment.started_at, event["t"])
    return Status.DEPLOYING


def _step_ended(tx: Tx, deployment: Deployment, event: Mapping[str, Any], changes: dict[str, Any]) -> None:
    detail = None if event["ok"] else event.get("detail")
    step = store.set_step(
        tx,
        deployment.id,
        event["index"],
        status=StepStatus.SUCCESS if event["ok"] else StepStatus.FAILED,
        completed_at=event["t"],
        seconds=event["seconds"],
        reason=event.get("reason"),
        detail=detail,
    )
    if step is None:
        return
    changes["outputs"] = {**deployment.outputs, **event.get("outputs", {})}
    tx.append(
        events.StepFinished(
            **_about(deployment),
            step=step.name,
            index=step.index,
            phase=step.phase,
            ok=event["ok"],
            seconds=event["seconds"],
            reason=event.get("reason"),
            detail=detail,
        ),
        by=SYSTEM,
    )


# --- ending --------------------------------------------------------------------------------------


def conclude(tx: Tx, deployment: Deployment, ending: Ending, now: int, rollback_id: str) -> Deployment:
    """End an active deployment, settle its lane, and hand the lane to an automatic rollback when one is due.

    `rollback_id` is the id that such a rollback gets. Facts: DeploymentFinished and what follows from it.
    """
    if ending.outcome == "success":
        ended = _succeed(tx, deployment, ending, now)
        if not ended.cancel_then_rollback:
            return ended
    else:
        ended = _fail(tx, deployment, ending, now)
    _after_failure(tx, ended, now, rollback_id)
    return ended


def _succeed(tx: Tx, deployment: Deployment, ending: Ending, now: int) -> Deployment:
    ended = store.move(
        tx,
        deployment,
        Status.SUCCESS,
        outputs={**deployment.outputs, **ending.outputs},
        **_closing(deployment, now),
    )
    store.set_lane(tx, *ended.lane, holder=None, current=ended.id, known=True)
    _finished(tx, ended, now)
    if ended.kind is Kind.ROLLBACK:
        _undo(tx, ended, now)
    return ended


def _undo(tx: Tx, rollback: Deployment, now: int) -> None:
    """The rollback went well: what came after its target is rolled back, the bad version stays out."""
    target = store.require(tx, rollback.target or "")
    for undone in store.effects_since(tx, *rollback.lane, target.number):
        if undone.id != rollback.id:
            moved = store.move(tx, undone, Status.ROLLED_BACK, rolled_back_by=rollback.id)
            tx.append(events.DeploymentRolledBack(**_about(moved), rolled_back_by=rollback.id), by=SYSTEM)
    bad = store.require(tx, rollback.rollback_of or "")
    why = bad.message or rollback.note or "it was rolled back by hand"
    sentence = f"{bad.version} was rolled back to {rollback.version}: {why}"
    _block(tx, bad, rollback.commit_sha, why, now)
    _lock(tx, bad, sentence, now, _policy(tx, bad).lock)


def _fail(tx: Tx, deployment: Deployment, ending: Ending, now: int) -> Deployment:
    touched = deployment.touched or ending.touched
    ended = store.move(
        tx,
        deployment,
        Status.FAILED,
        reason=(ending.reason or Reason.STEP_FAILED).value,
        message=ending.message,
        touched=touched,
        outputs={**deployment.outputs, **ending.outputs},
        **_closing(deployment, now),
    )
    store.set_lane(tx, *ended.lane, holder=None)
    if touched:
        store.set_lane(tx, *ended.lane, current=None, known=False)
    _close_steps(tx, ended, now)
    _finished(tx, ended, now)
    return ended


def _closing(deployment: Deployment, now: int) -> dict[str, Any]:
    return {
        "stage": "finished",
        "completed_at": now,
        "build_time": deployment.build_time
        or _seconds(deployment.started_at, deployment.deploying_at or now),
        "deploy_time": _seconds(deployment.deploying_at, now),
    }


def _close_steps(tx: Tx, deployment: Deployment, now: int) -> None:
    """No step of an ended deployment is left running or waiting."""
    for step in store.steps(tx, deployment.id):
        if step.status is StepStatus.RUNNING:
            store.set_step(
                tx,
                deployment.id,
                step.index,
                status=StepStatus.FAILED,
                completed_at=now,
                seconds=_seconds(step.started_at, now),
                reason=deployment.reason,
                detail=deployment.message,
            )
        elif step.status is StepStatus.PENDING:
            store.set_step(tx, deployment.id, step.index, status=StepStatus.SKIPPED)


def _after_failure(tx: Tx, failed: Deployment, now: int, rollback_id: str) -> None:
    """Decide what follows in the transaction that fails the deployment, so that nobody slips in between."""
    if failed.kind is Kind.ROLLBACK:
        _rollback_failed(tx, failed, now)
        return
    if failed.status is Status.FAILED and not failed.touched:
        return
    if not _rolls_back(tx, failed):
        if failed.reason is Reason.INTERRUPTED:
            _lock(tx, failed, f"{failed.version} was interrupted midway; look before you deploy", now, None)
        return
    why = failed.message or "it was cancelled"
    target = rollbacks.choose_target(tx, failed.lane, failed.commit_sha)
    crossing = rollbacks.irreversible(tx, target) if target else ()
    if target is None:
        _decline(
            tx, failed, f"{failed.version} failed and there is no earlier version to roll back to: {why}", now
        )
    elif crossing:
        steps = ", ".join(f"`{name}`" for name in crossing)
        _decline(
            tx,
            failed,
            f"{failed.version} failed and going back to {target.version} would cross the irreversible step "
            f"{steps}: {why}. Agree with: dg rollback {failed.service} --env {failed.environment} "
            "--cross-irreversible",
            now,
        )
    else:
        _lock(
            tx,
            failed,
            f"{failed.version} failed and is being rolled back: {why}",
            now,
            _policy(tx, failed).lock,
        )
        _block(tx, failed, target.commit_sha, why, now)
        rollback = rollbacks.plan(failed, target, rollback_id, now, SYSTEM)
        store.set_lane(tx, *failed.lane, holder=create(tx, rollback, SYSTEM).id)


def _rollback_failed(tx: Tx, failed: Deployment, now: int) -> None:
    """It never cascades: where nobody knows what runs, the lane stays closed until somebody looked."""
    if not store.lane(tx, *failed.lane)["known"]:
        _lock(tx, failed, f"the rollback to {failed.version} failed: {failed.message}", now, None)


def _rolls_back(tx: Tx, failed: Deployment) -> bool:
    if failed.cancel_then_rollback:
        return True
    auto = _policy(tx, failed).auto
    if failed.reason is Reason.VERIFY_FAILED:
        return auto in ("verify_failed", "failed")
    return auto == "failed" and failed.reason not in (Reason.CANCELLED, Reason.INTERRUPTED)


def _decline(tx: Tx, failed: Deployment, message: str, now: int) -> None:
    _lock(tx, failed, message, now, None)
    tx.append(events.RollbackDeclined(**_about(failed), message=message), by=SYSTEM)


def _policy(tx: Tx, deployment: Deployment) -> pipeline.Rollback:
    return pipeline.parse(store.snapshot(tx, deployment.pipeline_sha256)).rollback


def _lock(tx: Tx, bad: Deployment, reason: str, now: int, seconds: float | None) -> None:
    """Close the lane automatically, 0 opens it; a lock by hand stays. None: until somebody looked."""
    length = _NEEDS_EYES if seconds is None else int(seconds * _SECOND)
    found = store.lock_of(store.lane(tx, *bad.lane))
    if found and not found.automatic and found.until > now:
        return
    if length == 0:
        _open(tx, bad, found)
        return
    lock = Lock(reason=reason, automatic=True, by=SYSTEM.name, since=now, until=now + length)
    store.set_lock(tx, *bad.lane, lock)
    service, environment = bad.lane
    tx.append(
        events.LaneLocked(
            service=service, environment=environment, reason=reason, automatic=True, until=lock.until
        ),
        by=SYSTEM,
    )


def _open(tx: Tx, bad: Deployment, lock: Lock | None) -> None:
    if lock is not None:
        service, environment = bad.lane
        store.set_lock(tx, service, environment, None)
        tx.append(events.LaneOpened(service=service, environment=environment, what="lock"), by=SYSTEM)


def _block(tx: Tx, bad: Deployment, good_commit: str, reason: str, now: int) -> None:
    if bad.commit_sha == good_commit or store.block(tx, *bad.lane, bad.commit_sha):
        return
    service, environment = bad.lane
    about = {"service": service, "environment": environment, "version": bad.version, "reason": reason}
    store.insert_block(tx, **about, commit_sha=bad.commit_sha, deployment=bad.id, at=now)
    tx.append(events.VersionBlocked(**about, commit=bad.commit_sha, deployment=bad.id), by=SYSTEM)


# --- creating ------------------------------------------------------------------------------------


def create(tx: Tx, deployment: Deployment, by: Principal) -> Deployment:
    """Keep a new deployment. Facts: DeploymentCreated."""
    created = store.insert(tx, deployment)
    tx.append(
        events.DeploymentCreated(
            **_about(created),
            kind=created.kind.value,
            version=created.version,
            commit=created.commit_sha,
            ref=created.ref,
            rollback_of=created.rollback_of,
            target=created.target,
            note=created.note,
            override=created.override,
        ),
        by=by,
    )
    return created


# --- before it started ---------------------------------------------------------------------------


def fail_pending(
    tx: Tx, deployment: Deployment, reason: Reason, message: str, now: int, by: Principal
) -> Deployment:
    """End a deployment that never started. Facts: DeploymentFinished."""
    if deployment.status is not Status.PENDING:
        raise Refused(f"deployment {deployment.id} is {deployment.status}, not pending", reason="not_pending")
    if store.lane(tx, *deployment.lane)["holder"] == deployment.id:
        store.set_lane(tx, *deployment.lane, holder=None)
    ended = store.move(
        tx,
        deployment,
        Status.FAILED,
        reason=reason.value,
        message=message,
        stage="finished",
        completed_at=now,
    )
    _finished(tx, ended, now, by)
    if ended.kind is Kind.ROLLBACK:
        _rollback_failed(tx, ended, now)
    return ended


def _finished(tx: Tx, ended: Deployment, now: int, by: Principal = SYSTEM) -> None:
    tx.append(
        events.DeploymentFinished(
            **_about(ended),
            status=ended.status.value,
            reason=ended.reason.value if ended.reason else None,
            message=ended.message,
            touched=ended.touched,
            duration=_seconds(ended.started_at, now) or 0.0,
        ),
        by=by,
    )


def _about(deployment: Deployment) -> dict[str, Any]:
    service, environment = deployment.lane
    return {"deployment": deployment.id, "service": service, "environment": environment}


def _seconds(begin: int | None, end: int | None) -> float | None:
    return None if begin is None or end is None else max(0.0, (end - begin) / _SECOND)
