"""Where a rollback goes, and what a person must say before it may."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.desk import ANA, Desk, text

from dg.core.deployments import rollbacks, store
from dg.core.deployments.models import Deployment, Freeze, Kind, Reason, RequestRollback
from dg.core.errors import Refused


async def wish(desk: Desk, bad_id: str | None = None, **request: Any) -> rollbacks.Wish:
    facts = await desk.facts()
    return await desk.db.read(lambda tx: rollbacks.wish(tx, facts, RequestRollback(**request), bad_id))


async def refusal(desk: Desk, bad_id: str | None = None, **request: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await wish(desk, bad_id, **request)
    return caught.value


async def target(desk: Desk, without: Deployment | None = None) -> str | None:
    commit = without.commit_sha if without else None
    found = await desk.db.read(lambda tx: rollbacks.choose_target(tx, desk.lane, commit))
    return found.version if found else None


# --- the target


async def test_it_goes_to_the_newest_success_with_other_content(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    newest = await desk.succeed("v3")
    await desk.succeed("v3")
    assert await target(desk, newest) == "v2"
    assert await target(desk) == "v3"


async def test_a_blocked_version_is_passed_over(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    await desk.fail("v3")
    await desk.end(await desk.rollback())
    again = await desk.ask("v2", kind=Kind.ROLLBACK)
    assert await target(desk, again) == "v1"


async def test_there_is_no_target_in_an_empty_lane_or_with_one_content(desk: Desk) -> None:
    assert await target(desk) is None
    only = await desk.succeed("v1")
    assert await target(desk, only) is None


async def test_another_lanes_successes_do_not_count(desk: Desk) -> None:
    await desk.succeed("v1")
    desk.lane = ("web", "staging")
    assert await target(desk) is None


async def test_the_plan_puts_back_the_targets_own_snapshot_and_outputs(desk: Desk) -> None:
    good = await desk.succeed("v1")
    desk.text = text(auto="never")
    bad = await desk.succeed("v2")
    found = await wish(desk)
    assert (found.bad.id, found.target.id) == (bad.id, good.id)
    plan = rollbacks.plan(found.bad, found.target, "new", 5, ANA, note="slow", override="during the fair")
    assert (plan.kind, plan.version, plan.commit_sha) == (Kind.ROLLBACK, "v1", good.commit_sha)
    assert (plan.pipeline_sha256, plan.outputs) == (good.pipeline_sha256, {"image": "web:v1"})
    assert (plan.rollback_of, plan.target, plan.base_sha) == (bad.id, good.id, bad.commit_sha)
    assert (plan.note, plan.override, plan.queued_at) == ("slow", "during the fair", 5)


# --- what a person may wish


async def test_nothing_can_be_rolled_back_where_nothing_was_deployed(desk: Desk) -> None:
    refused = await refusal(desk)
    assert refused.reason == "no_target"
    assert refused.message == ("nothing was deployed to web/production yet, so there is nothing to roll back")


async def test_the_first_version_has_nothing_to_go_back_to(desk: Desk) -> None:
    await desk.succeed("v1")
    refused = await refusal(desk)
    assert (refused.reason, refused.message) == (
        "no_target",
        "web/production has no earlier good version to go back to; deploy one",
    )


async def test_only_what_runs_can_be_rolled_back(desk: Desk) -> None:
    old = await desk.succeed("v1")
    await desk.succeed("v2")
    refused = await refusal(desk, old.id)
    assert refused.reason == "not_current"
    assert "#2 (v2) is. Roll back the lane: dg rollback web --env production" in refused.message


async def test_what_failed_midway_can_be_rolled_back_by_its_id(desk: Desk) -> None:
    good = await desk.succeed("v1")
    bad = await desk.fail("v2", Reason.STEP_FAILED)
    found = await wish(desk, bad.id)
    assert (found.bad.id, found.target.id) == (bad.id, good.id)


async def test_any_other_version_is_an_ordinary_deployment(desk: Desk) -> None:
    first = await desk.succeed("v1")
    second = await desk.succeed("v2")
    await desk.succeed("v3")
    assert (await wish(desk, target=second.id)).target.id == second.id
    refused = await refusal(desk, target=first.id)
    assert refused.reason == "not_the_target"
    assert refused.details["target"] == second.id
    assert "any other version is deployed: dg deploy web REF --env production" in refused.message


async def test_a_busy_lane_is_rolled_back_by_cancelling(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.begin("v2")
    refused = await refusal(desk)
    assert refused.reason == "lane_busy"
    assert refused.message.endswith("--then-rollback stops it and rolls back in one.")


async def test_a_second_rollback_does_not_wait_behind_the_first(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    waiting = await desk.ask("v1", kind=Kind.ROLLBACK)
    refused = await refusal(desk)
    assert (refused.reason, refused.details["deployment"]) == ("rollback_waits", waiting.id)


async def test_an_automatic_lock_lets_a_rollback_pass(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    await desk.set_lock(automatic=True)
    assert (await wish(desk)).target.version == "v1"


@pytest.mark.parametrize("closing", ["lock", "freeze"])
async def test_what_a_hand_closed_is_passed_only_with_a_reason(desk: Desk, closing: str) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    if closing == "lock":
        await desk.set_lock(automatic=False)
    else:
        now = desk.clock.micros()
        frozen = Freeze(id="f1", reason="fair", by="ben", since=now, until=now + 10)
        await desk.write(lambda tx: store.insert_freeze(tx, frozen))
    refused = await refusal(desk)
    assert refused.reason == "lane_closed"
    assert refused.message.endswith(". A rollback may pass it with a reason: --override REASON")
    assert (await wish(desk, override="users cannot pay")).target.version == "v1"


async def test_an_irreversible_step_is_crossed_only_with_consent(desk: Desk) -> None:
    desk.text = text(reversible=False)
    await desk.succeed("v1")
    await desk.succeed("v2")
    refused = await refusal(desk)
    assert (refused.reason, refused.details["steps"]) == ("irreversible", ["migrate"])
    assert "agree with --cross-irreversible" in refused.message
    assert (await wish(desk, cross_irreversible=True)).target.version == "v1"


async def test_a_look_ahead_names_everything_that_stands_in_the_way(desk: Desk) -> None:
    desk.text = text(reversible=False)
    await desk.succeed("v1")
    await desk.succeed("v2")
    await desk.set_lock(automatic=False)
    facts = await desk.facts()
    found = await desk.db.read(lambda tx: rollbacks.prospect(tx, facts, RequestRollback()))
    assert found.wish is not None
    assert (found.wish.target.version, found.crossing) == ("v1", ("migrate",))
    assert [objection.reason for objection in found.objections] == ["lane_closed", "irreversible"]


async def test_an_irreversible_step_that_never_began_is_not_crossed(desk: Desk) -> None:
    await desk.succeed("v1")
    desk.text = text(reversible=False)
    failed = await desk.fail("v2", Reason.STEP_FAILED, touched=False)
    assert not failed.touched
    await desk.succeed("v1")
    found = await desk.db.read(lambda tx: store.successes(tx, *desk.lane))
    assert await desk.db.read(lambda tx: rollbacks.irreversible(tx, found[-1])) == ("migrate",)
    assert await desk.db.read(lambda tx: rollbacks.irreversible(tx, found[0])) == ()
