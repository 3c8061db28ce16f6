"""Verify steps that ask the environment's probes: a real service, real probes, real runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.world import DEPLOY, World, open_world
from tests.core.receivers import Receiver, answering, receiving

from dg.core.access.models import SYSTEM
from dg.core.deployments.models import Deployment, Reason, Status
from dg.core.errors import Refused
from dg.core.testing import eventually
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION
SETTINGS: dict[str, Any] = {"outbound": {"allow": ["127.0.0.1"], "ports": ["1-65535"]}}


def asks(hold: str = "0s", timeout: str = "60s", probes: str = '"web"') -> str:
    check = f'{{ probes = [{probes}], for = "{hold}", every = "100ms" }}'
    return f'[[step]]\nname = "well"\nphase = "verify"\ntimeout = "{timeout}"\ncheck = {check}\n'


async def probe(world: World, url: str, name: str = "web") -> None:
    definition = {"kind": "http", "service": "web", "url": url, "interval": 1, "fail_after": 2}
    await world.core.environments.set_probe(SYSTEM, PRODUCTION, name, definition)


async def noted(world: World, deployment: Deployment, text: str) -> None:
    """Wait for a line of the verify step."""

    async def look() -> bool:
        return any(text in line for line in await world.lines(deployment))

    await eventually(look, 30)


@pytest.fixture
async def service() -> AsyncIterator[Receiver]:
    """What is deployed; it answers well until it is told otherwise."""
    async with receiving() as found:
        yield found


@pytest.fixture
async def world(tmp_path: Path, service: Receiver) -> AsyncIterator[World]:
    async with open_world(tmp_path, **SETTINGS) as found:
        yield found
        await found.stop()


async def test_a_deployment_succeeds_when_the_probes_stayed_healthy(world: World, service: Receiver) -> None:
    await probe(world, service.url)
    await world.register(DEPLOY, asks(hold="1500ms"))
    ended = await world.deploy()
    assert any("probe `web` is healthy for 1.5 s" in line for line in await world.lines(ended))


async def test_a_deployment_fails_and_is_rolled_back_when_a_probe_becomes_unhealthy(
    world: World, service: Receiver
) -> None:
    await probe(world, service.url)
    await world.register(DEPLOY, asks(hold="1s"))
    good = await world.deploy("v1")
    bad = await world.create("v2")
    await noted(world, bad, "probe `web`")
    service.behaviour = answering(500)
    bad = await world.ended(bad)
    service.behaviour = answering(200)
    assert (bad.status, bad.reason) == (Status.FAILED, Reason.VERIFY_FAILED)
    assert "check `well` failed: probe `web` is unhealthy" in (bad.message or "")
    assert "500" in (bad.message or "")
    found = await world.reached(bad, lambda each: each.deployment.status is Status.ROLLED_BACK, 60)
    assert found.deployment.rolled_back_by is not None
    lane = await world.core.lanes.get(SYSTEM, "web", "production")
    assert lane.current_sha == good.commit_sha


async def test_what_is_unknown_neither_passes_nor_fails_until_the_step_s_time_is_over(world: World) -> None:
    # The guarded way out lets nobody in there, so nothing is found out about the service.
    await probe(world, "http://10.9.8.7/")
    await world.register(DEPLOY, asks(timeout="3s"))
    ended = await world.ended(await world.create())
    assert ended.reason is Reason.VERIFY_FAILED
    assert "did not pass within 3 s: probe `web` is unknown" in (ended.message or "")


async def test_a_run_outlives_the_server_and_is_told_by_the_next(tmp_path: Path, service: Receiver) -> None:
    service.behaviour = answering(500)
    async with open_world(tmp_path, **SETTINGS) as world:
        await probe(world, service.url)
        await world.register(DEPLOY, asks())
        begun = await world.create()
        await noted(world, begun, "probe `web` is")
    service.behaviour = answering(200)
    async with open_world(tmp_path, **SETTINGS) as world:
        ended = await world.ended(begun, 60)
        assert ended.status is Status.SUCCESS, ended.message


async def test_a_probe_that_the_environment_does_not_have_is_refused_before_anything_runs(
    world: World, service: Receiver
) -> None:
    await probe(world, service.url)
    await world.register(DEPLOY, asks(probes='"web", "db"'))
    with pytest.raises(Refused, match="production has no probe `db`, which a step asks for") as refused:
        await world.create()
    assert refused.value.reason == "missing_probe"


async def test_a_probe_that_is_removed_before_the_start_fails_it_before_anything_runs(
    world: World, service: Receiver
) -> None:
    await probe(world, service.url)
    await world.register(DEPLOY, asks())
    later = world.parts.clock.micros() + 2_000_000
    waits = await world.create(not_before=later)
    await world.core.environments.set_probe(SYSTEM, PRODUCTION, "web", None)
    ended = await world.ended(waits, 60)
    assert (ended.status, ended.touched) == (Status.FAILED, False)
    assert "it could not be started: production has no probe `web`" in (ended.message or "")


async def changes(world: World, count: int) -> list[dict[str, Any]]:
    """What was told of health, once so much was told."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        found[:] = [entry.payload for entry in await world.entries("environment.health_changed")]
        return len(found) >= count

    await eventually(look, 40)
    return found


async def test_a_service_that_becomes_worse_after_a_deployment_began_is_linked_to_it(
    world: World, service: Receiver
) -> None:
    await probe(world, service.url)
    await changes(world, 1)
    await world.register(DEPLOY)
    deployed = await world.deploy()
    service.behaviour = answering(500)
    healthy, broken = await changes(world, 2)
    assert "deployment" not in healthy
    assert (broken["service_status"], broken["deployment"], broken["number"]) == (
        "unhealthy",
        deployed.id,
        deployed.number,
    )

    async def suspected() -> str | None:
        (seen,) = (await world.core.health.health(SYSTEM, PRODUCTION)).services
        return seen.suspect.deployment if seen.suspect else None

    async def is_suspected() -> bool:
        return await suspected() == deployed.id

    await eventually(is_suspected)
    service.behaviour = answering(200)
    assert "deployment" not in (await changes(world, 3))[2]
    assert await suspected() is None


async def test_a_deployment_that_began_long_before_is_not_suspected(
    tmp_path: Path, service: Receiver
) -> None:
    async with open_world(tmp_path, **SETTINGS, probes={"suspect_within": "1ms"}) as world:
        await probe(world, service.url)
        await changes(world, 1)
        await world.register(DEPLOY)
        await world.deploy()
        service.behaviour = answering(500)
        assert "deployment" not in (await changes(world, 2))[1]
