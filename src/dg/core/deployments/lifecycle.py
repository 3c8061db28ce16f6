"""The life of a deployment as transactions, until it ends: create, start, advance, give up before a start.

Every function takes the open transaction and makes rows and facts true together. What awaits (git, secrets,
the runner) happens outside; these are the rules.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dg.core import events
from dg.core.access.models import SYSTEM, Principal
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import lanes, pipeline, progress, quarantine, receipts, retries, store
from dg.core.deployments.gates import keeper
from dg.core.deployments.gates import store as gate_store
from dg.core.deployments.models import (
    Deployment,
    Gate,
    Kind,
    Reason,
    Status,
    Step,
    StepStatus,
)
from dg.core.errors import Invalid, Refused

# --- what a lane looks like ----------------------------------------------------------------------


def facts(tx: Tx, service: str, environment: str, now: int, *, queue: bool = True) -> lanes.Facts:
    """Everything that decides about a lane at `now`; without its queue, which may be long, on demand."""
    row = store.lane(tx, service, environment)
    lane = lanes.Facts(
        service=service,
        environment=environment,
        now=now,
        lock=store.lock_of(row),
        freezes=store.freezes(tx),
        holder=store.find(tx, row["holder"]) if row["holder"] else None,
        left=store.find(tx, row["left_by"]) if row["left_by"] else None,
        current=store.find(tx, row["current"]) if row["current"] else None,
        known=bool(row["known"]),
        queue=store.queue(tx, service, environment) if queue else (),
    )
    return judged(tx, lane)


def judged(tx: Tx, lane: lanes.Facts) -> lanes.Facts:
    """The same lane with the gates of all in its queue that have any."""
    return replace(lane, gates=keeper.judged(tx, lane)) if any(d.guard for d in lane.queue) else lane


def view(tx: Tx, deployment: Deployment, now: int) -> Deployment:
    """A deployment with all that is known of it: what it waits for, its gates, what people decided."""
    approvals = gate_store.of(tx, deployment.id) if deployment.guard else None
    if deployment.status is not Status.PENDING:
        return deployment.model_copy(update={"approvals": approvals})
    lane = facts(tx, *deployment.lane, now)
    found = deployment.model_copy(update={"hold": lanes.hold(lane, deployment), "approvals": approvals})
    if deployment.guard is None:
        return found
    judged = {"gates": lane.gates[deployment.id], "content": keeper.content_of(lane, deployment)}
    return found.model_copy(update=judged)


# --- starting ------------------------------------------------------------------------------------


def start_next(tx: Tx, service: str, environment: str, now: int, samples: int) -> Deployment | None:
    """Give the lane to whoever is next; None when nobody may start. Facts: DeploymentStarted.

    Whoever may not start any more ends here, and the one behind it is looked at.
    """
    lane = facts(tx, service, environment, now)
    if supersede(tx, lane):
        lane = facts(tx, service, environment, now)
    while chosen := lanes.next_up(lane):
        try:
            plan = _admitted(tx, chosen)
        except Invalid as problem:
            fail_pending(tx, chosen, Reason.GATE, problem.message, now, SYSTEM)
            lane = facts(tx, service, environment, now)
        else:
            return _start(tx, chosen, plan, lane, now, samples)
    return None


def _admitted(tx: Tx, chosen: Deployment) -> pipeline.Pipeline:
    """What it will run. Raises Invalid when its version was blocked, or dg renewed, while it waited."""
    block = store.block(tx, *chosen.lane, chosen.commit_sha)
    if block and chosen.kind is not Kind.ROLLBACK:
        raise Refused(lanes.blocked(block), reason="version_blocked")
    retries.check_still_newest(tx, chosen)
    try:
        return pipeline.parse(store.snapshot(tx, chosen.pipeline_sha256))
    except Invalid as problem:
        raise Invalid(f"this dg cannot read the pipeline it was made with: {problem.message}") from None


def _start(
    tx: Tx, chosen: Deployment, plan: pipeline.Pipeline, lane: lanes.Facts, now: int, samples: int
) -> Deployment:
    kind = kind_of(chosen, lane.current)
    fresh = chosen.retry_of is None
    outputs = lane.current.outputs if fresh and kind is Kind.REDEPLOY and lane.current else chosen.outputs
    planned = plan.running(kind)
    steps = retries.reuse(tx, chosen, expected(tx, chosen.lane, kind, planned, samples))
    to_run = [step for step in steps if step.status is StepStatus.PENDING]
    building = bool(to_run) and to_run[0].phase == "build"
    status = Status.BUILDING if building else Status.DEPLOYING
    base = lane.current.commit_sha if lane.current else None if fresh else chosen.base_sha
    started = store.move(
        tx,
        chosen,
        status,
        kind=kind.value,
        stage="starting",
        base_sha=base,
        outputs=dict(outputs),
        touched=retries.builds_on_effects(steps),
        epoch=chosen.epoch + 1,
        started_at=now,
        deploying_at=None if building else now,
        spool_seq=0,
        gates=_kept(lane.gates.get(chosen.id)),
    )
    store.replace_steps(tx, chosen.id, steps)
    store.set_lane(tx, *chosen.lane, holder=chosen.id)
    tx.append(
        events.DeploymentStarted(**started.identity, status=status.value, epoch=started.epoch), by=SYSTEM
    )
    return started


def _kept(gates: Sequence[Gate] | None) -> str | None:
    """The gates as they were judged in the transaction that starts the deployment."""
    return None if gates is None else json.dumps([gate.model_dump(mode="json") for gate in gates])


def supersede(tx: Tx, lane: lanes.Facts) -> bool:
    """Where only the latest is wanted, end those before the newest one that is ready. DeploymentFinished.

    What is ready has the approvals that it needs, so nobody's approved deployment yields to one without.
    """
    ready = [d for d in lane.queue if d.kind is not Kind.ROLLBACK and lanes.ready(lane, d)]
    newest = max(ready, key=lambda deployment: deployment.number, default=None)
    if newest is None or newest.guard is None or newest.guard.queue != "latest":
        return False
    older = [d for d in lane.queue if d.kind is not Kind.ROLLBACK and d.number < newest.number]
    for deployment in older:
        why = f"#{newest.number} ({newest.version}) took its place: {lane.environment} takes only the latest"
        fail_pending(tx, deployment, Reason.SUPERSEDED, why, lane.now, SYSTEM)
    return bool(older)


def kind_of(deployment: Deployment, current: Deployment | None) -> Kind:
    """A deploy of exactly what already runs is a redeploy: it reuses what was built."""
    if deployment.kind is Kind.ROLLBACK or deployment.retry_of is not None:
        return deployment.kind
    same = current is not None and (
        (current.commit_sha, current.pipeline_sha256) == (deployment.commit_sha, deployment.pipeline_sha256)
    )
    return Kind.REDEPLOY if same else Kind.DEPLOY


def expected(
    tx: Tx, lane: tuple[str, str], kind: Kind, planned: Sequence[pipeline.Step], samples: int
) -> list[Step]:
    """The steps of a run that has not begun, with how long each took there before (median of `samples`)."""
    history = store.durations(tx, *lane, kind.value, samples * max(len(planned), 1))
    return [
        Step(
            index=index,
            name=step.name,
            phase=step.phase,
            reversible=step.reversible,
            expected=median(history.get(step.name, [])[:samples]),
        )
        for index, step in enumerate(planned)
    ]


def lasts(tx: Tx, lane: lanes.Facts, kind: Kind, pipeline_sha256: str, samples: int) -> float | None:
    """Seconds that a run of this pipeline takes in a lane by experience; None without any."""
    try:
        plan = pipeline.parse(store.snapshot(tx, pipeline_sha256))
    except (Invalid, LookupError):  # it cannot be read, or nobody has deployed with it yet
        return None
    planned = plan.running(kind)
    return total(expected(tx, (lane.service, lane.environment), kind, planned, samples))


def total(steps: Sequence[Step]) -> float | None:
    """Seconds that all of `steps` take by experience; None when one of them was never seen."""
    known = [step.expected for step in steps if step.expected is not None]
    return sum(known) if len(known) == len(steps) else None


def starts(tx: Tx, lane: lanes.Facts, samples: int) -> dict[str, int]:
    """When each of those that wait would start by experience (microseconds, by id); see `lanes.starts`."""
    holder, free_at = lane.holder, lane.now
    if holder and holder.status is not Status.PENDING:
        done = progress.estimate(holder, store.steps(tx, holder.id), lane.now)
        if done is None:
            return {}
        free_at = done

    @functools.cache
    def seconds(kind: Kind, sha256: str) -> float | None:
        return lasts(tx, lane, kind, sha256, samples)

    return lanes.starts(lane, free_at, lambda waits: seconds(waits.kind, waits.pipeline_sha256))


def median(values: Sequence[float]) -> float | None:
    """The middle one, the upper of two; None of none."""
    return sorted(values)[len(values) // 2] if values else None


def updated(deployment: Deployment, changed: list[str]) -> events.DeploymentUpdated:
    """The fact that a pending deployment was changed."""
    return events.DeploymentUpdated(**deployment.identity, changed=changed)


def override(tx: Tx, waiting: Deployment, reason: str, by: Principal) -> Deployment:
    """Let a rollback that waits pass a lock by hand or a freeze. Facts: DeploymentUpdated."""
    changed = store.change(tx, waiting, override=reason)
    tx.append(updated(changed, ["override"]), by=by)
    return changed


def request_cancel(
    tx: Tx,
    deployment: Deployment,
    now: int,
    by: Principal,
    *,
    then_rollback: bool,
    reason: str | None = None,
) -> Deployment:
    """Note that a running deployment is to stop; a second wish may add the rollback. DeploymentCancelling."""
    if deployment.cancel_requested_at is not None and (deployment.cancel_then_rollback or not then_rollback):
        return deployment
    asked = store.change(
        tx,
        deployment,
        cancel_requested_at=deployment.cancel_requested_at or now,
        cancel_then_rollback=then_rollback,
        message=deployment.message or cancelled_sentence(reason),
    )
    fact = events.DeploymentCancelling(**asked.identity, then_rollback=then_rollback, reason=reason)
    tx.append(fact, by=by)
    return asked


def cancelled_sentence(reason: str | None) -> str:
    """Why a deployment was cancelled. By whom is the fact's actor: names stay out of the ledger."""
    return "it was cancelled" + (f": {reason}" if reason else "")


