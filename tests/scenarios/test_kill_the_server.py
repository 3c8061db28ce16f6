"""kill -9 of the server at any instant: nothing is lost, nothing runs twice, everything comes to its end."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.faults import Call, needs_strace, suffering
from tests.scenarios.house import House, on_both_databases, report, usual_steps

from dg.client.app import Client
from dg.client.errors import Unreachable
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.types import Environment

pytestmark = on_both_databases

ENVIRONMENTS = tuple(Environment)

CALLS = (
    # commits: creation, start, each batch of events, the end
    *(Call("fdatasync", nth) for nth in (1, 2, 3, 4, 5, 6)),
    # pages of them
    *(Call("pwrite64", nth) for nth in (1, 2, 4, 7, 11, 16, 22, 30, 40)),
    # the run folder, its ticket, the runner's birth, and the order of the ticket's file and folder
    *(Call("mkdir", 1), Call("fsync", 1), Call("rename", 1), Call("fsync", 2), Call("vfork", 1)),
    # answers, wake-ups of the loop, the handover of secrets
    *(Call("write", nth) for nth in (1, 2, 3, 5, 9, 14, 20)),
    # clearing up
    *(Call("unlinkat", 1), Call("rmdir", 1)),
)

ON_THE_WIRE = {"fdatasync": "sendto", "pwrite64": "sendto"}
"""What the server does on PostgreSQL where it writes to the disk on SQLite."""

SECONDS_TO_START = 30.0
"""Longest start after a crash; alone on a machine it takes about one."""

OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Seconds after the last of three deployments was acknowledged. They share two cores and take about two."""


@pytest.fixture(scope="module")
def served(house: House) -> House:
    """Its server has done one deployment in each lane, so that everything that is made once is there."""
    house.start()
    asyncio.run(_warm_up(house))
    return house


async def _warm_up(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(usual_steps()))
        for environment in ENVIRONMENTS:
            deployment = await _create(house, dg, environment)
            outcome = await truth.ended(house, dg, deployment.id)
            assert outcome.deployment.status is Status.SUCCESS


async def _create(house: House, dg: Client, environment: Environment) -> Deployment:
    commit = house.repository.commit(f"for {environment}")
    return await house.deploy(dg, CreateDeployment(environment=environment, ref=commit))


async def _survives(house: House, dg: Client, deployment: Deployment) -> str:
    """The deployment goes on without its server and ends well, each step once."""
    outcome = await truth.ended(house, dg, deployment.id)
    assert outcome.deployment.status is Status.SUCCESS, outcome
    return outcome.word


async def _once_created(house: House, key: str, commit: str, environment: Environment) -> Deployment:
    """Ask until there is an answer, as a pipeline does: with the same key it is the same deployment."""
    async with house.client() as dg, asyncio.timeout(30):
        while True:
            try:
                deployment = await dg.deployments.create(
                    CreateDeployment(environment=environment, ref=commit), key=key
                )
            except Unreachable:
                await asyncio.sleep(0.05)
            else:
                house.deployments.add(deployment.id)
                return deployment


@needs_strace
@pytest.mark.parametrize(
    "call",
    [pytest.param(call, id=str(call), marks=[] if call == CALLS[1] else pytest.mark.long) for call in CALLS],
)
async def test_server_killed_at_a_system_call(served: House, observed: Observed, call: Call) -> None:
    """R01: between any effect and its record there is a call; the kill comes before it is made."""
    environment = Environment.DEVELOPMENT
    commit = served.repository.commit(str(call))
    key = str(call)
    if served.database:
        call = Call(ON_THE_WIRE.get(call.name, call.name), call.nth)
    with suffering(call, served.pid):
        asking = asyncio.create_task(_once_created(served, key, commit, environment))
        gone = await asyncio.to_thread(served.dies, 20.0)
    assert gone, f"no thread came to {call}"
    restart = await asyncio.to_thread(served.start)
    began = time.monotonic()
    deployment = await asking
    async with served.client() as dg:
        word = await _survives(served, dg, deployment)
        seconds = time.monotonic() - began
        others = await _others(dg, commit, deployment)
        await truth.books_are_in_order(served, dg)
    report(f"server killed at {call}: {word} {seconds:.1f} s after it was ready again ({restart:.1f} s)")
    fault = f"the server is killed at a {call.name}"
    observed("R01", fault, "acknowledged deployments lost or doubled", others, at_most=0)
    observed("R01", fault, "until it is ready again", restart, at_most=SECONDS_TO_START, unit="s")


async def _others(dg: Client, commit: str, deployment: Deployment) -> int:
    """How many rows too many or too few there are of a commit that was asked for once."""
    page = await dg.deployments.list(limit=50)
    found = [item.id for item in page.items if item.commit_sha == commit]
    return 0 if found == [deployment.id] else max(1, len(found))


@pytest.mark.parametrize(
    "offset",
    [pytest.param(each, marks=[] if each == OFFSETS[2] else pytest.mark.long) for each in OFFSETS],
)
async def test_server_killed_while_three_lanes_are_busy(
    served: House, observed: Observed, offset: float
) -> None:
    """R02: the runs go on without it, each step once, and the next server tells their ends."""
    fault = "the server is killed while three lanes are busy"
    async with served.client() as dg:
        asked = [await _create(served, dg, environment) for environment in ENVIRONMENTS]
        await asyncio.sleep(offset)
        places = [(await dg.deployments.get(each.id)).stage for each in asked]
    served.kill()
    restart = await asyncio.to_thread(served.start)
    async with served.client() as dg:
        for deployment, place in zip(asked, places, strict=True):
            began = time.monotonic()
            word = await _survives(served, dg, deployment)
            seconds = time.monotonic() - began
            observed("R02", fault, "until the end is told", seconds, at_most=truth.SECONDS_TO_END, unit="s")
            report(
                f"server killed {offset} s in, {deployment.environment} at {place}: {word} "
                f"{seconds:.1f} s after it was ready again ({restart:.1f} s)"
            )
        await truth.books_are_in_order(served, dg)
