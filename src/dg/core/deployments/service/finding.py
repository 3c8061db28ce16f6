"""What several actions look up first: the deployment or the service that is meant, where a page begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import lifecycle, store
from dg.core.deployments import pipeline as pipelines
from dg.core.deployments.models import Deployment, RegisteredPipeline
from dg.core.deployments.parts import Parts
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.text import plain
from dg.core.types import Environment

T = TypeVar("T")

MOST = 1000
_PIPELINE_BYTES = 64 << 10
_MOST_CHANGES = 20
MOVED = frozenset({"stale_content", "outdated_base"})
"""Refusals of what somebody saw that is not so any more."""


async def deployment(parts: Parts, principal: Principal, deployment_id: str) -> Deployment:
    """One deployment, with what it waits for and what people decided. Raises NotFound."""
    now = parts.clock.micros()
    return await read(parts, principal, deployment_id, lambda tx, found: lifecycle.view(tx, found, now))


async def read(
    parts: Parts,
    principal: Principal,
    deployment_id: str,
    work: Callable[[Tx, Deployment], T],
    *,
    few: bool = False,
) -> T:
    """`work` on a deployment that the caller may see, a look at `few` rows or more. Raises NotFound."""

    def seen(tx: Tx) -> T:
        found = store.find(tx, deployment_id)
        if found is None or not principal.may(Action.DEPLOYMENT_READ, *scope(found)):
            raise _Unseen(found)
        return work(tx, found)

    try:
        return await (parts.db.glance if few else parts.db.read)(seen)
    except _Unseen as unseen:
        hidden = unseen.deployment
    missing = NotFound(
        f"there is no deployment {plain(deployment_id, limit=64)}; `dg status` shows those there are"
    )
    if hidden is not None:
        parts.access.require_visible(principal, Action.DEPLOYMENT_READ, *scope(hidden), missing)
    raise missing


class _Unseen(Exception):
    """The caller may not see a deployment, or there is none."""

    def __init__(self, deployment: Deployment | None) -> None:
        self.deployment = deployment


def scope(deployment: Deployment) -> tuple[str, str]:
    """Where rights on a deployment must hold: its environment and service."""
    return deployment.environment.value, deployment.service


def visible(principal: Principal, service: str) -> bool:
    """A pipeline spans all environments: whoever may see the service in one of them may read it."""
    return any(principal.may(Action.PIPELINE_READ, tier.value, service) for tier in Environment)


def environment(name: str) -> Environment:
    """The environment of that name. Raises NotFound."""
    if name not in set(Environment):
        raise NotFound(f"there is no environment {plain(name, limit=64)}; there are {', '.join(Environment)}")
    return Environment(name)


async def service(parts: Parts, principal: Principal, name: str | None) -> str:
    """The service that is meant: the named one, else the only one, else the default of the settings.

    Services that the caller may not see are not there. Raises NotFound for a name that is not registered,
    Invalid naming the choices when none was given.
    """
    registered = [found.service for found in await parts.db.glance(store.newest_pipelines)]
    known = [one for one in registered if visible(principal, one)]
    if name is not None:
        if name not in known:
            raise unknown(parts, principal, name, known)
        return name
    if len(known) == 1:
        return known[0]
    if parts.settings.deployments.default_service in known:
        return str(parts.settings.deployments.default_service)
    choices = ", ".join(known) or "none is registered yet: dg pipeline register dg.toml"
    raise Invalid(
        f"service: say which one is meant ({choices})",
        errors=[{"field": "service", "message": f"one of: {choices}"}],
        services=known,
    )


def unknown(parts: Parts, principal: Principal, name: str, known: list[str]) -> NotFound:
    """Why there is no such service for this caller; that it asked is kept when it is not to know."""
    shown = plain(name, limit=80)
    if known:
        missing = NotFound(
            f"there is no service {shown}; there are {', '.join(known)}", reason="unknown_service"
        )
    else:
        missing = NotFound(
            f"there is no service {shown}; register its pipeline first: dg pipeline register dg.toml",
            reason="unknown_service",
        )
    if not visible(principal, name):
        parts.access.require_visible(principal, Action.PIPELINE_READ, None, name, missing)
    return missing


async def pipeline(parts: Parts, principal: Principal, name: str) -> RegisteredPipeline:
    """The newest pipeline of a service. Raises NotFound."""
    found = await parts.db.glance(lambda tx: store.newest_pipeline(tx, name))
    if found is None or not visible(principal, name):
        raise unknown(parts, principal, name, [])
    return found


async def text(parts: Parts, registered: RegisteredPipeline) -> str:
    """The pipeline that deployments follow: the registered one, or the file it points to.

    That file is read from the protected branch, never from the commit that asks to be deployed. Raises
    Invalid, NotFound and Unavailable.
    """
    source = pipelines.parse(registered.text).source
    if source.pipeline != "repo":
        return registered.text
    name = registered.service
    tip = await parts.git.resolve(name, source.git, source.ref)
    raw = await parts.git.read_file(name, tip.commit, source.path, _PIPELINE_BYTES)
    found = pipelines.parse(raw)
    if found.service != name:
        raise Invalid(
            f"{source.path} on `{source.ref}` is of `{found.service}`, not of `{name}`",
            errors=[{"field": "service", "message": f"must be {name}"}],
        )
    return raw.decode("utf-8")


async def with_changes(parts: Parts, service: str, refused: Refused) -> Refused:
    """The same refusal; what moved (from `base` to `head`) comes with the commits that would come now."""
    if refused.reason not in MOVED:
        return refused
    base, head = refused.details["base"], str(refused.details["head"])
    changes = await parts.git.commits(service, str(base) if base else None, head, _MOST_CHANGES)
    commits = [{"sha": one.sha, "author": one.author, "subject": one.subject} for one in changes.commits]
    shown = {"total": changes.total, "commits": commits}
    return Refused(refused.message, reason=refused.reason, **refused.details, changes=shown)


def limit(wanted: int) -> int:
    """How many items a page has. Raises Invalid for none and for too many."""
    if not 1 <= wanted <= MOST:
        raise Invalid(
            f"limit: from 1 to {MOST}, not {wanted}",
            errors=[{"field": "limit", "message": f"must be from 1 to {MOST}"}],
        )
    return wanted


def cursor(text: str | None) -> int | None:
    """Where a page begins. Raises Invalid for what no page gave out."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(
            "cursor: send the next_cursor of the page before, or none",
            errors=[{"field": "cursor", "message": "is not one that a page gave out"}],
        )
    return int(text)
