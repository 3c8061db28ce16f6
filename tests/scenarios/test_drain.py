"""Where nothing outlives the server, as in a container, it waits for running deployments before it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, until

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Kind, Reason, Status
from dg.core.types import Environment

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""The server is the first process of a PID namespace: when it ends, the kernel ends everything in there."""

Build = Callable[..., House]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Makes houses with a server that waits so long at its end."""
    houses = []

    def make(drain: str | None, around: tuple[str, ...] = ()) -> House:
        house = House(tmp_path, {"DG_SERVER__DRAIN": drain} if drain else {}, around)
        houses.append(house)
        house.start()
        return house

    yield make
    for house in houses:
        house.close()


def pipeline(house: House, go: Path, check: str = "true") -> str:
    """A deploy step that goes on when `go` is there, and a check of the commit."""
    return house.pipeline(
        journalled("switch", "deploy", 0.05, str(go))
        + f'\n[[step]]\nname = "check"\nphase = "verify"\nshell = "{check}"\n'
    )


async def deploy(house: House, dg: Client, environment: Environment = Environment.STAGING) -> Deployment:
    commit = house.repository.commit("next")
    return await house.deploy(dg, CreateDeployment(environment=environment, ref=commit))


async def begun(house: House, deployment: Deployment) -> None:
    def look() -> bool:
        return any(beat.kind == "S" for beat in truth.beats_of(house, deployment.id))

    await asyncio.to_thread(until, look, "the step to begin")


async def test_a_draining_server_lets_runs_end_and_starts_nothing_new(build: Build, tmp_path: Path) -> None:
    house, go = build("60s"), tmp_path / "go"
    async with house.client() as dg:
        await dg.pipelines.register(pipeline(house, go))
        running = await deploy(house, dg)
        await begun(house, running)
        os.kill(house.pid, signal.SIGTERM)
        await asyncio.to_thread(until, lambda: "told to stop" in house.errors, "the server to say so")
        later = await deploy(house, dg, Environment.DEVELOPMENT)
        assert (await dg.deployments.get(running.id)).status is Status.DEPLOYING
        assert (await dg.deployments.get(later.id)).status is Status.PENDING
        go.touch()
    await asyncio.to_thread(house.leaves)
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        assert (await dg.deployments.get(running.id)).status is Status.SUCCESS
        assert (await truth.end_of(dg, later.id)).status is Status.SUCCESS
        assert [beat.kind for beat in truth.beats_of(house, running.id)] == ["S", "E"]


@pytest.mark.long
async def test_a_rollback_that_a_failure_sets_off_still_runs(build: Build, tmp_path: Path) -> None:
    house, go = build("60s"), tmp_path / "go"
    go.touch()
    async with house.client() as dg:
        await dg.pipelines.register(pipeline(house, go, "test ! -e bad"))
        good = await deploy(house, dg)
        assert (await truth.end_of(dg, good.id)).status is Status.SUCCESS
        go.unlink()
        (house.repository.path / "bad").touch()
        bad = await deploy(house, dg)
        await begun(house, bad)
        os.kill(house.pid, signal.SIGTERM)
        await asyncio.to_thread(until, lambda: "told to stop" in house.errors, "the server to say so")
        go.touch()
    await asyncio.to_thread(house.leaves)
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        lane = await dg.lanes.get("web", Environment.STAGING)
        newest = (await dg.deployments.list(limit=1)).items[0]
        house.deployments.add(newest.id)
        assert (newest.kind, newest.status, newest.rollback_of) == (Kind.ROLLBACK, Status.SUCCESS, bad.id)
        assert lane.current == newest.id
        assert lane.holder is None


@pytest.mark.long
async def test_what_takes_longer_than_the_server_waits_goes_on_alone(build: Build, tmp_path: Path) -> None:
    house, go = build("300ms"), tmp_path / "go"
    async with house.client() as dg:
        await dg.pipelines.register(pipeline(house, go))
        running = await deploy(house, dg)
        await begun(house, running)
    assert await asyncio.to_thread(house.stop) < 20
    assert house.runner(running.id)
    assert "still run after 0.3 s" in house.errors
    go.touch()
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        assert (await truth.end_of(dg, running.id)).status is Status.SUCCESS


def child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def may_unshare() -> bool:
    """Whether this user may make a PID namespace here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="no PID namespace can be made here")
@pytest.mark.parametrize("drain", ["60s", pytest.param(None, marks=pytest.mark.long)])
async def test_in_a_container_only_a_server_that_drains_lets_a_deployment_end(
    build: Build, tmp_path: Path, drain: str | None
) -> None:
    house, go = build(drain, NAMESPACE), tmp_path / "go"
    async with house.client() as dg:
        await dg.pipelines.register(pipeline(house, go))
        running = await deploy(house, dg)
        await begun(house, running)
    os.kill(child_of(house.pid), signal.SIGTERM)
    if drain:
        await asyncio.to_thread(until, lambda: "told to stop" in house.errors, "the server to say so")
        go.touch()
    await asyncio.to_thread(house.leaves)
    go.touch()
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        ended = await truth.end_of(dg, running.id)
    expected = (Status.SUCCESS, None) if drain else (Status.FAILED, Reason.INTERRUPTED)
    assert (ended.status, ended.reason) == expected
