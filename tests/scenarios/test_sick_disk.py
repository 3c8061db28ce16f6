"""A database that another process holds, a disk that breaks or is slow: reads go on, nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.faults import Failure, Fault, Interpreter, Stall, needs_strace, suffering
from tests.scenarios.house import House, journalled, usual_steps
from tests.scenarios.probes import http, reading

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Reason, Status
from dg.core.testing import eventually
from dg.core.types import Environment

SLOWEST_READ = 0.5
"""Seconds in which 99 of 100 reads are answered; other tests run beside on the same cores."""
SECONDS_TO_HEAL = 10.0
PATIENCE = 5.0
"""Seconds, as `database.busy_timeout` has them; a change may have to wait for one more that waits."""

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def interpreter(house: House) -> Interpreter:
    """The house's server is up, and starts runners by a stand-in that can be armed."""
    interpreter = Interpreter(house.folder)
    house.settings["DG_RUNNER__PYTHON"] = str(interpreter.path)
    house.start()
    asyncio.run(_register(house, usual_steps()))
    return interpreter


@pytest.fixture
def served(house: House, interpreter: Interpreter) -> House:
    assert not interpreter.armed
    return house


async def _register(house: House, steps: str, service: str = "web") -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(steps, service=service))


async def create(
    house: House, dg: Client, environment: Environment = Environment.DEVELOPMENT, service: str = "web"
) -> Deployment:
    for lane in await dg.lanes.list(environment=environment):
        if lane.lock is not None:
            await dg.lanes.unlock(lane.service, environment)
    wish = CreateDeployment(environment=environment, ref="main", service=service)
    return await house.deploy(dg, wish)


async def lock(client: httpx.AsyncClient) -> httpx.Response:
    """A change that starts nothing."""
    body = {"reason": "a sick disk", "for": "5m"}
    return await client.post("/v1/lanes/web/production/lock", json=body)


