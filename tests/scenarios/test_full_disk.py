"""A disk that fills up while a deployment runs: changes are refused, no result is lost, and it heals."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled

from dg.core.deployments.models import CreateDeployment, Status, StepStatus
from dg.core.testing import eventually
from dg.core.types import Environment

SIZE = "48m"
FILES = 4000
SECONDS_TO_HEAL = 10.0


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[House]:
    """A house whose home is a small file system of its own."""
    house = House(tmp_path)
    house.home.path.mkdir(mode=0o700)
    mounted = subprocess.run(
        (
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={SIZE},nr_inodes={FILES},mode=0700",
            "dg-test",
            str(house.home.path),
        ),
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        house.start()
        yield house
    finally:
        house.close()
        subprocess.run(("umount", "--lazy", str(house.home.path)), check=True)


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    os.write(descriptor, bytes(size))
            except OSError:
                continue
        os.close(descriptor)

    def free(self) -> None:
        self._path.unlink()


class Crowd:
    """Files without content, as many as there may be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "crowd"

    def fill(self) -> None:
        self._folder.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            for number in itertools.count(len(list(self._folder.iterdir()))):
                (self._folder / str(number)).touch()

    def free(self) -> None:
        shutil.rmtree(self._folder)


async def test_full_disk_refuses_changes_and_loses_no_result(small_home: House, observed: Observed) -> None:
    """R10: reads go on, what runs comes to its end and that is not lost, and nobody restarts anything."""
    house, ballast, gate = small_home, Ballast(small_home.home.path), small_home.folder / "gate"
    waiting = journalled("migrate", "deploy", 0.0, str(gate))
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(waiting + journalled("smoke", "verify")))
        deployment = await house.deploy(dg, CreateDeployment(environment=Environment.DEVELOPMENT, ref="main"))
        async for progress in dg.deployments.watch(deployment.id, every=0.02):
            if progress.deployment.stage == "migrate":
                break
        await asyncio.to_thread(ballast.fill)

        await _is_refused(house)
        assert (await dg.deployments.status(deployment.id)).deployment.status is Status.DEPLOYING
        gate.touch()
        async with asyncio.timeout(20):
            await asyncio.to_thread(_wait_for_smoke, house)
        # Whatever the runner gave up of its own room for its record is taken as well.
        await asyncio.to_thread(ballast.fill)

        await asyncio.to_thread(ballast.free)
        freed = time.monotonic()
        async with asyncio.timeout(SECONDS_TO_HEAL):
            outcome = await truth.ended(house, dg, deployment.id, whole_log=False)
        healed = time.monotonic() - freed
        assert outcome.deployment.status is Status.SUCCESS
        again = await house.deploy(dg, CreateDeployment(environment=Environment.STAGING, ref="main"))
        assert (await truth.ended(house, dg, again.id)).deployment.status is Status.SUCCESS
        await truth.books_are_in_order(house, dg)
    fault = f"a home of {SIZE} is full"
    observed("R10", fault, "until a result is told again", healed, at_most=SECONDS_TO_HEAL, unit="s")


async def test_no_more_files_lose_no_result(small_home: House, observed: Observed) -> None:
    """R10: the step that runs comes to its end, what cannot begin says why, and nobody restarts anything."""
    house, crowd, gate = small_home, Crowd(small_home.home.path), small_home.folder / "gate"
    waiting = journalled("migrate", "deploy", 0.0, str(gate))
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(waiting + journalled("smoke", "verify")))
        deployment = await house.deploy(dg, CreateDeployment(environment=Environment.DEVELOPMENT, ref="main"))
        async for progress in dg.deployments.watch(deployment.id, every=0.02):
            if progress.deployment.stage == "migrate":
                break
        await asyncio.to_thread(crowd.fill)
        async with httpx.AsyncClient(base_url=house.url) as http:
            assert (await http.get("/health")).json()["checks"]["disk"] == "low on files"
        asked = await house.deploy(dg, CreateDeployment(environment=Environment.STAGING, ref="main"))
        gate.touch()

        async def is_told() -> bool:
            return (await dg.deployments.steps(deployment.id))[1].status is StepStatus.FAILED

        await eventually(is_told, 20)

        await asyncio.to_thread(crowd.free)
        freed = time.monotonic()
        async with asyncio.timeout(SECONDS_TO_HEAL):
            outcome = await truth.ended(house, dg, deployment.id, whole_log=False)
        healed = time.monotonic() - freed
        ends = [(step.name, step.status) for step in outcome.steps]
        assert ends == [("migrate", "success"), ("smoke", "failed")]
        assert "could not start: No space left on device" in (outcome.steps[1].detail or "")
        unbegun = (await truth.ended(house, dg, asked.id, whole_log=False)).deployment
        assert not unbegun.touched
        assert "could not be started: [Errno 28] No space left on device" in (unbegun.message or "")
        await truth.books_are_in_order(house, dg)
    fault = f"a home of {FILES} files has no more"
    observed("R10", fault, "until a result is told again", healed, at_most=SECONDS_TO_HEAL, unit="s")


def _wait_for_smoke(house: House) -> None:
    while not any((beat.kind, beat.step) == ("E", "smoke") for beat in truth.journal(house.journal)):
        time.sleep(0.02)


async def _is_refused(house: House) -> None:
    """A change is answered with 503 and a reason, health says so, and reading goes on."""
    headers = {"Authorization": f"Bearer {house.token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers) as http:
        body = {"reason": "the disk is full", "for": "5m"}
        answer = await http.post("/v1/lanes/web/production/lock", json=body)
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["details"]["reason"] == "database"
        health = (await http.get("/health")).json()
        assert health["status"] == "degraded", health
        assert (await http.get("/v1/deployments")).status_code == 200
