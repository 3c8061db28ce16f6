"""How a deployment ends and what follows from it: the lane, the block, the rollback, in one transaction.

Called by the dispatcher when a run has ended. What a failure leads to is decided in the very transaction
that fails the deployment, so that nobody slips in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dg.core import events
from dg.core.access.models import SYSTEM, Principal
from dg.core.database import Tx
from dg.core.deployments import quarantine, receipts, rollbacks, store
from dg.core.deployments.gates import keeper
from dg.core.deployments.lifecycle import create, elapsed, facts, finished
from dg.core.deployments.models import Deployment, Kind, Reason, Status, StepStatus


@dataclass(frozen=True)
class Ending:
    """How a run ended, as its runner or the server that found it says."""

    outcome: str
    """success, failed or cancelled"""
    reason: Reason | None = None
    message: str | None = None
    touched: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict)
    at: int | None = None
    """when it ended (microseconds); None: just now"""
    log: receipts.Log | None = None
    place: str | None = None
    """where its steps may still run, out of this server's reach"""


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
    _after_failure(tx, ended, ending, now, rollback_id)
    return ended


def abandon(tx: Tx, deployment: Deployment, reason: str, now: int, by: Principal) -> Deployment:
    """End an active deployment that does not stop, as interrupted. Whoever follows it is fenced off.

    What it began may still run: nobody takes the lane before that is gone, and the lane is locked by hand.
    Facts: DeploymentAbandoned, DeploymentFinished, LaneLocked, RollbackDeclined.
    """
    fenced = store.change(tx, deployment, epoch=deployment.epoch + 1)
    tx.append(events.DeploymentAbandoned(**fenced.identity, reason=reason), by=by)
    why = f"it did not stop and was abandoned: {reason}; what it had begun may still run"
    ended = _fail(tx, fenced, Ending("failed", Reason.INTERRUPTED, why, touched=True), now)
    store.set_lane(tx, *ended.lane, left_by=ended.id)
    sentence = f"#{ended.number} ({ended.version}) was abandoned and may still be at work: {reason}"
    quarantine.lock(tx, ended, sentence, now, None, by)
    if ended.cancel_then_rollback:
        ask = f"dg rollback {ended.service} --env {ended.environment} --override REASON"
        declined = f"{sentence}. Roll back when it is gone: {ask}"
        tx.append(events.RollbackDeclined(**ended.identity, message=declined), by=SYSTEM)
    return ended


def set_free(tx: Tx, lane: tuple[str, str], deployment_id: str) -> None:
    """Nothing that the abandoned deployment had begun in the lane runs any more. Facts: LaneOpened."""
    service, environment = lane
    if store.lane(tx, service, environment)["left_by"] == deployment_id:
        store.set_lane(tx, service, environment, left_by=None)
        fact = events.LaneOpened(service=service, environment=environment, what="abandoned")
        tx.append(fact, by=SYSTEM)


def _succeed(tx: Tx, deployment: Deployment, ending: Ending, now: int) -> Deployment:
    ended = store.move(
        tx,
        deployment,
        Status.SUCCESS,
        message=None,
        outputs={**deployment.outputs, **ending.outputs},
        **_closing(deployment, _moment(deployment, ending, now)),
    )
    store.set_lane(tx, *ended.lane, holder=None, current=ended.id, known=True)
    keeper.void_stale(tx, facts(tx, *ended.lane, now, queue=False))
    finished(tx, ended, now, log=ending.log)
    if ended.kind is Kind.ROLLBACK:
        _undo(tx, ended, now)
    return ended


def _undo(tx: Tx, rollback: Deployment, now: int) -> None:
    """The rollback went well: what came after its target is rolled back, the bad version stays out."""
    target = store.require(tx, rollback.target or "")
    for undone in store.effects_since(tx, *rollback.lane, target.number):
        if undone.id != rollback.id:
            moved = store.move(tx, undone, Status.ROLLED_BACK, rolled_back_by=rollback.id)
            fact = events.DeploymentRolledBack(
                **moved.identity,
                rolled_back_by=rollback.id,
                undone_by=rollback.number,
                back_to=rollback.version,
            )
            tx.append(fact, by=SYSTEM)
    bad = store.require(tx, rollback.rollback_of or "")
    why = bad.message or rollback.note
    sentence = f"{bad.version} was rolled back to {rollback.version}" + (f": {why}" if why else " by hand")
    quarantine.block(tx, bad, rollback.commit_sha, why or "it was rolled back by hand", now)
    quarantine.lock(tx, bad, sentence, now, quarantine.policy(tx, bad).lock, after=rollback)


