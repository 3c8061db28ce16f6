"""What tests of the core stand on: a clock that obeys, ids that repeat, people with roles, a database."""

from __future__ import annotations

import asyncio
import functools
import heapq
import inspect
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dg.core import schema
from dg.core.access.models import Grant, Principal, Role
from dg.core.bus import Bus
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, prepare
from dg.core.database.address import parse_address
from dg.core.database.opening import open_databases
from dg.core.home import Home
from dg.core.ledger import Ledger
from dg.core.migrations.upgrade import migrate
from dg.core.tasks import Tasks, open_tasks
from dg.core.types import Environment
from dg.settings.tree import Database as Settings

NOON = 1_790_000_000_000_000
"""An arbitrary moment of 2026 in microseconds, where a manual clock begins."""


class ManualClock:
    """A clock that stands until it is told; sleepers wake in the order of their moments."""

    def __init__(self, micros: int = NOON) -> None:
        self._micros = micros
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def micros(self) -> int:
        return self._micros

    def monotonic(self) -> float:
        return self._monotonic

    @property
    def sleeping(self) -> int:
        """How many wait: what a test waits for before it advances."""
        return len(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._count += 1
        sleeper = (self._monotonic + seconds, self._count, event)
        heapq.heappush(self._sleepers, sleeper)
        try:
            await event.wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass; whoever sleeps no longer than that wakes and runs, one moment after another."""
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, event = heapq.heappop(self._sleepers)
            self._pass(max(0.0, moment - self._monotonic))
            event.set()
            await settle()
        self._pass(end - self._monotonic)
        await settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock by `seconds`, as an operator does; durations do not notice."""
        self._micros += round(seconds * SECOND)

    def hold_up(self, seconds: float) -> None:
        """Let `seconds` pass in which nobody could wake, as under a busy loop."""
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self._monotonic += seconds
        self._micros += round(seconds * SECOND)


async def settle(rounds: int = 10) -> None:
    """Let everything that can run now run."""
    for _ in range(rounds):
        await asyncio.sleep(0)  # noqa: TID251 - yields only, no time passes


async def eventually(probe: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until `probe` (awaited when it is a coroutine function) gives something true."""
    async with asyncio.timeout(timeout):
        while True:
            found = probe()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.002)  # noqa: TID251 - real processes and threads are waited for


def entropy() -> Callable[[int], bytes]:
    """Bytes that are different each time and the same in each test."""
    count = itertools.count(1)
    return lambda size: next(count).to_bytes(size, "big")


def person(
    role: Role | str,
    *,
    name: str | None = None,
    environment: Environment | str | None = None,
    service: str | None = None,
    kind: Literal["person", "service"] = "person",
) -> Principal:
    """Somebody with one role, everywhere or narrowed to an environment or a service."""
    grant = Grant(
        role=Role(role), environment=Environment(environment) if environment else None, service=service
    )
    name = name or grant.role
    return Principal(id=f"id-of-{name}", name=name, kind=kind, grants=(grant,))


@functools.cache
def _migrated() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        for path, kind, head in _files(home):
            prepare(path)
            migrate(path, kind, head)
        return home.state.read_bytes(), home.logs.read_bytes()


def _files(home: Home) -> tuple[tuple[Path, str, str], ...]:
    return (home.state, "state", schema.STATE_HEAD), (home.logs, "logs", schema.LOGS_HEAD)


def make_home(path: Path) -> Home:
    """A home with both databases migrated (once per process, then copied)."""
    home = Home(path)
    home.make()
    for (file, _, _), content in zip(_files(home), _migrated(), strict=True):
        file.touch(mode=0o600)
        file.write_bytes(content)
    return home


@dataclass(frozen=True)
class Ground:
    """A home with an open database and everything below the services."""

    home: Home
    clock: Clock
    ids: Ids
    tasks: Tasks
    bus: Bus
    ledger: Ledger
    db: Database
    logs: Database
    url: str | None = None
    """of its PostgreSQL database"""


@asynccontextmanager
async def open_ground(
    path: Path, clock: Clock | None = None, *, url: str | None = None
) -> AsyncIterator[Ground]:
    """Open a home at `path`, made if it is not there; its state is in it, or in PostgreSQL at `url`.

    `clock` stands still unless another is given.
    """
    home = Home(path) if Home(path).state.exists() else make_home(path)
    clock = clock or ManualClock()
    bus, ledger = Bus(), Ledger(clock)
    async with (
        open_tasks() as tasks,
        open_databases(
            home,
            Settings(),
            parse_address(url) if url else None,
            clock=clock,
            tasks=tasks,
            seal=ledger.seal,
            publish=bus.publish,
        ) as databases,
    ):
        yield Ground(
            home, clock, Ids(clock, entropy()), tasks, bus, ledger, databases.state, databases.logs, url
        )
        bus.close()
