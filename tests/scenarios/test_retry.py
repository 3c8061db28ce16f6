"""A deployment that failed at its fourth step is mended outside and taken up again; two kills between."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from tests.scenarios import truth
from tests.scenarios.house import House, journalled, step, until

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Reason, Status, StepStatus
from dg.core.types import Environment

SWITCH = '"$DG_ENV_PYTHON" -ISB step.py switch 0.05 && test -e "$DG_ENV_JOURNAL.mended"'
"""Works once somebody has mended what stands outside."""


def five_steps() -> str:
    """The last one waits until it is let go."""
    return "".join(
        (
            journalled("compile", "build"),
            journalled("test", "build", rest='output = { image = "web:{version}" }'),
            journalled("migrate", "deploy", rest='resume = "ask"'),
            step("switch", "deploy", f"shell = '''{SWITCH}'''"),
            journalled("smoke", "verify", 0.05, "{env.journal}.go"),
        )
    )


async def test_steps_that_went_well_are_not_run_again_whatever_is_killed(house: House) -> None:
    house.start()
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(five_steps()))
        failed = await _failed(house, dg)
    await asyncio.to_thread(_restart, house)
    await asyncio.to_thread(_touch, house, "mended")
    made = await asyncio.to_thread(house.dg, "retry", failed.id, "--json")
    assert made.returncode == 0, made.stderr
    retry = json.loads(made.stdout)
    house.deployments.add(retry["id"])
    assert (retry["retry_of"], retry["from_step"]) == (failed.id, "switch")
    await asyncio.to_thread(until, lambda: _began(house)["smoke"], "the last step to begin")
    await asyncio.to_thread(_restart, house)
    await asyncio.to_thread(_touch, house, "go")
    async with house.client() as dg:
        async with asyncio.timeout(truth.SECONDS_TO_END):
            ended = await truth.end_of(dg, retry["id"])
        assert ended.status is Status.SUCCESS, ended.message
        assert _began(house) == {"compile": 1, "test": 1, "migrate": 1, "switch": 2, "smoke": 1}
        steps = [one.status for one in await dg.deployments.steps(retry["id"])]
        assert steps == [StepStatus.SKIPPED] * 3 + [StepStatus.SUCCESS] * 2
        assert ended.outputs == failed.outputs == {"image": f"web:{failed.version}"}
        truth.nobody_is_left(house, retry["id"])
        await truth.lane_tells_the_truth(dg, ended)
        await truth.books_are_in_order(house, dg)


async def _failed(house: House, dg: Client) -> Deployment:
    commit = house.repository.commit("the release")
    asked = CreateDeployment(environment=Environment.STAGING, ref=commit)
    made = await house.deploy(dg, asked)
    async with asyncio.timeout(truth.SECONDS_TO_END):
        failed = await truth.end_of(dg, made.id)
    assert (failed.status, failed.reason, failed.touched) == (Status.FAILED, Reason.STEP_FAILED, True)
    return failed


def _restart(house: House) -> None:
    house.kill()
    house.start()


def _touch(house: House, what: str) -> None:
    Path(f"{house.journal}.{what}").touch()


def _began(house: House) -> Counter[str]:
    """How often each step began, over all deployments."""
    return Counter(beat.step for beat in truth.journal(house.journal) if beat.kind == "S")
