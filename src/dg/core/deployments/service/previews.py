"""What a deployment or a rollback would do. No rule stands here: they are those of the real thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import lanes, lifecycle, pipeline, quarantine, rollbacks, store
from dg.core.deployments.models import (
    Changes,
    CreateDeployment,
    Deployment,
    FileChanges,
    Gate,
    Kind,
    RequestRollback,
    Status,
    Step,
)
from dg.core.deployments.parts import Parts
from dg.core.deployments.previews import (
    Artefact,
    Consequence,
    Objection,
    PastRollbacks,
    Preview,
    PreviewVerdict,
    RollbackPreview,
    RollbackVerdict,
)
from dg.core.deployments.service import creation, finding
from dg.core.errors import Invalid, NotFound, Problem
from dg.core.types import Environment

_MOST = 200
"""Commits and files that are named."""
_NEWEST = 1 << 62
"""A number that no deployment has yet: whoever is asked for now stands behind all."""
_NO_ID = "ID"
"""What the sentences about it say for its id: it has none before it is created."""
_PAST = 50
_AGREED_TO = frozenset({"irreversible", "lane_closed"})
"""Objections to a rollback that its own request can answer."""


# --- a deployment --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outlook:
    """What a wish's lane says about it now."""

    asked: Deployment
    current: Deployment | None
    problems: Sequence[Problem]
    steps: Sequence[Step]
    starts: bool
    hold: str
    gates: Sequence[Gate]
    estimated_start: int | None


async def preview(parts: Parts, principal: Principal, request: CreateDeployment) -> Preview:
    """What `create` would make of this request; only git is fetched. Raises what no deployment could mend."""
    service = await finding.service(parts, principal, request.service)
    lane = (service, request.environment.value)
    _check_visible(parts, principal, lane)
    wish = await creation.resolve(parts, principal, service, request)
    denied = parts.access.objection(principal, Action.DEPLOYMENT_CREATE, request.environment, service)
    problems: list[Problem] = [*filter(None, [denied]), *await creation.objections(parts, wish)]
    plan = pipeline.parse(wish.text)
    outlook = await parts.db.read(lambda tx: _outlook(tx, parts, wish, plan))
    found = _objections([*problems, *outlook.problems])
    verdict = (
        PreviewVerdict.REFUSED if found else PreviewVerdict.STARTS if outlook.starts else PreviewVerdict.WAITS
    )
    steps = _planned(plan, outlook.asked, outlook.steps)
    base = outlook.current.commit_sha if outlook.current else None
    changes = await parts.git.commits(service, base, wish.deployment.commit_sha, _MOST)
    use = parts.git.use(wish.source.git)
    return Preview(
        service=service,
        environment=request.environment,
        kind=outlook.asked.kind,
        version=wish.deployment.version,
        commit_sha=wish.deployment.commit_sha,
        ref=wish.deployment.ref,
        current=outlook.current.id if outlook.current else None,
        current_version=outlook.current.version if outlook.current else None,
        verdict=verdict,
        sentence=found[0].sentence if found else _sentence(outlook),
        objections=found,
        gates=tuple(outlook.gates),
        changes=changes,
        files=await _files(parts, service, changes),
        steps=steps,
        irreversible=tuple(step.name for step in steps if not step.reversible),
        secrets=tuple(sorted({name for step in steps for name in step.secrets})),
        source=use.source if use else None,
        credential=use.kind if use else None,
        expected=lifecycle.total(outlook.steps),
        estimated_start=None if found else outlook.estimated_start,
    )


def _outlook(tx: Tx, parts: Parts, wish: creation.Wish, plan: pipeline.Pipeline) -> _Outlook:
    samples = parts.settings.deployments.eta_samples
    lane = lifecycle.facts(tx, *wish.deployment.lane, parts.clock.micros())
    kind = lifecycle.kind_of(wish.deployment, lane.current)
    asked = wish.deployment.model_copy(update={"id": _NO_ID, "kind": kind, "number": _NEWEST})
    behind = lifecycle.judged(tx, replace(lane, queue=(*lane.queue, asked)))
    return _Outlook(
        asked=asked,
        current=lane.current,
        problems=tuple(creation.refusals(tx, wish, lane)),
        steps=lifecycle.expected(tx, asked.lane, kind, plan.running(kind), samples),
        starts=lanes.next_up(behind) == asked,
        hold=lanes.hold(behind, asked),
        gates=tuple(behind.gates.get(asked.id, ())),
        estimated_start=lifecycle.starts(tx, behind, samples).get(asked.id),
    )


