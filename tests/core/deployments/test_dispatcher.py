"""Real deployments through real runners: followed, adopted, killed, cancelled, and never two at once."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.world import ADMIN, OPERATOR, World, open_world, step

from dg.core import app
from dg.core.deployments import lifecycle, store
from dg.core.deployments.drivers import Run, Runners
from dg.core.deployments.models import Deployment, Kind, LaneState, Progress, Reason, Status
from dg.core.errors import Unavailable
from dg.core.testing import eventually
from dg.runner import processes, spool

WAITS = step(
    "rollout",
    "deploy",
    'echo begun >>"$JOURNAL"; echo first; until [ -e "$JOURNAL.go" ]; do sleep 0.02; done; '
    'echo done >>"$JOURNAL"; echo last',
)
"""A deploy step that waits until a test lets it go."""


WORK = ("work", "tmp")
"""What of a run's folder goes when it has ended."""


def let_go(world: World) -> None:
    Path(f"{world.journal}.go").touch()


def rolling(progress: Progress) -> bool:
    return "first" in progress.logs


def runner_of(world: World, deployment: Deployment) -> int:
    """The pid of the process that runs a deployment."""
    folder = str(world.home.runs / deployment.id)
    return next(int(e["pid"]) for e in spool.read_events(folder, 0) if e["event"] == "started")


def zombies() -> set[int]:
    """Children of this process that ended and were never taken leave of.

    A test that closes its core leaves some: the server's process would be gone with it.
    """
    return {pid for pid in processes.children(os.getpid()) if processes._stat(pid)[:1] == [b"Z"]}


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def gone(pid: int) -> None:
    await eventually(lambda: not processes.alive(pid, ""))


# --- one run


async def test_a_deployment_runs_its_steps_in_order_and_tells_everything(world: World) -> None:
    await world.register(
        step("image", "build", "echo building", 'output = { image = "web:{version}" }'),
        '[[step]]\nname = "rollout"\nphase = "deploy"\nrun = ["echo", "rolling", "{outputs.image}"]\n',
        step("smoke", "verify", "cat release"),
    )
    ended = await world.deploy("v2")
    assert (ended.outputs, ended.stage, ended.touched) == ({"image": "web:v2"}, "finished", True)
    assert await world.lines(ended) == ["building", "rolling web:v2", "2"]
    progress = await world.core.deployments.status(ADMIN, ended.id)
    assert (progress.progress, [found.status for found in progress.steps]) == (100.0, ["success"] * 3)
    lane = await world.core.lanes.get(ADMIN, "web", "production")
    assert (lane.current, lane.state, lane.holder) == (ended.id, LaneState.OPEN, None)
    told = [entry.type for entry in await world.entries() if entry.object == ended.id]
    assert told == [
        "deployment.created",
        "deployment.started",
        *("step.started", "step.finished", "step.started", "deployment.advanced", "step.finished"),
        *("step.started", "step.finished"),
        "deployment.finished",
    ]


async def test_what_ended_leaves_no_work_tree(world: World) -> None:
    await world.register()
    ended = await world.deploy()
    await eventually(lambda: not (world.home.runs / ended.id / "work").exists())


async def test_a_release_that_fails_its_check_is_rolled_back_without_anybody(world: World) -> None:
    await world.register(
        step("rollout", "deploy", 'echo "$DG_KIND $DG_VERSION" >>"$JOURNAL"'),
        step("smoke", "verify", "test $(cat release) != 3"),
    )
    good = await world.deploy("v2")
    bad = await world.ended(await world.create("v3"))
    await eventually(lambda: _status_is(world, bad, Status.ROLLED_BACK))
    back = (await world.core.deployments.list(ADMIN, limit=1)).items[0]
    assert (back.kind, back.status, back.target) == (Kind.ROLLBACK, Status.SUCCESS, good.id)
    assert world.written() == ["deploy v2", "deploy v3", "rollback v2"]
    lane = await world.core.lanes.get(ADMIN, "web", "production")
    assert (lane.current_version, lane.state) == ("v2", LaneState.LOCKED)
    assert "v3 was rolled back to v2: step `smoke` exited with 1" in lane.sentence


async def _status_is(world: World, deployment: Deployment, status: Status) -> bool:
    return (await world.get(deployment)).status is status


