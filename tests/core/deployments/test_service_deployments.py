"""Deployments as callers see them: what is accepted, what is refused and with which sentence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.desk import SECOND, Desk
from tests.core.deployments.world import ADMIN, OPERATOR, World, open_world, step

from dg.core.deployments import lifecycle, logs, store
from dg.core.deployments.models import (
    BlockVersion,
    Chunk,
    CreateDeployment,
    Deployment,
    Kind,
    LockLane,
    Reason,
    RequestRollback,
    Status,
    UpdateDeployment,
)
from dg.core.errors import Invalid, Mismatch, NotFound, Problem, Refused
from dg.core.idempotency import Once
from dg.core.testing import NOON, ManualClock, settle
from dg.core.types import Environment


async def refusal(kind: type[Problem], call: Any) -> Problem:
    with pytest.raises(kind) as caught:
        await call
    return caught.value


def now(world: World) -> int:
    return world.core.clock.micros()


# --- refs and versions


@pytest.mark.parametrize(
    ("request_", "version", "ref"),
    [
        ({"ref": "v2"}, "v2", "refs/tags/v2"),
        ({"ref": "main"}, None, "refs/heads/main"),
        ({}, None, "refs/heads/main"),
        ({"ref": "v2", "version": "2.0+rc.1/b"}, "2.0+rc.1/b", "refs/tags/v2"),
    ],
)
async def test_the_version_is_what_was_given_or_the_tag_or_the_short_commit(
    quiet: World, request_: dict[str, str], version: str | None, ref: str
) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, **request_)
    made = await quiet.core.deployments.create(OPERATOR, request)
    assert made.commit_sha == quiet.repository.head(request.ref or "main")
    assert made.version == (version or made.commit_sha[:12])
    assert (made.ref, made.status, made.created_by) == (ref, Status.PENDING, OPERATOR.id)


async def test_a_commit_may_be_given_whole_or_short(quiet: World) -> None:
    full = quiet.repository.head("v2")
    for commit in (full, full[:9], full.upper()):
        request = CreateDeployment(environment=Environment.PRODUCTION, commit_sha=commit)
        made = await quiet.core.deployments.create(OPERATOR, request)
        assert (made.commit_sha, made.version, made.ref) == (full, full[:12], None)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"ref": "v9"}, "has no branch, tag or commit `v9`"),
        ({"ref": "mian"}, "did you mean `main`?"),
        ({"ref": "--upload-pack=x"}, "is not the plain name of a branch, tag or commit"),
        ({"commit_sha": "main"}, "commit_sha: 7 to 40 hexadecimal digits"),
        ({"commit_sha": "abc"}, "commit_sha: 7 to 40 hexadecimal digits"),
        ({"ref": "v1", "version": "a b"}, "version `a b` must be 1 to 128 letters"),
        ({"ref": "v1", "version": "-rf"}, "version `-rf` must be"),
        ({"ref": "v1", "not_before": 1}, "not_before is in the past"),
        ({"ref": "v1", "expires_at": 1}, "expires_at is in the past"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    quiet: World, request_: dict[str, Any], sentence: str
) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, **request_)
    problem = await refusal(Invalid, quiet.core.deployments.create(OPERATOR, request))
    assert sentence in problem.message
    assert (await quiet.core.deployments.list(ADMIN)).items == ()


async def test_a_ref_and_a_commit_must_mean_the_same(quiet: World) -> None:
    commit = quiet.repository.head("v2")
    problem = await refusal(Invalid, quiet.create("v1", commit_sha=commit))
    assert "not the commit_sha; send one of them" in problem.message
    assert (await quiet.create("v2", commit_sha=commit)).ref == "refs/tags/v2"


async def test_production_takes_only_what_is_on_the_protected_branch(quiet: World) -> None:
    problem = await refusal(Refused, quiet.create("side", "production"))
    assert problem.reason == "ref_not_protected"
    assert "is not on `main`, and production takes only what is; merge it first" in problem.message
    assert (await quiet.create("side", "development")).ref == "refs/heads/side"


async def test_a_pipeline_may_trust_every_branch(quiet: World) -> None:
    await quiet.register(source='trust = "any"')
    assert (await quiet.create("side", "production")).ref == "refs/heads/side"


async def test_a_commit_that_was_merged_a_moment_ago_is_found(quiet: World) -> None:
    await quiet.create("v1")
    commit = quiet.repository.commit("Release 4", release="4\n")
    request = CreateDeployment(environment=Environment.PRODUCTION, commit_sha=commit)
    assert (await quiet.core.deployments.create(OPERATOR, request)).commit_sha == commit


async def test_the_service_is_named_when_there_are_several(quiet: World) -> None:
    await quiet.register(service="api")
    problem = await refusal(Invalid, quiet.create())
    assert problem.message == "service: say which one is meant (api, web)"
    assert problem.details["services"] == ["api", "web"]
    assert (await quiet.create(service="api")).service == "api"


async def test_the_settings_may_name_the_service_that_is_meant(tmp_path: Path) -> None:
    async with open_world(tmp_path, passive=True, deployments={"default_service": "web"}) as world:
        await world.register()
        await world.register(service="api")
        assert (await world.create()).service == "web"


# --- the pipeline


async def test_a_pipeline_in_the_repository_is_read_from_the_protected_branch_alone(quiet: World) -> None:
    good = quiet.pipeline(step("rollout", "deploy", "echo good"))
    quiet.repository.commit("Deploy", dg__toml=good)
    quiet.repository.git("checkout", "--quiet", "side")
    quiet.repository.commit("Take over", dg__toml=quiet.pipeline(step("rollout", "deploy", "echo evil")))
    quiet.repository.git("checkout", "--quiet", "main")
    await quiet.register(source='pipeline = "repo"')

    made = await quiet.create("side", "development")
    assert made.commit_sha == quiet.repository.head("side")
    assert await quiet.db.read(lambda tx: store.snapshot(tx, made.pipeline_sha256)) == good


async def test_a_pipeline_in_the_repository_must_be_of_the_service(quiet: World) -> None:
    quiet.repository.commit("Deploy", dg__toml=quiet.pipeline(service="shop"))
    await quiet.register(source='pipeline = "repo"')
    problem = await refusal(Invalid, quiet.create("main"))
    assert problem.message == "dg.toml on `main` is of `shop`, not of `web`"


async def test_a_missing_secret_is_said_when_it_is_asked_for(quiet: World) -> None:
    await quiet.register(step("rollout", "deploy", "true", 'secrets = ["token"]'))
    secrets = quiet.home.secrets
    problem = await refusal(Refused, quiet.create())
    missing = (
        "set it with `dg secret set production token`, "
        f"or write it under [production] in {secrets}, a file of mode 0600"
    )
    assert problem.message == f"`web` has no secret `token` in production; {missing}"
    secrets.touch(mode=0o600)
    secrets.write_text('[staging]\ntoken = "sesame-open"\n')
    problem = await refusal(Refused, quiet.create())
    assert problem.message == f"`web` has no secret `token` in production; {missing}"
    assert (await quiet.create(environment="staging")).status is Status.PENDING


async def test_a_missing_setting_is_said_when_it_is_asked_for(quiet: World) -> None:
    run = '[[step]]\nname = "rollout"\nphase = "deploy"\nrun = ["echo", "{env.host}"]\n'
    await quiet.register(run, tail='[env.staging.settings]\nhost = "stage-1"\n')
    problem = await refusal(Invalid, quiet.create())
    assert problem.message.startswith("step `rollout` cannot run in production: ")
    assert (await quiet.create(environment="staging")).status is Status.PENDING


# --- closed lanes and blocked versions


async def test_a_closed_lane_refuses_and_one_that_opens_in_time_does_not(quiet: World) -> None:
    until = now(quiet) + 60 * SECOND
    await quiet.core.lanes.lock(ADMIN, "web", "production", LockLane(reason="database work", until=until))
    problem = await refusal(Refused, quiet.create())
    assert problem.reason == "lane_closed"
    assert problem.message == (await quiet.core.lanes.get(ADMIN, "web", "production")).sentence
    later = await quiet.create(not_before=until + SECOND)
    hold = (await quiet.get(later)).hold
    assert hold is not None
    assert hold.startswith("It starts at ")
    assert (await quiet.create(environment="staging")).status is Status.PENDING


async def test_a_blocked_version_is_refused_in_its_lane(quiet: World) -> None:
    await quiet.core.lanes.block(
        OPERATOR, "web", "production", BlockVersion(version="v2", reason="it broke the till.")
    )
    problem = await refusal(Refused, quiet.create("v2"))
    assert problem.reason == "version_blocked"
    assert problem.message.startswith(
        "v2 is blocked here: it broke the till. Deploy a commit that mends it. "
    )
    assert (await quiet.create("v2", "staging")).version == "v2"


# --- the same request twice


async def test_the_same_key_gives_the_same_answer_also_after_a_restart(tmp_path: Path) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v1")
    key = Once("k-1", "a" * 64)
    async with open_world(tmp_path, passive=True) as world:
        await world.register()
        first = await world.core.deployments.create(OPERATOR, request, key)
        assert await world.core.deployments.create(OPERATOR, request, key) == first
        await world.core.deployments.cancel(OPERATOR, first.id)
    async with open_world(tmp_path, passive=True) as world:
        assert await world.core.deployments.create(OPERATOR, request, key) == first
        assert len((await world.core.deployments.list(ADMIN)).items) == 1
        with pytest.raises(Mismatch):
            await world.core.deployments.create(OPERATOR, request, Once("k-1", "b" * 64))
        other = await world.core.deployments.create(ADMIN, request, key)
        assert other.id != first.id


async def test_fifty_requests_with_one_key_have_one_effect(quiet: World) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v1")
    key = Once("k-1", "a" * 64)
    answers = await asyncio.gather(
        *(quiet.core.deployments.create(OPERATOR, request, key) for _ in range(50))
    )
    assert len({answer.id for answer in answers}) == 1
    assert len((await quiet.core.deployments.list(ADMIN)).items) == 1
    assert len(await quiet.entries("deployment.created")) == 1


# --- lists


async def test_a_list_is_newest_first_in_pages_without_gaps(quiet: World) -> None:
    made = [(await quiet.create()).number for _ in range(5)]
    seen: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        page = await quiet.core.deployments.list(ADMIN, cursor=cursor, limit=2)
        seen += [found.number for found in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert (seen, pages) == (made[::-1], 3)


async def test_a_list_is_narrowed_by_filters_and_by_names(quiet: World) -> None:
    first = await quiet.create("v1")
    second = await quiet.create("v2", "staging", note="for the fair")
    await quiet.core.deployments.cancel(OPERATOR, first.id)

    async def found(**wanted: Any) -> list[str]:
        return [one.id for one in (await quiet.core.deployments.list(ADMIN, **wanted)).items]

    assert await found(filter="version=v1") == [first.id]
    assert await found(filter="env=staging fair") == [second.id]
    assert await found(filter="status!=pending reason=cancelled") == [first.id]
    assert await found(status="pending", environment="staging", service="web") == [second.id]
    assert await found(filter="env=staging", environment="production") == []
    with pytest.raises(Invalid):
        await found(filter="colour=red")


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"limit": 1001}, {"cursor": "x"}])
async def test_a_page_that_cannot_be_is_refused(quiet: World, wrong: dict[str, Any]) -> None:
    deployment = await quiet.create()
    with pytest.raises(Invalid):
        await quiet.core.deployments.list(ADMIN, **wrong)
    with pytest.raises(Invalid):
        await quiet.core.pipelines.history(ADMIN, "web", **wrong)
    if "limit" in wrong:
        with pytest.raises(Invalid):
            await quiet.core.deployments.logs(ADMIN, deployment.id, **wrong)


async def test_a_list_says_what_each_one_waits_for(quiet: World) -> None:
    first, second = await quiet.create("v1"), await quiet.create("v2")
    holds = {found.id: found.hold for found in (await quiet.core.deployments.list(ADMIN)).items}
    assert holds == {
        first.id: "It is next and starts at once.",
        second.id: "It waits for #1 (v1) in web/production.",
    }


async def test_an_id_that_nobody_gave_out_is_not_found_and_not_repeated_raw(quiet: World) -> None:
    problem = await refusal(NotFound, quiet.core.deployments.get(ADMIN, "\x1b[2J" + "x" * 500))
    assert "\x1b" not in problem.message
    assert len(problem.message) < 200


# --- lines


async def write_lines(world: World, deployment: Deployment, first: int, *lines: str) -> None:
    body = "".join(f"{line}\n" for line in lines).encode()
    writer = await logs.open_writer(world.parts.logs, deployment.id, 1000, 1000)
    await writer.append([Chunk(first, 0, len(lines), body)], NOON)


async def test_lines_come_in_pages_with_a_cursor(quiet: World) -> None:
    deployment = await quiet.create()
    await write_lines(quiet, deployment, 0, "a", "b", "c")
    page = await quiet.core.deployments.logs(ADMIN, deployment.id, limit=2)
    assert [(line.seq, line.text) for line in page.items] == [(0, "a"), (1, "b")]
    assert (page.next_seq, page.complete) == (2, False)
    rest = await quiet.core.deployments.logs(ADMIN, deployment.id, after=page.next_seq)
    assert ([line.text for line in rest.items], rest.next_seq, rest.complete) == (["c"], 3, False)
    await quiet.core.deployments.cancel(OPERATOR, deployment.id)
    assert (await quiet.core.deployments.logs(ADMIN, deployment.id, after=3)).complete


async def test_whoever_waits_for_lines_wakes_when_there_are_some(quiet: World) -> None:
    deployment = await quiet.create()
    waiting = asyncio.ensure_future(quiet.core.deployments.wait_for_logs(deployment.id, 0, 30.0))
    await settle()
    assert not waiting.done()
    await write_lines(quiet, deployment, 0, "a")
    quiet.parts.followers.changed(deployment.id)
    await asyncio.wait_for(waiting, 20.0)


async def test_whoever_waits_for_lines_wakes_when_it_ends_without_any(quiet: World) -> None:
    deployment = await quiet.create()
    waiting = asyncio.ensure_future(quiet.core.deployments.wait_for_logs(deployment.id, 0, 30.0))
    await settle()
    await quiet.core.deployments.cancel(OPERATOR, deployment.id)
    await asyncio.wait_for(waiting, 20.0)
    await asyncio.wait_for(quiet.core.deployments.wait_for_logs(deployment.id, 0, 30.0), 20.0)


async def test_whoever_waits_for_lines_waits_no_longer_than_it_said(quiet: World) -> None:
    deployment = await quiet.create()
    await asyncio.wait_for(quiet.core.deployments.wait_for_logs(deployment.id, 0, 0.05), 30.0)


# --- changes


async def test_changes_are_the_commits_it_brings(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v1"))
    deployment = await quiet.create("v3")
    changes = await quiet.core.deployments.changes(ADMIN, deployment.id)
    assert (changes.base, changes.head) == (quiet.repository.head("v1"), quiet.repository.head("v3"))
    assert [commit.subject for commit in changes.commits] == ["Release 3", "Release 2"]
    assert changes.leaving == ()


async def test_changes_after_a_force_push_name_what_goes_away(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v3"))
    quiet.repository.git("reset", "--quiet", "--hard", "v1")
    quiet.repository.git("tag", "--delete", "v2", "v3")
    quiet.repository.commit("Another way", release="another\n")
    changes = await quiet.core.deployments.changes(ADMIN, (await quiet.create("main")).id)
    assert [commit.subject for commit in changes.commits] == ["Another way"]
    assert [commit.subject for commit in changes.leaving] == ["Release 3", "Release 2"]
    assert changes.leaving_total == 2


async def _pretend_success(world: World, deployment: Deployment) -> Deployment:
    """What a run that went well leaves behind."""
    desk = Desk(world.db, ManualClock(now(world)))
    desk.lane = deployment.lane
    started = await desk.start()
    assert started is not None
    assert started.id == deployment.id
    return await desk.end(started)


# --- update


async def test_what_waits_can_be_changed_field_by_field(quiet: World) -> None:
    later = now(quiet) + 60 * SECOND
    deployment = await quiet.create(note="first", not_before=later)
    changed = await quiet.core.deployments.update(OPERATOR, deployment.id, UpdateDeployment(note="second"))
    assert (changed.note, changed.not_before) == ("second", later)
    opened = await quiet.core.deployments.update(
        OPERATOR, deployment.id, UpdateDeployment.model_validate({"not_before": None})
    )
    assert (opened.note, opened.not_before) == ("second", None)
    facts = [entry.payload["changed"] for entry in await quiet.entries("deployment.updated")]
    assert facts == [["note"], ["not_before"]]


async def test_the_answer_to_a_change_says_what_it_waits_for_now(quiet: World) -> None:
    deployment = await quiet.create()
    later = UpdateDeployment(not_before=now(quiet) + 60 * SECOND)
    changed = await quiet.core.deployments.update(OPERATOR, deployment.id, later)
    assert changed.hold is not None
    assert changed == await quiet.core.deployments.get(OPERATOR, deployment.id)


async def test_nothing_to_change_and_times_gone_by_are_refused(quiet: World) -> None:
    deployment = await quiet.create()
    for request in ({}, {"not_before": 1}, {"expires_at": 1}):
        with pytest.raises(Invalid):
            await quiet.core.deployments.update(
                OPERATOR, deployment.id, UpdateDeployment.model_validate(request)
            )


async def test_what_began_or_ended_cannot_be_changed(quiet: World) -> None:
    ended = await _pretend_success(quiet, await quiet.create("v1"))
    problem = await refusal(
        Refused, quiet.core.deployments.update(OPERATOR, ended.id, UpdateDeployment(note="x"))
    )
    assert problem.message == f"deployment {ended.id} is success; only a pending one can be changed"


# --- cancel


async def test_what_waits_is_cancelled_at_once_and_says_why(quiet: World) -> None:
    deployment = await quiet.create()
    ended = await quiet.core.deployments.cancel(OPERATOR, deployment.id, reason="wrong tag")
    assert (ended.status, ended.reason, ended.message) == (
        Status.FAILED,
        Reason.CANCELLED,
        "it was cancelled: wrong tag",
    )
    problem = await refusal(Refused, quiet.core.deployments.cancel(OPERATOR, deployment.id))
    assert problem.message == f"deployment {deployment.id} has ended as failed"


async def test_what_runs_is_asked_to_stop(quiet: World) -> None:
    deployment = await quiet.create()
    await quiet.db.write(lambda tx: lifecycle.start_next(tx, "web", "production", NOON, 20))
    asked = await quiet.core.deployments.cancel(OPERATOR, deployment.id, then_rollback=True)
    assert asked.status is Status.DEPLOYING
    assert asked.cancel_requested_at is not None
    assert asked.cancel_then_rollback
    again = await quiet.core.deployments.cancel(OPERATOR, deployment.id)
    assert again.cancel_requested_at == asked.cancel_requested_at


async def test_a_rollback_is_not_rolled_back_by_cancelling_it(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v1"))
    await _pretend_success(quiet, await quiet.create("v2"))
    back = await quiet.core.deployments.rollback_lane(
        OPERATOR, "web", Environment.PRODUCTION, RequestRollback()
    )
    problem = await refusal(Refused, quiet.core.deployments.cancel(OPERATOR, back.id, then_rollback=True))
    assert problem.reason == "is_rollback"
    assert (await quiet.core.deployments.cancel(OPERATOR, back.id)).status is Status.FAILED


async def test_what_never_started_still_brings_only_its_own_commits(quiet: World) -> None:
    running = await _pretend_success(quiet, await quiet.create("v1"))
    waiting = await quiet.create("v2")
    ended = await quiet.core.deployments.cancel(OPERATOR, waiting.id)
    changes = await quiet.core.deployments.changes(OPERATOR, ended.id)
    assert (changes.base, changes.total) == (running.commit_sha, 1)


async def test_what_would_expire_before_it_may_start_is_refused(quiet: World) -> None:
    now = quiet.core.clock.micros()
    problem = await refusal(
        Invalid, quiet.create("v1", not_before=now + 2_000_000, expires_at=now + 1_000_000)
    )
    assert problem.message == "expires_at: it would expire before it may start (not_before)"
    waiting = await quiet.create("v1", not_before=now + 2_000_000)
    change = UpdateDeployment(expires_at=now + 1_000_000)
    await refusal(Invalid, quiet.core.deployments.update(OPERATOR, waiting.id, change))


# --- roll back


async def test_a_rollback_that_waits_is_let_pass_a_lock_with_a_reason(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v1"))
    await _pretend_success(quiet, await quiet.create("v2"))
    back = await quiet.core.deployments.rollback_lane(
        OPERATOR, "web", Environment.PRODUCTION, RequestRollback()
    )
    passing = RequestRollback(override="customers cannot pay")
    let = await quiet.core.deployments.rollback_lane(OPERATOR, "web", Environment.PRODUCTION, passing)
    assert (let.id, let.override) == (back.id, "customers cannot pay")


async def test_a_rollback_is_a_deployment_of_its_own_and_overtakes(quiet: World) -> None:
    good = await _pretend_success(quiet, await quiet.create("v1"))
    bad = await _pretend_success(quiet, await quiet.create("v2"))
    waiting = await quiet.create("v3")
    back = await quiet.core.deployments.rollback(OPERATOR, bad.id, RequestRollback(reason="slow"))
    assert (back.kind, back.version, back.target, back.rollback_of) == (Kind.ROLLBACK, "v1", good.id, bad.id)
    assert (back.note, back.created_by) == ("slow", OPERATOR.id)
    assert (await quiet.get(waiting)).hold == f"It waits for #{back.number} (v1) in web/production."


async def test_a_rollback_passes_a_manual_lock_with_a_reason_that_is_kept(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v1"))
    bad = await _pretend_success(quiet, await quiet.create("v2"))
    until = now(quiet) + 60 * SECOND
    await quiet.core.lanes.lock(ADMIN, "web", "production", LockLane(reason="the fair", until=until))
    problem = await refusal(Refused, quiet.core.deployments.rollback(OPERATOR, bad.id, RequestRollback()))
    assert problem.reason == "lane_closed"
    request = RequestRollback(override="nobody can pay")
    back = await quiet.core.deployments.rollback(OPERATOR, bad.id, request)
    assert back.override == "nobody can pay"
    assert (await quiet.get(back)).hold == "It is next and starts at once."
    assert (await quiet.entries("deployment.created"))[-1].payload["override"] == "nobody can pay"


async def test_two_rollbacks_at_once_become_one(quiet: World) -> None:
    await _pretend_success(quiet, await quiet.create("v1"))
    await _pretend_success(quiet, await quiet.create("v2"))
    answers = await asyncio.gather(
        *(
            quiet.core.deployments.rollback_lane(OPERATOR, "web", Environment.PRODUCTION, RequestRollback())
            for _ in range(5)
        ),
        return_exceptions=True,
    )
    made = [answer for answer in answers if isinstance(answer, Deployment)]
    refused = [answer.reason for answer in answers if isinstance(answer, Refused)]
    assert (len(made), refused) == (1, ["rollback_waits"] * 4)
