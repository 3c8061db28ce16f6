"""Processes that stand still and go on: a runner far past every patience, a server that was asleep."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.testing import eventually
from dg.core.types import Environment

STILL = 12.0
"""Seconds: more than a runner waits for a lease and a server for a runner that has not signed (5 s each)."""
ORDER = (Status.PENDING, Status.BUILDING, Status.DEPLOYING, Status.SUCCESS)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def served(house: House) -> House:
    house.start()
    asyncio.run(_register(house))
    return house


async def _register(house: House) -> None:
    steps = journalled("migrate", "deploy", 0.5) + journalled("smoke", "verify")
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(steps))


async def _create(house: House, dg: Client) -> Deployment:
    wish = CreateDeployment(environment=Environment.STAGING, ref="main")
    return await house.deploy(dg, wish)


@contextmanager
def standing(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def _statuses(dg: Client, deployment_id: str) -> list[Status]:
    facts = [event async for event in dg.events.all(matching=f"object={deployment_id}")]
    told = [fact.payload.get("status") for fact in facts]
    return [Status(status) for status in told if status]


def steps_back(statuses: list[Status]) -> int:
    places = [ORDER.index(status) for status in statuses]
    return sum(after < before for before, after in pairwise(places))


@pytest.mark.parametrize("server_dies", [False, True], ids=["alone", "and the server dies"])
async def test_a_runner_that_stood_still_keeps_its_lane_and_is_not_doubled(
    served: House, observed: Observed, server_dies: bool
) -> None:
    """R04: whoever holds the kernel's lock is not overtaken, however long it stands; then it ends well."""
    async with served.client() as dg:
        first, second = [await _create(served, dg) for _ in range(2)]
        await eventually(lambda: bool(truth.beats_of(served, first.id)), 30.0)
    (runner,) = served.runner(first.id)
    with standing(runner):
        if server_dies:
            served.kill()
            await asyncio.to_thread(served.start)
        await asyncio.sleep(STILL)
        async with served.client() as dg:
            assert (await dg.deployments.get(first.id)).status is Status.DEPLOYING
            assert (await dg.deployments.get(second.id)).status is Status.PENDING
    began = time.monotonic()
    async with served.client() as dg:
        outcomes = [await truth.end_of(dg, each.id) for each in (first, second)]
        took = time.monotonic() - began
        assert [each.status for each in outcomes] == [Status.SUCCESS, Status.SUCCESS]
        back = sum([steps_back(await _statuses(dg, each.id)) for each in (first, second)])
        await truth.books_are_in_order(served, dg)
    beats = [beat for beat in truth.journal(served.journal) if beat.deployment in (first.id, second.id)]
    doubled = len(beats) - len({(beat.kind, beat.deployment, beat.step) for beat in beats})
    fault = f"the runner stands still for {STILL:.0f} s" + (", and the server dies" if server_dies else "")
    observed("R04", fault, "steps that ran twice or beside another", doubled, at_most=0)
    observed("R04", fault, "statuses that went back", back, at_most=0)
    observed("R04", fault, "until both had ended, once it goes on", took, at_most=20.0, unit="s")


async def test_a_server_that_stood_still_tells_what_happened_meanwhile_in_order(
    served: House, observed: Observed
) -> None:
    """R04: the run ends without it; nothing is told twice or backwards, and nothing runs again."""
    async with served.client() as dg:
        deployment = await _create(served, dg)
        await eventually(lambda: bool(truth.beats_of(served, deployment.id)), 30.0)
        with standing(served.pid):
            await asyncio.sleep(STILL)
            assert not served.runner(deployment.id)
        began = time.monotonic()
        outcome = await truth.ended(served, dg, deployment.id)
        took = time.monotonic() - began
        assert outcome.deployment.status is Status.SUCCESS
        back = steps_back(await _statuses(dg, deployment.id))
        await truth.books_are_in_order(served, dg)
    fault = f"the server stands still for {STILL:.0f} s"
    observed("R04", fault, "statuses that went back", back, at_most=0)
    observed("R04", fault, "until the end is told, once it goes on", took, at_most=5.0, unit="s")
