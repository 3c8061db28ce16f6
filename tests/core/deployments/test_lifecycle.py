"""The life of a deployment as transactions: what makes a lane known, and what follows a failure."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.desk import ANA, SECOND, Desk, commit_of, text

from dg.core.database import Tx
from dg.core.deployments import lifecycle, store
from dg.core.deployments.models import Deployment, Kind, Reason, Status, StepStatus
from dg.core.errors import Refused

HALF_AN_HOUR = 1800 * SECOND
DAY = 24 * 3600 * SECOND

# --- starting


async def test_a_start_takes_the_lane_and_says_where_it_came_from(desk: Desk) -> None:
    first = await desk.succeed("v1")
    asked = await desk.ask("v2")
    started = await desk.start()
    assert started is not None
    assert (started.id, started.status, started.epoch) == (asked.id, Status.BUILDING, 1)
    assert started.base_sha == first.commit_sha
    assert [step.status for step in await desk.steps(started)] == [StepStatus.PENDING] * 4
    facts = await desk.facts()
    assert facts.holder is not None
    assert facts.holder.id == asked.id
    assert facts.queue == []
    assert await desk.start() is None


async def test_the_same_content_again_is_a_redeploy_that_builds_nothing_and_knows_the_outputs(
    desk: Desk,
) -> None:
    await desk.succeed("v1")
    again = await desk.begin("v1", touched=False)
    assert (again.kind, again.status) == (Kind.REDEPLOY, Status.DEPLOYING)
    assert again.outputs == {"image": "web:v1"}
    assert [step.name for step in await desk.steps(again)] == ["migrate", "rollout", "smoke"]


async def test_another_pipeline_for_the_same_commit_is_built_anew(desk: Desk) -> None:
    await desk.succeed("v1")
    desk.text = text(lock='"1h"')
    again = await desk.begin("v1", touched=False)
    assert (again.kind, again.status, again.outputs) == (Kind.DEPLOY, Status.BUILDING, {})


async def test_what_was_blocked_while_it_waited_fails_and_the_next_one_starts(desk: Desk) -> None:
    await desk.succeed("v1")
    running = await desk.begin("v2")
    same = await desk.ask("v2")
    other = await desk.ask("v3")
    await desk.end(running, "failed", Reason.VERIFY_FAILED, "step `smoke` exited with 1")
    await desk.end(await desk.rollback())
    await desk.write(lambda tx: store.set_lock(tx, *desk.lane, None))

    started = await desk.start()
    assert started is not None
    assert started.id == other.id
    refused = await desk.read(same)
    assert (refused.status, refused.reason, refused.touched) == (Status.FAILED, Reason.GATE, False)
    assert refused.message == (
        "v2 is blocked here: step `smoke` exited with 1. Deploy a commit that mends it. "
        f"An admin or approver can let it back: dg lane unblock web production {refused.commit_sha[:12]} "
        "--reason WHY"
    )


async def test_a_pipeline_that_this_dg_cannot_read_any_more_ends_the_deployment(desk: Desk) -> None:
    desk.text = "version = 99"
    unreadable = await desk.ask("v1")
    desk.text = text()
    other = await desk.ask("v2")
    started = await desk.start()
    assert started is not None
    assert started.id == other.id
    ended = await desk.read(unreadable)
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.GATE)
    assert ended.message is not None
    assert ended.message.startswith("this dg cannot read the pipeline it was made with: ")


async def test_expectations_are_the_median_of_what_went_well_there(desk: Desk) -> None:
    for version, seconds in (("v1", 4.0), ("v2", 2.0), ("v3", 3.0)):
        begun = await desk.begin(version, touched=False)
        await desk.report(begun, desk.begun(0), desk.ended(0, seconds=seconds))
        await desk.end(begun)
    begun = await desk.begin("v4", touched=False)
    await desk.report(begun, desk.begun(0), desk.ended(0, ok=False, seconds=99.0))
    await desk.end(begun, "failed", Reason.STEP_FAILED)
    started = await desk.begin("v5", touched=False)
    assert [step.expected for step in await desk.steps(started)] == [3.0, None, None, None]


# --- advancing


async def test_the_first_deploy_step_moves_it_to_deploying_and_touches(desk: Desk) -> None:
    begun = await desk.begin("v1", touched=False)
    await desk.clock.advance(5)
    built = await desk.report(begun, desk.begun(0), desk.ended(0, outputs={"image": "web:1"}))
    assert (built.status, built.stage, built.touched) == (Status.BUILDING, "build", False)
    deploying = await desk.report(built, desk.begun(1))
    assert (deploying.status, deploying.stage, deploying.touched) == (Status.DEPLOYING, "migrate", True)
    assert (deploying.build_time, deploying.outputs) == (5.0, {"image": "web:1"})
    assert [entry.type for entry in await desk.entries()][-4:] == [
        "step.started",
        "step.finished",
        "step.started",
        "deployment.advanced",
    ]


async def test_an_event_is_applied_once_however_often_it_is_read(desk: Desk) -> None:
    begun = await desk.begin("v1", touched=False)
    happened: list[dict[str, Any]] = [
        {"n": 1, **desk.begun(0)},
        {"n": 2, **desk.ended(0)},
        {"n": 3, **desk.begun(1)},
    ]
    for upto in (1, 3, 2, 3):
        await desk.write(
            lambda tx, upto=upto: lifecycle.advance(tx, store.require(tx, begun.id), happened[:upto])  # type: ignore[misc]
        )
    assert (await desk.read(begun)).spool_seq == 3
    assert len(await desk.entries("step.started")) == 2
    assert len(await desk.entries("step.finished")) == 1


async def test_events_of_steps_that_are_not_planned_change_no_step(desk: Desk) -> None:
    begun = await desk.begin("v1", touched=False)
    after = await desk.report(begun, desk.begun(77), desk.ended(77), {"event": "degraded", "missing": []})
    assert (after.stage, after.touched, after.spool_seq) == ("starting", False, 3)
    assert await desk.entries("step.started") == []


# --- success


async def test_success_makes_it_what_runs_there(desk: Desk) -> None:
    ended = await desk.succeed("v1")
    facts = await desk.facts()
    assert (ended.status, ended.stage, ended.reason) == (Status.SUCCESS, "finished", None)
    assert facts.current is not None
    assert (facts.current.id, facts.known, facts.holder) == (ended.id, True, None)
    assert ended.outputs == {"image": "web:v1"}


# --- failure


async def test_a_failure_that_touched_nothing_leaves_what_runs_as_it_was(desk: Desk) -> None:
    good = await desk.succeed("v1")
    failed = await desk.fail("v2", Reason.STEP_FAILED, touched=False)
    facts = await desk.facts()
    assert facts.current is not None
    assert (facts.current.id, facts.known, facts.holder) == (good.id, True, None)
    assert (failed.touched, facts.active_lock) == (False, None)


async def test_a_failure_that_touched_makes_what_runs_unknown(desk: Desk) -> None:
    await desk.succeed("v1")
    failed = await desk.fail("v2", Reason.STEP_FAILED)
    facts = await desk.facts()
    assert (failed.touched, facts.current, facts.known) == (True, None, False)
    assert (facts.holder, facts.active_lock) == (None, None)


async def test_no_step_of_an_ended_deployment_is_left_running(desk: Desk) -> None:
    begun = await desk.begin("v1")
    await desk.clock.advance(3)
    ended = await desk.end(begun, "failed", Reason.INTERRUPTED, "its runner died in `migrate`")
    found = [(step.status, step.reason, step.seconds) for step in await desk.steps(ended)]
    assert found == [
        (StepStatus.SUCCESS, None, 2.0),
        (StepStatus.FAILED, "interrupted", 3.0),
        (StepStatus.SKIPPED, None, None),
        (StepStatus.SKIPPED, None, None),
    ]


async def test_a_failed_verify_passes_the_lane_to_the_rollback_in_its_own_transaction(desk: Desk) -> None:
    good = await desk.succeed("v1")
    waiting = await desk.begin("v2")
    behind = await desk.ask("v3")
    bad = await desk.end(waiting, "failed", Reason.VERIFY_FAILED, "step `smoke` exited with 1")
    facts = await desk.facts()
    holder = facts.holder
    assert holder is not None
    assert (holder.kind, holder.status, holder.target) == (Kind.ROLLBACK, Status.PENDING, good.id)
    assert (holder.rollback_of, holder.commit_sha) == (bad.id, good.commit_sha)
    assert (holder.outputs, holder.pipeline_sha256) == (good.outputs, good.pipeline_sha256)
    last = [entry.type for entry in await desk.entries()][-4:]
    assert last == ["deployment.finished", "lane.locked", "version.blocked", "deployment.created"]
    started = await desk.start()
    assert started is not None
    assert started.id == holder.id
    assert (await desk.read(behind)).status is Status.PENDING


@pytest.mark.parametrize(
    ("auto", "reason", "rolls_back"),
    [
        ("never", Reason.VERIFY_FAILED, False),
        ("never", Reason.STEP_FAILED, False),
        ("verify_failed", Reason.VERIFY_FAILED, True),
        ("verify_failed", Reason.STEP_FAILED, False),
        ("verify_failed", Reason.TIMEOUT, False),
        ("failed", Reason.VERIFY_FAILED, True),
        ("failed", Reason.STEP_FAILED, True),
        ("failed", Reason.TIMEOUT, True),
        ("failed", Reason.IDLE, True),
        ("failed", Reason.CANCELLED, False),
        ("failed", Reason.INTERRUPTED, False),
    ],
)
async def test_the_pipeline_says_which_failures_roll_back(
    desk: Desk, auto: str, reason: Reason, rolls_back: bool
) -> None:
    desk.text = text(auto=auto)
    await desk.succeed("v1")
    await desk.fail("v2", reason)
    assert ((await desk.facts()).holder is not None) is rolls_back


async def test_a_failure_without_an_earlier_version_locks_the_lane_and_says_so(desk: Desk) -> None:
    await desk.fail("v1")
    facts = await desk.facts()
    assert facts.holder is None
    assert facts.active_lock is not None
    assert facts.active_lock.reason == (
        "v1 failed and there is no earlier version to roll back to: step `smoke` exited with 1"
    )
    assert facts.active_lock.until - facts.now == DAY
    declined = await desk.entries("rollback.declined")
    assert [entry.payload["message"] for entry in declined] == [facts.active_lock.reason]


async def test_an_irreversible_step_is_not_crossed_without_a_person(desk: Desk) -> None:
    desk.text = text(reversible=False)
    await desk.succeed("v1")
    await desk.fail("v2")
    facts = await desk.facts()
    assert facts.holder is None
    assert facts.active_lock is not None
    assert facts.active_lock.reason == (
        "v2 failed and going back to v1 would cross the irreversible step `migrate`: "
        "step `smoke` exited with 1. Agree with: dg rollback web --env production --cross-irreversible"
    )


async def test_an_interrupted_deployment_that_touched_locks_the_lane(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2", Reason.INTERRUPTED)
    lock = await desk.lock()
    assert lock is not None
    assert lock.automatic
    assert lock.reason == "v2 was interrupted midway; look before you deploy"
    assert lock.until - lock.since == DAY


async def test_an_interrupted_build_locks_nothing(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2", Reason.INTERRUPTED, touched=False)
    assert await desk.lock() is None


# --- cancelling


async def request_cancel(desk: Desk, deployment: Deployment, *, then_rollback: bool) -> Deployment:
    def work(tx: Tx) -> Deployment:
        current = store.require(tx, deployment.id)
        return lifecycle.request_cancel(tx, current, desk.clock.micros(), ANA, then_rollback=then_rollback)

    return await desk.write(work)


async def test_cancel_then_rollback_goes_back_at_once(desk: Desk) -> None:
    good = await desk.succeed("v1")
    begun = await desk.begin("v2")
    await request_cancel(desk, begun, then_rollback=True)
    await desk.end(begun, "cancelled", Reason.CANCELLED, "step `migrate` was cancelled")
    holder = (await desk.facts()).holder
    assert holder is not None
    assert (holder.kind, holder.target) == (Kind.ROLLBACK, good.id)


async def test_a_cancelled_deployment_says_so_and_names_nobody(desk: Desk) -> None:
    begun = await desk.begin("v1")
    await request_cancel(desk, begun, then_rollback=False)
    ended = await desk.end(begun, "cancelled", Reason.CANCELLED, "step `migrate` was cancelled")
    assert ended.message == "it was cancelled"
    assert all(ANA.name not in str(entry.payload) for entry in await desk.entries("deployment.finished"))


async def test_a_deployment_that_was_quicker_than_its_cancellation_says_nothing_of_it(desk: Desk) -> None:
    begun = await desk.begin("v1")
    await request_cancel(desk, begun, then_rollback=False)
    assert (await desk.end(begun)).message is None


async def test_what_ended_while_no_server_looked_ended_when_its_runner_says(desk: Desk) -> None:
    begun = await desk.begin("v1")
    ended_at = desk.clock.micros() + 2_000_000
    await desk.clock.advance(3600)
    ended = await desk.end(begun, at=ended_at)
    assert ended.completed_at == ended_at
    assert (await desk.entries("deployment.finished"))[-1].payload["duration"] < 60


async def test_no_run_ends_before_it_began_or_after_now(desk: Desk) -> None:
    early = await desk.end(await desk.begin("v1"), at=1)
    late = await desk.end(await desk.begin("v2"), at=1 << 60)
    assert early.completed_at == early.started_at
    assert late.completed_at == desk.clock.micros()


async def test_what_builds_nothing_has_no_build_time(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2")
    back = await desk.end(await desk.rollback())
    assert (back.build_time, back.deploy_time is not None) == (None, True)


async def test_cancel_then_rollback_goes_back_also_when_it_was_quicker(desk: Desk) -> None:
    good = await desk.succeed("v1")
    begun = await desk.begin("v2")
    await request_cancel(desk, begun, then_rollback=True)
    ended = await desk.end(begun)
    holder = (await desk.facts()).holder
    assert holder is not None
    assert (ended.status, holder.target) == (Status.SUCCESS, good.id)
    await desk.end(await desk.rollback())
    assert (await desk.read(ended)).status is Status.ROLLED_BACK


async def test_a_cancelled_deployment_that_touched_nothing_needs_no_rollback(desk: Desk) -> None:
    good = await desk.succeed("v1")
    begun = await desk.begin("v2", touched=False)
    await request_cancel(desk, begun, then_rollback=True)
    await desk.end(begun, "cancelled", Reason.CANCELLED, "cancelled before step `build`")
    facts = await desk.facts()
    assert facts.current is not None
    assert (facts.holder, facts.current.id, facts.active_lock) == (None, good.id, None)


async def test_a_second_wish_adds_the_rollback_and_a_third_takes_nothing_away(desk: Desk) -> None:
    begun = await desk.begin("v1")
    first = await request_cancel(desk, begun, then_rollback=False)
    await desk.clock.advance(1)
    second = await request_cancel(desk, begun, then_rollback=True)
    third = await request_cancel(desk, begun, then_rollback=False)
    assert (first.cancel_then_rollback, second.cancel_then_rollback) == (False, True)
    assert third.cancel_then_rollback
    assert third.cancel_requested_at == first.cancel_requested_at
    assert len(await desk.entries("deployment.cancelling")) == 2


# --- the rollback's own end


async def test_a_good_rollback_undoes_what_came_after_its_target_and_keeps_the_lane_closed(
    desk: Desk,
) -> None:
    good = await desk.succeed("v1")
    desk.text = text(auto="never")
    touched = await desk.fail("v2", Reason.STEP_FAILED)
    untouched = await desk.fail("v3", Reason.STEP_FAILED, touched=False)
    desk.text = text()
    bad = await desk.fail("v4")
    rollback = await desk.end(await desk.rollback())

    facts = await desk.facts()
    assert facts.current is not None
    assert (facts.current.id, facts.known) == (rollback.id, True)
    for undone in (touched, bad):
        after = await desk.read(undone)
        assert (after.status, after.rolled_back_by) == (Status.ROLLED_BACK, rollback.id)
    assert (await desk.read(untouched)).status is Status.FAILED
    assert (await desk.read(good)).status is Status.SUCCESS
    assert facts.active_lock is not None
    assert facts.active_lock.reason == "v4 was rolled back to v1: step `smoke` exited with 1"
    assert (facts.active_lock.by, facts.active_lock.asked_by) == ("dg", None)
    assert facts.active_lock.until - facts.now == HALF_AN_HOUR
    assert await desk.blocked() == [commit_of("v4")]


async def test_a_rollback_without_a_lock_leaves_the_lane_open(desk: Desk) -> None:
    desk.text = text(lock="0")
    await desk.succeed("v1")
    await desk.fail("v2")
    assert await desk.lock() is None
    await desk.end(await desk.rollback())
    assert await desk.lock() is None


async def test_a_good_rollback_without_a_lock_opens_what_waited_for_it(desk: Desk) -> None:
    desk.text = text(lock="0")
    await desk.succeed("v1")
    await desk.fail("v2", Reason.INTERRUPTED)
    assert await desk.lock() is not None
    await desk.write(lambda tx: store.set_lane(tx, *desk.lane, holder=None))
    again = await desk.ask("v1", kind=Kind.ROLLBACK, **await _back_to_v1(desk))
    started = await desk.start()
    assert started is not None
    assert started.id == again.id
    await desk.end(await desk.touch(started))
    assert await desk.lock() is None
    assert [entry.payload["what"] for entry in await desk.entries("lane.opened")] == ["lock"]


async def _back_to_v1(desk: Desk) -> dict[str, Any]:
    found = await desk.db.read(lambda tx: store.effects_since(tx, *desk.lane, 0))
    return {"target": found[0].id, "rollback_of": found[-1].id}


async def test_a_lock_by_hand_stays_whatever_dg_does(desk: Desk) -> None:
    await desk.succeed("v1")
    begun = await desk.begin("v2")
    await desk.set_lock(automatic=False, reason="database work")
    await desk.end(begun, "failed", Reason.INTERRUPTED, "its runner died")
    lock = await desk.lock()
    assert lock is not None
    assert (lock.reason, lock.automatic) == ("database work", False)


async def test_a_failed_rollback_never_cascades_and_locks_the_lane(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.succeed("v2")
    await desk.fail("v3")
    failed = await desk.end(await desk.rollback(), "failed", Reason.VERIFY_FAILED, "step `smoke` timed out")
    facts = await desk.facts()
    assert (failed.status, facts.holder, facts.queue, facts.known) == (Status.FAILED, None, [], False)
    assert facts.active_lock is not None
    assert facts.active_lock.reason == "the rollback to v2 failed: step `smoke` timed out"
    assert facts.active_lock.until - facts.now == DAY


async def test_a_rollback_that_could_not_even_begin_says_so(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2")
    started = await desk.start()
    assert started is not None
    await desk.end(started, "failed", Reason.STEP_FAILED, "it could not be started: no such secret")
    lock = await desk.lock()
    assert lock is not None
    assert lock.reason == "the rollback to v1 failed: it could not be started: no such secret"


async def test_a_rollback_that_is_cancelled_while_it_waits_leaves_a_true_sentence(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2")
    holder = (await desk.facts()).holder
    assert holder is not None
    await desk.write(
        lambda tx: lifecycle.fail_pending(
            tx, holder, Reason.CANCELLED, "cancelled by ana", desk.clock.micros(), ANA
        )
    )
    facts = await desk.facts()
    assert facts.holder is None
    assert facts.active_lock is not None
    assert facts.active_lock.reason == "the rollback to v1 failed: cancelled by ana"


async def test_a_rollback_does_not_block_the_commit_it_puts_back(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2")
    await desk.end(await desk.rollback(), "failed", Reason.STEP_FAILED, "the host is down")
    failed = (await desk.db.read(lambda tx: store.effects_since(tx, *desk.lane, 1)))[-1]
    assert failed.kind is Kind.ROLLBACK
    await desk.ask("v1", kind=Kind.ROLLBACK, target=await _newest(desk), rollback_of=failed.id)
    await desk.end(await desk.rollback())
    assert await desk.blocked() == [commit_of("v2")]


async def _newest(desk: Desk) -> str:
    return (await desk.db.read(lambda tx: store.successes(tx, *desk.lane)))[0].id


# --- starts that came to nothing


async def test_a_start_that_ran_nothing_goes_back_to_the_queue_and_is_told(desk: Desk) -> None:
    begun = await desk.begin("v1", touched=False)
    back = await desk.write(lambda tx: lifecycle.requeue(tx, store.require(tx, begun.id)))
    facts = await desk.facts()
    assert (back.status, back.stage, back.started_at, back.spool_seq) == (Status.PENDING, "queued", None, 0)
    assert (facts.holder, [waiting.id for waiting in facts.queue]) == (None, [begun.id])
    assert (await desk.entries())[-1].payload["status"] == "pending"
    again = await desk.start()
    assert again is not None
    assert (again.id, again.epoch) == (begun.id, 2)


async def test_taking_a_run_over_fences_whoever_had_it(desk: Desk) -> None:
    begun = await desk.begin("v1")
    adopted = await desk.write(lambda tx: lifecycle.adopt(tx, store.require(tx, begun.id)))
    assert adopted.epoch == begun.epoch + 1
    with pytest.raises(Refused, match="changed by somebody else"):
        await desk.write(lambda tx: store.change(tx, begun, stage="late"))


async def test_only_what_waits_can_fail_as_waiting(desk: Desk) -> None:
    begun = await desk.begin("v1")
    with pytest.raises(Refused, match="is deploying, not pending"):
        await desk.write(
            lambda tx: lifecycle.fail_pending(tx, begun, Reason.EXPIRED, "late", desk.clock.micros(), ANA)
        )


async def test_a_pipeline_says_how_long_a_lane_stays_closed_where_nobody_knows_what_runs(desk: Desk) -> None:
    desk.text = text() + 'lock_unknown = "2h"\n'
    begun = await desk.begin("v1")
    await desk.end(begun, "failed", Reason.INTERRUPTED, "its runner died")
    lock = await desk.lock()
    assert lock is not None
    assert lock.until == desk.clock.micros() + 7200 * SECOND
