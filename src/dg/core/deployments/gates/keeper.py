"""Gathers what the gates of a lane are judged by, and voids decisions when what they are bound to moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dg.core import events
from dg.core.access.models import SYSTEM
from dg.core.database import Tx
from dg.core.deployments import pipeline
from dg.core.deployments import store as deployments
from dg.core.deployments.gates import store
from dg.core.deployments.gates.demands import Guard
from dg.core.deployments.gates.expressions import Value
from dg.core.deployments.gates.judge import Inputs, Success, content, judge
from dg.core.deployments.lanes import Facts
from dg.core.deployments.models import Deployment, Gate, Kind, Status, Verdict
from dg.core.deployments.parts import Protection
from dg.core.errors import Invalid
from dg.core.types import Environment

_MINUTE = 60_000_000


def judged(tx: Tx, lane: Facts) -> dict[str, Sequence[Gate]]:
    """The gates of all that wait in a lane and have any, by deployment; asks the store once for all."""
    guarded = [deployment for deployment in lane.queue if deployment.guard]
    look = inputs(tx, lane, guarded)
    return {deployment.id: judge(look(deployment)) for deployment in guarded}


def inputs(tx: Tx, lane: Facts, guarded: Sequence[Deployment]) -> Callable[[Deployment], Inputs]:
    """What is known about each of `guarded`, which wait in `lane` or may come to."""
    guards = [deployment.guard for deployment in guarded if deployment.guard]
    where = lane.service, lane.environment
    decided = store.Decisions({}, {})
    if any(guard.approvals or guard.calendars for guard in guards):
        decided = store.decisions(tx, *where, lane.now)
    successes: Mapping[str, Mapping[Environment, Success]] = {}
    if any(guard.requires or guard.gates for guard in guards):
        # The last one may be a preview's, which is no row that waits.
        successes = store.successes(tx, *where, commit=guarded[-1].commit_sha)
    missing = {
        other: store.missing_keys(tx, lane.environment, other)
        for other in dict.fromkeys(name for guard in guards for name in guard.keys_of)
    }
    asked = any(guard.gates for guard in guards)
    failures = store.failures(tx, *where) if asked else 0

    def known(deployment: Deployment) -> Inputs:
        if deployment.guard is None:
            raise LookupError(f"deployment {deployment.id} has no gates")
        found = successes.get(deployment.commit_sha, {})
        return Inputs(
            deployment=deployment,
            guard=deployment.guard,
            now=lane.now,
            content=content_of(lane, deployment),
            approvals=decided.approvals.get(deployment.id, ()),
            people=decided.people,
            successes=found,
            facts=_facts(tx, lane, deployment, found, failures) if deployment.guard.gates else {},
            missing=missing,
        )

    return known


def content_of(lane: Facts, deployment: Deployment) -> str:
    """The hash that an approval of `deployment` is bound to as the lane is now."""
    base = lane.current.commit_sha if lane.current else None
    return content(deployment, base, known=lane.known)


def _facts(
    tx: Tx, lane: Facts, deployment: Deployment, successes: Mapping[Environment, Success], failures: int
) -> dict[str, Value]:
    """What expressions may ask about, by name. What earlier environments recorded comes in their order."""
    found: dict[str, Value] = {
        "service": deployment.service,
        "environment": deployment.environment.value,
        "version": deployment.version,
        "ref": deployment.ref or "",
        "commit": deployment.commit_sha,
        "lane.known": lane.known,
        "lane.failures": failures,
    }
    if kind := store.kind(tx, deployment.created_by):
        found["created_by.kind"] = kind
    tiers = list(Environment)
    for tier in tiers[: tiers.index(deployment.environment)]:
        if success := successes.get(tier):
            found[f"minutes_since.{tier}"] = max(0, lane.now - success.at) // _MINUTE
            found |= {f"artefact.{key}": value for key, value in success.outputs.items()}
    return found


def keep(tx: Tx, lane: Facts, failed: Deployment, retry: Deployment) -> None:
    """Let approvals of `failed` count for its `retry` where it brings just the same. Facts: ApprovalKept."""
    bound = content_of(lane, retry)
    for approval in store.of(tx, failed.id):
        stands = approval.verdict is Verdict.APPROVED and approval.voided_at is None
        if retry.guard and stands and approval.content == bound:
            store.insert(tx, retry.id, approval)
            fact = events.ApprovalKept(
                **retry.identity, approver=approval.by, given_to=failed.id, content=bound
            )
            tx.append(fact, by=SYSTEM)


# --- decisions that count no more ----------------------------------------------------------------


def void(tx: Tx, deployment: Deployment, reason: str, now: int) -> None:
    """Let no decision about `deployment` count any more. Facts: ApprovalVoided."""
    standing = [approval for approval in store.of(tx, deployment.id) if approval.voided_at is None]
    if not standing:
        return
    store.void(tx, deployment.id, reason, now)
    for approval in standing:
        fact = events.ApprovalVoided(**deployment.identity, approver=approval.by, reason=reason)
        tx.append(fact, by=SYSTEM)


def renew(tx: Tx, protection: Protection, now: int) -> None:
    """Bring what is demanded of all that wait up to what environments demand now; called when a server begins
    to give lanes away. What was decided under other demands is void. Facts: ApprovalVoided.
    """
    for deployment in deployments.unfinished(tx):
        if deployment.status is not Status.PENDING or deployment.kind is Kind.ROLLBACK:
            continue
        guard = guard_of(protection, deployment, deployments.snapshot(tx, deployment.pipeline_sha256))
        if guard != deployment.guard:
            renewed = deployments.change(tx, deployment, guard=guard.text() if guard else None)
            void(tx, renewed, f"what {deployment.environment} demands was changed", now)


def guard_of(protection: Protection, deployment: Deployment, text: str) -> Guard | None:
    """All that is demanded of `deployment`, which runs the pipeline `text`; None when nothing is.

    Of a pipeline that this dg cannot read any more the environment's demands are left: it does not start.
    """
    own = protection.demands(deployment.environment)
    try:
        return Guard.of(*own, pipeline.parse(text).demands(deployment.environment))
    except Invalid:
        return Guard.of(*own)


def void_stale(tx: Tx, lane: Facts) -> None:
    """Void what was decided on another content than what waits in `lane` has now: what runs there moved."""
    decided = store.decisions(tx, lane.service, lane.environment, lane.now).approvals
    for deployment_id, approvals in decided.items():
        deployment = deployments.require(tx, deployment_id)
        now_bound = content_of(lane, deployment)
        if any(approval.voided_at is None and approval.content != now_bound for approval in approvals):
            void(tx, deployment, _moved(lane, deployment), lane.now)


def _moved(lane: Facts, deployment: Deployment) -> str:
    runs = f"{lane.current.version} runs there now" if lane.current else "what runs there is not known now"
    return f"{runs}; see what it brings: dg diff {deployment.id}"