async def test_what_a_background_step_leaves_running_goes_on(world: World) -> None:
    await world.register(
        step("serve", "deploy", 'sleep 300 & echo $! >>"$JOURNAL"', "background = true"),
    )
    await world.deploy()
    pid = int(world.written()[0])
    try:
        assert processes.alive(pid, "")
    finally:
        kill(pid)


async def test_a_long_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    caps = {"head_bytes": 4096, "tail_bytes": 4096, "file_bytes": 1024, "line_bytes": 512}
    async with open_world(tmp_path, logs=caps) as world:
        await world.register(step("rollout", "deploy", "seq -w 1 20000"))
        ended = await world.deploy()
        pages = [await world.core.deployments.logs(ADMIN, ended.id)]
        while not pages[-1].complete:
            pages.append(await world.core.deployments.logs(ADMIN, ended.id, after=pages[-1].next_seq))
        lines = [line.text for page in pages for line in page.items]
        assert (lines[1], lines[-1]) == ("00001", "20000")
        left_out = sum(page.left_out for page in pages)
        assert len(lines) + left_out == 20_001
        assert left_out > 10_000


async def test_a_start_that_is_impossible_fails_with_the_reason_and_touches_nothing(world: World) -> None:
    secrets = world.home.secrets
    secrets.touch(mode=0o600)
    secrets.write_text('[production]\ntoken = "sesame-open"\n')
    await world.register(step("rollout", "deploy", "true", 'secrets = ["token"]'))
    later = await world.create(not_before=world.core.clock.micros() + 300_000)
    secrets.unlink()
    ended = await world.ended(later)
    assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.STEP_FAILED, False)
    assert ended.message is not None
    assert ended.message.startswith("it could not be started: `web` has no secret `token`")
    assert (await world.core.lanes.get(ADMIN, "web", "production")).state is LaneState.OPEN


# --- cancelling


async def test_a_cancel_ends_the_step_and_all_that_it_began(world: World) -> None:
    await world.register(
        step(
            "rollout", "deploy", 'trap "" TERM; sleep 300 & echo $! >>"$JOURNAL"; echo first; wait; sleep 300'
        ),
    )
    running = await world.create()
    await world.reached(running, rolling)
    await world.core.deployments.cancel(OPERATOR, running.id)
    ended = await world.ended(running)
    assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.CANCELLED, True)
    assert not processes.tagged(running.id)
    assert not processes.alive(int(world.written()[0]), "")


async def test_a_cancel_while_the_runner_is_being_launched_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launching, go = asyncio.Event(), asyncio.Event()

    class Slow(Runners):
        async def launch(
            self, lane: tuple[str, str], ticket: Mapping[str, Any], secrets: Mapping[str, str]
        ) -> Run:
            launching.set()
            await go.wait()
            return await super().launch(lane, ticket, secrets)

    monkeypatch.setattr(app, "Runners", Slow)
    async with open_world(tmp_path) as world:
        await world.register(WAITS)
        running = await world.create()
        await launching.wait()
        asked = await world.core.deployments.cancel(OPERATOR, running.id)
        assert asked.status is Status.DEPLOYING
        go.set()
        ended = await world.ended(running)
        assert (ended.status, ended.reason) == (Status.FAILED, Reason.CANCELLED)


async def test_a_cancel_that_does_not_reach_the_runner_is_said_and_may_be_repeated(world: World) -> None:
    async def fails(_: Run) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    await world.register(WAITS)
    running = await world.create()
    await world.reached(running, rolling)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "cancel", fails)
        with pytest.raises(Unavailable, match="the runner cannot be told"):
            await world.core.deployments.cancel(OPERATOR, running.id)
    await world.core.deployments.cancel(OPERATOR, running.id)
    assert (await world.ended(running)).reason is Reason.CANCELLED


async def test_cancel_then_rollback_puts_the_last_good_one_back(world: World) -> None:
    await world.register(step("rollout", "deploy", 'echo "$DG_VERSION" >>"$JOURNAL"'))
    await world.deploy("v1")
    await world.register(WAITS)
    running = await world.create("v2")
    await world.reached(running, rolling)
    await world.core.deployments.cancel(OPERATOR, running.id, then_rollback=True)
    await eventually(lambda: _status_is(world, running, Status.ROLLED_BACK))
    assert (await world.core.lanes.get(ADMIN, "web", "production")).current_version == "v1"
    assert world.written() == ["v1", "begun", "v1"]


# --- the server goes away