async def unlock(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/lanes/web/production/unlock", json={})
    assert answer.status_code in (200, 409), answer.text


def is_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["details"]["reason"] == "database"
    assert int(answer.headers["Retry-After"]) > 0


def acknowledged(answers: list[httpx.Response]) -> int:
    """How many were; every other one was refused as it should be."""
    refused = [answer for answer in answers if not answer.is_success]
    for answer in refused:
        is_refused(answer)
    return len(answers) - len(refused)


async def seconds_to_heal(client: httpx.AsyncClient) -> float:
    """Until health is good and a change is accepted, nobody having restarted anything."""
    began = time.monotonic()

    async def is_well() -> bool:
        return bool((await client.get("/health")).json()["status"] == "ok")

    await eventually(is_well, SECONDS_TO_HEAL)
    answer = await lock(client)
    assert answer.status_code == 200, answer.text
    await unlock(client)
    return time.monotonic() - began


@contextmanager
def held(path: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Another process is writing to the database for so long."""
    command = (sys.executable, "-c", HOLDER, str(path), str(seconds))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other


async def test_a_database_held_for_a_moment_costs_a_change_that_moment(
    served: House, observed: Observed
) -> None:
    """R09: held for less than `database.busy_timeout`, a change waits and is made."""
    fault = "another process holds the database for 2 s"
    async with http(served) as client, reading(client) as reads:
        with held(served.home.state, 2.0):
            began = time.monotonic()
            answer = await lock(client)
            took = time.monotonic() - began
        assert answer.status_code == 200, answer.text
        await unlock(client)
    observed("R09", fault, "a change waited", took, at_most=PATIENCE, unit="s")
    observed("R09", fault, "p99 of reads", reads.p99, at_most=SLOWEST_READ, unit="s")


async def test_a_database_held_for_a_minute_refuses_changes_and_loses_nothing(
    served: House, observed: Observed
) -> None:
    """R09: reads go on, changes are refused in time, and a deployment comes to its end afterwards."""
    fault = "another process holds the database for 60 s"
    go = served.folder / "held"
    steps = journalled("migrate", "deploy", 0.0, str(go)) + journalled("smoke", "verify")
    await _register(served, steps, service="held")
    async with served.client() as dg, http(served) as client:
        running = await create(served, dg, service="held")
        await eventually(lambda: bool(truth.beats_of(served, running.id)), 30.0)
        waits = []
        async with reading(client) as reads:
            with held(served.home.state, 60.0) as other:
                go.touch()
                while other.poll() is None:
                    began = time.monotonic()
                    answer = await lock(client)
                    waits.append(time.monotonic() - began)
                    if answer.status_code == 200:
                        await unlock(client)
                    else:
                        is_refused(answer)
        healed = await seconds_to_heal(client)
        outcome = await truth.ended(served, dg, running.id)
        assert outcome.deployment.status is Status.SUCCESS
        await truth.books_are_in_order(served, dg)
    observed("R09", fault, "the slowest refusal", max(waits), at_most=2 * PATIENCE + 2, unit="s")
    observed("R09", fault, "p99 of reads", reads.p99, at_most=SLOWEST_READ, unit="s")
    observed("R09", fault, "until changes are made again", healed, at_most=SECONDS_TO_HEAL, unit="s")


@needs_strace
async def test_no_change_is_acknowledged_while_the_disk_fails(served: House, observed: Observed) -> None:
    """R11: every fsync fails: refused, said by health, reads go on; then it heals by itself."""
    fault = "EIO at every fdatasync of the server"
    async with http(served) as client:
        async with reading(client) as reads:
            with suffering(Failure("fdatasync", "1+"), served.pid):
                answers = [await lock(client) for _ in range(5)]
                assert (await client.get("/health")).json()["status"] == "degraded"
        healed = await seconds_to_heal(client)
    observed("R11", fault, "changes acknowledged", acknowledged(answers), at_most=0)
    observed("R11", fault, "p99 of reads", reads.p99, at_most=SLOWEST_READ, unit="s")
    observed("R11", fault, "until changes are made again", healed, at_most=SECONDS_TO_HEAL, unit="s")


@needs_strace
@pytest.mark.parametrize("nth", [1, 2, 3, 5])
async def test_what_was_acknowledged_around_a_failing_fsync_is_there_after_kill_9(
    served: House, observed: Observed, nth: int
) -> None:
    """R11: one fsync fails in the middle of eight creations; the server is killed and started again."""
    created, answers = list[str](), list[httpx.Response]()
    async with http(served) as client, served.client() as dg:
        await truth.open_lane(dg, Environment.STAGING)
        with suffering(Failure("fdatasync", nth), served.pid) as failed:
            for _ in range(8):
                body = {"environment": "staging", "ref": "main", "service": "web"}
                answer = await client.post("/v1/deployments", json=body)
                answers.append(answer)
                if answer.is_success:
                    created.append(answer.json()["id"])
            # Where it meets the dispatcher's own write, that is made again and all eight are created.
            await eventually(lambda: failed() > 0)
    assert acknowledged(answers) == len(created)
    served.deployments |= set(created)
    served.kill()
    await asyncio.to_thread(served.start)
    async with served.client() as dg:
        page = await dg.deployments.list(limit=50)
        lost = set(created) - {each.id for each in page.items}
        for each in created:
            await truth.open_lane(dg, Environment.STAGING)
            await truth.end_of(dg, each)
        await truth.books_are_in_order(served, dg)
    fault = "EIO at one fdatasync of the server, then kill -9"
    observed("R11", fault, "acknowledged deployments lost", len(lost), at_most=0)


@needs_strace
@pytest.mark.parametrize("nth", [2, 8, 9, 13])
async def test_a_runner_whose_record_fails_never_tells_a_success_that_was_none(
    served: House, interpreter: Interpreter, observed: Observed, nth: int
) -> None:
    """R11: a write to the run's own record fails: no step runs twice, and the end is what happened."""
    interpreter.arm(Failure("fdatasync", nth))
    async with served.client() as dg:
        deployment = await create(served, dg)
        outcome = await truth.ended(served, dg, deployment.id)
        assert outcome.deployment.status is Status.SUCCESS or outcome.deployment.reason is Reason.INTERRUPTED
        await truth.books_are_in_order(served, dg)
    assert not interpreter.armed
    fault = "EIO at one fdatasync of the runner"
    steps = [beat.step for beat in truth.beats_of(served, deployment.id) if beat.kind == "S"]
    observed("R11", fault, "steps that ran twice", len(steps) - len(set(steps)), at_most=0)


@needs_strace
@pytest.mark.parametrize("fault", [Stall("fdatasync", "1+", 2.0)], ids=["2 s"])
async def test_a_slow_disk_slows_no_read(served: House, observed: Observed, fault: Fault) -> None:
    """R12: every fsync takes two seconds: changes take that long, reads and health do not."""
    name = "every fdatasync takes 2 s longer"
    async with http(served) as client:
        async with reading(client, "/health") as probes, reading(client) as reads:
            with suffering(fault, served.pid):
                began = time.monotonic()
                for _ in range(3):
                    answer = await lock(client)
                    assert answer.status_code == 200, answer.text
                    await unlock(client)
                took = time.monotonic() - began
        lag = (await client.get("/v1/diagnostics")).json()["loop_lag"]["worst"]
    assert took > 6 * 2.0, "no fsync was slow"
    observed("R12", name, "p99 of reads", reads.p99, at_most=SLOWEST_READ, unit="s")
    observed("R12", name, "p99 of health", probes.p99, at_most=SLOWEST_READ, unit="s")
    observed("R12", name, "lag of the event loop", lag, at_most=1.0, unit="s")


@pytest.fixture
def breaking(tmp_path: Path) -> Iterator[tuple[House, Path]]:
    """A house whose home is an ext4 of its own, and the file by which that finds itself broken."""
    house, image = House(tmp_path), tmp_path / "disk"
    house.home.path.mkdir(mode=0o700)
    with image.open("wb") as file:
        file.truncate(128 << 20)
    options = ("-o", "loop,errors=remount-ro", str(image), str(house.home.path))
    for command in (("mkfs.ext4", "-q", str(image)), ("mount", *options)):
        try:
            done = subprocess.run(command, capture_output=True)
        except FileNotFoundError as error:
            pytest.skip(f"no {error.filename}")
        if done.returncode:
            pytest.skip(f"no ext4 can be mounted here: {done.stderr.decode().strip()}")
    house.home.path.chmod(0o700)
    source = ("findmnt", "--noheadings", "--output", "SOURCE", str(house.home.path))
    device = subprocess.run(source, capture_output=True, text=True, check=True).stdout.strip()
    try:
        house.start()
        yield house, Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")
    finally:
        house.close()
        subprocess.run(("umount", "--lazy", str(house.home.path)), check=True)


async def test_a_file_system_that_turned_read_only_refuses_changes_and_is_told(
    breaking: tuple[House, Path], observed: Observed
) -> None:
    """R11: as after an error of the disk: reads go on, changes are refused, a stop is still a stop."""
    house, trigger = breaking
    await _register(house, usual_steps())
    async with http(house) as client, house.client() as dg:
        deployment = await create(house, dg)
        await truth.ended(house, dg, deployment.id)
        try:
            trigger.write_text("broken by a test")
        except OSError as error:
            pytest.skip(f"no file system can be broken here: {error}")
        async with reading(client) as reads:
            answers = [await lock(client) for _ in range(3)]
            assert (await client.get("/health")).json()["status"] == "degraded"
            assert (await dg.deployments.status(deployment.id)).deployment.status is Status.SUCCESS
    stopped = await asyncio.to_thread(house.stop)
    fault = "the file system turns read-only"
    observed("R11", fault, "changes acknowledged", acknowledged(answers), at_most=0)
    observed("R11", fault, "p99 of reads", reads.p99, at_most=SLOWEST_READ, unit="s")
    observed("R11", fault, "until a stop", stopped, at_most=10.0, unit="s")