def _sentence(outlook: _Outlook) -> str:
    return "Nothing stands in its way: it starts at once." if outlook.starts else outlook.hold


async def _files(parts: Parts, service: str, changes: Changes) -> FileChanges | None:
    """What differs from what runs now; None when nothing known does."""
    if changes.base is None:
        return None
    return await parts.git.changed_files(service, changes.base, changes.head, _MOST)


# --- a rollback ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Back:
    """What the database knows of a rollback that would be made: both pipelines, None for unreadable ones."""

    prospect: rollbacks.Prospect
    past: PastRollbacks
    afterwards: tuple[Consequence, ...] = ()
    today: pipeline.Pipeline | None = None
    then: pipeline.Pipeline | None = None
    steps: Sequence[Step] = ()


async def preview_rollback(
    parts: Parts, principal: Principal, service: str, environment: Environment, request: RequestRollback
) -> RollbackPreview:
    """What `rollback_lane` would make of this request. Nothing is written and no remote is asked."""
    name = await finding.service(parts, principal, service)
    lane = (name, environment.value)
    _check_visible(parts, principal, lane)
    back = await parts.db.read(lambda tx: _back(tx, parts, lane, request))
    denied = parts.access.objection(principal, Action.DEPLOYMENT_ROLLBACK, environment, name)
    objections = _objections([*filter(None, [denied]), *back.prospect.objections])
    wish = back.prospect.wish
    if wish is None:
        return RollbackPreview(
            service=name,
            environment=environment,
            verdict=RollbackVerdict.REFUSED,
            sentence=objections[0].sentence,
            objections=objections,
            past=back.past,
        )
    artefact = await _artefact(parts, wish.target, back.then)
    doubts = (*_doubts(wish, back, artefact, request), *await _step_doubts(parts, wish, back))
    verdict, sentence = _judge(wish, objections, doubts)
    return RollbackPreview(
        service=name,
        environment=environment,
        verdict=verdict,
        sentence=sentence,
        objections=objections,
        doubts=doubts,
        afterwards=back.afterwards,
        undoes=wish.bad,
        target=wish.target,
        changes=await _changes(parts, wish),
        crosses=back.prospect.crossing,
        steps=_planned(back.then, _as_rollback(wish), back.steps) if back.then else (),
        expected=lifecycle.total(back.steps) if back.then else None,
        settings_leaving=_settings(back.today, back.then, environment),
        settings_returning=_settings(back.then, back.today, environment),
        artefact=artefact,
        past=back.past,
    )


def _back(tx: Tx, parts: Parts, lane: tuple[str, str], request: RequestRollback) -> _Back:
    facts = lifecycle.facts(tx, *lane, parts.clock.micros())
    prospect = rollbacks.prospect(tx, facts, request)
    past = _past(store.rollbacks(tx, *lane, _PAST))
    if prospect.wish is None:
        return _Back(prospect, past)
    then = _snapshot(tx, prospect.wish.target)
    samples = parts.settings.deployments.eta_samples
    running = then.running(Kind.ROLLBACK) if then else []
    return _Back(
        prospect,
        past,
        afterwards=quarantine.foresee(tx, prospect.wish.bad, prospect.wish.target, facts),
        today=_snapshot(tx, prospect.wish.bad),
        then=then,
        steps=lifecycle.expected(tx, lane, Kind.ROLLBACK, running, samples),
    )


def _past(ended: Sequence[Deployment]) -> PastRollbacks:
    took = [
        lifecycle.elapsed(each.started_at, each.completed_at) or 0.0
        for each in ended
        if each.status is Status.SUCCESS
    ]
    return PastRollbacks(
        count=len(ended),
        p50=lifecycle.median(took),
        last=ended[0].status if ended else None,
        last_at=ended[0].completed_at if ended else None,
    )


def _snapshot(tx: Tx, deployment: Deployment) -> pipeline.Pipeline | None:
    """The pipeline that a deployment was made with, None when this dg cannot read it."""
    try:
        return pipeline.parse(store.snapshot(tx, deployment.pipeline_sha256))
    except (Invalid, LookupError):
        return None