def _fail(tx: Tx, deployment: Deployment, ending: Ending, now: int) -> Deployment:
    touched = deployment.touched or ending.touched
    ended = store.move(
        tx,
        deployment,
        Status.FAILED,
        reason=(ending.reason or Reason.STEP_FAILED).value,
        message=_message(deployment, ending),
        touched=touched,
        outputs={**deployment.outputs, **ending.outputs},
        **_closing(deployment, _moment(deployment, ending, now)),
    )
    store.set_lane(tx, *ended.lane, holder=None)
    if touched:
        store.set_lane(tx, *ended.lane, current=None, known=False)
        keeper.void_stale(tx, facts(tx, *ended.lane, now, queue=False))
    _close_steps(tx, ended, now)
    finished(tx, ended, now, log=ending.log)
    return ended


def _message(deployment: Deployment, ending: Ending) -> str | None:
    """What the runner says, but for a cancellation: who asked for it and why was noted when they did."""
    return deployment.message if ending.reason is Reason.CANCELLED and deployment.message else ending.message


def _moment(deployment: Deployment, ending: Ending, now: int) -> int:
    """When the run ended, which may be long before a server came to see it; never outside its own time."""
    return now if ending.at is None else min(now, max(ending.at, deployment.started_at or now))


def _closing(deployment: Deployment, now: int) -> dict[str, Any]:
    return {
        "stage": "finished",
        "completed_at": now,
        "build_time": _build_time(deployment, now),
        "deploy_time": elapsed(deployment.deploying_at, now),
    }


def _build_time(deployment: Deployment, now: int) -> float | None:
    """None where nothing was built: a rollback, a redeploy."""
    if deployment.deploying_at is None:
        return elapsed(deployment.started_at, now)
    return deployment.build_time


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
                seconds=elapsed(step.started_at, now),
                reason=deployment.reason,
                detail=deployment.message,
            )
        elif step.status is StepStatus.PENDING:
            store.set_step(tx, deployment.id, step.index, status=StepStatus.SKIPPED)


def _after_failure(tx: Tx, failed: Deployment, ending: Ending, now: int, rollback_id: str) -> None:
    """Decide what follows in the transaction that fails the deployment, so that nobody slips in between."""
    if failed.kind is Kind.ROLLBACK:
        quarantine.rollback_failed(tx, failed, now)
        return
    if failed.status is Status.FAILED and not failed.touched:
        return
    if ending.place is not None or not _rolls_back(tx, failed):
        if failed.reason is Reason.INTERRUPTED:
            where = f" on {ending.place}" if ending.place else ""
            why = (
                f"{failed.version} was interrupted midway{where}; look{where and ' there'} before you deploy"
            )
            quarantine.lock(tx, failed, why, now, None)
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
        quarantine.lock(
            tx,
            failed,
            f"{failed.version} failed and is being rolled back: {why}",
            now,
            quarantine.policy(tx, failed).lock,
        )
        quarantine.block(tx, failed, target.commit_sha, why, now)
        rollback = rollbacks.plan(failed, target, rollback_id, now, SYSTEM)
        store.set_lane(tx, *failed.lane, holder=create(tx, rollback, SYSTEM).id)


def _rolls_back(tx: Tx, failed: Deployment) -> bool:
    if failed.cancel_then_rollback:
        return True
    auto = quarantine.policy(tx, failed).auto
    if failed.reason is Reason.VERIFY_FAILED:
        return auto in ("verify_failed", "failed")
    return auto == "failed" and failed.reason not in (Reason.CANCELLED, Reason.INTERRUPTED)


def _decline(tx: Tx, failed: Deployment, message: str, now: int) -> None:
    quarantine.lock(tx, failed, message, now, None)
    tx.append(events.RollbackDeclined(**failed.identity, message=message), by=SYSTEM)
