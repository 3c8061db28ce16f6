"""Approvals: who may give one, what it is bound to, and when it counts no more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.gates.yard import HOUR, Yard, closed, open_yard
from tests.core.deployments.world import ADMIN, OPERATOR

from dg.core.access.models import OWNER, Grant, Principal, Role
from dg.core.database import Tx
from dg.core.deployments import lifecycle, store
from dg.core.deployments.models import (
    CreateDeployment,
    Deployment,
    Reason,
    RequestRollback,
    Status,
    Verdict,
)
from dg.core.errors import Forbidden, Problem, Refused
from dg.core.idempotency import Once
from dg.core.testing import ManualClock
from dg.core.types import Environment

ONE = "approvals = { count = 1 }"
TWO = "approvals = { count = 2 }"
PRODUCTION = Environment.PRODUCTION
REQUEST = CreateDeployment(environment=PRODUCTION, ref="v1")


async def refusal(kind: type[Problem], call: Any) -> Problem:
    with pytest.raises(kind) as caught:
        await call
    return caught.value


async def test_it_waits_for_an_approval_and_says_who_can_give_it(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    assert closed(made) == ["approvals"]
    assert made.hold == (
        "It waits for one approval since 14:13 UTC. "
        f"An approver or an admin can approve it: dg approve {made.id}"
    )
    assert await yard.start() is None
    lane = await yard.world.core.lanes.get(ADMIN, "web", "production")
    assert lane.sentence.endswith(f"#{made.number} (v1) waits: {made.hold}")


async def test_an_approved_deployment_starts(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    approved = await yard.approve(made, await yard.person("ben"), note="looks good")
    assert closed(approved) == []
    assert approved.hold == "It is next and starts at once."
    assert approved.approvals is not None
    assert [(a.by_name, a.verdict, a.note) for a in approved.approvals] == [
        ("ben", Verdict.APPROVED, "looks good")
    ]
    started = await yard.start()
    assert started is not None
    assert started.id == made.id
    (entry,) = await yard.entries("deployment.approved")
    assert (entry.payload["given"], entry.payload["needed"]) == (1, 1)
    assert entry.payload["content"] == made.content


async def test_a_deployment_that_waits_for_a_person_blocks_nobody(yard: Yard) -> None:
    await yard.demand(ONE)
    first, second = await yard.ask("v1"), await yard.ask("v2")
    approved = await yard.approve(second, await yard.person("ben"))
    assert approved.hold == "It is next and starts at once."
    started = await yard.start()
    assert started is not None
    assert started.id == second.id
    assert (await yard.look(first)).status is Status.PENDING


async def test_first_approved_is_first_out(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben")
    older, newer = await yard.ask("v1"), await yard.ask("v2")
    await yard.approve(newer, ben)
    approved = await yard.approve(older, ben)
    assert approved.hold == f"It waits for #{newer.number} (v2) in web/production."


# --- who may


async def test_nobody_approves_what_they_asked_for(yard: Yard) -> None:
    await yard.demand(ONE)
    maker = await yard.person("mia", "admin")
    made = await yard.world.core.deployments.create(maker, REQUEST)
    problem = await refusal(Forbidden, yard.approve(made, maker))
    assert problem.reason == "own_deployment"
    assert problem.message == (
        "nobody approves what they asked for themselves; an approver or an admin other than mia can"
    )


async def test_another_token_of_the_same_name_is_no_other_person(yard: Yard) -> None:
    await yard.demand(TWO)
    maker = await yard.person("mia", "operator")
    made = await yard.world.core.deployments.create(maker, REQUEST)
    problem = await refusal(Forbidden, yard.approve(made, await yard.person("Mia", "approver")))
    assert problem.reason == "own_deployment"
    await yard.approve(made, await yard.person("ben"))
    again = await yard.approve(made, await yard.person("ben"))
    assert again.gates is not None
    assert again.gates[0].values == {"needed": 2, "given": 1}
    assert closed(again) == ["approvals"]
    assert len(await yard.entries("deployment.approved")) == 1


@pytest.mark.parametrize(
    "name", ["MIA", "\uff4dia", "mi\u200ba", "m\u00adia", "mia\ufe0f", "mia\u3164", "mi\u034fa", "mia\u2800"]
)
async def test_a_name_that_reads_alike_is_no_other_person(yard: Yard, name: str) -> None:
    await yard.demand(ONE)
    made = await yard.world.core.deployments.create(await yard.person("mia", "operator"), REQUEST)
    problem = await refusal(Forbidden, yard.approve(made, await yard.person(name)))
    assert problem.reason == "own_deployment"


async def test_a_maker_may_approve_where_that_is_said(yard: Yard) -> None:
    await yard.demand("approvals = { count = 1, self = true }")
    maker = await yard.person("mia", "admin")
    made = await yard.world.core.deployments.create(maker, REQUEST)
    assert closed(await yard.approve(made, maker)) == []


async def test_a_service_approves_nothing(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    robot = await yard.person("pipeline", "admin", kind="service")
    assert (await refusal(Forbidden, yard.approve(made, robot))).reason == "people_only"
    call = yard.world.core.approvals.reject(robot, made.id, "no")
    assert (await refusal(Forbidden, call)).reason == "people_only"
    call = yard.override(made, robot, "approvals")
    assert (await refusal(Forbidden, call)).reason == "people_only"


async def test_only_those_who_are_named_may_approve(yard: Yard) -> None:
    await yard.demand('approvals = { count = 1, from = ["role:approver", "user:olga"] }')
    made = await yard.ask()
    problem = await refusal(Forbidden, yard.approve(made, await yard.person("ada", "admin")))
    assert problem.reason == "not_an_approver"
    assert problem.message == (
        f"an approval of #{made.number} must come from an approver or olga; ada is none of them"
    )
    assert closed(await yard.approve(made, await yard.person("olga", "operator"))) == []


async def test_an_approver_of_staging_is_none_in_production(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    narrow = Principal(
        id="id-of-sam",
        name="sam",
        grants=(
            Grant(role=Role.APPROVER, environment=Environment.STAGING),
            Grant(role=Role.OPERATOR),
        ),
    )
    assert (await refusal(Forbidden, yard.approve(made, narrow))).reason == "not_an_approver"


async def test_the_owner_of_the_machine_can_approve(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    owner = Principal(id=OWNER, name="root", method="local", grants=(Grant(role=Role.ADMIN),))
    assert closed(await yard.approve(made, owner)) == []


async def test_what_needs_no_approval_cannot_be_approved(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]')
    ben = await yard.person("ben")
    problem = await refusal(Refused, yard.approve(await yard.ask(), ben))
    assert problem.reason == "nothing_to_approve"
    free = await yard.ask(environment="staging")
    assert (await refusal(Refused, yard.approve(free, ben))).reason == "nothing_to_approve"


async def test_the_environment_s_own_demand_and_the_pipeline_s_must_both_be_met(tmp_path: Path) -> None:
    own = {"production": {"approvals": {"count": 1, "from": ["user:olga"]}}}
    async with open_yard(tmp_path, environments=own) as yard:
        await yard.demand(TWO)
        made = await yard.ask()
        for name in ("ben", "cleo"):
            made = await yard.approve(made, await yard.person(name))
            assert closed(made) == ["approvals"]
        assert made.gates is not None
        assert made.gates[0].who == "olga"
        assert closed(await yard.approve(made, await yard.person("olga", "operator"))) == []


# --- once


async def test_two_people_are_two_and_one_is_one(yard: Yard) -> None:
    await yard.demand(TWO)
    made = await yard.ask()
    ben = await yard.person("ben")
    for _ in range(2):
        approved = await yard.approve(made, ben)
        assert closed(approved) == ["approvals"]
        assert "It waits for one approval more (ben approved)" in str(approved.hold)
    assert closed(await yard.approve(made, await yard.person("cleo"))) == []


async def test_two_surfaces_at_once_make_one_approval(yard: Yard) -> None:
    await yard.demand(TWO)
    made = await yard.ask()
    ben = await yard.person("ben")
    seen = await asyncio.gather(*(yard.approve(made, ben) for _ in range(8)))
    assert {len(found.approvals or ()) for found in seen} == {1}
    assert closed(await yard.look(made)) == ["approvals"]
    assert len(await yard.entries("deployment.approved")) == 1


async def test_an_approval_that_comes_again_after_the_start_changes_nothing(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    ben = await yard.person("ben")
    await yard.approve(made, ben)
    await yard.start()
    assert (await yard.approve(made, ben)).status is Status.DEPLOYING
    late = await refusal(Refused, yard.approve(made, await yard.person("cleo")))
    assert late.reason == "not_pending"


async def test_the_same_key_has_one_effect(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    ben = await yard.person("ben")
    approvals = yard.world.core.approvals
    key = Once("k", "f")
    first = await approvals.reject(ben, made.id, "too late today", key)
    again = await approvals.reject(ben, made.id, "too late today", key)
    assert again.model_dump() == first.model_dump()


# --- what it is bound to


async def test_an_approval_of_what_was_seen_counts(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    assert made.content is not None
    assert closed(await yard.approve(made, await yard.person("ben"), content=made.content)) == []


async def test_what_runs_there_moved_before_the_approval(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand(ONE)
    ben = await yard.person("ben")
    seen, other = await yard.ask("v3"), await yard.ask("v2")
    await yard.approve(other, ben)
    started = await yard.start()
    assert started is not None
    await yard.desk().end(started)
    problem = await refusal(Refused, yard.approve(seen, ben, content=seen.content))
    assert problem.reason == "stale_content"
    old, new = (yard.world.repository.head(ref) for ref in ("v1", "v2"))
    assert f"{old[:12]} ran in production then, and {new[:12]} does now" in problem.message
    assert problem.details["base"] == new
    changes = problem.details["changes"]
    assert isinstance(changes, dict)
    assert [commit["subject"] for commit in changes["commits"]] == ["Release 3"]
    fresh = await yard.look(seen)
    assert closed(await yard.approve(seen, ben, content=fresh.content)) == []


async def test_a_change_of_what_runs_there_voids_what_was_approved(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand(ONE)
    ben = await yard.person("ben")
    first, second = await yard.ask("v2"), await yard.ask("v3")
    await yard.approve(first, ben)
    await yard.approve(second, ben)
    started = await yard.start()
    assert started is not None
    assert started.id == first.id
    await yard.desk().end(started)
    waits = await yard.look(second)
    assert closed(waits) == ["approvals"]
    assert f"the approval of ben is void: v2 runs there now; see what it brings: dg diff {second.id}" in str(
        waits.hold
    )
    assert await yard.start() is None
    (entry,) = await yard.entries("approval.voided")
    assert (entry.payload["deployment"], entry.payload["approver"]) == (second.id, ben.id)
    assert closed(await yard.approve(second, ben)) == []


async def test_a_failure_that_leaves_nobody_knows_what_voids_too(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand(ONE)
    ben = await yard.person("ben")
    first, second = await yard.ask("v2"), await yard.ask("v3")
    for one in (first, second):
        await yard.approve(one, ben)
    started = await yard.start()
    assert started is not None
    touched = await yard.desk().touch(started)
    await yard.desk().end(touched, "failed", Reason.STEP_FAILED, "it broke")
    assert "what runs there is not known now" in str((await yard.look(second)).hold)


async def test_a_redeploy_of_what_runs_there_voids_nothing(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand(ONE)
    ben = await yard.person("ben")
    same, other = await yard.ask("v1"), await yard.ask("v2")
    for one in (same, other):
        await yard.approve(one, ben)
    started = await yard.start()
    assert started is not None
    await yard.desk().end(started)
    assert closed(await yard.look(other)) == []


async def test_a_change_of_the_deployment_voids_what_was_approved(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben")
    made = await yard.ask()
    await yard.approve(made, ben)
    await yard.change(made, note="with the hotfix")
    waits = await yard.look(made)
    assert "the approval of ben is void: the deployment was changed" in str(waits.hold)
    assert await yard.start() is None


async def test_another_start_is_another_content(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    await yard.change(made, not_before=yard.clock.micros() + 1_000_000)
    ben = await yard.person("ben")
    problem = await refusal(Refused, yard.approve(made, ben, content=made.content))
    assert "its start, or what production demands, was changed" in problem.message


async def test_other_demands_void_what_was_approved_under_the_old_ones(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_yard(tmp_path, clock) as yard:
        await yard.demand(ONE)
        made = await yard.approve(await yard.ask(), await yard.person("ben"))
        await yard.renew()
        assert closed(await yard.look(made)) == []
    own = {"production": {"approvals": {"count": 2}}}
    async with open_yard(tmp_path, clock, environments=own) as yard:
        await yard.renew()
        waits = await yard.look(made)
        assert closed(waits) == ["approvals"]
        assert "the approval of ben is void: what production demands was changed" in str(waits.hold)
        assert len(await yard.entries("approval.voided")) == 1
        await yard.renew()
        assert len(await yard.entries("approval.voided")) == 1


async def test_demands_that_are_taken_back_hold_nobody(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_yard(tmp_path, clock, environments={"production": {"approvals": {}}}) as yard:
        await yard.demand("")
        made = await yard.ask()
    async with open_yard(tmp_path, clock) as yard:
        await yard.renew()
        started = await yard.start()
        assert started is not None
        assert started.id == made.id


# --- when it counts no more


async def test_an_approval_expires(yard: Yard) -> None:
    await yard.demand('approvals = { count = 1, expires = "4h" }')
    ben = await yard.person("ben")
    made = await yard.approve(await yard.ask(), ben)
    yard.clock.jump(4 * HOUR - 1)
    assert closed(await yard.look(made)) == []
    yard.clock.jump(1)
    assert "(the approval of ben has expired)" in str((await yard.look(made)).hold)
    assert await yard.start() is None
    assert closed(await yard.approve(made, ben)) == []
    assert [bool(found.voided_at) for found in (await yard.look(made)).approvals or ()] == [True, False]


async def test_an_approval_of_somebody_who_lost_the_role_does_not_count(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben")
    made = await yard.approve(await yard.ask(), ben)
    await yard.revoke(ben)
    waits = await yard.look(made)
    assert "(ben may not approve any more)" in str(waits.hold)
    assert await yard.start() is None
    assert closed(await yard.approve(made, await yard.person("cleo"))) == []


async def test_an_approval_ends_with_the_token_that_gave_it(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben", ttl=HOUR)
    made = await yard.approve(await yard.ask(), ben)
    assert closed(await yard.look(made)) == []
    yard.clock.jump(HOUR)
    assert "(ben may not approve any more)" in str((await yard.look(made)).hold)
    assert await yard.start() is None


async def test_whoever_got_another_token_may_approve_again(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben")
    made = await yard.approve(await yard.ask(), ben)
    await yard.revoke(ben)
    assert closed(await yard.approve(made, await yard.person("ben"))) == []


async def test_another_token_approves_what_the_first_one_could_not(tmp_path: Path) -> None:
    own = {"production": {"approvals": {"from": ["role:admin"]}}}
    async with open_yard(tmp_path, environments=own) as yard:
        await yard.demand('approvals = { from = ["role:approver"] }')
        made = await yard.approve(await yard.ask(), await yard.person("ben"))
        assert closed(made) == ["approvals"]
        assert closed(await yard.approve(made, await yard.person("ben", "admin"))) == []


async def test_a_rejection_ends_it(yard: Yard) -> None:
    await yard.demand(ONE)
    ben = await yard.person("ben")
    made = await yard.ask()
    await yard.approve(made, ben)
    ended = await yard.world.core.approvals.reject(await yard.person("cleo"), made.id, "not on a Friday")
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.REJECTED)
    assert ended.message == "it was rejected: not on a Friday"
    assert await yard.start() is None
    (entry,) = await yard.entries("deployment.rejected")
    assert entry.payload["reason"] == "not on a Friday"


async def test_what_expires_says_which_gate_kept_it(yard: Yard) -> None:
    await yard.demand(ONE)
    made = await yard.ask()
    await yard.change(made, expires_at=yard.clock.micros() + 3_600_000_000)
    yard.clock.jump(HOUR)

    def work(tx: Tx) -> Deployment:
        return lifecycle.expire(tx, store.require(tx, made.id), yard.clock.micros())

    ended = await yard.world.db.write(work)
    assert ended.reason is Reason.EXPIRED
    assert "waited longer than it was allowed to, for approvals: It waits for one approval" in str(
        ended.message
    )


async def test_a_rollback_waits_for_nobody(yard: Yard) -> None:
    for ref in ("v1", "v2"):
        await yard.succeed(ref, "production")
    await yard.demand(ONE, 'requires = ["staging"]', 'gates = ["lane.failures == 5"]')
    rollback = await yard.world.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    assert rollback.gates is None
    started = await yard.start()
    assert started is not None
    assert started.id == rollback.id
