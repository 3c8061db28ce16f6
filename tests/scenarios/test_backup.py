"""The restore drill: a backup under load, the machine lost, a home of the backup on another place."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, report

from dg.client.app import Client
from dg.core.deployments.models import FINAL, CreateDeployment, Deployment, Status
from dg.core.testing import eventually
from dg.core.types import Environment
from dg.sandbox.server import environ

CLIENTS = 8
LANES = tuple(Environment)


class Load:
    """Clients that ask for deployments as fast as they are answered."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.acknowledged: list[Deployment] = []

    async def client(self, number: int, stop: asyncio.Event) -> None:
        async with self._house.client() as dg:
            wish = CreateDeployment(environment=LANES[number % len(LANES)], ref="main")
            while not stop.is_set():
                deployment = await self._house.deploy(dg, wish)
                self.acknowledged.append(deployment)


def dg(*arguments: str) -> None:
    command = (sys.executable, "-P", "-m", "dg", *arguments)
    done = subprocess.run(command, capture_output=True, env=environ(os.environ), text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
async def test_a_backup_under_load_holds_what_was_acknowledged_before_it(
    house: House, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, observed: Observed
) -> None:
    """R18: whatever was acknowledged before the backup began is in it."""
    house.start()
    async with house.client() as client:
        await client.pipelines.register(house.pipeline(journalled("switch", "deploy", 0.05)))
    load, stop, backup = Load(house), asyncio.Event(), tmp_path / "backup"
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(load.client(number, stop))
        await eventually(lambda: len(load.acknowledged) >= 5 * CLIENTS, 30.0)
        before, began = list(load.acknowledged), time.monotonic()
        await asyncio.to_thread(dg, "backup", str(backup), "--with-secrets", "--home", str(house.home.path))
        taken = time.monotonic() - began
        during = len(load.acknowledged) - len(before)
        stop.set()
    assert during > 0
    house.close()
    other = House(tmp_path_factory.mktemp("other"))
    try:
        seconds = await _is_restored(other, backup, house.home.keys / "backup.key", before)
    finally:
        other.close()
    fault = "a backup under load, restored elsewhere"
    observed("R18", fault, "time to recover", seconds, at_most=60.0, unit="s")
    report(f"backup in {taken:.2f} s ({backup.stat().st_size >> 10} KiB) while {during} were acknowledged")


async def _is_restored(house: House, backup: Path, key: Path, acknowledged: list[Deployment]) -> float:
    """Seconds until a server answered from it."""
    began = time.monotonic()
    dg("restore", str(backup), "--home", str(house.home.path), "--key-file", str(key))
    restored = time.monotonic() - began
    ready = house.start()
    report(f"time to recover: {restored + ready:.2f} s ({restored:.2f} s restore, {ready:.2f} s start)")
    async with house.client() as client:
        for deployment in acknowledged:
            assert (await client.deployments.get(deployment.id)).status in FINAL
        await truth.books_are_in_order(house, client)
        for environment in LANES:
            await truth.open_lane(client, environment)
        again = await house.deploy(
            client, CreateDeployment(environment=Environment.STAGING, ref=acknowledged[0].commit_sha)
        )
        assert (await truth.end_of(client, again.id)).status is Status.SUCCESS
    return restored + ready


@pytest.mark.long
async def test_backups_by_a_schedule_go_on_under_load_and_over_a_kill(
    tmp_path: Path, observed: Observed
) -> None:
    """R18: while clients deploy, each backup is made, sent on and proved, and the server answers in time."""
    store, bucket = tmp_path / "store", tmp_path / "bucket"
    store.mkdir()
    bucket.mkdir()
    settings = {
        "DG_BACKUP__FOLDER": str(store),
        "DG_BACKUP__EVERY": "1s",
        "DG_BACKUP__TEST_EVERY": "1s",
        "DG_BACKUP__KEEP_DAILY": "0",
        "DG_BACKUP__KEEP_WEEKLY": "0",
        "DG_BACKUP__KEEP_MONTHLY": "0",
        "DG_BACKUP__COMMAND": "cp,/dev/stdin," + str(bucket / "newest"),
    }
    (tmp_path / "house").mkdir()
    house = House(tmp_path / "house", settings)
    try:
        house.start()
        async with house.client() as client:
            await client.pipelines.register(house.pipeline(journalled("switch", "deploy", 0.05)))
            load, stop = Load(house), asyncio.Event()
            async with asyncio.TaskGroup() as clients:
                for number in range(CLIENTS):
                    clients.create_task(load.client(number, stop))
                await proved(client, 3)
                slowest = await slowest_read(client)
                stop.set()
        observed("R18", "backups and their tests under load", "slowest read", slowest, at_most=2.0, unit="s")
        await eventually(lambda: any(store.glob(".dg-unfinished-*")), 30.0)
        house.kill()
        for path in store.glob("*.dgb"):
            dg("backup", "verify", str(path), "--home", str(house.home.path))
        house.start()
        async with house.client() as client:
            before = {each.id for each in await client.backups.list()}
            await proved(client, 1, apart_from=before)
            assert len(await client.backups.list()) <= 4
            assert (await client.backups.list())[0].problem is None
            await truth.books_are_in_order(house, client)
        assert (bucket / "newest").stat().st_size > 0
    finally:
        house.close()


async def proved(client: Client, count: int, apart_from: Collection[str] = ()) -> None:
    """Wait until so many backups were restored for a test, all of which went well."""
    seen: set[str] = set()
    for _ in range(600):
        for each in await client.backups.list():
            assert each.problem is None, each.problem
            if each.tested_at and each.id not in apart_from:
                seen.add(each.id)
        if len(seen) >= count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"only {len(seen)} backups were proved")


async def slowest_read(client: Client) -> float:
    """Seconds that the slowest of a hundred reads takes."""
    slowest = 0.0
    for _ in range(100):
        began = time.monotonic()
        await client.deployments.list(limit=1)
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.02)
    return slowest