async def _artefact(parts: Parts, target: Deployment, then: pipeline.Pipeline | None) -> Artefact:
    steps = then.steps if then else ()
    built = [step for step in steps if not step.runs_on(Kind.ROLLBACK) and step.when != "failure"]
    missing = {name for step in built for name in step.output} - set(target.outputs)
    return Artefact(
        commit_kept=await parts.git.has(target.service, target.commit_sha),
        pipeline_readable=then is not None,
        outputs=target.outputs,
        outputs_missing=tuple(sorted(missing)),
    )


def _doubts(
    wish: rollbacks.Wish, back: _Back, artefact: Artefact, request: RequestRollback
) -> Iterable[Objection]:
    version = wish.target.version
    if not artefact.commit_kept:
        yield Objection(
            reason="commit_gone", sentence=f"The server's mirror does not have the commit of {version}."
        )
    if not artefact.pipeline_readable:
        yield Objection(
            reason="pipeline_unreadable",
            sentence=f"This dg cannot read the pipeline that {version} was made with.",
        )
    if artefact.outputs_missing:
        names = ", ".join(f"`{name}`" for name in artefact.outputs_missing)
        yield Objection(
            reason="outputs_missing",
            sentence=f"{version} recorded no output {names}, and nothing is built again.",
        )
    if back.prospect.crossing and request.cross_irreversible:
        names = ", ".join(f"`{name}`" for name in back.prospect.crossing)
        yield Objection(
            reason="irreversible", sentence=f"As agreed, it crosses {names}, which cannot be undone."
        )
    if back.past.last is Status.FAILED:
        yield Objection(reason="last_failed", sentence="The last rollback of this lane failed.")


async def _step_doubts(parts: Parts, wish: rollbacks.Wish, back: _Back) -> list[Objection]:
    """A rollback takes the secrets and the machine of today, which may lack what its steps ask for."""
    problems: list[Problem] = []
    for check in (creation.check_steps, creation.check_machine):
        try:
            if back.then is not None:
                await check(parts, _as_rollback(wish), back.then)
        except Invalid as problem:
            problems.append(problem)
    return list(_objections(problems))


def _judge(
    wish: rollbacks.Wish, objections: Sequence[Objection], doubts: Sequence[Objection]
) -> tuple[RollbackVerdict, str]:
    for objection in objections:
        if objection.reason not in _AGREED_TO:
            return RollbackVerdict.REFUSED, objection.sentence
    for reason in (*objections, *doubts):
        return RollbackVerdict.ASKS, reason.sentence
    return RollbackVerdict.SAFE, f"Nothing stands in its way: {wish.target.version} comes back as it was."


async def _changes(parts: Parts, wish: rollbacks.Wish) -> Changes | None:
    service, today, then = wish.bad.service, wish.bad.commit_sha, wish.target.commit_sha
    if not (await parts.git.has(service, today) and await parts.git.has(service, then)):
        return None
    return await parts.git.commits(service, today, then, _MOST)


def _as_rollback(wish: rollbacks.Wish) -> Deployment:
    return wish.target.model_copy(update={"kind": Kind.ROLLBACK})


def _settings(
    these: pipeline.Pipeline | None, others: pipeline.Pipeline | None, environment: Environment
) -> tuple[str, ...]:
    """Keys that `these` has in `environment` and `others` has not; none where one cannot be read."""
    if these is None or others is None:
        return ()
    return tuple(sorted(these.settings(environment).keys() - others.settings(environment).keys()))


# --- both ----------------------------------------------------------------------------------------


def _check_visible(parts: Parts, principal: Principal, lane: tuple[str, str]) -> None:
    service, environment = lane
    missing = NotFound(f"there is no lane {service}/{environment} that you may see")
    parts.access.require_visible(principal, Action.DEPLOYMENT_READ, environment, service, missing)


def _planned(
    plan: pipeline.Pipeline, deployment: Deployment, known: Sequence[Step]
) -> tuple[pipeline.PlannedStep, ...]:
    """The steps as people read them with how long each takes; none when a setting is missing."""
    try:
        steps = pipeline.explain(plan, deployment.environment, deployment.kind)
    except Invalid:  # it is among the objections
        return ()
    return tuple(replace(step, expected=seen.expected) for step, seen in zip(steps, known, strict=True))


def _objections(problems: Iterable[Problem]) -> tuple[Objection, ...]:
    return tuple(Objection(reason=problem.reason, sentence=problem.message) for problem in problems)
