"""Previews: they say what the real thing would do, in its own words, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.desk import SECOND, Desk
from tests.core.deployments.world import ADMIN, OPERATOR, VIEWER, World, step

from dg.core.access import store as access_store
from dg.core.deployments import store
from dg.core.deployments.models import (
    BlockVersion,
    CreateDeployment,
    Deployment,
    Kind,
    LockLane,
    Reason,
    RequestRollback,
    Status,
)
from dg.core.deployments.previews import Preview, PreviewVerdict, RollbackPreview, RollbackVerdict
from dg.core.errors import Invalid, Refused
from dg.core.testing import ManualClock
from dg.core.types import Environment

BUILD = step("image", "build", "true", 'output = { image = "web:{version}" }')
MIGRATE = step("migrate", "deploy", "true", "reversible = false")
ROLLOUT = step("rollout", "deploy", "echo $DG_VERSION")
SMOKE = step("smoke", "verify", "true")
PRODUCTION = Environment.PRODUCTION


async def preview(
    world: World, ref: str = "v1", environment: str = "production", by: Any = OPERATOR, **more: Any
) -> Preview:
    request = CreateDeployment(environment=Environment(environment), ref=ref, **more)
    return await world.core.deployments.preview(by, request)


async def back(world: World, by: Any = OPERATOR, **request: Any) -> RollbackPreview:
    asked = RequestRollback(**request)
    return await world.core.deployments.preview_rollback(by, "web", PRODUCTION, asked)


def reasons(found: Preview | RollbackPreview) -> list[str]:
    return [objection.reason for objection in found.objections]


def desk(world: World, environment: str = "production") -> Desk:
    """The lane moved by hand."""
    found = Desk(world.db, ManualClock(world.core.clock.micros()))
    found.lane = ("web", environment)
    return found


async def run(world: World, ref: str, seconds: float = 2.0) -> Deployment:
    """A deployment to production that went well, each of its steps in `seconds`."""
    return await _end(world, await world.create(ref), seconds)


async def _end(world: World, asked: Deployment, seconds: float = 2.0) -> Deployment:
    by_hand = desk(world)
    started = await by_hand.start()
    assert started is not None
    assert started.id == asked.id
    for each in await by_hand.steps(started):
        await by_hand.report(started, by_hand.begun(each.index), by_hand.ended(each.index, seconds=seconds))
    plan = {} if started.kind is Kind.ROLLBACK else {"image": f"web:{asked.version}"}
    by_hand.clock.jump(10)
    return await by_hand.end(await by_hand.read(started), outputs=plan)


async def left_behind(world: World) -> tuple[int, int, str]:
    """What a preview must not change: rows, facts, kept commits."""
    deployments = len((await world.core.deployments.list(ADMIN)).items)
    refs = world.parts.git.path("web") / "refs" / "dg"
    kept = ",".join(sorted(path.name for path in refs.iterdir())) if refs.exists() else ""
    return deployments, len(await world.entries()), kept


# --- a deployment


async def test_a_preview_shows_what_would_run_and_leaves_nothing_behind(quiet: World) -> None:
    await quiet.register(BUILD, MIGRATE, ROLLOUT, SMOKE)
    before = await left_behind(quiet)
    found = await preview(quiet, "v3")
    assert (found.verdict, found.sentence) == (
        PreviewVerdict.STARTS,
        "Nothing stands in its way: it starts at once.",
    )
    assert (found.kind, found.version, found.ref) == (Kind.DEPLOY, "v3", "refs/tags/v3")
    assert found.commit_sha == quiet.repository.head("v3")
    assert [each.name for each in found.steps] == ["image", "migrate", "rollout", "smoke"]
    assert (found.irreversible, found.objections) == (("migrate",), ())
    assert (found.current, found.files, found.expected) == (None, None, None)
    assert found.estimated_start is not None
    assert await left_behind(quiet) == before


async def test_it_names_commits_and_files_and_how_long_the_steps_took(quiet: World) -> None:
    await quiet.register(BUILD, ROLLOUT)
    await run(quiet, "v1", seconds=4.0)
    await run(quiet, "v2", seconds=6.0)
    found = await preview(quiet, "v3")
    assert (found.current_version, found.changes.base) == ("v2", quiet.repository.head("v2"))
    assert [commit.subject for commit in found.changes.commits] == ["Release 3"]
    assert found.files is not None
    assert [(file.path, file.added, file.removed) for file in found.files.files] == [("release", 1, 1)]
    assert [each.expected for each in found.steps] == [6.0, 6.0]
    assert found.expected == 12.0


async def test_the_same_content_again_is_a_redeploy_that_builds_nothing(quiet: World) -> None:
    await quiet.register(BUILD, ROLLOUT)
    await run(quiet, "v1")
    found = await preview(quiet, "v1")
    assert (found.kind, [each.name for each in found.steps]) == (Kind.REDEPLOY, ["rollout"])
    assert found.changes.total == 0


async def test_it_waits_behind_those_who_wait_and_says_until_when(quiet: World) -> None:
    await run(quiet, "v1", seconds=5.0)
    ahead = await quiet.create("v2")
    now = quiet.core.clock.micros()
    found = await preview(quiet, "v3")
    assert found.verdict is PreviewVerdict.WAITS
    assert found.sentence == f"It waits for #{ahead.number} (v2) in web/production."
    assert found.estimated_start is not None
    assert 0 <= found.estimated_start - (now + 5 * SECOND) < 60 * SECOND


async def test_one_that_starts_later_says_when(quiet: World) -> None:
    later = quiet.core.clock.micros() + 3600 * SECOND
    found = await preview(quiet, "v1", not_before=later)
    assert (found.verdict, found.estimated_start) == (PreviewVerdict.WAITS, later)
    assert found.sentence.startswith("It starts at ")


async def test_every_objection_is_shown_and_the_first_one_is_what_create_says(quiet: World) -> None:
    await quiet.register(step("rollout", "deploy", "true", 'secrets = ["token"]'))
    now = quiet.core.clock.micros()
    lock = LockLane(reason="the sale", until=now + 3600 * SECOND)
    await quiet.core.lanes.lock(ADMIN, "web", "production", lock)
    await quiet.core.lanes.block(ADMIN, "web", "production", BlockVersion(version="side", reason="slow"))
    found = await preview(quiet, "side")
    assert reasons(found) == ["ref_not_protected", "missing_secret", "version_blocked", "lane_closed"]
    assert (found.verdict, found.estimated_start) == (PreviewVerdict.REFUSED, None)
    with pytest.raises(Refused) as caught:
        await quiet.create("side")
    assert found.sentence == found.objections[0].sentence == caught.value.message
    assert found.secrets == ("token",)


async def test_a_missing_setting_is_an_objection(quiet: World) -> None:
    text = '[[step]]\nname = "rollout"\nphase = "deploy"\nrun = ["echo", "{env.host}"]\n'
    await quiet.register(text, tail='[env.staging.settings]\nhost = "s1"\n')
    found = await preview(quiet)
    with pytest.raises(Invalid) as caught:
        await quiet.create()
    assert [each.sentence for each in found.objections] == [caught.value.message]
    assert found.steps == ()
    assert [each.text for each in (await preview(quiet, environment="staging")).steps] == ["echo s1"]


async def test_a_viewer_may_look_and_is_told_who_may_deploy(quiet: World) -> None:
    before = await left_behind(quiet)
    found = await preview(quiet, by=VIEWER)
    assert (found.verdict, reasons(found)) == (PreviewVerdict.REFUSED, ["forbidden"])
    assert "deployment:create on web/production needs the role admin or operator" in found.sentence
    assert await left_behind(quiet) == before


@pytest.mark.parametrize("request_", [{"ref": "v9"}, {"ref": "v1", "version": "a b"}, {"commit_sha": "x"}])
async def test_a_request_that_is_wrong_in_itself_has_no_preview(
    quiet: World, request_: dict[str, str]
) -> None:
    request = CreateDeployment(environment=PRODUCTION, **request_)
    said: list[str] = []
    for call in (quiet.core.deployments.preview, quiet.core.deployments.create):
        with pytest.raises(Invalid) as caught:
            await call(OPERATOR, request)
        said.append(caught.value.message)
    assert said[0] == said[1]


async def test_the_pipeline_in_the_repository_is_what_is_previewed(quiet: World) -> None:
    quiet.repository.commit("Deploy", dg__toml=quiet.pipeline(step("elsewhere", "deploy", "true")))
    await quiet.register(ROLLOUT, source='pipeline = "repo"')
    assert [each.name for each in (await preview(quiet, "v3")).steps] == ["elsewhere"]


# --- a rollback


async def test_a_rollback_says_what_goes_away_and_what_is_kept(quiet: World) -> None:
    await quiet.register(BUILD, ROLLOUT, tail='[env.production.settings]\nold = "1"\nboth = "1"\n')
    await run(quiet, "v1")
    await quiet.register(BUILD, ROLLOUT, tail='[env.production.settings]\nnew = "1"\nboth = "2"\n')
    bad = await run(quiet, "v3")
    before = await left_behind(quiet)
    found = await back(quiet)
    assert (found.verdict, found.sentence) == (
        RollbackVerdict.SAFE,
        "Nothing stands in its way: v1 comes back as it was.",
    )
    assert found.undoes is not None
    assert found.target is not None
    assert (found.undoes.id, found.target.version) == (bad.id, "v1")
    assert found.changes is not None
    assert [commit.subject for commit in found.changes.leaving] == ["Release 3", "Release 2"]
    assert (found.changes.leaving_total, found.changes.total) == (2, 0)
    assert (found.settings_leaving, found.settings_returning) == (("new",), ("old",))
    assert found.artefact is not None
    assert (found.artefact.commit_kept, found.artefact.pipeline_readable) == (True, True)
    assert (found.artefact.outputs, found.artefact.outputs_missing) == ({"image": "web:v1"}, ())
    assert [each.name for each in found.steps] == ["rollout"]
    assert (found.past.count, found.past.p50, found.expected) == (0, None, None)
    assert await left_behind(quiet) == before


async def test_it_goes_where_the_rollback_then_goes_and_knows_how_long_they_take(quiet: World) -> None:
    for ref in ("v1", "v2", "v3"):
        await run(quiet, ref)
    foreseen = await back(quiet)
    made = await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    assert foreseen.target is not None
    assert (foreseen.target.id, foreseen.target.version) == (made.target, "v2")
    await _end(quiet, made, seconds=3.0)
    again = await back(quiet)
    assert again.target is not None
    assert again.target.version == "v1"
    assert (again.past.count, again.past.last, again.expected) == (1, Status.SUCCESS, 3.0)
    assert again.past.p50 is not None


async def test_it_says_what_dg_then_does_to_the_lane_and_so_it_is(quiet: World) -> None:
    await run(quiet, "v1")
    bad = await run(quiet, "v2")
    lock, block = (await back(quiet)).afterwards
    assert (lock.reason, block.reason) == ("lane_locked", "version_blocked")
    assert lock.sentence == (
        "Afterwards web/production will be locked for 30m. "
        "An admin, approver or operator can open it: dg lane unlock web production"
    )
    assert block.sentence == (
        f"Afterwards v2 ({bad.commit_sha[:7]}) may not come back to web/production. "
        "An admin or approver can let it back: "
        f"dg lane unblock web production {bad.commit_sha[:12]} --reason WHY"
    )
    made = await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    await _end(quiet, made)
    lane = await quiet.core.lanes.get(ADMIN, "web", "production")
    assert lane.lock is not None
    assert lane.lock.until - lane.lock.since == 1800 * SECOND
    assert [each.commit_sha for each in await quiet.core.lanes.blocks(ADMIN, "web", "production")] == [
        bad.commit_sha
    ]


async def test_a_pipeline_that_locks_nothing_and_a_lock_by_hand_are_foreseen_as_they_are(
    quiet: World,
) -> None:
    await run(quiet, "v1")
    await quiet.register(tail="[rollback]\nlock = 0\n")
    await run(quiet, "v2")
    assert [each.reason for each in (await back(quiet)).afterwards] == ["version_blocked"]
    lock = LockLane(reason="the sale", until=quiet.core.clock.micros() + 3600 * SECOND)
    await quiet.core.lanes.lock(ADMIN, "web", "production", lock)
    found = (await back(quiet, override="users cannot pay")).afterwards[0]
    assert found.sentence.startswith("Afterwards web/production stays locked until ")
    assert f", as {ADMIN.name} locked it. An admin, approver or operator can open it: " in found.sentence


async def test_the_lock_after_a_rollback_names_who_asked_for_it_beside_dg(quiet: World) -> None:
    await run(quiet, "v1")
    await run(quiet, "v2")
    await quiet.db.write(lambda tx: access_store.set_name(tx, OPERATOR.id, "Olga", "person"))
    asked = RequestRollback(reason="checkout answers 500")
    made = await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, asked)
    await _end(quiet, made)
    lane = await quiet.core.lanes.get(ADMIN, "web", "production")
    assert lane.lock is not None
    assert (lane.lock.automatic, lane.lock.by, lane.lock.asked_by) == (True, "dg", "Olga")
    assert "v2 was rolled back to v1: checkout answers 500 (by dg since " in lane.sentence
    assert ", after a rollback that Olga asked for). " in lane.sentence
    undone = (await quiet.entries("deployment.rolled_back"))[-1]
    locked = (await quiet.entries("lane.locked"))[-1]
    assert (locked.actor, locked.payload["asked_by"], locked.payload["number"]) == (
        "system", OPERATOR.id, made.number,
    )  # fmt: skip
    assert (undone.payload["undone_by"], undone.payload["back_to"]) == (made.number, "v1")


async def test_an_irreversible_step_asks_first_and_is_named_when_it_was_agreed_to(quiet: World) -> None:
    await quiet.register(BUILD, MIGRATE, ROLLOUT)
    await run(quiet, "v1")
    await run(quiet, "v2")
    found = await back(quiet)
    assert (found.verdict, reasons(found), found.crosses) == (
        RollbackVerdict.ASKS,
        ["irreversible"],
        ("migrate",),
    )
    assert "crosses the irreversible step `migrate`" in found.sentence
    agreed = await back(quiet, cross_irreversible=True)
    assert (agreed.verdict, agreed.objections) == (RollbackVerdict.ASKS, ())
    assert agreed.sentence == "As agreed, it crosses `migrate`, which cannot be undone."


async def test_a_lock_by_hand_asks_for_a_reason(quiet: World) -> None:
    await run(quiet, "v1")
    await run(quiet, "v2")
    lock = LockLane(reason="the sale", until=quiet.core.clock.micros() + 3600 * SECOND)
    await quiet.core.lanes.lock(ADMIN, "web", "production", lock)
    found = await back(quiet)
    assert (found.verdict, reasons(found)) == (RollbackVerdict.ASKS, ["lane_closed"])
    assert (await back(quiet, override="users cannot pay")).verdict is RollbackVerdict.SAFE


async def test_a_lane_with_nothing_to_go_back_to_is_refused(quiet: World) -> None:
    found = await back(quiet)
    assert (found.verdict, reasons(found)) == (RollbackVerdict.REFUSED, ["no_target"])
    assert (found.undoes, found.target, found.artefact) == (None, None, None)
    await run(quiet, "v1")
    assert "has no earlier good version" in (await back(quiet)).sentence


async def test_a_busy_lane_is_refused_with_the_sentence_of_the_rollback(quiet: World) -> None:
    for ref in ("v1", "v2"):
        await run(quiet, ref)
    await quiet.create("v3")
    await desk(quiet).start()
    found = await back(quiet)
    with pytest.raises(Refused) as caught:
        await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    assert (found.verdict, reasons(found)) == (RollbackVerdict.REFUSED, ["lane_busy"])
    assert found.sentence == caught.value.message


async def test_a_rollback_that_waits_is_refused_again_but_may_be_let_pass(quiet: World) -> None:
    for ref in ("v1", "v2"):
        await run(quiet, ref)
    await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    assert reasons(await back(quiet)) == ["rollback_waits"]
    passing = await back(quiet, override="users cannot pay")
    assert passing.target is not None
    assert (passing.verdict, passing.target.version) == (RollbackVerdict.SAFE, "v1")


async def test_what_a_rollback_needs_and_does_not_find_is_doubted(quiet: World) -> None:
    await quiet.register(BUILD, step("rollout", "deploy", "true", 'secrets = ["token"]'))
    quiet.home.secrets.touch(mode=0o600)
    quiet.home.secrets.write_text('[production]\ntoken = "sesame-open"\n')
    first = await run(quiet, "v1")
    await run(quiet, "v2")
    quiet.home.secrets.write_text("")

    def forget(tx: Any) -> None:
        store.change(tx, store.require(tx, first.id), outputs={})

    await quiet.db.write(forget)
    mirror = quiet.parts.git.path("web")
    mirror.rename(mirror.with_name("elsewhere.git"))
    found = await back(quiet)
    assert (found.verdict, found.changes) == (RollbackVerdict.ASKS, None)
    assert [doubt.reason for doubt in found.doubts] == ["commit_gone", "outputs_missing", "missing_secret"]
    assert found.doubts[1].sentence == "v1 recorded no output `image`, and nothing is built again."


async def test_a_rollback_that_failed_last_time_is_doubted(quiet: World) -> None:
    for ref in ("v1", "v2"):
        await run(quiet, ref)
    await quiet.core.deployments.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    by_hand = desk(quiet)
    started = await by_hand.start()
    assert started is not None
    await by_hand.end(started, "failed", Reason.STEP_FAILED, "step `rollout` exited with 1")
    found = await back(quiet)
    assert [doubt.reason for doubt in found.doubts] == ["last_failed"]
    assert (found.past.last, found.past.p50) == (Status.FAILED, None)


async def test_a_viewer_may_look_at_a_rollback_and_is_told_who_may_make_it(quiet: World) -> None:
    await run(quiet, "v1")
    await run(quiet, "v2")
    found = await back(quiet, by=VIEWER)
    assert (found.verdict, reasons(found)) == (RollbackVerdict.REFUSED, ["forbidden"])
    assert found.target is not None
