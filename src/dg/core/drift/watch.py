"""Looks for drift: asks what is due, and keeps what it learns. A job calls it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from dg.core.access.models import SYSTEM
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.drift import judge, store
from dg.core.drift.models import Finding, Lane, Reading
from dg.core.drift.service import Checks, Lanes
from dg.core.environments.models import RunningCheck
from dg.core.types import Environment

Place = tuple[str, Environment]


class Reader(Protocol):
    """Who asks which version runs (see `drivers.Checks`)."""

    async def read(self, check: RunningCheck) -> Reading: ...


class Watch:
    """Asks what is due, and keeps what it learns. Intervals go by the monotonic clock."""

    def __init__(
        self, db: Database, clock: Clock, checks: Checks, lanes: Lanes, reader: Reader, concurrency: int
    ) -> None:
        self._db = db
        self._clock = clock
        self._checks = checks
        self._lanes = lanes
        self._reader = reader
        self._room = asyncio.Semaphore(concurrency)
        self._due: dict[Place, float] = {}

    async def look(self) -> None:
        """Check every service whose interval is over, and forget those that nothing checks any more."""
        checks = await self._db.read(self._all)
        self._due = {place: due for place, due in self._due.items() if place in checks}
        now = self._clock.monotonic()
        due = [place for place in checks if self._due.get(place, now) <= now]
        if await self._db.read(lambda tx: bool(self._dropped(tx))):
            await self._db.write(self._forget)
        ended = await asyncio.gather(
            *(self._check(place, checks[place]) for place in due), return_exceptions=True
        )
        for problem in filter(None, ended):
            raise problem

    def _all(self, tx: Tx) -> dict[Place, RunningCheck]:
        return {
            (service, name): check
            for name in Environment
            for service, check in self._checks(tx, name).items()
        }

    def _dropped(self, tx: Tx) -> dict[Place, Finding]:
        """What is kept of services that nothing checks any more."""
        return {
            (service, name): finding
            for name in Environment
            for service, finding in store.of(tx, name).items()
            if service not in self._checks(tx, name)
        }

    def _forget(self, tx: Tx) -> None:
        for place, finding in self._dropped(tx).items():
            service, name = place
            store.forget(tx, name, service)
            if fact := judge.dropped(place, finding):
                tx.append(fact, SYSTEM)

    async def _check(self, place: Place, check: RunningCheck) -> None:
        async with self._room:
            self._due[place] = self._clock.monotonic() + check.interval
            before = await self._db.read(lambda tx: self._lanes(tx, *place))
            reading = await self._reader.read(check)
            await self._db.write(partial(self._record, place, check, before, reading))

    def _record(self, place: Place, check: RunningCheck, before: Lane, reading: Reading, tx: Tx) -> None:
        service, name = place
        if self._checks(tx, name).get(service) != check:
            return
        lane = self._lanes(tx, service, name)
        if lane != before:
            # Something began or ended meanwhile: it is not known which of the two the check saw.
            lane = lane.model_copy(update={"busy": True})
        finding, fact = judge.judge(place, store.find(tx, name, service), lane, reading, self._clock.micros())
        store.keep(tx, name, service, finding)
        if fact is not None:
            tx.append(fact, SYSTEM)
