"""Who may do what to deployments, lanes and pipelines: every public method against the one table."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from tests.core.deployments.world import ADMIN, VIEWER, World

from dg.core.access.models import SYSTEM, Action, Grant, Principal
from dg.core.deployments.models import (
    Approve,
    BlockVersion,
    CreateDeployment,
    LockLane,
    Override,
    RequestRetry,
    RequestRollback,
    SetFreeze,
    UpdateDeployment,
)
from dg.core.deployments.service import Approvals, Deployments, Figures, Lanes, Pipelines, Recovery
from dg.core.errors import Forbidden, NotFound, Problem
from dg.core.testing import eventually, person
from dg.core.types import Environment

Call = Callable[[World, Principal, str], Awaitable[Any]]
PRODUCTION = Environment.PRODUCTION
STAGING = Environment.STAGING


def later(world: World) -> int:
    return world.core.clock.micros() + 3_600_000_000


async def _freeze(world: World, who: Principal, **where: Any) -> Any:
    return await world.core.lanes.freeze(who, SetFreeze(reason="fair", until=later(world), **where))


async def _unblock(world: World, who: Principal) -> Any:
    if not await world.core.lanes.blocks(SYSTEM, "web", "production"):
        await world.core.lanes.block(SYSTEM, "web", "production", BlockVersion(version="v2", reason="x"))
    commit = (await world.core.lanes.blocks(SYSTEM, "web", "production"))[0].commit_sha
    return await world.core.lanes.unblock(who, "web", "production", commit, "x")


CALLS: dict[str, tuple[Action, Call]] = {
    "Deployments.create": (
        Action.DEPLOYMENT_CREATE,
        lambda w, p, d: w.core.deployments.create(p, CreateDeployment(environment=PRODUCTION, ref="v1")),
    ),
    "Deployments.get": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.get(p, d)),
    "Deployments.list": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.list(p)),
    "Deployments.status": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.status(p, d)),
    "Deployments.steps": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.steps(p, d)),
    "Deployments.logs": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.logs(p, d)),
    "Deployments.receipt": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.receipt(p, d)),
    "Deployments.receipt_key": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.receipt_key(p)),
    "Deployments.changes": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.deployments.changes(p, d)),
    "Deployments.diff": (Action.DEPLOYMENT_DIFF, lambda w, p, d: w.core.deployments.diff(p, d)),
    "Deployments.update": (
        Action.DEPLOYMENT_UPDATE,
        lambda w, p, d: w.core.deployments.update(p, d, UpdateDeployment(note="soon")),
    ),
    "Deployments.preview": (
        Action.DEPLOYMENT_READ,
        lambda w, p, d: w.core.deployments.preview(p, CreateDeployment(environment=PRODUCTION, ref="v1")),
    ),
    "Deployments.preview_rollback": (
        Action.DEPLOYMENT_READ,
        lambda w, p, d: w.core.deployments.preview_rollback(p, "web", PRODUCTION, RequestRollback()),
    ),
    "Deployments.rollback": (
        Action.DEPLOYMENT_ROLLBACK,
        lambda w, p, d: w.core.deployments.rollback(p, d, RequestRollback()),
    ),
    "Deployments.rollback_lane": (
        Action.DEPLOYMENT_ROLLBACK,
        lambda w, p, d: w.core.deployments.rollback_lane(p, "web", PRODUCTION, RequestRollback()),
    ),
    "Deployments.cancel": (Action.DEPLOYMENT_CANCEL, lambda w, p, d: w.core.deployments.cancel(p, d)),
    "Figures.dora": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.figures.dora(p)),
    "Figures.outcomes": (Action.DEPLOYMENT_READ, lambda w, p, d: w.core.figures.outcomes(p, 0, 1)),
    "Approvals.approve": (
        Action.DEPLOYMENT_APPROVE,
        lambda w, p, d: w.core.approvals.approve(p, d, Approve()),
    ),
    "Approvals.reject": (Action.DEPLOYMENT_REJECT, lambda w, p, d: w.core.approvals.reject(p, d, "no")),
    "Approvals.override": (
        Action.DEPLOYMENT_OVERRIDE,
        lambda w, p, d: w.core.approvals.override(p, d, Override(gates=("window",), reason="now")),
    ),
    "Recovery.retry": (
        Action.DEPLOYMENT_RETRY,
        lambda w, p, d: w.core.recovery.retry(p, d, RequestRetry()),
    ),
    "Recovery.abandon": (
        Action.DEPLOYMENT_ABANDON,
        lambda w, p, d: w.core.recovery.abandon(p, d, "it hangs"),
    ),
    "Lanes.list": (Action.LANE_READ, lambda w, p, d: w.core.lanes.list(p)),
    "Lanes.get": (Action.LANE_READ, lambda w, p, d: w.core.lanes.get(p, "web", "production")),
    "Lanes.lock": (
        Action.LANE_LOCK,
        lambda w, p, d: w.core.lanes.lock(p, "web", "production", LockLane(reason="x", until=later(w))),
    ),
    "Lanes.unlock": (Action.LANE_UNLOCK, lambda w, p, d: w.core.lanes.unlock(p, "web", "production")),
    "Lanes.queue": (Action.LANE_READ, lambda w, p, d: w.core.lanes.queue(p, "web", "production")),
    "Lanes.blocks": (Action.LANE_READ, lambda w, p, d: w.core.lanes.blocks(p, "web", "production")),
    "Lanes.block": (
        Action.LANE_BLOCK,
        lambda w, p, d: w.core.lanes.block(p, "web", "production", BlockVersion(version="v1", reason="x")),
    ),
    "Lanes.unblock": (Action.LANE_UNBLOCK, lambda w, p, d: _unblock(w, p)),
    "Lanes.freezes": (Action.LANE_READ, lambda w, p, d: w.core.lanes.freezes(p)),
    "Lanes.freeze": (Action.LANE_FREEZE, lambda w, p, d: _freeze(w, p)),
    "Lanes.thaw": (Action.LANE_THAW, lambda w, p, d: w.core.lanes.thaw(p)),
    "Pipelines.register": (
        Action.PIPELINE_WRITE,
        lambda w, p, d: w.core.pipelines.register(p, w.pipeline()),
    ),
    "Pipelines.list": (Action.PIPELINE_READ, lambda w, p, d: w.core.pipelines.list(p)),
    "Pipelines.get": (Action.PIPELINE_READ, lambda w, p, d: w.core.pipelines.get(p, "web")),
    "Pipelines.history": (Action.PIPELINE_READ, lambda w, p, d: w.core.pipelines.history(p, "web")),
    "Pipelines.lint": (Action.PIPELINE_READ, lambda w, p, d: w.core.pipelines.lint(p, w.pipeline())),
    "Pipelines.source": (Action.PIPELINE_READ, lambda w, p, d: w.core.pipelines.source(p, "web")),
}
"""Every public method, the one action it checks, and a call of it."""

UNCHECKED = {"Deployments.wait_for_logs"}
"""Gives nothing but a moment: whoever reads lines is checked there."""

READS = {action for action in Action if action.value.endswith(":read")}


async def denied(call: Call, world: World, who: Principal, deployment: str) -> bool:
    """Whether the caller is told that it may not, or that there is no such thing."""
    try:
        await call(world, who, deployment)
    except (Forbidden, NotFound):
        return True
    except Problem:
        return False
    return False


def test_no_public_method_and_no_action_is_missing() -> None:
    public = {
        f"{service.__name__}.{name}"
        for service in (Approvals, Deployments, Figures, Lanes, Pipelines, Recovery)
        for name, _ in inspect.getmembers(service, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public == set(CALLS) | UNCHECKED
    domain = {action for action in Action if action.value.split(":")[0] in ("deployment", "lane", "pipeline")}
    assert {action for action, _ in CALLS.values()} == domain


def somebody_who_may(actions: Iterable[Action]) -> Principal:
    grant = Grant(role="made-up", actions=frozenset(actions))
    return Principal(id=ADMIN.id, name=ADMIN.name, grants=(grant,))


async def test_without_its_action_nobody_gets_through(quiet: World) -> None:
    deployment = await quiet.create()
    for name, (action, call) in CALLS.items():
        assert await denied(call, quiet, somebody_who_may(set(Action) - {action}), deployment.id), name


async def test_its_action_is_all_that_it_takes(quiet: World) -> None:
    deployment = await quiet.create()
    for name, (action, call) in CALLS.items():
        assert not await denied(call, quiet, somebody_who_may(READS | {action}), deployment.id), name


async def test_a_viewer_may_do_nothing_but_read(quiet: World) -> None:
    deployment = await quiet.create()
    for name, (action, call) in CALLS.items():
        assert await denied(call, quiet, VIEWER, deployment.id) is (action not in READS), name


async def test_somebody_without_a_role_reads_nothing(quiet: World) -> None:
    deployment = await quiet.create()
    nobody = Principal(id="nobody", name="nobody")
    for name, (_, call) in CALLS.items():
        assert await denied(call, quiet, nobody, deployment.id), name


async def test_a_cancel_that_also_rolls_back_takes_both_actions(quiet: World) -> None:
    deployment = await quiet.create()
    canceller = somebody_who_may(READS | {Action.DEPLOYMENT_CANCEL})
    with pytest.raises(Forbidden, match="deployment:rollback"):
        await quiet.core.deployments.cancel(canceller, deployment.id, then_rollback=True)
    assert (await quiet.get(deployment)).status == "pending"


async def test_a_denied_try_is_in_the_ledger(quiet: World) -> None:
    deployment = await quiet.create()
    with pytest.raises(Forbidden, match="deployment:cancel on web/production needs the role"):
        await quiet.core.deployments.cancel(VIEWER, deployment.id)
    await eventually(lambda: quiet.entries("access.denied"))
    entry = (await quiet.entries("access.denied"))[0]
    assert (entry.actor, entry.payload["action"]) == (VIEWER.id, "deployment:cancel")


# --- narrowed to staging

NARROW = person("admin", name="sam", environment="staging")


async def test_a_token_for_staging_cannot_touch_production(quiet: World) -> None:
    for action, call in (CALLS[name] for name in ("Deployments.create", "Deployments.rollback_lane")):
        with pytest.raises(Forbidden, match=f"{action} on web/production needs the role"):
            await call(quiet, NARROW, "")
    made = await quiet.core.deployments.create(NARROW, CreateDeployment(environment=STAGING, ref="v1"))
    assert made.environment is STAGING


async def test_a_token_for_staging_cannot_see_production(quiet: World) -> None:
    hidden = await quiet.create()
    shown = await quiet.create(environment="staging")
    for name in ("get", "status", "steps", "logs", "changes", "update", "cancel", "rollback"):
        with pytest.raises(NotFound, match=f"there is no deployment {hidden.id}"):
            await CALLS[f"Deployments.{name}"][1](quiet, NARROW, hidden.id)
    lanes = [f"Lanes.{name}" for name in ("get", "lock", "unlock", "queue", "block")]
    for name in (*lanes, "Deployments.preview", "Deployments.preview_rollback"):
        with pytest.raises(NotFound, match="there is no lane web/production that you may see"):
            await CALLS[name][1](quiet, NARROW, "")
    assert [d.id for d in (await quiet.core.deployments.list(NARROW)).items] == [shown.id]
    assert [lane.environment for lane in await quiet.core.lanes.list(NARROW)] == [STAGING]
    await eventually(lambda: quiet.entries("access.denied"))


async def test_a_token_for_staging_freezes_and_thaws_staging_alone(quiet: World) -> None:
    for where in ({}, {"service": "web"}, {"environment": PRODUCTION}):
        with pytest.raises(Forbidden, match="lane:freeze"):
            await _freeze(quiet, NARROW, **where)
    everything = await _freeze(quiet, ADMIN)
    own = await _freeze(quiet, NARROW, environment=STAGING)
    with pytest.raises(Forbidden, match="lane:thaw everywhere needs the role admin or approver; "):
        await quiet.core.lanes.thaw(NARROW, everything.id)
    assert await quiet.core.lanes.thaw(NARROW) == (own,)
    assert await quiet.core.lanes.freezes(NARROW) == (everything,)


async def test_a_service_that_one_may_not_see_is_not_there(quiet: World) -> None:
    await quiet.register(service="secret-plan")
    narrow = person("admin", name="wanda", service="web")
    assert [found.service for found in await quiet.core.pipelines.list(narrow)] == ["web"]
    calls: tuple[Awaitable[Any], ...] = (
        quiet.core.pipelines.get(narrow, "secret-plan"),
        quiet.core.pipelines.history(narrow, "secret-plan"),
        quiet.core.lanes.get(narrow, "secret-plan", "staging"),
        quiet.core.deployments.create(narrow, CreateDeployment(service="secret-plan", environment=STAGING)),
    )
    for call in calls:
        with pytest.raises(NotFound, match="there is no service secret-plan"):
            await call
    with pytest.raises(NotFound, match=r"there is no service shop; there are web$"):
        await quiet.core.deployments.create(narrow, CreateDeployment(service="shop", environment=STAGING))
    made = await quiet.core.deployments.create(narrow, CreateDeployment(environment=STAGING, ref="v1"))
    assert made.service == "web"
