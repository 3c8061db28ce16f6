"""Cancel, and cancel and roll back, at any moment and twice: a consistent end, and the rollback once."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, report, usual_steps

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Kind, Reason, Status
from dg.core.errors import Refused
from dg.core.types import Environment

SEED = 20_260_302
LONGEST = 1.8
"""Seconds; three deployments at once on two cores take about as long."""
SECONDS_TO_REACT = 10.0


@dataclass(frozen=True)
class Moment:
    """When a deployment is cancelled, in seconds after it was acknowledged, and how."""

    number: int
    after: float
    then_rollback: bool

    def __str__(self) -> str:
        return f"{self.number}-{'rollback' if self.then_rollback else 'cancel'}-{self.after:.2f}"


def moments(count: int) -> list[Moment]:
    """Spread evenly and shaken, the same ones each time."""
    chance = random.Random(SEED)  # noqa: S311 - the same moments each time
    return [
        Moment(number, LONGEST * (number + chance.random()) / count, chance.random() < 0.5)
        for number in range(count)
    ]


ROUNDS = list(zip(*[iter(moments(51))] * 3, strict=True))
"""Three moments at a time: one in each environment."""


@pytest.fixture(scope="module")
def served(house: House) -> House:
    """A server with something in each lane to go back to."""
    house.start()
    asyncio.run(_fill_lanes(house))
    return house


async def _fill_lanes(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(usual_steps()))
        await asyncio.gather(*(_deploy(house, dg, environment) for environment in Environment))


async def _deploy(house: House, dg: Client, environment: Environment) -> None:
    deployment = await _create(house, dg, environment)
    assert (await truth.ended(house, dg, deployment.id)).deployment.status is Status.SUCCESS


async def _create(house: House, dg: Client, environment: Environment) -> Deployment:
    await truth.open_lane(dg, environment)
    commit = house.repository.commit(f"for {environment}")
    return await house.deploy(dg, CreateDeployment(environment=environment, ref=commit))


@pytest.mark.parametrize(
    "three",
    [
        pytest.param(
            three, marks=[] if three is ROUNDS[7] else pytest.mark.long, id=" ".join(map(str, three))
        )
        for three in ROUNDS
    ],
)
async def test_cancelled_twice_at_any_moment(
    served: House, observed: Observed, three: tuple[Moment, ...]
) -> None:
    """R16: with and without a rollback, which comes at most once."""
    async with served.client() as dg:
        seconds = await asyncio.gather(
            *(_cancel_twice(served, dg, *pair) for pair in zip(Environment, three, strict=True))
        )
        await truth.books_are_in_order(served, dg)
    fault = "cancelled twice at a random moment, in three lanes"
    observed("R16", fault, "until all had ended", max(seconds), at_most=SECONDS_TO_REACT, unit="s")


async def _cancel_twice(house: House, dg: Client, environment: Environment, moment: Moment) -> float:
    """Seconds until the deployment, and the rollback if there was one, had ended."""
    lane = await dg.lanes.get("web", environment)
    deployment = await _create(house, dg, environment)
    await asyncio.sleep(moment.after)
    stage = (await dg.deployments.get(deployment.id)).stage
    began = time.monotonic()
    asked = await asyncio.gather(
        *(_cancel(dg, deployment, then_rollback=moment.then_rollback) for _ in range(2))
    )
    async with asyncio.timeout(SECONDS_TO_REACT):
        async for progress in dg.deployments.watch(deployment.id, every=0.05):
            deployment = progress.deployment
        rollback = await _rollback_of(house, dg, deployment)
    seconds = time.monotonic() - began
    if not any(asked):
        assert deployment.status is Status.SUCCESS
        assert rollback is None
    elif rollback is None:
        assert not moment.then_rollback or not deployment.touched
        assert deployment.status is Status.SUCCESS or deployment.reason is Reason.CANCELLED
        if not deployment.touched:
            assert (await dg.lanes.get("web", environment)).current == lane.current
    else:
        assert moment.then_rollback
        assert lane.current in (rollback.target, None)
        assert (await dg.deployments.get(deployment.id)).status is Status.ROLLED_BACK
        await truth.ended(house, dg, rollback.id)
    truth.nobody_is_left(house, deployment.id)
    report(
        f"{moment} in {stage}: {deployment.status} {deployment.reason or ''}, "
        f"{'rolled back' if rollback else 'no rollback'}"
    )
    return seconds


async def _cancel(dg: Client, deployment: Deployment, *, then_rollback: bool) -> bool:
    """False when it was too late."""
    try:
        await dg.deployments.cancel(deployment.id, then_rollback=then_rollback)
    except Refused as error:
        if error.reason != "ended":
            raise
        return False
    return True


async def _rollback_of(house: House, dg: Client, deployment: Deployment) -> Deployment | None:
    """The rollback that a deployment's end began, once it has succeeded; there is at most one."""
    page = await dg.deployments.list(environment=deployment.environment, limit=10)
    found = [item for item in page.items if item.kind is Kind.ROLLBACK and item.rollback_of == deployment.id]
    assert len(found) <= 1
    for rollback in found:
        house.deployments.add(rollback.id)
        async for progress in dg.deployments.watch(rollback.id, every=0.05):
            rollback = progress.deployment
        assert rollback.status is Status.SUCCESS
        return rollback
    return None
