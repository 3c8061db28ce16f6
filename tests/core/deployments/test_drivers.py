"""Runners as the server sees them: launched, found again, cleared up after."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.test_dispatcher import gone, zombies
from tests.files import contents, files_with

from dg.core.deployments.drivers import Run, Runners
from dg.core.errors import Invalid
from dg.core.testing import eventually
from dg.runner import handover, lease, processes, spool

LANE = ("web", "production")


def ticket(shell: str, deployment: str = "d1", epoch: int = 1) -> dict[str, Any]:
    """What to run: one deploy step without a checkout."""
    step = {"index": 0, "name": "rollout", "phase": "deploy", "shell": shell, "timeout": 20.0, "grace": 0.5}
    env = {"PATH": os.defpath}
    return {"deployment": deployment, "epoch": epoch, "grace": 0.5, "env": env, "steps": [step]}


@pytest.fixture
async def runners(tmp_path: Path) -> AsyncIterator[Runners]:
    runners = make(tmp_path)
    yield runners
    for folder in (tmp_path / "runs").iterdir():
        while await runners.clear(folder.name, LANE) is None:
            run = await runners.find(folder.name, LANE)
            if run:
                await run.cancel()
        await runners.discard_work(folder.name)


def make(tmp_path: Path) -> Runners:
    """Another server's view of the same folders."""
    for name in ("runs", "lanes"):
        (tmp_path / name).mkdir(exist_ok=True)
    return Runners(tmp_path / "runs", tmp_path / "lanes", sys.executable, None, 0.3)


