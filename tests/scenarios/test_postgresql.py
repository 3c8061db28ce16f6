"""A team's server on PostgreSQL: crashes of the database under load, and servers that follow one another."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.postgresql import Cluster
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, report, until, usual_steps

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.types import Environment

pytestmark = pytest.mark.long

CRASHES = 8
CLIENTS = 8
BACK_SECONDS = 3.0
"""Longest time until the server is itself again after its database is."""
ANSWER_SECONDS = 7.0
"""Longest wait for any answer: `database.timeout` and a busy machine."""


@pytest.fixture
def durable() -> Iterator[Cluster]:
    """A server that writes to the disk as a team's does."""
    with Cluster.running(durable=True) as cluster:
        yield cluster


# --- the database crashes


@dataclass
class Load:
    """What clients asked for and were told. Each wish has a key and a version of its own."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """The deployment's id by its version."""
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers that are neither the deployment nor a 503 that says when to come back."""
    slowest: float = 0.0
    over: bool = False


async def _ask(load: Load, http: httpx.AsyncClient, name: str, commit: str) -> None:
    """Ask for one deployment after another, each until it is acknowledged, as a pipeline does."""
    number = 0
    while not load.over:
        number += 1
        version = f"{name}-{number}"
        body = {"environment": "staging", "ref": commit, "version": version}
        answer = await _post(load, http, body)
        for _ in range(1000):
            if answer or load.over:
                break
            await asyncio.sleep(0.05)
            answer = await _post(load, http, body)
        if answer:
            load.acknowledged[version] = answer


async def _post(load: Load, http: httpx.AsyncClient, body: dict[str, str]) -> str | None:
    asked = time.monotonic()
    response = await http.post("/v1/deployments", json=body, headers={"Idempotency-Key": body["version"]})
    load.slowest = max(load.slowest, time.monotonic() - asked)
    load.answers[response.status_code] += 1
    if response.status_code == 201:
        return str(response.json()["id"])
    if response.status_code != 503 or not response.headers.get("retry-after", "").isdigit():
        load.wrong.append(f"{response.status_code} {response.text}")
    return None


async def _crash(cluster: Cluster, http: httpx.AsyncClient) -> float:
    """Crash the database and start it again; seconds until the server is well after it is."""
    await asyncio.to_thread(cluster.crash)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(cluster.start)
    began = time.monotonic()
    while (await http.get("/health")).json()["status"] != "ok":
        assert time.monotonic() - began < 30.0, "the server does not recover"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def _everything(dg: Client) -> list[Deployment]:
    found: list[Deployment] = []
    cursor = None
    while True:
        page = await dg.deployments.list(environment="staging", limit=200, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_eight_crashes_of_the_database_under_load_lose_and_double_nothing(
    durable: Cluster, tmp_path: Path
) -> None:
    house = House(tmp_path, database=durable.create())
    house.start()
    load = Load()
    try:
        async with house.client() as dg, asyncio.timeout(300):
            await _begin(house, dg, Environment.STAGING, 600.0)
            running = await _begin(house, dg, Environment.PRODUCTION, 20.0)
            seconds = await _under_load(house, durable, load)
            outcome = await truth.ended(house, dg, running.id)
            assert outcome.deployment.status is Status.SUCCESS, outcome.word
            kept = await _everything(dg)
            await truth.books_are_in_order(house, dg)
    finally:
        house.close()
    versions = Counter(deployment.version for deployment in kept)
    ids = {deployment.id for deployment in kept}
    lost = [version for version, key in load.acknowledged.items() if key not in ids]
    doubled = [version for version, count in versions.items() if count > 1]
    report(
        f"{CRASHES} crashes of PostgreSQL under {CLIENTS} clients: {sum(load.answers.values())} requests, "
        f"{len(load.acknowledged)} acknowledged, answers {dict(load.answers)}, lost {len(lost)}, "
        f"doubled {len(doubled)}, well again after {max(seconds):.2f} s at most, "
        f"slowest answer {load.slowest:.2f} s"
    )
    assert (lost, doubled, load.wrong) == ([], [], [])
    assert len(load.acknowledged) > CRASHES
    assert load.answers[503] > 0
    assert max(seconds) <= BACK_SECONDS
    assert load.slowest <= ANSWER_SECONDS


async def _begin(house: House, dg: Client, environment: Environment, seconds: float) -> Deployment:
    """One that runs for so long; whatever comes to its lane meanwhile waits."""
    steps = journalled("compile", "build", 1.0) + journalled("switch", "deploy", seconds)
    await dg.pipelines.register(house.pipeline(steps).replace('timeout = "60s"', 'timeout = "20m"'))
    commit = house.repository.commit(f"for {environment}")
    return await house.deploy(dg, CreateDeployment(environment=environment, ref=commit))


async def _under_load(house: House, cluster: Cluster, load: Load) -> list[float]:
    commit = house.repository.commit("load")
    headers = {"authorization": f"Bearer {house.token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=30.0) as http:
        clients = [asyncio.ensure_future(_ask(load, http, f"c{n}", commit)) for n in range(CLIENTS)]
        seconds = []
        for _ in range(CRASHES):
            await asyncio.sleep(0.5)
            seconds.append(await _crash(cluster, http))
        await asyncio.sleep(0.5)
        load.over = True
        await asyncio.gather(*clients)
    return seconds


# --- servers follow one another


class Host(House):
    """One of several hosts: a home of its own over the same database, with the keys of the first."""

    def __init__(self, folder: Path, database: str, keys: Path | None = None) -> None:
        folder.mkdir()
        super().__init__(folder, database=database)
        if keys is not None:
            self.home.make()
            shutil.copytree(keys, self.home.keys, dirs_exist_ok=True)

    def stand_by(self) -> None:
        """Start a server that has to wait."""
        self.launch()
        until(lambda: b'"standby"' in self.said(), "the server to stand by")


def health(host: Host) -> httpx.Response:
    return httpx.get(f"{host.url}/health")


def is_active(host: Host) -> bool:
    try:
        return health(host).status_code == 200
    except httpx.TransportError:
        # Between standing by and serving it listens anew.
        return False


async def test_a_second_host_takes_over_and_the_first_one_stands_by(tmp_path: Path, cluster: Cluster) -> None:
    database = cluster.create()
    first = Host(tmp_path / "first", database)
    first.start()
    second = Host(tmp_path / "second", database, first.home.keys)
    try:
        second.stand_by()
        refused = health(second)
        assert (refused.status_code, refused.json()["error"]["details"]["reason"]) == (503, "standby")
        assert refused.headers["retry-after"].isdigit()
        async with first.client() as dg:
            await dg.pipelines.register(first.pipeline(usual_steps()))
            commit = first.repository.commit("kept")
            kept = await first.deploy(dg, CreateDeployment(environment=Environment.STAGING, ref=commit))
            await truth.ended(first, dg, kept.id)
        token = first.token
        first.kill()
        began = time.monotonic()
        until(lambda: is_active(second), "the take-over", 10.0)
        seconds = time.monotonic() - began
        async with Client(second.url, token) as dg:
            assert (await dg.deployments.get(kept.id)).status is Status.SUCCESS
            assert (await dg.events.verify()).ok
        first.stand_by()
        report(f"the active server was killed: the one that stood by took over after {seconds:.2f} s")
        assert seconds <= BACK_SECONDS
        assert first.stop() < 5.0
    finally:
        first.close()
        second.close()


async def test_a_server_that_slept_through_a_take_over_ends(tmp_path: Path, cluster: Cluster) -> None:
    """SIGSTOP is what a paused virtual machine is to its neighbours."""
    database = cluster.create()
    first = Host(tmp_path / "first", database)
    first.start()
    second = Host(tmp_path / "second", database, first.home.keys)
    try:
        second.stand_by()
        first.signal(signal.SIGSTOP)
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
        until(lambda: is_active(second), "the take-over", 10.0)
        first.signal(signal.SIGCONT)
        assert first.ends() == 3
        assert "another server took the database over" in first.errors
        assert health(second).json()["status"] == "ok"
    finally:
        first.close()
        second.close()
