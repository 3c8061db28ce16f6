"""A failed deployment taken up again: where it begins, what it takes over, and what stands in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.gates.yard import Yard, open_yard
from tests.core.deployments.world import ADMIN, OPERATOR, World, step

from dg.core.deployments import lifecycle, store
from dg.core.deployments.models import (
    BlockVersion,
    Deployment,
    Kind,
    Reason,
    RequestRetry,
    RequestRollback,
    Status,
)
from dg.core.errors import Invalid, Refused
from dg.core.idempotency import Once

STEPS = (
    step("compile", "build", "make"),
    step("image", "build", "make image", 'output = { image = "web:{version}" }'),
    step("migrate", "deploy", "make migrate", 'resume = "ask"'),
    step("rollout", "deploy", "make rollout"),
    step("smoke", "verify", "make smoke"),
)


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_yard(tmp_path) as opened:
        await opened.world.register(*STEPS)
        yield opened


async def fail(
    yard: Yard, at: str, deployment: Deployment | None = None, reason: Reason = Reason.STEP_FAILED
) -> Deployment:
    """A deployment whose steps went well until `at`, which failed."""
    desk, made = yard.desk(), deployment or await yard.ask()
    started = await yard.start()
    assert started is not None
    assert started.id == made.id
    to_run = [one for one in await desk.steps(started) if one.status == "pending"]
    failing = next(one.index for one in to_run if one.name == at)
    happened: list[dict[str, Any]] = []
    for one in to_run:
        if one.index <= failing:
            happened += [desk.begun(one.index), desk.ended(one.index, ok=one.index < failing)]
    await desk.report(started, *happened)
    return await desk.end(started, "failed", reason, f"`{at}` exited with 1", outputs={"image": "web:v1"})


async def retry(yard: Yard, failed: Deployment, **more: Any) -> Deployment:
    yard.clock.jump(1)
    return await yard.world.core.recovery.retry(OPERATOR, failed.id, RequestRetry(**more))


async def refused(yard: Yard, failed: Deployment, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await retry(yard, failed, **more)
    return caught.value


async def begun(yard: Yard, waiting: Deployment) -> Deployment:
    started = await yard.start()
    assert started is not None
    assert started.id == waiting.id
    return started


# --- what it is


async def test_a_retry_begins_with_the_step_that_failed_and_takes_the_others_over(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    made = await retry(yard, failed, note="the quota was raised")
    assert (made.kind, made.retry_of, made.from_step) == (Kind.DEPLOY, failed.id, "rollout")
    same = (failed.commit_sha, failed.version, failed.pipeline_sha256, failed.outputs)
    assert (made.commit_sha, made.version, made.pipeline_sha256, made.outputs) == same
    assert (made.note, made.status) == ("the quota was raised", Status.PENDING)
    started = await begun(yard, made)
    assert (started.status, started.touched) == (Status.DEPLOYING, True)
    shown = [(one.status.value, one.detail) for one in await yard.desk().steps(started)]
    assert shown == [("skipped", "it went well in #1")] * 3 + [("pending", None)] * 2
    created = (await yard.entries("deployment.created"))[-1].payload
    assert (created["retry_of"], created["from_step"]) == (failed.id, "rollout")


async def test_a_retry_that_goes_well_is_what_runs_there(yard: Yard) -> None:
    made = await retry(yard, await fail(yard, "rollout"))
    started = await begun(yard, made)
    ended = await yard.desk().end(started, outputs={"url": "https://web"})
    assert ended.outputs == {"image": "web:v1", "url": "https://web"}
    facts = await yard.desk().facts()
    assert (facts.current and facts.current.id, facts.known) == (made.id, True)


async def test_a_retry_of_a_retry_says_where_each_result_comes_from(yard: Yard) -> None:
    first = await fail(yard, "migrate")
    second = await fail(yard, "rollout", await retry(yard, first, confirm=True))
    third = await begun(yard, await retry(yard, second))
    details = [one.detail for one in await yard.desk().steps(third)]
    assert details == ["it went well in #1", "it went well in #1", "it went well in #2", None, None]


async def test_an_earlier_step_may_be_named(yard: Yard) -> None:
    made = await retry(yard, await fail(yard, "smoke"), from_step="rollout")
    assert (await begun(yard, made)).stage == "starting"
    assert [one.status for one in await yard.desk().steps(made)][2:] == ["skipped", "pending", "pending"]


async def test_a_start_that_ran_nothing_forgets_that_it_had_touched_anything(yard: Yard) -> None:
    started = await begun(yard, await retry(yard, await fail(yard, "rollout")))
    again = await yard.desk().write(lambda tx: lifecycle.requeue(tx, store.require(tx, started.id)))
    assert (again.status, again.touched) == (Status.PENDING, False)


async def test_the_receipt_of_a_retry_says_what_it_retried(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    made = await retry(yard, failed)
    await yard.desk().end(await begun(yard, made))
    document = await yard.world.core.deployments.receipt(ADMIN, made.id)
    assert f'"retry_of": "{failed.id}"'.encode() in document
    assert b'"from_step": "rollout"' in document


# --- where it may begin


async def test_a_step_after_one_that_failed_is_refused(yard: Yard) -> None:
    found = await refused(yard, await fail(yard, "migrate"), from_step="smoke", confirm=True)
    assert (found.reason, found.details["step"]) == ("step_not_done", "migrate")


async def test_a_step_that_there_is_not_is_named_with_those_there_are(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    with pytest.raises(Invalid, match="no step `ship`; there are compile, image, migrate, rollout, smoke"):
        await retry(yard, failed, from_step="ship")


async def test_a_build_step_begins_with_those_whose_files_are_gone(yard: Yard) -> None:
    failed = await fail(yard, "image")
    assert (await refused(yard, failed, from_step="image")).reason == "work_tree_gone"
    made = await retry(yard, failed)
    assert made.from_step == "compile"
    started = await begun(yard, made)
    assert (started.status, started.touched) == (Status.BUILDING, False)


async def test_a_build_step_that_hands_on_an_output_is_taken_over(tmp_path: Path) -> None:
    image = step("image", "build", "make image", 'output = { image = "web:{version}" }')
    async with open_yard(tmp_path) as yard:
        await yard.world.register(image, step("sign", "build", "make sign"), STEPS[3])
        assert (await retry(yard, await fail(yard, "sign"))).from_step == "sign"


async def test_a_step_that_asks_runs_again_only_when_somebody_agrees(yard: Yard) -> None:
    failed = await fail(yard, "migrate")
    found = await refused(yard, failed)
    assert (found.reason, found.details["steps"]) == ("confirm", ["migrate"])
    assert (await retry(yard, failed, confirm=True)).from_step == "migrate"


async def test_a_step_that_had_begun_two_tries_ago_asks_too(yard: Yard) -> None:
    first = await fail(yard, "rollout")
    second = await fail(yard, "compile", await retry(yard, first, from_step="compile", confirm=True))
    assert (await refused(yard, second)).reason == "confirm"


async def test_a_step_that_never_began_does_not_ask(yard: Yard) -> None:
    assert (await retry(yard, await fail(yard, "compile"))).from_step == "compile"


async def test_one_whose_steps_all_went_well_wants_a_step_named(yard: Yard) -> None:
    desk, made = yard.desk(), await yard.ask()
    started = await begun(yard, made)
    for one in await desk.steps(started):
        await desk.report(started, desk.begun(one.index), desk.ended(one.index))
    failed = await desk.end(started, "cancelled", Reason.CANCELLED, "cancelled after its last step")
    assert (await refused(yard, failed)).reason == "nothing_left"
    assert (await retry(yard, failed, from_step="smoke")).from_step == "smoke"


# --- what stands in its way


async def test_only_one_that_failed_after_it_had_started_is_retried(yard: Yard) -> None:
    waiting = await yard.ask()
    assert (await refused(yard, waiting)).reason == "not_failed"
    ended = await yard.world.core.deployments.cancel(OPERATOR, waiting.id)
    assert (await refused(yard, ended)).reason == "never_started"
    made = await yard.ask()
    good = await yard.desk().end(await begun(yard, made))
    assert (await refused(yard, good)).reason == "not_failed"


async def test_a_rollback_is_not_retried(yard: Yard) -> None:
    await yard.desk().end(await begun(yard, await yard.ask("v1")))
    await yard.desk().end(await begun(yard, await yard.ask("v2")))
    back = await yard.world.core.deployments.rollback_lane(
        OPERATOR, "web", (await yard.ask("v3")).environment, RequestRollback()
    )
    failed = await yard.desk().end(await begun(yard, back), "failed", Reason.STEP_FAILED, "x")
    assert (await refused(yard, failed)).reason == "is_rollback"


async def test_only_the_newest_of_a_lane_is_retried(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    newer = await yard.ask("v2")
    found = await refused(yard, failed)
    assert (found.reason, found.details["deployment"]) == ("not_newest", newer.id)
    await yard.world.core.deployments.cancel(OPERATOR, newer.id)
    made = await retry(yard, failed)
    assert (await refused(yard, failed)).details["deployment"] == made.id


async def test_a_retry_behind_which_another_one_ran_does_not_start(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    made = await retry(yard, failed)
    other = await yard.ask("v2")
    jumped = other.model_copy(update={"queued_at": made.queued_at - 1})
    await yard.desk().write(lambda tx: store.change(tx, other, queued_at=jumped.queued_at))
    await yard.desk().end(await begun(yard, other))
    assert await yard.start() is None
    ended = await yard.look(made)
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.GATE)
    assert "#3 (v2) ran here after #1 failed" in (ended.message or "")


async def test_a_lane_that_was_locked_by_the_failure_has_to_be_opened_first(yard: Yard) -> None:
    failed = await fail(yard, "rollout", reason=Reason.INTERRUPTED)
    found = await refused(yard, failed)
    assert found.reason == "lane_closed"
    assert "dg lane unlock web production" in found.message
    await yard.world.core.lanes.unlock(OPERATOR, "web", "production")
    assert (await retry(yard, failed)).retry_of == failed.id


async def test_a_blocked_version_is_refused_as_in_a_create(yard: Yard) -> None:
    failed = await fail(yard, "rollout")
    block = BlockVersion(version="v1", reason="it eats orders")
    await yard.world.core.lanes.block(ADMIN, "web", "production", block)
    assert (await refused(yard, failed)).reason == "version_blocked"


async def test_the_same_key_twice_is_one_retry(yard: Yard) -> None:
    failed, key = await fail(yard, "rollout"), Once("k", "f")
    made = [await yard.world.core.recovery.retry(OPERATOR, failed.id, RequestRetry(), key) for _ in range(2)]
    assert made[0].id == made[1].id


# --- its gates


async def approved(yard: Yard) -> Deployment:
    tail = "[env.production]\napprovals = { count = 1 }"
    await yard.world.register(*STEPS, tail=tail)
    made = await yard.ask()
    await yard.approve(made, await yard.person("paula"))
    return made


async def test_a_retry_does_not_pass_what_is_demanded_since(yard: Yard) -> None:
    failed = await fail(yard, "migrate")
    await yard.world.register(*STEPS, tail="[env.production]\napprovals = { count = 1 }")
    problem = await refused(yard, failed, confirm=True)
    assert problem.reason == "demands_changed"
    assert problem.message.endswith(f"dg deploy web {failed.commit_sha[:12]} --env production")
    await yard.world.register(*STEPS, tail="[env.staging]\napprovals = { count = 1 }")
    assert (await retry(yard, failed, confirm=True)).retry_of == failed.id


async def test_approvals_count_for_a_retry_that_brings_the_same(yard: Yard) -> None:
    failed = await fail(yard, "compile", await approved(yard))
    made = await retry(yard, failed)
    assert [gate.open for gate in made.gates or ()] == [True]
    kept = (await yard.entries("approval.kept"))[-1]
    assert (kept.object, kept.payload["given_to"]) == (made.id, failed.id)
    await begun(yard, made)


async def test_a_retry_after_something_was_touched_needs_approvals_of_its_own(yard: Yard) -> None:
    failed = await fail(yard, "rollout", await approved(yard))
    made = await retry(yard, failed)
    assert [gate.open for gate in made.gates or ()] == [False]
    assert await yard.start() is None
    await yard.approve(made, await yard.person("pia"))
    await begun(yard, made)


# --- for real


def mend(world: World) -> None:
    Path(f"{world.journal}.mended").touch()


async def test_steps_that_went_well_run_once_in_all(world: World) -> None:
    def says(name: str) -> str:
        return f'echo {name} >>"$JOURNAL"'

    mended = 'test -e "$JOURNAL.mended"'
    await world.register(
        step("image", "build", f'{says("image")}; echo digest=sha256:1 >>"$DG_OUTPUTS"'),
        step("migrate", "deploy", says("migrate")),
        step("rollout", "deploy", f"{says('rollout')} && {mended}"),
        step("smoke", "verify", f'{says("smoke")}; echo "$DG_OUTPUT_DIGEST"; cat release'),
    )
    failed = await world.ended(await world.create("v2"))
    assert (failed.status, failed.outputs) == (Status.FAILED, {"digest": "sha256:1"})
    mend(world)
    made = await world.core.recovery.retry(OPERATOR, failed.id, RequestRetry())
    ended = await world.ended(made)
    assert ended.status is Status.SUCCESS, ended.message
    assert world.written() == ["image", "migrate", "rollout", "rollout", "smoke"]
    assert await world.lines(ended) == ["sha256:1", "2"]
    progress = await world.core.deployments.status(ADMIN, made.id)
    assert [found.status for found in progress.steps] == ["skipped", "skipped", "success", "success"]
