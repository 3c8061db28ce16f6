"""The machine's clock is set, forward, back, over summer time and 2038, under a server that works on."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled
from tests.scenarios.probes import http, memory

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.testing import eventually
from dg.core.types import Environment

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
HOUR, DAY = 3600, 86_400
GROWTH = 50 << 20
LOOK = 10.0
"""Seconds between two looks at what has run out."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(LIBRARY is None, reason="no libfaketime (Debian: faketime)"),
]


class Wall:
    """The server's wall clock; its monotonic clock goes on as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0.0)

    def set(self, ahead: float) -> None:
        """So many seconds ahead of the machine's clock."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{ahead:+.0f}\n")
        fresh.replace(self.path)
        self._ahead = ahead

    def now(self) -> float:
        return time.time() + self._ahead


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Wall:
    return Wall(tmp_path_factory.mktemp("wall") / "clock")


@pytest.fixture(scope="module")
def served(house: House, wall: Wall) -> Iterator[House]:
    """A server in Berlin that believes the wall."""
    house.settings |= {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(wall.path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "Europe/Berlin",
    }
    house.start()
    asyncio.run(_register(house))
    yield house
    house.stop()


async def _register(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(journalled("switch", "deploy")))
        slow = journalled("switch", "deploy", 0.0, str(house.folder / "go"))
        await dg.pipelines.register(house.pipeline(slow, service="slow"))
        await _deploy(house, dg)


async def _deploy(house: House, dg: Client) -> None:
    deployment = await _create(house, dg, "web")
    assert (await truth.ended(house, dg, deployment.id)).deployment.status is Status.SUCCESS


async def _create(house: House, dg: Client, service: str) -> Deployment:
    environment = Environment.DEVELOPMENT if service == "slow" else Environment.STAGING
    wish = CreateDeployment(environment=environment, service=service, ref="main")
    return await house.deploy(dg, wish)


async def _until_the_owner_is_known(house: House) -> float:
    """Seconds. The token in the home ends by the wall clock, and is made anew when that was set."""
    began = time.monotonic()

    async def is_known() -> bool:
        async with http(house) as client:
            return (await client.get("/v1/whoami")).status_code == 200

    await eventually(is_known, 3 * LOOK)
    return time.monotonic() - began


async def _how_late_a_lock_opens(dg: Client, wall: Wall) -> float:
    """Seconds of the server's wall clock, which the lock's end is told by."""
    lane = await dg.lanes.lock("web", Environment.PRODUCTION, reason="for a moment", lasting="2s")
    assert lane.lock is not None
    assert lane.lock.until is not None
    until = lane.lock.until / 1_000_000
    assert abs(until - 2.0 - wall.now()) < 60.0, "the server does not believe the wall"
    opened = await _opened(dg)

    async def is_open() -> bool:
        return await _opened(dg) > opened

    await eventually(is_open, 6 * LOOK)
    return max(0.0, wall.now() - until)


async def _opened(dg: Client) -> int:
    """How many locks ran out so far."""
    return len([fact async for fact in dg.events.all(matching="type=lane.opened")])


def _runs(house: House) -> int:
    """How often the job ran that looks for what has run out."""
    with closing(sqlite3.connect(house.home.state)) as connection:
        query = "SELECT max(tick) FROM ticks WHERE job = 'deployments.end_what_ran_out'"
        return int(connection.execute(query).fetchone()[0] or 0)


JUMPS: Mapping[str, float | datetime] = {
    "1 h forward": HOUR,
    "1 h back": -HOUR,
    "30 days forward": 30 * DAY,
    "1 day back": -DAY,
    "into 2038-01-19 03:14:05": datetime(2038, 1, 19, 3, 14, 5, tzinfo=UTC),
    "into the end of summer time": datetime(2026, 10, 25, 0, 59, 57, tzinfo=UTC),
    "into the beginning of summer time": datetime(2027, 3, 28, 0, 59, 57, tzinfo=UTC),
}


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_is_set_stops_and_doubles_nothing(
    served: House, wall: Wall, observed: Observed, jump: str
) -> None:
    """R17: what runs goes on, what is due comes once, new deployments work, the ledger keeps its order."""
    fault, to = f"the clock is set {jump}", JUMPS[jump]
    wall.set(0.0)
    await _until_the_owner_is_known(served)
    go = served.folder / "go"
    go.unlink(missing_ok=True)
    async with served.client() as dg:
        running = await _create(served, dg, "slow")
        await eventually(lambda: bool(truth.beats_of(served, running.id)), 30.0)
        before, runs, began = memory(served.pid), _runs(served), time.monotonic()
        wall.set(to.timestamp() - time.time() if isinstance(to, datetime) else to)
    known = await _until_the_owner_is_known(served)
    async with served.client() as dg:
        late = await _how_late_a_lock_opens(dg, wall)
        await _deploy(served, dg)
        go.touch()
        assert (await truth.ended(served, dg, running.id)).deployment.status is Status.SUCCESS
        # Not the server's messages: libfaketime makes a thread's sleep fail when the clock is set under it.
        assert (await dg.events.verify()).ok
    observed("R17", fault, "until the owner's token is good", known, at_most=2 * LOOK, unit="s")
    observed("R17", fault, "what was due came late by", late, at_most=2 * LOOK, unit="s")
    due = (time.monotonic() - began) / LOOK
    observed("R17", fault, "runs of a job that were not due", _runs(served) - runs - due, at_most=2)
    grown = (memory(served.pid) - before) / 2**20
    observed("R17", fault, "growth", grown, at_most=GROWTH / 2**20, unit="MiB")
