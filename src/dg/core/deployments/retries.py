"""Which failed deployment may be taken up again, from which of its steps, and what it takes over.

A retry is a deployment of its own with the same commit and the same pipeline. Nothing of the failed run's
work tree is left: what its steps handed on is its outputs, as for a rollback.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dg.core.access.models import Principal
from dg.core.database import Tx
from dg.core.deployments import pipeline, store
from dg.core.deployments.models import BEGAN, Deployment, Kind, RequestRetry, Status, Step, StepStatus
from dg.core.errors import Invalid, Refused


def begin(tx: Tx, failed: Deployment, request: RequestRetry) -> pipeline.Step:
    """The step that a retry of `failed` begins with.

    Raises Refused (`not_failed`, `is_rollback`, `never_started`, `not_newest`, `nothing_left`,
    `step_not_done`, `work_tree_gone`, `confirm`) and Invalid for a step that there is not.
    """
    _check_retriable(tx, failed)
    planned = pipeline.parse(store.snapshot(tx, failed.pipeline_sha256)).running(failed.kind)
    done = _done(failed, planned, store.steps(tx, failed.id))
    if request.from_step is None:
        at = _begin(failed, planned, done)
    else:
        at = _wanted(planned, done, request.from_step)
    _check_confirmed(tx, failed, planned[at:], request)
    return planned[at]


def plan(failed: Deployment, first: pipeline.Step, new_id: str, now: int, by: Principal) -> Deployment:
    """The deployment that takes `failed` up again from `first` on; not yet with how long it may wait."""
    return Deployment(
        id=new_id,
        number=0,
        service=failed.service,
        environment=failed.environment,
        kind=failed.kind,
        status=Status.PENDING,
        stage="queued",
        version=failed.version,
        commit_sha=failed.commit_sha,
        ref=failed.ref,
        base_sha=failed.base_sha,
        retry_of=failed.id,
        from_step=first.name,
        created_by=by.id,
        created_at=now,
        queued_at=now,
        not_before=failed.not_before,
        pipeline_sha256=failed.pipeline_sha256,
        outputs=failed.outputs,
    )


def check_still_newest(tx: Tx, deployment: Deployment) -> None:
    """Raise Refused when something else ran in its lane since, so that what it takes over may be undone."""
    if deployment.retry_of is None:
        return
    failed = store.require(tx, deployment.retry_of)
    if between := store.started_since(tx, *deployment.lane, failed.number):
        raise Refused(
            f"#{between.number} ({between.version}) ran here after #{failed.number} failed, so the steps "
            f"that went well in #{failed.number} may be undone; deploy {deployment.version} again",
            reason="not_newest",
        )


def reuse(tx: Tx, deployment: Deployment, steps: Sequence[Step]) -> list[Step]:
    """The steps of a run that begins, with those that a retry takes over marked as skipped."""
    if deployment.retry_of is None:
        return list(steps)
    failed = store.require(tx, deployment.retry_of)
    first = _index(steps, deployment.from_step)
    before = _taken_over(failed, store.steps(tx, failed.id)[:first])
    return [*(_reused(step, detail) for step, detail in zip(steps, before, strict=False)), *steps[first:]]


def to_run(deployment: Deployment, rendered: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the steps for a runner's ticket, those that it has to run."""
    names = [step["name"] for step in rendered]
    return list(rendered[names.index(deployment.from_step) if deployment.from_step else 0 :])


def builds_on_effects(steps: Sequence[Step]) -> bool:
    """True when a deploy step of an earlier try is taken over: the environment was changed already."""
    return any(step.phase == "deploy" and step.status is StepStatus.SKIPPED for step in steps)


# --- what may be retried -------------------------------------------------------------------------


