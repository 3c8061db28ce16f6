"""Close a lane after something went wrong there, keep a version out of it, and let one back."""

from __future__ import annotations

from dg.core import events
from dg.core.access.models import SYSTEM, Principal
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import lanes, pipeline, store
from dg.core.deployments.models import Block, Deployment, Lock
from dg.core.deployments.previews import Consequence
from dg.core.errors import Invalid


def policy(tx: Tx, deployment: Deployment) -> pipeline.Rollback:
    """The `[rollback]` of a deployment's pipeline; one that this dg cannot read rolls nothing back."""
    try:
        return pipeline.parse(store.snapshot(tx, deployment.pipeline_sha256)).rollback
    except Invalid:
        return pipeline.Rollback(auto="never")


def lock(
    tx: Tx,
    bad: Deployment,
    reason: str,
    now: int,
    seconds: float | None,
    by: Principal = SYSTEM,
    after: Deployment | None = None,
) -> None:
    """Close the lane, 0 opens it; a lock by hand stays. None: as long as may pass until somebody looked.

    `after` is the rollback whose end closes it: whoever asked for that one is named beside dg.
    """
    length = int((policy(tx, bad).lock_unknown if seconds is None else seconds) * SECOND)
    found = store.lock_of(store.lane(tx, *bad.lane))
    if found and not found.automatic and found.until > now:
        return
    if length == 0:
        _open(tx, bad, found)
        return
    automatic = by is SYSTEM
    person = after if after and after.created_by != SYSTEM.id else None
    lock = Lock(
        reason=reason,
        automatic=automatic,
        by=by.name,
        since=now,
        until=now + length,
        asked_by=(person.created_by_name or person.created_by) if person else None,
    )
    store.set_lock(tx, *bad.lane, lock)
    service, environment = bad.lane
    fact = events.LaneLocked(
        service=service,
        environment=environment,
        reason=reason,
        automatic=automatic,
        until=lock.until,
        number=(after or bad).number,
        asked_by=person.created_by if person else None,
    )
    tx.append(fact, by=by)


def _open(tx: Tx, bad: Deployment, lock: Lock | None) -> None:
    if lock is not None:
        service, environment = bad.lane
        store.set_lock(tx, service, environment, None)
        tx.append(events.LaneOpened(service=service, environment=environment, what="lock"), by=SYSTEM)


def block(tx: Tx, bad: Deployment, good_commit: str, reason: str, now: int) -> None:
    """Keep the commit of `bad` out of its lane, unless it is the good one itself. Facts: VersionBlocked."""
    if bad.commit_sha == good_commit or store.block(tx, *bad.lane, bad.commit_sha):
        return
    keep_out(
        tx,
        Block(
            service=bad.service,
            environment=bad.environment,
            commit_sha=bad.commit_sha,
            version=bad.version,
            reason=reason,
            at=now,
            deployment=bad.id,
        ),
        SYSTEM,
    )


def foresee(tx: Tx, bad: Deployment, good: Deployment, facts: lanes.Facts) -> tuple[Consequence, ...]:
    """What `lock` and `block` will do once `bad` was rolled back to `good`, and the ways out."""
    found: list[Consequence] = []
    seconds = policy(tx, bad).lock
    closed = facts.active_lock
    if seconds or (closed and not closed.automatic):
        found.append(Consequence(reason="lane_locked", sentence=lanes.locked_after(facts, seconds)))
    if bad.commit_sha != good.commit_sha:
        found.append(Consequence(reason="version_blocked", sentence=lanes.kept_out_after(bad)))
    return tuple(found)


def keep_out(tx: Tx, block: Block, by: Principal) -> None:
    """Keep a commit out of a lane. Facts: VersionBlocked."""
    store.insert_block(tx, block)
    fact = events.VersionBlocked(
        service=block.service,
        environment=block.environment.value,
        commit=block.commit_sha,
        version=block.version,
        reason=block.reason,
        deployment=block.deployment,
    )
    tx.append(fact, by=by)


def let_back(tx: Tx, block: Block, reason: str, by: Principal) -> None:
    """Let a commit back into a lane. Facts: VersionUnblocked."""
    store.delete_block(tx, block)
    fact = events.VersionUnblocked(
        service=block.service,
        environment=block.environment.value,
        commit=block.commit_sha,
        version=block.version,
        reason=reason,
    )
    tx.append(fact, by=by)


def rollback_failed(tx: Tx, failed: Deployment, now: int) -> None:
    """It never cascades: where nobody knows what runs, the lane stays closed until somebody looked."""
    if not store.lane(tx, *failed.lane)["known"]:
        why = f"the rollback to {failed.version} failed: {failed.message}"
        lock(tx, failed, why, now, None, after=failed)
