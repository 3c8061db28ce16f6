"""kill -9 of the runner, alone and with the server: no step twice, nobody left, the truth is told."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.faults import Call, Interpreter, Stall, needs_strace
from tests.scenarios.house import House, on_both_databases, report, until, usual_steps

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Reason, Status
from dg.core.types import Environment
from dg.runner import lease, processes

pytestmark = on_both_databases

ENVIRONMENTS = tuple(Environment)

CALLS = (
    # its birth: the handover, the lease, the reserve
    *(Call("dup3", 1), Call("flock", 1), Call("ftruncate", 1), Call("getrandom", 2)),
    # each event: started, checkout began and ended, and a beginning and an end for each of five steps
    *(Call("fdatasync", nth) for nth in range(1, 14)),
    # the lease's signature, and each event before it is written
    *(Call("pwrite64", nth) for nth in (1, 2, 3, 4, 5, 6, 10, 14)),
    # the birth of git and of steps, and the collection of the dead
    *(Call("clone", nth) for nth in (1, 2, 4)),
    # its last word: written, renamed, the folder synced, the reserve given up
    *(Call("fsync", 1), Call("rename", 1), Call("fsync", 2), Call("unlink", 1)),
)

AFTER_ITS_LAST_WORD = (Call("fsync", 2), Call("unlink", 1))

OFFSETS = (0.0, 0.15, 0.3, 0.5, 0.7, 0.9)


@pytest.fixture(scope="module")
def interpreter(house: House) -> Interpreter:
    """The house's server is up, and starts runners by a stand-in that can be armed."""
    interpreter = Interpreter(house.folder)
    house.settings["DG_RUNNER__PYTHON"] = str(interpreter.path)
    house.start()
    asyncio.run(_register(house))
    return interpreter


async def _register(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(usual_steps()))


async def _create(house: House, dg: Client, environment: Environment) -> Deployment:
    await truth.open_lane(dg, environment)
    commit = house.repository.commit(f"for {environment}")
    return await house.deploy(dg, CreateDeployment(environment=environment, ref=commit))


async def _ended(house: House, dg: Client, deployment: Deployment) -> truth.Outcome:
    """It ended as what it is: whole, or interrupted, or begun anew because nothing had begun."""
    outcome = await truth.ended(house, dg, deployment.id)
    end = outcome.deployment
    assert end.status is Status.SUCCESS or end.reason is Reason.INTERRUPTED, end
    return outcome


def _twice(house: House, deployment: Deployment) -> int:
    """How many effects came more than once, by the steps' own journal."""
    effects = [beat.step for beat in truth.beats_of(house, deployment.id) if beat.kind == "S"]
    return len(effects) - len(set(effects))


def _was_killed(outcome: truth.Outcome, call: Call) -> bool:
    """Where it had said its last word, nobody can tell."""
    end = outcome.deployment
    return outcome.starts > 1 or end.reason is Reason.INTERRUPTED or call in AFTER_ITS_LAST_WORD


def _params(calls: tuple[Call, ...], quick: Call) -> list[object]:
    return [
        pytest.param(call, id=str(call), marks=[] if call == quick else pytest.mark.long) for call in calls
    ]


@needs_strace
@pytest.mark.parametrize("call", _params(CALLS, Call("fdatasync", 9)))
async def test_runner_killed_at_a_system_call(
    house: House, interpreter: Interpreter, observed: Observed, call: Call
) -> None:
    """R02, R03: also between a step's effect and its record. What began is never begun again by itself."""
    interpreter.arm(call)
    async with house.client() as dg:
        began = time.monotonic()
        deployment = await _create(house, dg, Environment.DEVELOPMENT)
        outcome = await _ended(house, dg, deployment)
        seconds = time.monotonic() - began
        await truth.books_are_in_order(house, dg)
    assert _was_killed(outcome, call)
    fault = f"the runner is killed at a {call.name}"
    observed("R03", fault, "steps that ran twice", _twice(house, deployment), at_most=0)
    observed("R02", fault, "until the end is told", seconds, at_most=truth.SECONDS_TO_END, unit="s")
    report(f"runner killed at {call}: {outcome.word} {seconds:.1f} s after it was asked for")