async def test_a_run_goes_on_without_its_server_and_is_adopted_by_the_next(
    tmp_path: Path, either_url: str | None
) -> None:
    async with open_world(tmp_path, url=either_url) as world:
        await world.register(WAITS)
        running = await world.create()
        await world.reached(running, rolling)
        pid = runner_of(world, running)
    assert processes.alive(pid, "")
    async with open_world(tmp_path, url=either_url) as world:
        await eventually(lambda: world.entries("deployment.adopted"))
        let_go(world)
        ended = await world.ended(running)
        assert (ended.status, runner_of(world, running)) == (Status.SUCCESS, pid)
        assert world.written() == ["begun", "done"]
        assert await world.lines(ended) == ["first", "last"]
        assert len(await world.entries("step.started")) == 1


async def test_a_run_that_ended_without_its_server_is_finished_as_it_ended(
    tmp_path: Path, either_url: str | None
) -> None:
    async with open_world(tmp_path, url=either_url) as world:
        await world.register(WAITS)
        running = await world.create()
        await world.reached(running, rolling)
        pid = runner_of(world, running)
    let_go(world)
    await gone(pid)
    async with open_world(tmp_path, url=either_url) as world:
        ended = await world.ended(running)
        assert ended.status is Status.SUCCESS
        assert await world.lines(ended) == ["first", "last"]


async def test_a_start_that_the_server_did_not_survive_is_made_again_and_once(
    tmp_path: Path, either_url: str | None
) -> None:
    async with open_world(tmp_path, url=either_url, passive=True) as world:
        await world.register(step("rollout", "deploy", 'echo "$DG_ID" >>"$JOURNAL"'))
        made = await world.create()
        now = world.core.clock.micros()
        await world.db.write(lambda tx: lifecycle.start_next(tx, *made.lane, now, 20))
    async with open_world(tmp_path, url=either_url) as world:
        ended = await world.ended(made)
        assert (ended.status, ended.epoch) == (Status.SUCCESS, 2)
        assert world.written() == [made.id]
        statuses = [entry.payload["status"] for entry in await world.entries("deployment.advanced")]
        assert statuses == ["pending"]


async def test_a_launch_that_breaks_is_tried_again_and_runs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    class Broken(Runners):
        async def launch(
            self, lane: tuple[str, str], ticket: Mapping[str, Any], secrets: Mapping[str, str]
        ) -> Run:
            tries.append(ticket["epoch"])
            if len(tries) == 1:
                raise RuntimeError("the thread died")
            return await super().launch(lane, ticket, secrets)

    monkeypatch.setattr(app, "Runners", Broken)
    async with open_world(tmp_path) as world:
        await world.register(step("rollout", "deploy", 'echo once >>"$JOURNAL"'))
        assert (await world.deploy()).status is Status.SUCCESS
        assert (world.written(), tries) == (["once"], [1, 2])


async def test_a_launch_that_never_works_ends_after_three_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["/bin/sh", "-c", "exit 1"]
    monkeypatch.setattr("dg.core.deployments.drivers.handover.command", lambda *_: argv)
    before = zombies()
    async with open_world(tmp_path) as world:
        await world.register()
        ended = await world.ended(await world.create())
        assert (ended.status, ended.reason, ended.epoch) == (Status.FAILED, Reason.INTERRUPTED, 3)
        assert not ended.touched
        assert zombies() <= before


# --- the runner goes away

LEAVES = step(
    "rollout",
    "deploy",
    'setsid sleep 300 & echo $! >>"$JOURNAL"; echo first; echo second; sleep 300',
)


async def test_a_killed_runner_leaves_nothing_alive_and_a_lane_that_says_so(world: World) -> None:
    await world.register(LEAVES)
    before = zombies()
    running = await world.create()
    await world.reached(running, rolling)
    kill(runner_of(world, running))
    ended = await world.ended(running)
    assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.INTERRUPTED, True)
    assert ended.message == "its runner died in `rollout`; what it had done stays as it is"
    assert not processes.tagged(running.id)
    assert not processes.alive(int(world.written()[0]), "")
    lane = await world.core.lanes.get(ADMIN, "web", "production")
    assert (lane.state, lane.known) == (LaneState.LOCKED, False)
    assert "v1 was interrupted midway; look before you deploy" in lane.sentence
    assert zombies() <= before
    await eventually(lambda: not any((world.home.runs / running.id / name).exists() for name in WORK))


