"""Changes one deployment for a caller who may: what all actions on one that exists have in common."""

from __future__ import annotations

from collections.abc import Callable

from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import lifecycle, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.models import Deployment
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import finding
from dg.core.idempotency import Once, once


async def act(
    parts: Parts,
    dispatcher: Dispatcher,
    principal: Principal,
    deployment_id: str,
    action: Action,
    key: Once | None,
    effect: Callable[[Tx, Deployment], Deployment],
) -> Deployment:
    """Check that the caller may, then change the deployment as it stands, once per key.

    The answer says what a look at it would. Raises NotFound, Forbidden, Mismatch, and what `effect` does.
    """
    deployment = await finding.deployment(parts, principal, deployment_id)
    parts.access.require(principal, action, *finding.scope(deployment))

    def work(tx: Tx) -> Deployment:
        changed = effect(tx, store.require(tx, deployment_id))
        return lifecycle.view(tx, changed, parts.clock.micros())

    changed = await parts.db.write(lambda tx: once(tx, principal, key, Deployment, parts.clock, work))
    dispatcher.wake()
    return changed
