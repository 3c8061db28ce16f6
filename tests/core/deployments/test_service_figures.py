"""The figures of real deployments: rows by the rules, commits from git, and the ledger that must agree."""

from __future__ import annotations

import pytest
from tests.core.deployments.desk import Desk, text
from tests.core.deployments.world import ADMIN, VIEWER, World, step

from dg.core.deployments import history
from dg.core.deployments.figures import DoraFigures
from dg.core.deployments.models import Kind, RequestRollback
from dg.core.errors import Invalid, NotFound
from dg.core.testing import person
from dg.core.types import Environment

BACK = step("rollout", "deploy", "test ! -e bad", 'on = ["deploy", "redeploy", "rollback"]')
OPEN = '[rollback]\nlock = "0s"\n'


async def dora(world: World, **asked: object) -> DoraFigures:
    return await world.core.figures.dora(ADMIN, **{"rows": True, **asked})  # type: ignore[arg-type]


def committed(world: World, *refs: str) -> dict[str, int]:
    """Commit by commit, when git says that it was committed (microseconds)."""
    lines = [world.repository.git("show", "--no-patch", "--format=%H %ct", ref) for ref in refs]
    return {sha: int(at) * 1_000_000 for sha, at in (line.split() for line in lines)}


async def test_commits_count_from_their_committer_to_the_success_that_brought_them_first(
    world: World,
) -> None:
    await world.register(BACK, tail=OPEN)
    await world.deploy("v1")
    third = await world.deploy("v3")
    await world.ended(
        await world.core.deployments.rollback_lane(ADMIN, "web", Environment.PRODUCTION, RequestRollback())
    )
    world.repository.commit("Release 4", tag="v4", release="4\n")
    fourth = await world.deploy("v4")
    for _ in range(2):
        rows = (await dora(world)).lead_time.rows or ()
        found = {(row.deployment, row.commit): row for row in rows}
        times = committed(world, "v2", "v3", "v4")
        second_sha, third_sha, fourth_sha = times
        assert set(found) == {(third.id, second_sha), (third.id, third_sha), (fourth.id, fourth_sha)}
        for (brought_by, sha), row in found.items():
            ended = (third if brought_by == third.id else fourth).completed_at or 0
            assert row.committed_at == times[sha]
            assert row.seconds == max(0.0, (ended - times[sha]) / 1_000_000)


async def test_what_was_remembered_of_earlier_deployments_does_not_change_the_answer(world: World) -> None:
    await world.register(BACK, tail=OPEN)
    for ref in ("v1", "v2"):
        await world.deploy(ref)
    await dora(world)
    await world.deploy("v3")
    warm = await dora(world)
    world.core.figures._known._found.clear()
    cold = await dora(world)
    assert warm.lead_time == cold.lead_time
    assert cold.lead_time.commits == 2


async def test_a_commit_that_git_lost_is_named(world: World) -> None:
    await world.register(BACK, tail=OPEN)
    await world.deploy("v1")
    await world.deploy("v2")
    lost = await world.deploy("v3")
    mirror = world.parts.git.path("web")
    for ref in (f"refs/dg/{lost.commit_sha}", "refs/tags/v3", "refs/heads/main", "refs/heads/side"):
        world.repository.git("--git-dir", str(mirror), "update-ref", "-d", ref)
    world.repository.git("--git-dir", str(mirror), "gc", "--quiet", "--prune=now")
    found = await dora(world)
    assert found.lead_time.unknown == (lost.id,)
    assert found.lead_time.commits == 1


async def test_a_rollback_by_hand_is_a_failure_and_an_incident_but_no_deployment(world: World) -> None:
    await world.register(BACK, tail=OPEN)
    first = await world.deploy("v1")
    bad = await world.deploy("v2")
    rollback = await world.core.deployments.rollback_lane(
        ADMIN, "web", Environment.PRODUCTION, RequestRollback()
    )
    ended = await world.ended(rollback)
    found = await dora(world)
    assert found.frequency.rows == (first.id, bad.id)
    assert [(row.deployment, row.failed) for row in found.change_failure.rows or ()] == [
        (first.id, False),
        (bad.id, True),
    ]
    (incident,) = found.recovery.rows or ()
    assert (incident.deployment, incident.recovered_by) == (bad.id, rollback.id)
    assert (incident.began_at, incident.recovered_at) == (rollback.created_at, ended.completed_at)


async def test_each_environment_and_service_has_its_own_figures(world: World) -> None:
    await world.register(BACK, tail=OPEN)
    await world.register(BACK, service="shop", tail=OPEN)
    request = {"service": "web"}
    staged = await world.ended(await world.create("v1", "staging", **request))
    shipped = await world.ended(await world.create("v1", "production", **request))
    shop = await world.ended(await world.create("v1", "production", service="shop"))
    assert (await dora(world)).frequency.rows == (shipped.id, shop.id)
    assert (await dora(world, service="shop")).frequency.rows == (shop.id,)
    assert (await dora(world, environment=Environment.STAGING)).frequency.rows == (staged.id,)
    narrow = person("viewer", name="wim", service="web")
    assert (await world.core.figures.dora(narrow, rows=True)).frequency.rows == (shipped.id,)
    with pytest.raises(NotFound, match="there is no service shop"):
        await world.core.figures.dora(narrow, service="shop")
    assert (await world.core.figures.dora(VIEWER)).frequency.rows is None


@pytest.mark.parametrize("days", [0, -1, 367])
async def test_a_window_has_its_bounds(quiet: World, days: int) -> None:
    with pytest.raises(Invalid, match="days: from 1 to 366"):
        await dora(quiet, days=days)


async def test_rows_and_ledger_tell_the_same_story(desk: Desk) -> None:
    desk.text = text(lock='"0s"')
    await desk.succeed("v1")
    await desk.fail("v2")
    await desk.end(await desk.rollback())
    await desk.fail("v3", touched=False)
    await desk.succeed("v1")
    await desk.succeed("v4")
    waiting = await desk.ask("v5")
    told: dict[str, set[str]] = {"succeeded": set(), "touched": set(), "undone": set()}
    for entry in await desk.entries():
        payload = entry.payload
        if entry.type == "deployment.finished":
            told["succeeded"] |= {entry.object} if payload["status"] == "success" else set()
            told["touched"] |= {entry.object} if payload["touched"] else set()
        elif entry.type == "deployment.rolled_back":
            told["undone"].add(entry.object)
    found = await desk.db.read(lambda tx: history.ended(tx, (), desk.clock.micros()))
    for name, ids in told.items():
        assert {each.id for each in found if getattr(each, name)} == ids
    assert waiting.id not in {each.id for each in found}
    assert [each.kind for each in found] == [
        *(Kind.DEPLOY, Kind.DEPLOY, Kind.ROLLBACK),
        *(Kind.REDEPLOY, Kind.DEPLOY),
    ]
