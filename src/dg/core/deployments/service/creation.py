"""Whether a wish for a deployment may come true. `create` raises the first objection, a preview shows all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dg.core.access.models import Principal
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import confinement, lanes, pipeline, probed, store
from dg.core.deployments.dispatcher import inputs_of
from dg.core.deployments.gates import keeper
from dg.core.deployments.git import Resolved
from dg.core.deployments.models import CreateDeployment, Deployment, Kind, Status
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import finding
from dg.core.errors import Invalid, Refused

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+/-]{0,127}")
_COMMIT = re.compile(r"[0-9A-Fa-f]{7,40}")


@dataclass(frozen=True)
class Wish:
    """A deployment that would be created, the pipeline it would run, and the source that was registered.

    `base` is the commit that the caller saw running there, None when the caller does not say.
    """

    deployment: Deployment
    text: str
    source: pipeline.Source
    base: str | None = None


async def resolve(parts: Parts, principal: Principal, service: str, request: CreateDeployment) -> Wish:
    """What only git knows of the wish; nothing is kept. Raises Invalid, NotFound, Unavailable."""
    registered = await finding.pipeline(parts, principal, service)
    source = pipeline.parse(registered.text).source
    resolved = await _commit(parts, service, source, request)
    text = await finding.text(parts, registered)
    if request.base_sha is not None and not _COMMIT.fullmatch(request.base_sha):
        raise Invalid(
            "base_sha: 7 to 40 hexadecimal digits of the commit that you saw running there",
            errors=[{"field": "base_sha", "message": "must be 7 to 40 hexadecimal digits"}],
        )
    now = parts.clock.micros()
    check_order(request.not_before, request.expires_at)
    deployment = Deployment(
        id=parts.ids.new(),
        number=0,
        service=service,
        environment=request.environment,
        kind=Kind.DEPLOY,
        status=Status.PENDING,
        stage="queued",
        version=_version(request.version, resolved),
        commit_sha=resolved.commit,
        ref=resolved.ref,
        note=request.note,
        created_by=principal.id,
        created_at=now,
        queued_at=now,
        not_before=moment(request.not_before, "not_before", now),
        expires_at=moment(request.expires_at, "expires_at", now)
        or patience(parts, max(request.not_before or 0, now)),
        pipeline_sha256=pipeline.sha256(text),
    )
    guard = keeper.guard_of(parts.protection, deployment, text)
    return Wish(deployment.model_copy(update={"guard": guard}), text, source, request.base_sha)


async def objections(parts: Parts, wish: Wish) -> list[Invalid]:
    """What git, the pipeline and the secrets have against it: said now, not when it starts."""
    found: list[Invalid] = []
    for check in (_check_protected, _check_steps, _check_machine):
        try:
            await check(parts, wish)
        except Invalid as problem:
            found.append(problem)
    return found


def refusals(tx: Tx, wish: Wish, lane: lanes.Facts) -> Iterator[Refused]:
    """What the state of its lane has against it now; `lane` comes with its queue if it `refuses_queue`."""
    deployment = wish.deployment
    yield from _outdated(wish, lane)
    if block := store.block(tx, *deployment.lane, deployment.commit_sha):
        yield Refused(lanes.blocked(block), reason="version_blocked")
    if lanes.state(lane).closed and (deployment.not_before or 0) <= lane.now:
        yield Refused(lanes.explain(lane), reason="lane_closed")
    if refuses_queue(wish) and (lane.holder or lane.queue):
        first = lane.holder or lanes.in_order(lane.queue)[0]
        yield Refused(
            f"{deployment.environment} lets nobody wait, and #{first.number} ({first.version}) is there; "
            f"ask again when it has ended. {lanes.explain(lane)}",
            reason="queue_closed",
        )


def refuses_queue(wish: Wish) -> bool:
    """Whether it is taken only into a lane in which nobody runs and nobody waits."""
    return wish.deployment.guard is not None and wish.deployment.guard.queue == "reject"


def _outdated(wish: Wish, lane: lanes.Facts) -> Iterator[Refused]:
    """What runs there is not what the caller saw, so what it brings is not what the caller agreed to."""
    runs = lane.current.commit_sha if lane.current else None
    if wish.base is None or (runs is not None and runs.startswith(wish.base.lower())):
        return
    deployment = wish.deployment
    now = f"{runs[:12]} runs there now" if runs else "what runs there is not known now"
    yield Refused(
        f"{wish.base[:12]} is not what runs in {deployment.service}/{deployment.environment}: {now}. "
        "Look at what it would bring now, then ask again with that base_sha or without one",
        reason="outdated_base",
        base=runs,
        head=deployment.commit_sha,
    )


async def _commit(parts: Parts, service: str, source: pipeline.Source, request: CreateDeployment) -> Resolved:
    if request.commit_sha is not None and not _COMMIT.fullmatch(request.commit_sha):
        raise Invalid(
            "commit_sha: 7 to 40 hexadecimal digits; a branch or tag goes into `ref`",
            errors=[{"field": "commit_sha", "message": "must be 7 to 40 hexadecimal digits"}],
        )
    ref = request.commit_sha or request.ref or source.ref
    resolved = await parts.git.resolve(service, source.git, ref)
    if not (request.commit_sha and request.ref):
        return resolved
    named = await parts.git.resolve(service, source.git, request.ref)
    if named.commit != resolved.commit:
        raise Invalid(
            f"ref `{request.ref}` is {named.commit[:12]} now, not the commit_sha; send one of them",
            errors=[{"field": "commit_sha", "message": "is not what `ref` means now"}],
        )
    return named


async def _check_protected(parts: Parts, wish: Wish) -> None:
    """Raise Refused unless the commit may go there: a protected environment takes what is on the protected
    branch as it is now, not as last fetched."""
    source, service, environment = wish.source, wish.deployment.service, wish.deployment.environment
    if source.trust != "protected" or not parts.protection.protected(environment):
        return
    await parts.git.fetch(service, source.git)
    if not await parts.git.contains(service, source.ref, wish.deployment.commit_sha):
        raise Refused(
            f"{wish.deployment.commit_sha[:12]} is not on `{source.ref}`, and {environment} takes only what "
            "is; merge it first",
            reason="ref_not_protected",
        )


async def _check_steps(parts: Parts, wish: Wish) -> None:
    await check_steps(parts, wish.deployment, pipeline.parse(wish.text))


async def _check_machine(parts: Parts, wish: Wish) -> None:
    await check_machine(parts, wish.deployment, pipeline.parse(wish.text))


async def check_machine(parts: Parts, deployment: Deployment, plan: pipeline.Pipeline) -> None:
    """Raise Refused when a step of `plan` asks what this server does not let it or this machine cannot do."""
    try:
        steps = pipeline.render(plan, inputs_of(deployment))
    except Invalid:  # that is for `check_steps` to say
        return
    await confinement.check(parts, steps)


async def check_steps(parts: Parts, deployment: Deployment, plan: pipeline.Pipeline) -> None:
    """Raise Invalid when a setting, a secret or a probe that a step of `plan` uses is missing."""
    steps = pipeline.render(plan, inputs_of(deployment))
    probed.check(parts, deployment.environment, steps)
    names = sorted({name for step in steps for name in step["secrets"]})
    if names:
        await parts.secrets.get(deployment.service, deployment.environment, names)


def patience(parts: Parts, begins: int) -> int:
    """Until when a deployment waits that may start at `begins`, when nobody says."""
    return begins + int(parts.settings.deployments.expire_pending * SECOND)


def check_order(not_before: int | None, expires_at: int | None) -> None:
    """Raise Invalid when it would expire before it may start."""
    if not_before is not None and expires_at is not None and expires_at <= not_before:
        raise Invalid(
            "expires_at: it would expire before it may start (not_before)",
            errors=[{"field": "expires_at", "message": "must be after not_before"}],
        )


def moment(at: int | None, name: str, now: int) -> int | None:
    """`at`, which must not lie in the past. Raises Invalid naming the field `name`."""
    if at is not None and at < now - 60 * SECOND:
        raise Invalid(
            f"{name} is in the past; send a time to come or leave it out",
            errors=[{"field": name, "message": "is in the past"}],
        )
    return at


def _version(given: str | None, resolved: Resolved) -> str:
    """The label people read: what they gave, else the tag they named, else the short commit."""
    if given is not None:
        if not _VERSION.fullmatch(given):
            raise Invalid(
                f"version `{given[:40]}` must be 1 to 128 letters, digits and ._+/-, a letter or digit first",
                errors=[{"field": "version", "message": "1 to 128 of letters, digits, ._+/-"}],
            )
        return given
    tag = (resolved.ref or "").removeprefix("refs/tags/")
    if tag != (resolved.ref or "") and _VERSION.fullmatch(tag):
        return tag
    return resolved.commit[:12]
