"""Lanes as callers see them: lock, unlock, freeze, thaw, and what the board says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.desk import SECOND
from tests.core.deployments.world import ADMIN, OPERATOR, World

from dg.core.deployments.models import BlockVersion, Freeze, LaneState, LockLane, SetFreeze
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.idempotency import Once
from dg.core.types import Environment

DAY = 86400 * SECOND


def lock(world: World, seconds: float = 60, reason: str = "database work") -> LockLane:
    return LockLane(reason=reason, until=world.core.clock.micros() + int(seconds * SECOND))


async def freeze(world: World, seconds: float = 60, **where: Any) -> Freeze:
    until = world.core.clock.micros() + int(seconds * SECOND)
    return await world.core.lanes.freeze(ADMIN, SetFreeze(reason="the fair", until=until, **where))


async def test_every_registered_service_has_its_three_lanes(quiet: World) -> None:
    await quiet.register(service="api")
    found = [(lane.service, lane.environment) for lane in await quiet.core.lanes.list(ADMIN)]
    assert found == [(service, tier) for service in ("api", "web") for tier in Environment]
    narrowed = await quiet.core.lanes.list(ADMIN, service="api", environment="staging")
    assert [(lane.service, lane.environment) for lane in narrowed] == [("api", Environment.STAGING)]


async def test_a_lane_shows_its_queue(quiet: World) -> None:
    made = [(await quiet.create(ref)).id for ref in ("v1", "v2")]
    lane = await quiet.core.lanes.get(ADMIN, "web", "production")
    assert (lane.state, list(lane.queue), lane.holder) == (LaneState.OPEN, made, None)


@pytest.mark.parametrize(
    ("service", "environment", "sentence"),
    [
        ("shop", "production", "there is no service shop; there are web"),
        ("web", "prod", "there is no environment prod; there are development, staging, production"),
        ("web", "\x1b[2Jx", "there is no environment"),
    ],
)
async def test_a_lane_that_is_not_there_is_not_found(
    quiet: World, service: str, environment: str, sentence: str
) -> None:
    for call in (
        quiet.core.lanes.get(ADMIN, service, environment),
        quiet.core.lanes.lock(ADMIN, service, environment, lock(quiet)),
        quiet.core.lanes.unlock(ADMIN, service, environment),
    ):
        with pytest.raises(NotFound, match=sentence) as caught:
            await call
        assert "\x1b" not in caught.value.message


async def test_a_lock_closes_and_an_unlock_opens_and_both_are_told(quiet: World) -> None:
    closed = await quiet.core.lanes.lock(OPERATOR, "web", "production", lock(quiet))
    assert closed.state is LaneState.LOCKED
    assert closed.lock is not None
    assert (closed.lock.by, closed.lock.automatic, closed.lock.reason) == ("ana", False, "database work")
    opened = await quiet.core.lanes.unlock(OPERATOR, "web", "production", "done")
    assert (opened.state, opened.lock) == (LaneState.OPEN, None)
    await quiet.core.lanes.unlock(OPERATOR, "web", "production")
    told = [entry.type for entry in await quiet.entries() if entry.type.startswith("lane.")]
    assert told == ["lane.locked", "lane.unlocked"]
    assert (await quiet.entries("lane.unlocked"))[0].payload["reason"] == "done"


async def test_a_lock_by_hand_is_not_taken_over_and_its_sentence_is_told(quiet: World) -> None:
    first = await quiet.core.lanes.lock(OPERATOR, "web", "production", lock(quiet))
    await freeze(quiet)
    with pytest.raises(Refused) as caught:
        await quiet.core.lanes.lock(ADMIN, "web", "production", lock(quiet, reason="mine"))
    assert (caught.value.reason, caught.value.message) == ("lane_locked", first.sentence)


@pytest.mark.parametrize("seconds", [0, -5])
async def test_what_closes_must_end_in_the_future(quiet: World, seconds: int) -> None:
    with pytest.raises(Invalid, match="until: is not in the future"):
        await quiet.core.lanes.lock(ADMIN, "web", "production", lock(quiet, seconds))
    with pytest.raises(Invalid, match="until: is not in the future"):
        await freeze(quiet, seconds)


async def test_what_closes_must_end_soon_enough(quiet: World) -> None:
    for call, setting in (
        (quiet.core.lanes.lock(ADMIN, "web", "production", lock(quiet, 31 * 86400)), "lanes.lock_max"),
        (freeze(quiet, 31 * 86400), "lanes.freeze_max"),
    ):
        with pytest.raises(Invalid, match=rf"UTC or earlier \({setting}\)"):
            await call


@pytest.mark.parametrize(
    ("where", "closed"),
    [
        ({}, 6),
        ({"service": "web"}, 3),
        ({"environment": Environment.PRODUCTION}, 2),
        ({"service": "web", "environment": Environment.PRODUCTION}, 1),
    ],
)
async def test_a_freeze_closes_exactly_what_it_covers(
    quiet: World, where: dict[str, Any], closed: int
) -> None:
    await quiet.register(service="api")
    made = await freeze(quiet, **where)
    frozen = [lane for lane in await quiet.core.lanes.list(ADMIN) if lane.state is LaneState.FROZEN]
    assert len(frozen) == closed
    assert all(lane.freeze == made for lane in frozen)
    assert await quiet.core.lanes.thaw(ADMIN, made.id) == (made,)
    assert {lane.state for lane in await quiet.core.lanes.list(ADMIN)} == {LaneState.OPEN}
    assert [entry.object for entry in await quiet.entries("freeze.lifted")] == [made.id]


async def test_a_freeze_of_a_service_that_is_not_there_is_not_found(quiet: World) -> None:
    with pytest.raises(NotFound, match="there is no service shop"):
        await freeze(quiet, service="shop")


async def test_thawing_without_an_id_ends_all_and_with_an_unknown_one_none(quiet: World) -> None:
    both = (await freeze(quiet), await freeze(quiet, service="web"))
    with pytest.raises(NotFound, match="there is no freeze nothing; it may have ended by itself"):
        await quiet.core.lanes.thaw(ADMIN, "nothing")
    assert await quiet.core.lanes.thaw(ADMIN) == both
    assert await quiet.core.lanes.thaw(ADMIN) == ()


async def test_a_repeated_thaw_gets_its_first_answer(quiet: World) -> None:
    made = await freeze(quiet)
    key = Once("k", "c" * 64)
    assert await quiet.core.lanes.thaw(ADMIN, made.id, key) == (made,)
    assert await quiet.core.lanes.thaw(ADMIN, made.id, key) == (made,)
    assert len(await quiet.entries("freeze.lifted")) == 1


async def test_a_repeated_lock_gets_its_first_answer(quiet: World) -> None:
    key, request = Once("k", "d" * 64), lock(quiet)
    first = await quiet.core.lanes.lock(OPERATOR, "web", "production", request, key)
    assert await quiet.core.lanes.lock(OPERATOR, "web", "production", request, key) == first


# --- what waits


async def test_the_queue_says_positions_and_without_a_history_when_the_first_one_starts(quiet: World) -> None:
    first, second = await quiet.create("v1"), await quiet.create("v2")
    queue = await quiet.core.lanes.queue(ADMIN, "web", "production")
    assert [(one.position, one.deployment.id) for one in queue] == [(1, first.id), (2, second.id)]
    assert queue[0].deployment.hold == "It is next and starts at once."
    assert queue[1].deployment.hold == "It waits for #1 (v1) in web/production."
    assert (queue[0].estimated_start is None, queue[1].estimated_start) == (False, None)


async def test_with_a_history_everybody_is_told_when(world: World) -> None:
    await world.register()
    await world.deploy("v1")
    await world.core.lanes.lock(OPERATOR, "web", "staging", lock(world))
    made = [await world.create(ref, "production", not_before=lock(world).until) for ref in ("v2", "v3")]
    queue = await world.core.lanes.queue(ADMIN, "web", "production")
    assert [one.deployment.id for one in queue] == [one.id for one in made]
    starts = [one.estimated_start or 0 for one in queue]
    assert starts[0] == made[0].not_before
    assert starts[0] < starts[1] < starts[0] + 20 * SECOND


# --- blocks


def block(version: str, reason: str = "orders are charged twice") -> BlockVersion:
    return BlockVersion(version=version, reason=reason)


async def test_a_blocked_version_is_refused_with_the_way_out_until_it_is_let_back(quiet: World) -> None:
    made = await quiet.core.lanes.block(OPERATOR, "web", "production", block("v2"))
    commit = quiet.repository.head("v2")
    assert (made.commit_sha, made.version, made.deployment) == (commit, "v2", None)
    assert await quiet.core.lanes.blocks(ADMIN, "web", "production") == (made,)
    with pytest.raises(Refused) as refused:
        await quiet.create("v2")
    assert refused.value.reason == "version_blocked"
    assert refused.value.message == (
        "v2 is blocked here: orders are charged twice. Deploy a commit that mends it. An admin or approver "
        f"can let it back: dg lane unblock web production {commit[:12]} --reason WHY"
    )
    await quiet.create("v2", "staging")
    ended = await quiet.core.lanes.unblock(ADMIN, "web", "production", commit[:12], "it was not us")
    assert ended == made
    assert (await quiet.create("v2")).version == "v2"
    facts = [entry.payload for entry in await quiet.entries() if "block" in entry.type]
    assert [(fact["commit"], fact["reason"]) for fact in facts] == [
        (commit, "orders are charged twice"),
        (commit, "it was not us"),
    ]


async def test_a_version_that_was_deployed_is_blocked_by_its_label(quiet: World) -> None:
    made = await quiet.create("v3", version="2026.11")
    found = await quiet.core.lanes.block(OPERATOR, "web", "staging", block("2026.11"))
    assert (found.commit_sha, found.version) == (made.commit_sha, "2026.11")


async def test_a_version_that_nobody_knows_cannot_be_blocked(quiet: World) -> None:
    with pytest.raises(Invalid, match="v9"):
        await quiet.core.lanes.block(OPERATOR, "web", "production", block("v9"))
    assert await quiet.core.lanes.blocks(ADMIN, "web", "production") == ()


async def test_the_first_reason_stands_when_a_version_is_blocked_again(quiet: World) -> None:
    await quiet.core.lanes.block(OPERATOR, "web", "production", block("v2"))
    with pytest.raises(Refused, match="orders are charged twice"):
        await quiet.core.lanes.block(OPERATOR, "web", "production", block("v2", "another"))


async def test_only_what_is_blocked_can_be_let_back(quiet: World) -> None:
    with pytest.raises(NotFound, match="abcdef1 is not blocked in web/production; what is: dg lane blocks"):
        await quiet.core.lanes.unblock(ADMIN, "web", "production", "abcdef1", "why not")