async def test_files_of_steps_that_a_dead_server_left_go_at_the_next_start(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.register()
        ended = await world.deploy()
        run = world.home.runs / ended.id
        await eventually(lambda: not any((run / name).exists() for name in WORK))
    for name in WORK:
        (run / name).mkdir()
        (run / name / "outputs-0").write_text("token=correct-horse")
    async with open_world(tmp_path):
        await eventually(lambda: not any((run / name).exists() for name in WORK))
    assert spool.read_end(str(run), 1) is not None


async def test_when_both_die_the_next_server_clears_up_and_keeps_the_last_lines(
    tmp_path: Path, either_url: str | None
) -> None:
    after = step(
        "rollout",
        "deploy",
        'echo first; until [ -e "$JOURNAL.go" ]; do sleep 0.02; done; '
        'setsid sleep 300 & echo $! >>"$JOURNAL"; echo said to nobody; sleep 300',
    )
    async with open_world(tmp_path, url=either_url) as world:
        await world.register(after)
        running = await world.create()
        await world.reached(running, rolling)
        pid = runner_of(world, running)
    let_go(world)
    folder = str(world.home.runs / running.id)
    await eventually(lambda: any(b"nobody" in c.body for c in spool.read_log(folder, 0, 1 << 20)))
    kill(pid)
    async with open_world(tmp_path, url=either_url) as world:
        ended = await world.ended(running)
        assert (ended.status, ended.reason) == (Status.FAILED, Reason.INTERRUPTED)
        assert await world.lines(ended) == ["first", "said to nobody"]
        assert not processes.tagged(running.id)
        assert not processes.alive(int(world.written()[0]), "")
        assert (await world.core.lanes.get(ADMIN, "web", "production")).state is LaneState.LOCKED
        assert await world.entries("deployment.adopted") == []


# --- the database goes away


async def test_a_database_that_is_away_for_a_while_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.register(WAITS)
    before = zombies()
    running = await world.create()
    await world.reached(running, rolling)
    refused: list[int] = []

    async def away(_: object) -> None:
        refused.append(1)
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.db, "write", away)
        let_go(world)
        await eventually(lambda: refused)
    ended = await world.ended(running)
    assert ended.status is Status.SUCCESS
    assert await world.lines(ended) == ["first", "last"]
    assert world.written() == ["begun", "done"]
    await eventually(lambda: zombies() <= before)


async def test_one_lane_that_is_broken_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.register()
    await world.register(service="api")

    async def put(service: str) -> Deployment:
        return await world.create(
            service=service, environment="staging", not_before=world.core.clock.micros() + 1_500_000
        )

    broken, good = await put("api"), await put("web")
    await world.db.write(lambda tx: store.change(tx, store.require(tx, broken.id), pipeline_sha256="lost"))
    assert (await world.ended(good)).status is Status.SUCCESS
    assert (await world.get(broken)).status is Status.PENDING
    assert "nobody can be started in api/staging" in caplog.text


# --- many


WINDOW = step(
    "rollout", "deploy", 'echo "$DG_ID in" >>"$JOURNAL"; sleep 0.02; echo "$DG_ID out" >>"$JOURNAL"'
)


async def _many(world: World, count: int) -> tuple[Sequence[str], Sequence[str]]:
    """What `count` deployments created at once wrote, and their ids in the order of their numbers."""
    await world.register(WINDOW)
    made = await asyncio.gather(*(world.create(environment="staging") for _ in range(count)))
    for deployment in made:
        assert (await world.ended(deployment, 120.0)).status is Status.SUCCESS
    return world.written(), [found.id for found in sorted(made, key=lambda found: found.number)]


async def test_creates_at_once_run_one_after_another_in_their_order(world: World) -> None:
    written, ids = await _many(world, 5)
    assert written == [f"{one} {what}" for one in ids for what in ("in", "out")]


@pytest.mark.long
async def test_fifty_creates_at_once_never_overlap_and_keep_their_order(world: World) -> None:
    written, ids = await _many(world, 50)
    assert written == [f"{one} {what}" for one in ids for what in ("in", "out")]


async def test_lanes_do_not_wait_for_one_another(world: World) -> None:
    await world.register(WAITS)
    held = await world.create(environment="staging")
    await world.reached(held, rolling)
    other = await world.create(environment="production")
    await world.reached(other, rolling)
    assert (await world.get(held)).status is Status.DEPLOYING
    let_go(world)
    assert (await world.ended(held)).status is (await world.ended(other)).status is Status.SUCCESS