@needs_strace
@pytest.mark.parametrize("call", _params(CALLS[::3], CALLS[9]))
async def test_runner_killed_at_a_system_call_and_the_server_with_it(
    house: House, interpreter: Interpreter, call: Call
) -> None:
    interpreter.arm(call)
    async with house.client() as dg:
        deployment = await _create(house, dg, Environment.STAGING)
    await asyncio.to_thread(until, lambda: not interpreter.armed, "the runner to be born")
    await asyncio.to_thread(until, lambda: not house.runner(deployment.id), f"the runner to come to {call}")
    house.kill()
    restart = await asyncio.to_thread(house.start)
    began = time.monotonic()
    async with house.client() as dg:
        outcome = await _ended(house, dg, deployment)
        seconds = time.monotonic() - began
        await truth.books_are_in_order(house, dg)
    assert _was_killed(outcome, call)
    report(
        f"runner killed at {call} and the server with it: {outcome.word} {seconds:.1f} s after the server "
        f"was ready again ({restart:.1f} s)"
    )


@pytest.mark.parametrize("server_too", [False, True], ids=["alone", "with the server"])
@pytest.mark.parametrize(
    "offset",
    [pytest.param(each, marks=[] if each == OFFSETS[2] else pytest.mark.long) for each in OFFSETS],
)
async def test_runners_of_three_lanes_killed(
    house: House, interpreter: Interpreter, offset: float, server_too: bool
) -> None:
    async with house.client() as dg:
        asked = [await _create(house, dg, environment) for environment in ENVIRONMENTS]
        await asyncio.sleep(offset)
        places = [(await dg.deployments.get(each.id)).stage for each in asked]
        if server_too:
            house.kill()
        for deployment in asked:
            for pid in house.runner(deployment.id):
                processes.send(pid, signal.SIGKILL)
    if server_too:
        await asyncio.to_thread(house.start)
    async with house.client() as dg:
        for deployment, place in zip(asked, places, strict=True):
            began = time.monotonic()
            outcome = await _ended(house, dg, deployment)
            report(
                f"runner killed {offset} s in, {deployment.environment} at {place}: "
                f"{outcome.word} after {time.monotonic() - began:.1f} s"
            )
        await truth.books_are_in_order(house, dg)


@needs_strace
@pytest.mark.long
async def test_server_dies_while_the_runner_takes_long_to_write_its_name(
    house: House, interpreter: Interpreter
) -> None:
    """It holds the lane's lease, but nobody can tell yet that it is the one: it must not begin unseen."""
    interpreter.arm(Stall("ftruncate", 1, 6.0))
    lane = str(house.home.lanes / "web.staging.lock")
    async with house.client() as dg:
        deployment = await _create(house, dg, Environment.STAGING)
        await asyncio.to_thread(until, lambda: lease.held(lane), "the runner to hold the lease")
    house.kill()
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        outcome = await _ended(house, dg, deployment)
        assert outcome.deployment.status is Status.SUCCESS
        await truth.books_are_in_order(house, dg)


async def test_lane_is_not_given_on_while_a_dead_runners_step_lives(
    house: House, interpreter: Interpreter
) -> None:
    """The daemon of `switch` ignores TERM and keeps the lane's lease; the next one waits for its end."""
    async with house.client() as dg:
        first = await _create(house, dg, Environment.PRODUCTION)
        second = await _create(house, dg, Environment.PRODUCTION)

        def daemon_lives() -> bool:
            return any(beat.step == "switch" for beat in truth.beats_of(house, first.id))

        await asyncio.to_thread(until, daemon_lives, "`switch` to begin")
        for pid in house.runner(first.id):
            processes.send(pid, signal.SIGKILL)
        outcome = await _ended(house, dg, first)
        assert outcome.deployment.reason is Reason.INTERRUPTED
        assert not lease.held(str(house.home.lanes / "web.production.lock"))
        assert (await dg.deployments.get(second.id)).status is Status.PENDING
        await truth.open_lane(dg, Environment.PRODUCTION)
        assert (await _ended(house, dg, second)).deployment.status is Status.SUCCESS