def requeue(tx: Tx, deployment: Deployment) -> Deployment:
    """Back to the queue: its start provably ran no step. The epoch it had is void. DeploymentAdvanced."""
    store.set_lane(tx, *deployment.lane, holder=None)
    changes = {"stage": "queued", "started_at": None, "deploying_at": None, "spool_seq": 0, "gates": None}
    return _apply(tx, deployment, Status.PENDING, {**changes, "touched": False})


def adopt(tx: Tx, deployment: Deployment) -> Deployment:
    """A server took over a live run; the epoch fences the writes of the one before it."""
    adopted = store.change(tx, deployment, epoch=deployment.epoch + 1)
    tx.append(events.DeploymentAdopted(**adopted.identity, epoch=adopted.epoch), by=SYSTEM)
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
    tx.append(events.DeploymentAdvanced(**moved.identity, status=status.value), by=SYSTEM)
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
        events.StepStarted(**deployment.identity, step=step.name, index=step.index, phase=step.phase),
        by=SYSTEM,
    )
    if step.phase == "build" or deployment.status is not Status.BUILDING:
        return deployment.status
    changes["deploying_at"] = event["t"]
    changes["build_time"] = elapsed(deployment.started_at, event["t"])
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
            **deployment.identity,
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


# --- creating ------------------------------------------------------------------------------------


