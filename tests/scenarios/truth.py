"""What must be true after any crash: the steps' own journal against rows, lane, ledger, log and processes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.house import House, until

from dg.client.app import Client
from dg.core.deployments.models import FINAL, Deployment, Reason, Status, Step, StepStatus
from dg.core.types import Environment
from dg.runner import spool

SECONDS_TO_END = 30.0
"""In which a deployment has a true end after the restart; its own steps take about one."""


@dataclass(frozen=True)
class Beat:
    """One line of the journal."""

    kind: str
    deployment: str
    step: str
    pid: int
    at: float


def journal(path: Path) -> list[Beat]:
    """The beats of all deployments in the order in which they happened."""
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text().splitlines())
    return [Beat(kind, who, step, int(pid), float(at)) for kind, who, step, pid, at in lines]


def beats_of(house: House, deployment_id: str) -> list[Beat]:
    """The beats of one deployment."""
    return [beat for beat in journal(house.journal) if beat.deployment == deployment_id]


@dataclass(frozen=True)
class Outcome:
    """A deployment that has ended, and everything that the server says about it."""

    deployment: Deployment
    steps: tuple[Step, ...]
    starts: int

    @property
    def word(self) -> str:
        """finished, interrupted or failed; `requeued` where it was started again before its first step."""
        end = self.deployment
        ended = {Status.SUCCESS: "finished", Status.FAILED: str(end.reason)}.get(end.status, end.status)
        return f"requeued and {ended}" if self.starts > 1 else ended


async def end_of(dg: Client, deployment_id: str) -> Deployment:
    """A deployment as it is once it has ended."""
    async for progress in dg.deployments.watch(deployment_id, every=0.05):
        if progress.deployment.status in FINAL:
            return progress.deployment
    raise AssertionError(f"{deployment_id} has no end")


async def ended(house: House, dg: Client, deployment_id: str, *, whole_log: bool = True) -> Outcome:
    """Wait for the end of a deployment and hold everything that is known of it against everything else."""
    async with asyncio.timeout(SECONDS_TO_END):
        await end_of(dg, deployment_id)
    progress = await dg.deployments.status(deployment_id)
    starts = 0
    async for event in dg.events.all(matching=f"object={deployment_id}"):
        starts += event.type == "deployment.started"
    outcome = Outcome(progress.deployment, progress.steps, starts)
    nobody_is_left(house, deployment_id)
    beats = beats_of(house, deployment_id)
    steps_ran_as_told(outcome, beats)
    await lane_tells_the_truth(dg, outcome.deployment)
    await log_is_as_written(house, dg, outcome, beats if whole_log else None)
    return outcome


def nobody_is_left(house: House, deployment_id: str) -> None:
    """A runner may take a moment to exit after its last word; its steps must be gone."""
    until(lambda: not house.processes(deployment_id), f"nobody of {deployment_id} to be left", 5.0)


def steps_ran_as_told(outcome: Outcome, beats: list[Beat]) -> None:
    """No step began twice or beside another, each that began is shown so, and success means all of them."""
    count = Counter((beat.kind, beat.step) for beat in beats)
    assert "O" not in {beat.kind for beat in beats}, f"steps ran beside one another: {beats}"
    assert max(count.values(), default=1) == 1, f"a step ran twice: {beats}"
    began = [beat.step for beat in beats if beat.kind == "S"]
    names = [step.name for step in outcome.steps]
    assert began == names[: len(began)], f"steps left their order: {began}"
    status = {step.name: step.status for step in outcome.steps}
    shown = {name for name, said in status.items() if said in (StepStatus.SUCCESS, StepStatus.FAILED)}
    assert set(began) <= shown, f"{began} began, but the server says {status}"
    done = {name for name, said in status.items() if said is StepStatus.SUCCESS}
    assert done <= {beat.step for beat in beats if beat.kind == "E"}, f"{done} are not all done: {beats}"
    if outcome.deployment.status is Status.SUCCESS:
        assert began == names
    else:
        assert outcome.deployment.touched or not {"migrate", "switch", "smoke"} & set(began)


async def lane_tells_the_truth(dg: Client, deployment: Deployment) -> None:
    """Nobody holds it; it knows what runs there, or says that it does not and is closed."""
    lane = await dg.lanes.get(deployment.service, deployment.environment)
    assert lane.holder is None
    if deployment.status is Status.SUCCESS:
        assert lane.known
        assert lane.current == deployment.id
    elif deployment.touched:
        assert not lane.known
        assert lane.current is None
        assert lane.lock is not None or deployment.reason is not Reason.INTERRUPTED
    else:
        assert lane.current != deployment.id


async def log_is_as_written(house: House, dg: Client, outcome: Outcome, beats: list[Beat] | None) -> None:
    """The server tells exactly the lines that the runner wrote down; of a whole run, that is all it said."""
    deployment_id = outcome.deployment.id
    lines = [line.text async for page in dg.deployments.all_logs(deployment_id) for line in page.items]
    run = str(house.home.runs / deployment_id)
    written = b"".join(chunk.body for chunk in spool.read_log(run, 0, 1 << 24)).decode().splitlines()
    assert lines == written
    if beats is not None and outcome.deployment.status is Status.SUCCESS:
        said = {"S": "began", "E": "ended"}
        told = [line for line in lines if line.endswith((" began", " ended"))]
        assert told == [f"{beat.step} {said[beat.kind]}" for beat in beats]


async def books_are_in_order(house: House, dg: Client) -> None:
    """The ledger's chain is unbroken, both databases are sound, and nothing went wrong unnoticed."""
    verdict = await dg.events.verify()
    assert verdict.ok, verdict.message
    for path in () if house.database else (house.home.state, house.home.logs):
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()
    assert "Traceback" not in house.errors, house.errors[-3000:]


async def open_lane(dg: Client, environment: Environment) -> None:
    """As a person does who has looked."""
    for lane in await dg.lanes.list(environment=environment):
        if lane.lock is not None:
            await dg.lanes.unlock(lane.service, environment)
