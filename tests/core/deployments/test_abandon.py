"""A deployment that does not stop is given up: its row ends, its lane waits until nothing of it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.core.deployments.gates.yard import Yard, open_yard
from tests.core.deployments.test_dispatcher import WAITS, kill, let_go, rolling, runner_of
from tests.core.deployments.world import ADMIN, OPERATOR, World, open_world

from dg.core.deployments.models import Deployment, LaneState, Reason, RequestRollback, Status
from dg.core.errors import Forbidden, Refused
from dg.core.testing import eventually
from dg.runner import processes

WHY = "its mount is gone"


async def stuck_in(world: World, ref: str) -> tuple[Deployment, int]:
    """A deployment that was asked to stop and does not: its runner, the pid, is stopped by a signal."""
    made = await world.create(ref)
    await world.reached(made, rolling)
    pid = runner_of(world, made)
    os.kill(pid, signal.SIGSTOP)
    await world.core.deployments.cancel(OPERATOR, made.id)
    return made, pid


@asynccontextmanager
async def stuck(path: Path) -> AsyncIterator[tuple[World, Deployment, int]]:
    """A world with one that is stuck; it goes on at the end."""
    async with open_world(path, deployments={"abandon_after": 0.01}) as world:
        await world.register(WAITS)
        made, pid = await stuck_in(world, "v1")
        try:
            yield world, made, pid
        finally:
            if processes.alive(pid, ""):
                os.kill(pid, signal.SIGCONT)
            await world.stop()


def hold_back(world: World) -> None:
    Path(f"{world.journal}.go").unlink()


async def abandoned(world: World, deployment: Deployment) -> Deployment:
    """Given up as soon as that is allowed."""
    asked = (await world.get(deployment)).cancel_requested_at
    assert asked is not None
    await eventually(lambda: world.core.clock.micros() > asked + 10_000)
    await world.core.recovery.abandon(ADMIN, deployment.id, WHY)
    return await world.get(deployment)


async def test_an_abandoned_deployment_ends_and_its_lane_is_locked_by_hand(tmp_path: Path) -> None:
    async with stuck(tmp_path) as (world, made, _):
        ended = await abandoned(world, made)
        assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.INTERRUPTED, True)
        assert f"was abandoned: {WHY}" in (ended.message or "")
        lane = await world.core.lanes.get(ADMIN, "web", "production")
        assert (lane.state, lane.known, lane.holder) == (LaneState.LOCKED, False, None)
        assert lane.lock is not None
        assert (lane.lock.automatic, lane.lock.by) == (False, ADMIN.name)
        facts = [entry.type for entry in await world.entries() if entry.object == made.id]
        assert facts[-2:] == ["deployment.abandoned", "deployment.finished"]
        assert (await world.entries("deployment.abandoned"))[0].payload["alert"] is True
        await eventually(lambda: world.core.deployments._dispatcher.active == 0)


async def test_nobody_takes_the_lane_before_what_was_abandoned_is_gone(tmp_path: Path) -> None:
    async with stuck(tmp_path) as (world, made, pid):
        await abandoned(world, made)
        await world.core.lanes.unlock(ADMIN, "web", "production")
        next_one = await world.get(await world.create("v2"))
        assert f"#{made.number} (v1) was abandoned, and processes of it still run" in (next_one.hold or "")
        lane = await world.core.lanes.get(ADMIN, "web", "production")
        assert (lane.state, lane.sentence) == (LaneState.BUSY, next_one.hold)
        let_go(world)
        os.kill(pid, signal.SIGCONT)
        ended = await world.ended(next_one)
        assert ended.status is Status.SUCCESS, ended.message
        assert not processes.alive(pid, "")
        assert (await world.entries("lane.opened"))[-1].payload["what"] == "abandoned"
        assert (await world.get(made)).reason is Reason.INTERRUPTED
        assert world.written()[-2:] == ["begun", "done"]


async def test_a_rollback_waits_for_it_too(tmp_path: Path) -> None:
    async with open_world(tmp_path, deployments={"abandon_after": 0.01}) as world:
        await world.register(WAITS)
        let_go(world)
        good = await world.deploy("v1")
        hold_back(world)
        made, pid = await stuck_in(world, "v2")
        await abandoned(world, made)
        back = await world.core.deployments.rollback_lane(
            OPERATOR, "web", made.environment, RequestRollback(override="the shop is down")
        )
        assert "was abandoned, and processes of it still run" in ((await world.get(back)).hold or "")
        let_go(world)
        kill(pid)
        ended = await world.ended(back)
        assert (ended.status, ended.target) == (Status.SUCCESS, good.id)


async def test_a_server_that_starts_waits_for_what_was_abandoned_before(tmp_path: Path) -> None:
    async with open_world(tmp_path, deployments={"abandon_after": 0.01}) as world:
        await world.register(WAITS)
        made, pid = await stuck_in(world, "v1")
        await abandoned(world, made)
        await world.core.lanes.unlock(ADMIN, "web", "production")
    try:
        async with open_world(tmp_path) as world:
            next_one = await world.get(await world.create("v2"))
            assert "was abandoned, and processes of it still run" in (next_one.hold or "")
            assert world.home.runs.joinpath(made.id, "work").exists()
            let_go(world)
            os.kill(pid, signal.SIGCONT)
            assert (await world.ended(next_one)).status is Status.SUCCESS
            await eventually(lambda: not world.home.runs.joinpath(made.id, "work").exists())
    finally:
        if processes.alive(pid, ""):
            kill(pid)


# --- when it is allowed


async def running(yard: Yard) -> Deployment:
    await yard.world.register()
    await yard.ask()
    started = await yard.start()
    assert started is not None
    return await yard.desk().touch(started)


async def refused(yard: Yard, deployment: Deployment) -> Refused:
    with pytest.raises(Refused) as caught:
        await yard.world.core.recovery.abandon(ADMIN, deployment.id, WHY)
    return caught.value


async def test_only_one_that_was_asked_to_stop_long_ago_is_abandoned(tmp_path: Path) -> None:
    async with open_yard(tmp_path) as yard:
        core, deployment = yard.world.core, await running(yard)
        assert (await refused(yard, deployment)).reason == "not_cancelling"
        await core.deployments.cancel(OPERATOR, deployment.id)
        yard.clock.jump(599)
        assert (await refused(yard, deployment)).reason == "too_early"
        yard.clock.jump(1)
        with pytest.raises(Forbidden, match="deployment:abandon"):
            await core.recovery.abandon(OPERATOR, deployment.id, WHY)
        await core.recovery.abandon(ADMIN, deployment.id, WHY)
        assert (await refused(yard, deployment)).reason == "not_running"


async def test_no_rollback_follows_while_something_may_be_at_work(tmp_path: Path) -> None:
    async with open_yard(tmp_path) as yard:
        deployment = await running(yard)
        await yard.world.core.deployments.cancel(OPERATOR, deployment.id, then_rollback=True)
        yard.clock.jump(600)
        await yard.world.core.recovery.abandon(ADMIN, deployment.id, WHY)
        (declined,) = await yard.entries("rollback.declined")
        assert "dg rollback web --env production --override REASON" in declined.payload["message"]
        assert (await yard.desk().facts()).queue == []


async def test_who_followed_it_is_fenced_off(tmp_path: Path) -> None:
    async with open_yard(tmp_path) as yard:
        deployment = await running(yard)
        await yard.world.core.deployments.cancel(OPERATOR, deployment.id)
        yard.clock.jump(600)
        ended = await yard.world.core.recovery.abandon(ADMIN, deployment.id, WHY)
        assert ended.epoch == deployment.epoch + 1
        with pytest.raises(Refused, match="cannot become"):
            await yard.desk().end(deployment)