def create(tx: Tx, deployment: Deployment, by: Principal) -> Deployment:
    """Keep a new deployment. Facts: DeploymentCreated."""
    created = store.insert(tx, deployment)
    tx.append(
        events.DeploymentCreated(
            **created.identity,
            kind=created.kind.value,
            version=created.version,
            commit=created.commit_sha,
            ref=created.ref,
            rollback_of=created.rollback_of,
            target=created.target,
            retry_of=created.retry_of,
            from_step=created.from_step,
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
    finished(tx, ended, now, by)
    if ended.kind is Kind.ROLLBACK:
        quarantine.rollback_failed(tx, ended, now)
    return ended


def expire(tx: Tx, deployment: Deployment, now: int) -> Deployment:
    """End a deployment that waited as long as it may; its message names the gate that kept it."""
    why = "it waited longer than it was allowed to"
    if deployment.guard and (gate := lanes.closed_gate(facts(tx, *deployment.lane, now), deployment)):
        why = f"{why}, for {gate.name}: {gate.sentence}"
    return fail_pending(tx, deployment, Reason.EXPIRED, why, now, SYSTEM)


def finished(
    tx: Tx, ended: Deployment, now: int, by: Principal = SYSTEM, log: receipts.Log | None = None
) -> None:
    """Make the receipt of what has just ended, and say that it has. Facts: DeploymentFinished."""
    tx.append(
        events.DeploymentFinished(
            **ended.identity,
            status=ended.status.value,
            kind=ended.kind.value,
            reason=ended.reason.value if ended.reason else None,
            message=ended.message,
            touched=ended.touched,
            duration=elapsed(ended.started_at, ended.completed_at or now) or 0.0,
            receipt=receipts.issue(tx, ended, log),
        ),
        by=by,
    )


def elapsed(begin: int | None, end: int | None) -> float | None:
    return None if begin is None or end is None else max(0.0, (end - begin) / SECOND)