async def ended(run: Run) -> dict[str, Any]:
    """How the run ended."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        end = (await run.news(0, 0)).end
        found.extend([dict(end)] if end else [])
        return bool(found)

    await eventually(look)
    return found[0]


async def said(run: Run, word: bytes) -> None:
    async def look() -> bool:
        return any(word in chunk.body for chunk in (await run.news(0, 0)).chunks)

    await eventually(look)


async def test_a_run_tells_events_and_lines_from_where_one_stopped(runners: Runners) -> None:
    run = await runners.launch(LANE, ticket("echo a; echo b"), {})
    assert (await ended(run))["outcome"] == "success"
    news = await run.news(1, 1)
    assert [event["event"] for event in news.events] == ["step_started", "step_ended"]
    assert [(chunk.first, chunk.lines, chunk.body) for chunk in news.chunks] == [(1, 1, b"b\n")]
    rest = await run.news(news.events[-1]["n"], 2)
    assert (rest.events, rest.chunks) == ([], [])
    await runners.discard_work("d1")
    assert not (await run.news(0, 0)).alive


async def test_the_secrets_reach_the_step_and_no_command_line_and_no_file(
    runners: Runners, tmp_path: Path
) -> None:
    order = ticket("test ${#TOKEN} = 11 && echo first && sleep 300")
    order["steps"][0]["secrets"] = ["token"]
    run = await runners.launch(LANE, order, {"token": "sesame-open"})
    await said(run, b"first")
    holder = lease.holder(str(runners.lease_file(*LANE)))
    assert holder is not None
    assert "sesame" not in processes.describe(holder.pid)
    assert processes.variable(holder.pid, "TOKEN") is None
    assert list(contents(tmp_path / "runs"))
    assert files_with(tmp_path / "runs", "sesame") == []


async def test_secrets_that_are_too_large_are_refused_before_anything_begins(runners: Runners) -> None:
    with pytest.raises(Invalid, match="limited to"):
        await runners.launch(LANE, ticket("true"), {"token": "x" * handover.MAX_BYTES})
    assert not runners.folder("d1").exists()


async def test_what_runs_is_private_to_the_server(runners: Runners) -> None:
    await ended(await runners.launch(LANE, ticket("true"), {}))
    folder = runners.folder("d1")
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("ticket.json", "events.jsonl", "runner.err"):
        assert (folder / name).stat().st_mode & 0o077 == 0


async def test_another_server_finds_a_live_run_and_can_cancel_it(runners: Runners, tmp_path: Path) -> None:
    run = await runners.launch(LANE, ticket("echo first; sleep 300"), {})
    await said(run, b"first")
    found = await make(tmp_path).find("d1", LANE)
    assert found is not None
    assert found.alive()
    assert await make(tmp_path).clear("d1", LANE) is None
    await found.cancel()
    assert (await ended(found))["outcome"] == "cancelled"


async def test_a_run_that_this_server_just_started_is_found_before_it_holds_the_lease(
    runners: Runners,
) -> None:
    held = lease.take(str(runners.lease_file(*LANE)))
    assert held is not None
    await runners.launch(LANE, ticket("true"), {})
    found = await runners.find("d1", LANE)
    assert found is not None
    assert found.alive()
    lease.release(held)
    assert (await ended(found))["outcome"] == "success"


async def test_a_run_that_ended_unseen_is_found_with_its_end(runners: Runners, tmp_path: Path) -> None:
    await ended(await runners.launch(LANE, ticket("exit 3"), {}))
    await runners.discard_work("d1")
    found = await make(tmp_path).find("d1", LANE)
    assert found is not None
    assert (await ended(found))["detail"] == "step `rollout` exited with 3"


async def test_a_runner_whose_end_was_seen_first_leaves_no_zombie(runners: Runners) -> None:
    await runners.launch(LANE, ticket("true"), {})
    await eventually((runners.folder("d1") / "end.json").exists)
    events = spool.read_events(str(runners.folder("d1")), 0)
    await runners.discard_work("d1")
    assert processes._stat(events[0]["pid"]) == []


async def test_nothing_is_found_where_nothing_ran(runners: Runners) -> None:
    assert await runners.find("d1", LANE) is None
    remains = await runners.clear("d1", LANE)
    assert remains is not None
    assert (remains.began, remains.end, list(remains.events), remains.processes_left) == (False, None, [], 0)


async def test_clearing_up_voids_a_ticket_before_its_runner_can_begin(runners: Runners) -> None:
    runners.folder("d1").mkdir()
    order = ticket("echo never") | {"lease": str(runners.lease_file(*LANE)), "cgroup": None}
    spool.write_ticket(str(runners.folder("d1")), order)
    remains = await runners.clear("d1", LANE)
    assert remains is not None
    assert not remains.began
    assert await runners.find("d1", LANE) is None
    ticket_left = spool.read_json(str(runners.folder("d1")), spool.TICKET)
    assert ticket_left is not None
    assert ticket_left["void"] is True


async def test_clearing_up_after_a_killed_runner_ends_all_it_began(runners: Runners) -> None:
    before = zombies()
    run = await runners.launch(LANE, ticket("setsid sleep 300 & echo $!; echo first; sleep 300"), {})
    await said(run, b"first")
    news = await run.news(0, 0)
    left = int(news.chunks[0].body.splitlines()[0])
    pid = int(next(event["pid"] for event in news.events if event["event"] == "started"))
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    remains = await runners.clear("d1", LANE)
    assert remains is not None
    assert (remains.began, remains.end, remains.processes_left) == (True, None, 0)
    assert not processes.alive(left, "")
    assert not lease.held(str(runners.lease_file(*LANE)))
    assert zombies() <= before
    rest = await runners.left("d1", LANE).news(0, 0)
    assert [chunk.body for chunk in rest.chunks] == [chunk.body for chunk in news.chunks]


async def test_the_work_tree_goes_and_what_was_told_stays(runners: Runners) -> None:
    run = await runners.launch(LANE, ticket("echo a >kept; echo b"), {})
    await ended(run)
    assert (runners.folder("d1") / "work" / "kept").exists()
    await runners.discard_work("d1")
    assert not (runners.folder("d1") / "work").exists()
    assert [chunk.body for chunk in (await run.news(0, 0)).chunks] == [b"b\n"]
    await runners.discard("d1")
    assert not runners.folder("d1").exists()
