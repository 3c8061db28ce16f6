"""How an environment was: held against what was shown at the time, at every moment of long stories."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.core.deployments.desk import ANA, Desk
from tests.core.deployments.world import ADMIN, OPERATOR, World, open_world

from dg.core.access.models import SYSTEM
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments.models import (
    ACTIVE,
    Deployment,
    Lane,
    LaneState,
    LockLane,
    Reason,
    SetFreeze,
    Status,
)
from dg.core.environments.models import UpdateEnvironment
from dg.core.errors import Forbidden, Invalid, Refused
from dg.core.events import DriftFound, DriftResolved, EnvironmentHealthChanged, Fact, HomeRestored
from dg.core.past.models import PastEnvironment, PastLane
from dg.core.testing import ManualClock, person
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION


@dataclass
class Story:
    """A world that stands still, a desk in it on which deployments are moved, and what was seen when."""

    world: World
    desk: Desk
    clock: ManualClock
    seen: list[tuple[int, Lane]] = field(default_factory=list)

    async def look(self) -> None:
        """Remember how the lane is now, and let a microsecond go by."""
        lane = await self.world.core.lanes.get(ADMIN, "web", "production")
        self.seen.append((self.clock.micros(), lane))
        self.clock.jump(0.000_001)

    async def at(self, then: int) -> PastLane:
        (lane,) = (await self.environment(then)).lanes
        return lane

    async def environment(self, then: int) -> PastEnvironment:
        return await self.world.core.past.get(ADMIN, PRODUCTION, then)

    async def tell(self, *facts: Fact) -> int:
        """Append facts as the server would; when that was."""
        now = self.clock.micros()
        await self.world.db.write(lambda tx: _append(tx, facts))
        self.clock.jump(0.000_001)
        return now


def _append(tx: Tx, facts: Iterable[Fact]) -> None:
    for fact in facts:
        tx.append(fact, SYSTEM)


@pytest.fixture
async def story(tmp_path: Path, either_url: str | None) -> AsyncIterator[Story]:
    clock = ManualClock()
    async with open_world(tmp_path, passive=True, clock=clock, url=either_url) as world:
        await world.register()
        yield Story(world, Desk(world.db, clock), clock)


def shown(lane: Lane) -> tuple[object, ...]:
    """What was to be seen of a lane at the time."""
    closed = (lane.lock and lane.lock.until, lane.freeze and lane.freeze.id)
    return lane.state, lane.known, lane.current, lane.current_version, lane.holder, *closed


def told(lane: PastLane) -> tuple[object, ...]:
    """The same, of what is told of it afterwards."""
    current, holder = lane.current, lane.holder
    closed = (lane.lock and lane.lock.until, lane.freeze and lane.freeze.id)
    ran = (current.id, current.version) if current else (None, None)
    return lane.state, lane.known, *ran, holder.id if holder else None, *closed


async def _ask(story: Story, random: Random) -> None:
    await story.desk.ask(f"v{random.randrange(5)}")


async def _start(story: Story, random: Random) -> None:
    if (started := await story.desk.start()) is not None and random.random() < 0.8:
        await story.desk.touch(started)


async def _end(story: Story, random: Random) -> None:
    holder = (await story.desk.facts()).holder
    if holder is not None and holder.status in ACTIVE:
        reason = random.choice((None, Reason.VERIFY_FAILED, Reason.STEP_FAILED, Reason.INTERRUPTED))
        await story.desk.end(holder, "failed" if reason else "success", reason, "it went so")


async def _lock(story: Story, random: Random) -> None:
    until = story.clock.micros() + random.randrange(1, 900) * SECOND
    lanes = story.world.core.lanes
    if (await lanes.get(ADMIN, "web", "production")).lock is None:
        await lanes.lock(OPERATOR, "web", "production", LockLane(reason="we look", until=until))


async def _unlock(story: Story, random: Random) -> None:
    await story.world.core.lanes.unlock(OPERATOR, "web", "production")


async def _freeze(story: Story, random: Random) -> None:
    until = story.clock.micros() + random.randrange(1, 900) * SECOND
    environment = random.choice((None, PRODUCTION, Environment.STAGING))
    await story.world.core.lanes.freeze(
        ADMIN, SetFreeze(reason="the fair", until=until, environment=environment)
    )


async def _thaw(story: Story, random: Random) -> None:
    if found := await story.world.core.lanes.freezes(ADMIN):
        await story.world.core.lanes.thaw(ADMIN, random.choice(found).id)


async def _wait(story: Story, random: Random) -> None:
    story.clock.jump(random.choice((0.5, 60, 1000, 40_000)))


HAPPENINGS = (*([_ask, _start, _end] * 3), _lock, _unlock, _unlock, _freeze, _thaw, _thaw, _wait)


@pytest.mark.parametrize("seed", [0, 1, 3])
async def test_every_moment_is_told_as_it_was_shown_at_the_time(story: Story, seed: int) -> None:
    random = Random(seed)  # noqa: S311
    for _ in range(60):
        await random.choice(HAPPENINGS)(story, random)
        await story.look()
    for then, lane in story.seen:
        assert told(await story.at(then)) == shown(lane), then
    assert len({lane.state for _, lane in story.seen}) == len(LaneState)
    assert {lane.known for _, lane in story.seen} == {True, False}


async def test_what_happens_in_a_microsecond_is_so_in_it_and_not_in_the_one_before(story: Story) -> None:
    begun = await story.desk.begin("v1")
    story.clock.jump(60)
    ended = await story.desk.end(begun)
    moment = ended.completed_at or 0
    story.clock.jump(1)
    before, then = await story.at(moment - 1), await story.at(moment)
    assert (before.state, before.current) == (LaneState.BUSY, None)
    assert before.sentence.startswith(f"web/production was busy: #{ended.number} was deploying v1 since ")
    assert then.state is LaneState.OPEN
    assert then.current is not None
    assert (then.current.id, then.current.by, then.current.completed_at) == (ended.id, ANA.id, moment)
    assert then.sentence == "web/production was open; v1 ran there."


async def test_a_rollback_later_does_not_change_what_had_run_before(story: Story) -> None:
    first = await story.desk.succeed("v1")
    story.clock.jump(60)
    second = await story.desk.succeed("v2")
    story.clock.jump(60)
    bad = await story.desk.fail("v3")
    undone = await story.desk.end(await story.desk.rollback())
    story.clock.jump(60)
    assert (await story.desk.read(bad)).status is Status.ROLLED_BACK

    async def ran(moment: int | None) -> str | None:
        current = (await story.at(moment or 0)).current
        return current.id if current else None

    assert await ran(first.completed_at) == first.id
    assert await ran((second.completed_at or 0) - 1) == first.id
    assert await ran(second.completed_at) == second.id
    assert await ran(undone.completed_at) == undone.id


async def test_a_run_that_the_server_saw_late_is_told_by_when_it_ended(story: Story) -> None:
    begun = await story.desk.begin("v1")
    story.clock.jump(60)
    really = story.clock.micros()
    story.clock.jump(600)
    await story.desk.end(begun, at=really)
    assert (await story.at(really - 1)).current is None
    assert (await story.at(really)).current is not None


async def test_what_waited_is_counted(story: Story) -> None:
    running: Deployment = await story.desk.begin("v1")
    await story.desk.ask("v2")
    then = story.clock.micros()
    story.clock.jump(1)
    await story.desk.end(running)
    found = await story.at(then)
    assert (found.waiting, found.holder and found.holder.id) == (1, running.id)


def health(service: str, now: str, was: str, status: str) -> EnvironmentHealthChanged:
    return EnvironmentHealthChanged(
        environment="production",
        service=service,
        status=status,
        was="healthy",
        service_status=now,
        service_was=was,
        probe="up",
        message=f"{service} is {now}",
    )


async def test_health_is_the_last_word_on_each_service(story: Story) -> None:
    nothing = story.clock.micros()
    story.clock.jump(1)
    slow = await story.tell(health("web", "degraded", "healthy", "degraded"))
    down = await story.tell(health("api", "unhealthy", "healthy", "unhealthy"))
    well = await story.tell(health("api", "healthy", "unhealthy", "degraded"))
    assert (await story.environment(nothing)).status is None
    found = [await story.environment(moment) for moment in (slow, down, well)]
    assert [each.status for each in found] == ["degraded", "unhealthy", "degraded"]
    assert [[(told.service, told.status.value, told.since) for told in each.services] for each in found] == [
        [("web", "degraded", slow)],
        [("api", "unhealthy", down), ("web", "degraded", slow)],
        [("api", "healthy", well), ("web", "degraded", slow)],
    ]
    other = await story.world.core.past.get(ADMIN, Environment.STAGING, well)
    assert (other.status, other.services) == (None, ())


async def test_drift_is_told_until_it_is_resolved_or_something_else_was_deployed(story: Story) -> None:
    lane: dict[str, Any] = {"service": "web", "environment": "production"}
    first = await story.desk.succeed("v1")
    story.clock.jump(1)
    differs = DriftFound(**lane, deployment=first.id, version="v1", commit=first.commit_sha, found="v9")
    found = await story.tell(differs)
    resolved = await story.tell(DriftResolved(**lane, found="v1"))
    again = await story.tell(differs)
    story.clock.jump(1)
    second = await story.desk.succeed("v2")
    seen = [(await story.at(moment)).drift for moment in (found - 1, found, resolved, again)]
    assert [each and (each.found, each.at) for each in seen] == [None, ("v9", found), None, ("v9", again)]
    assert (await story.at(second.completed_at or 0)).drift is None


async def test_the_version_of_the_configuration_is_told(story: Story) -> None:
    before = story.clock.micros()
    story.clock.jump(1)
    await story.world.core.environments.update(
        ADMIN, PRODUCTION, UpdateEnvironment(domain="shop.example", config={})
    )
    after = story.clock.micros()
    assert [(await story.environment(moment)).version for moment in (before, after)] == [0, 1]


async def test_a_service_that_was_not_there_yet_is_not_told_of(story: Story) -> None:
    story.clock.jump(1)
    before = story.clock.micros()
    story.clock.jump(1)
    await story.world.register(service="api")
    assert [each.service for each in (await story.environment(before)).lanes] == ["web"]
    assert [each.service for each in (await story.environment(story.clock.micros())).lanes] == ["api", "web"]


async def test_the_future_and_what_was_before_the_record_are_refused(story: Story) -> None:
    now = story.clock.micros()
    recorded = (await story.environment(now)).recorded_at
    with pytest.raises(Invalid, match="has not come yet") as future:
        await story.environment(now + 1)
    assert future.value.reason == "future"
    await story.environment(recorded)
    for then in (recorded - 1, 0, -(1 << 62)):
        with pytest.raises(Refused, match="the record begins at 2026") as early:
            await story.environment(max(then, -62_135_596_800 * SECOND))
        assert early.value.reason == "unrecorded"


async def test_what_a_restore_lost_is_unknown_and_nothing_is_guessed(story: Story) -> None:
    await story.desk.succeed("v1")
    backup = story.clock.micros()
    story.clock.jump(600)
    restored = await story.tell(HomeRestored(made_at=backup, head_seq=1))
    assert (await story.at(backup)).current is not None
    assert (await story.at(restored)).current is not None
    for then in (backup + 1, restored - 1):
        with pytest.raises(Refused, match="restored from a backup") as lost:
            await story.environment(then)
        assert lost.value.reason == "lost"


async def test_who_may_not_see_the_environment_learns_nothing_of_its_past(story: Story) -> None:
    watcher = person("viewer", environment="staging")
    with pytest.raises(Forbidden):
        await story.world.core.past.get(watcher, PRODUCTION, story.clock.micros())
    found = await story.world.core.past.get(watcher, Environment.STAGING, story.clock.micros())
    assert [each.environment for each in found.lanes] == [Environment.STAGING]