def _check_retriable(tx: Tx, failed: Deployment) -> None:
    name = f"#{failed.number} ({failed.version})"
    if failed.status is not Status.FAILED:
        raise Refused(f"{name} is {failed.status}; only one that failed is retried", reason="not_failed")
    if failed.kind is Kind.ROLLBACK:
        raise Refused(
            f"{name} is a rollback; roll back again: dg rollback {failed.service} --env {failed.environment}",
            reason="is_rollback",
        )
    if failed.started_at is None:
        raise Refused(
            f"{name} never started, so there is nothing to take up; deploy it again: "
            f"dg deploy {failed.service} {failed.commit_sha[:12]} --env {failed.environment}",
            reason="never_started",
        )
    if newer := store.newer(tx, *failed.lane, failed.number):
        raise Refused(
            f"#{newer.number} ({newer.version}) came to {failed.service}/{failed.environment} after {name}; "
            "only the newest one there is retried",
            reason="not_newest",
            deployment=newer.id,
        )


def _check_confirmed(
    tx: Tx, failed: Deployment, steps: Sequence[pipeline.Step], request: RequestRetry
) -> None:
    began = set(_began(tx, failed))
    asking = [step.name for step in steps if step.resume == "ask" and step.name in began]
    if asking and not request.confirm:
        names = ", ".join(f"`{name}`" for name in asking)
        raise Refused(
            f'{names} had begun and asks before it runs again (resume = "ask"): look at what it did, '
            "then agree with --confirm",
            reason="confirm",
            steps=asking,
        )


def _began(tx: Tx, failed: Deployment) -> Iterator[str]:
    """Names of the steps that had begun in a deployment or in one that it retried."""
    tried: Deployment | None = failed
    while tried is not None:
        yield from (step.name for step in store.steps(tx, tried.id) if step.status in BEGAN)
        tried = store.find(tx, tried.retry_of) if tried.retry_of else None


# --- where it begins -----------------------------------------------------------------------------


def _done(failed: Deployment, planned: Sequence[pipeline.Step], steps: Sequence[Step]) -> int:
    """How many steps, from the first one on, need not run again."""
    taken_over = _index(steps, failed.from_step)
    for step, known in zip(planned, steps, strict=True):
        done = known.index < taken_over or known.status is StepStatus.SUCCESS or step.when == "failure"
        if not done:
            return known.index
    return len(planned)


def _begin(failed: Deployment, planned: Sequence[pipeline.Step], done: int) -> int:
    if done == len(planned):
        raise Refused(
            f"every step of #{failed.number} went well; say which one to begin with: --from STEP",
            reason="nothing_left",
        )
    return _with_work_tree(planned, done)


def _wanted(planned: Sequence[pipeline.Step], done: int, name: str) -> int:
    names = [step.name for step in planned]
    if name not in names:
        raise Invalid(
            f"from_step: there is no step `{name[:63]}`; there are {', '.join(names)}",
            errors=[{"field": "from_step", "message": f"one of: {', '.join(names)}"}],
        )
    at = names.index(name)
    if at > done:
        raise Refused(
            f"`{names[done]}` comes before `{name}` and did not succeed; retry from `{names[done]}`",
            reason="step_not_done",
            step=names[done],
        )
    if (whole := _with_work_tree(planned, at)) < at:
        raise Refused(
            f"`{name}` may need what `{names[whole]}` left in the work tree, which is gone; retry from "
            f"`{names[whole]}`, or let that step hand on an output",
            reason="work_tree_gone",
            step=names[whole],
        )
    return at


def _with_work_tree(planned: Sequence[pipeline.Step], at: int) -> int:
    """Where to begin when the step `at` is to run: build steps that declare no output leave files to the next
    ones; deploy and verify steps have to go without, as they do in a rollback.
    """
    if planned[at].phase != "build":
        return at
    before = enumerate(planned[:at])
    return next((index for index, step in before if not step.output and step.when != "failure"), at)


def _index(steps: Sequence[Step], name: str | None) -> int:
    """The index of the step `name`, 0 without one."""
    return next((step.index for step in steps if step.name == name), 0)


def _taken_over(failed: Deployment, steps: Sequence[Step]) -> Iterator[str]:
    """For each step where its result comes from; a retry of a retry names the deployment that ran it."""
    first = _index(steps, failed.from_step) if failed.from_step else 0
    for step in steps:
        yield step.detail or "" if step.index < first else f"it went well in #{failed.number}"


def _reused(step: Step, detail: str) -> Step:
    return step.model_copy(update={"status": StepStatus.SKIPPED, "detail": detail or None})
