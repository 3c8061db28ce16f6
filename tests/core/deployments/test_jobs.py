"""What happens to deployments by itself: what ran out ends, what is old goes, what a rollback needs stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.core.deployments.desk import SECOND, Desk
from tests.core.deployments.world import ADMIN, OPERATOR, World, open_world
from tests.observed import Observed

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.deployments import jobs, logs, store
from dg.core.deployments.drivers import Runners
from dg.core.deployments.models import (
    Chunk,
    CreateDeployment,
    Deployment,
    LaneState,
    LockLane,
    Reason,
    RequestRollback,
    SetFreeze,
    Status,
)
from dg.core.deployments.quota import LogQuota
from dg.core.idempotency import Once
from dg.core.testing import ManualClock
from dg.core.types import Environment

DAY = 86400.0


@dataclass
class Calendar:
    """A world whose time passes when it is told, and its jobs by name."""

    world: World
    clock: ManualClock
    runners: Runners
    desk: Desk

    @cached_property
    def quota(self) -> LogQuota:
        return LogQuota(self.world.parts, self.runners)

    async def run(self, name: str) -> None:
        dispatcher = self.world.core.deployments._dispatcher
        listed = jobs.jobs(self.world.parts, dispatcher, self.runners, self.quota)
        await next(job.run for job in listed if job.name == f"deployments.{name}")()

    async def succeed(self, ref: str, printed: bytes = b"a\n") -> Deployment:
        """A deployment that went well, with a run folder and a line."""
        return await self.desk.end(await self.begin(ref, printed), outputs={"image": f"web:{ref}"})

    async def begin(self, ref: str, printed: bytes = b"a\n") -> Deployment:
        """A deployment that runs, with a run folder and a line."""
        made = await self.world.create(ref)
        started = await self.desk.start()
        assert started is not None
        assert started.id == made.id
        self.runners.folder(made.id).mkdir()
        caps = self.world.settings.logs
        writer = await logs.open_writer(self.world.parts.logs, made.id, caps.head_bytes, caps.tail_bytes)
        await writer.append([Chunk(0, 0, printed.count(b"\n"), printed)], self.clock.micros())
        return started


@pytest.fixture
async def calendar(tmp_path: Path) -> AsyncIterator[Calendar]:
    async with opened(tmp_path) as calendar:
        yield calendar


@asynccontextmanager
async def opened(path: Path, **sections: Any) -> AsyncIterator[Calendar]:
    """A calendar over a home with these settings."""
    clock = ManualClock()
    async with open_world(path, passive=True, clock=clock, **sections) as world:
        await world.register()
        runners = Runners(world.home.runs, world.home.lanes, None, None, 0.1)
        yield Calendar(world, clock, runners, Desk(world.db, clock))


async def test_what_waited_too_long_expires(calendar: Calendar) -> None:
    world = calendar.world
    soon = await world.create(expires_at=calendar.clock.micros() + 60 * SECOND)
    usual = await world.create()
    await calendar.run("end_what_ran_out")
    assert (await world.get(soon)).status is Status.PENDING
    calendar.clock.jump(60)
    await calendar.run("end_what_ran_out")
    ended = await world.get(soon)
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.EXPIRED)
    assert ended.message == "it waited longer than it was allowed to"
    assert (await world.get(usual)).status is Status.PENDING
    calendar.clock.jump(7 * DAY)
    await calendar.run("end_what_ran_out")
    assert (await world.get(usual)).reason is Reason.EXPIRED


async def test_locks_and_freezes_run_out_and_it_is_told(calendar: Calendar) -> None:
    world, until = calendar.world, calendar.clock.micros() + 60 * SECOND
    await world.core.lanes.lock(ADMIN, "web", "production", LockLane(reason="work", until=until))
    frozen = await world.core.lanes.freeze(ADMIN, SetFreeze(reason="fair", until=until, service="web"))
    longer = await world.core.lanes.freeze(ADMIN, SetFreeze(reason="fair", until=until + 1))
    calendar.clock.jump(60)
    await calendar.run("end_what_ran_out")
    opened = await world.entries("lane.opened")
    assert [(entry.object, entry.payload["what"]) for entry in opened] == [("web/production", "lock")]
    assert [entry.object for entry in await world.entries("freeze.lifted")] == [frozen.id]
    assert await world.db.read(store.freezes) == (longer,)
    calendar.clock.jump(60)
    await calendar.run("end_what_ran_out")
    assert (await world.core.lanes.get(ADMIN, "web", "production")).state is LaneState.OPEN
    assert await world.db.read(store.freezes) == ()


async def test_nothing_to_end_writes_nothing(calendar: Calendar) -> None:
    await calendar.world.create()
    before = await calendar.world.entries()
    await calendar.run("end_what_ran_out")
    await calendar.run("start_due")
    assert await calendar.world.entries() == before


async def test_retention_removes_what_is_old_and_counts_it(calendar: Calendar) -> None:
    world = calendar.world
    old = await calendar.succeed("v1")
    request = CreateDeployment(environment=Environment.STAGING, ref="v1")
    key = Once("k", "a" * 64)
    first = await world.core.deployments.create(OPERATOR, request, key)
    ticks = Statement(schema.ticks.insert())
    moment = calendar.clock.micros()
    for number in (1, 2):
        await world.db.write(partial(Tx.run, statement=ticks, job="a", tick=number, at=moment))
    calendar.clock.jump(8 * DAY)
    young = await calendar.succeed("v2")

    await calendar.run("remove_old")
    assert not calendar.runners.folder(old.id).exists()
    assert calendar.runners.folder(young.id).exists()
    assert await world.lines(old) == await world.lines(young) == ["a"]
    again = await world.core.deployments.create(OPERATOR, request, key)
    assert again.id != first.id
    assert [entry.payload["removed"] for entry in await world.entries("records.pruned")] == [
        {"runs": 1, "idempotency_keys": 1, "ticks": 1}
    ]

    calendar.clock.jump(83 * DAY)
    await calendar.run("remove_old")
    assert (await world.lines(old), await world.lines(young)) == ([], ["a"])
    assert (await world.entries("records.pruned"))[-1].payload["removed"] == {
        "runs": 1,
        "log_chunks": 1,
        "idempotency_keys": 1,
    }
    await calendar.run("remove_old")
    assert len(await world.entries("records.pruned")) == 2
    assert await world.db.read(lambda tx: tx.all(Statement(sa.select(schema.ticks.c.tick)))) == [{"tick": 2}]


LINE = b"x" * 1023 + b"\n"


@asynccontextmanager
async def narrow(path: Path, lines: int) -> AsyncIterator[Calendar]:
    """A calendar in which the logs of all may be so many `LINE`s."""
    logs = {"head_bytes": 512, "tail_bytes": 512, "line_bytes": 512, "file_bytes": 512}
    async with opened(path, logs=logs, retention={"log_quota": lines * len(LINE)}) as calendar:
        yield calendar


async def test_logs_over_quota_go_oldest_first(tmp_path: Path) -> None:
    async with narrow(tmp_path, 2) as calendar:
        world = calendar.world
        oldest, older, newest = [await calendar.succeed(ref, LINE) for ref in ("v1", "v2", "v3")]
        before = await world.entries()
        await calendar.run("keep_log_quota")
        assert [len(await world.lines(each)) for each in (oldest, older, newest)] == [0, 1, 1]
        assert [calendar.runners.folder(each.id).exists() for each in (oldest, older)] == [False, True]
        assert (calendar.quota.state, calendar.quota.figures()) == ("ok", {"bytes": 2048, "quota": 2048})

        after = await world.entries()
        assert after[: len(before)] == before
        assert [entry.payload["removed"] for entry in after[len(before) :]] == [{"log_chunks_over_quota": 1}]
        assert (await world.get(oldest)).status is Status.SUCCESS
        assert (await world.core.feed.verify(ADMIN)).ok
        await calendar.run("keep_log_quota")
        assert await world.entries() == after


async def test_a_flood_of_many_times_the_quota_takes_no_more_of_the_disk(
    tmp_path: Path, observed: Observed
) -> None:
    """R14: what was removed makes room for what comes, the ledger is whole, and deployments go on."""
    quota, log = 2 << 20, LINE * 1024
    logs = {"head_bytes": len(log), "tail_bytes": len(log)}
    async with opened(tmp_path, logs=logs, retention={"log_quota": quota}) as calendar:
        world = calendar.world
        made = []
        for _ in range(15):
            made.append(await calendar.succeed("v1", log))
            await calendar.run("keep_log_quota")
            assert calendar.quota.state == "ok"
        fault = "logs of 15 MiB, a quota of 2 MiB"
        size = (await world.parts.logs.sizes())["bytes"]
        observed("R14", fault, "the logs' file", size / 2**20, at_most=4, unit="MiB")
        assert [each for each in made if await world.lines(each)] == made[-2:]
        assert (await world.core.feed.verify(ADMIN)).ok
        facts = await world.entries("deployment.finished")
        observed("R14", fault, "entries of the ledger lost", len(made) - len(facts), at_most=0)


async def test_the_log_of_a_deployment_that_runs_stays_and_health_says_it(tmp_path: Path) -> None:
    async with narrow(tmp_path, 2) as calendar:
        world = calendar.world
        ended = await calendar.succeed("v1", LINE)
        running = await calendar.begin("v2", LINE * 3)
        await calendar.run("keep_log_quota")
        assert [len(await world.lines(each)) for each in (ended, running)] == [0, 3]
        assert calendar.runners.folder(running.id).exists()
        assert calendar.quota.state == "over quota"

        await calendar.desk.end(running)
        await calendar.run("keep_log_quota")
        assert await world.lines(running) == []
        assert calendar.quota.state == "ok"


async def test_the_log_of_one_that_was_abandoned_and_may_still_write_stays(tmp_path: Path) -> None:
    async with narrow(tmp_path, 1) as calendar:
        world = calendar.world
        left = await calendar.succeed("v1", LINE * 2)
        lane = (left.service, left.environment.value)
        await world.db.write(lambda tx: store.set_lane(tx, *lane, left_by=left.id))
        await calendar.run("keep_log_quota")
        assert len(await world.lines(left)) == 2
        assert calendar.runners.folder(left.id).exists()


async def test_health_and_diagnostics_tell_of_the_quota(calendar: Calendar) -> None:
    system = calendar.world.core.system
    assert (await system.health()).checks["kept_logs"] == "ok"
    assert (await system.diagnostics(ADMIN))["kept_logs"] == {"bytes": None, "quota": 4 << 30}


async def test_what_a_rollback_needs_is_kept_for_good(calendar: Calendar) -> None:
    world = calendar.world
    good = await calendar.succeed("v1")
    bad = await calendar.succeed("v2")
    world.repository.git("checkout", "--quiet", "--orphan", "anew")
    world.repository.git("branch", "--delete", "--force", "main")
    world.repository.commit("Begin again", release="0\n")
    world.repository.git("branch", "--move", "main")
    world.repository.git("tag", "--delete", "v1", "v2", "v3")
    await world.parts.git.fetch("web", str(world.repository.path))
    calendar.clock.jump(400 * DAY)
    await calendar.run("remove_old")

    back = await world.core.deployments.rollback(OPERATOR, bad.id, RequestRollback())
    assert (back.target, back.outputs) == (good.id, {"image": "web:v1"})
    assert await world.db.read(lambda tx: store.snapshot(tx, back.pipeline_sha256))
    release = await world.parts.git.read_file("web", back.commit_sha, "release", 100)
    assert release == b"1\n"
